"""Offsets that a broker takes, refuses or leaves unanswered: which are tried again, owed, forgotten, and told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumer.commits import OffsetCommits
from schemas.errors import Stop

AGAIN = "REBALANCE_IN_PROGRESS"
AWAY = "_TRANSPORT"
PUT_OUT = "UNKNOWN_MEMBER_ID"
FORBIDDEN = "GROUP_AUTHORIZATION_FAILED"

LONG = 1_000.0
"""Seconds after which whatever is owed may be asked for again."""


def error(name: str) -> KafkaError:
    return KafkaError(getattr(KafkaError, name))


@dataclass(frozen=True)
class Answer:
    """What the broker says of one partition."""

    partition: int
    offset: int
    error: KafkaError | None


@dataclass
class Broker:
    """A consumer's `commit`, with a broker behind it that takes all, but for what the test has it say.

    `says` has an entry for each try to come: the name of an error for all of it, or names by partition.
    """

    says: list[str | dict[int, str]] = field(default_factory=list)
    tries: list[dict[int, int]] = field(default_factory=list)
    places: list[TopicPartition] = field(default_factory=list)

    def commit(self, *, offsets: Sequence[TopicPartition], asynchronous: bool) -> list[Answer]:
        assert not asynchronous
        self.places += offsets
        self.tries.append({place.partition: place.offset for place in offsets})
        said = self.says.pop(0) if self.says else {}
        if isinstance(said, str):
            raise KafkaException(error(said))
        names = {place.partition: said.get(place.partition) for place in offsets}
        return [Answer(p, offset, error(name) if (name := names[p]) else None) for p, offset in self.tries[-1].items()]


@dataclass
class Scene:
    """Commits of a worker that owns partitions 0 and 1, with a clock that the test moves."""

    broker: Broker = field(default_factory=Broker)
    ours: set[int] = field(default_factory=lambda: {0, 1})
    now: float = 100.0
    waits: int = 0
    revoked_in_wait: set[int] = field(default_factory=set)
    commits: OffsetCommits = field(init=False)

    def __post_init__(self) -> None:
        self.commits = OffsetCommits("t", ours=lambda: self.ours, mark=lambda: "mark", clock=lambda: self.now)

    def wait(self) -> None:
        self.waits += 1
        self.now += 1.0
        self.ours -= self.revoked_in_wait
        self.commits.forget(self.revoked_in_wait)

    def commit(self, offsets: dict[int, int], epochs: dict[int, int | None] | None = None) -> None:
        self.commits.commit(cast("Consumer", self.broker), offsets, epochs or {}, self.wait)

    def pay(self) -> None:
        self.commits.pay(cast("Consumer", self.broker))

    def owe(self, offsets: dict[int, int]) -> None:
        """A commit that the broker does not take for as long as it is tried."""
        self.broker.says = [AWAY] * 1_000
        self.commit(offsets)
        self.broker.says = []
        self.broker.tries.clear()


def test_offsets_that_the_broker_takes_are_told_once() -> None:
    scene = Scene()
    scene.commit({0: 5, 1: 7})
    assert scene.broker.tries == [{0: 5, 1: 7}]
    assert scene.commits.taken() == {0: 5, 1: 7}
    assert scene.commits.taken() == {}
    assert scene.waits == 0


def test_offset_goes_with_its_epoch_where_there_is_one_and_with_the_mark() -> None:
    scene = Scene()
    scene.commit({0: 5, 1: 7}, {0: 3, 1: None})
    assert [(place.topic, place.metadata, place.leader_epoch) for place in scene.broker.places] == [
        ("t", "mark", 3),
        ("t", "mark", None),
    ]


def test_partition_that_is_not_ours_is_not_committed() -> None:
    scene = Scene()
    scene.commit({0: 5, 2: 9})
    assert scene.broker.tries == [{0: 5}]
    assert scene.commits.taken() == {0: 5}


def test_broker_is_not_asked_where_nothing_is_ours() -> None:
    scene = Scene(ours=set())
    scene.commit({0: 5})
    assert scene.broker.tries == []


@pytest.mark.parametrize("reason", [AGAIN, AWAY])
def test_commit_that_is_not_taken_now_is_tried_again_after_a_wait(reason: str) -> None:
    scene = Scene(Broker([reason, reason]))
    scene.commit({0: 5, 1: 7})
    assert scene.broker.tries == [{0: 5, 1: 7}] * 3
    assert scene.waits == 2
    assert scene.commits.taken() == {0: 5, 1: 7}


def test_one_partition_that_is_not_taken_now_is_tried_again_alone() -> None:
    scene = Scene(Broker([{1: AGAIN}]))
    scene.commit({0: 5, 1: 7})
    assert scene.broker.tries == [{0: 5, 1: 7}, {1: 7}]
    assert scene.commits.taken() == {0: 5, 1: 7}


@pytest.mark.parametrize("said", [PUT_OUT, {0: PUT_OUT}])
def test_commit_of_a_member_that_was_put_out_is_refused_and_not_owed(said: str | dict[int, str]) -> None:
    scene = Scene(Broker([said]))
    scene.commit({0: 5})
    scene.now += LONG
    scene.pay()
    assert scene.broker.tries == [{0: 5}]
    assert scene.commits.taken() == {}


@pytest.mark.parametrize("said", [FORBIDDEN, {0: FORBIDDEN}])
def test_commit_that_is_refused_for_good_stops_the_work(said: str | dict[int, str]) -> None:
    scene = Scene(Broker([said]))
    with pytest.raises(Stop, match="Committing offset 5 of partition 0"):
        scene.commit({0: 5})
    assert scene.commits.taken() == {}


def test_partition_revoked_while_its_commit_is_tried_is_not_tried_again() -> None:
    scene = Scene(Broker([AGAIN]), revoked_in_wait={1})
    scene.commit({0: 5, 1: 7})
    assert scene.broker.tries == [{0: 5, 1: 7}, {0: 5}]
    assert scene.commits.taken() == {0: 5}


# -- owed --------------------------------------------------------------------------------------------------------------


def test_commit_that_is_never_taken_ends_is_told_and_is_paid_later(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.owe({0: 5})
    assert "does not take the commit of partitions [0]" in caplog.text
    assert scene.commits.taken() == {}
    scene.now += LONG
    scene.pay()
    assert scene.broker.tries == [{0: 5}]
    assert scene.commits.taken() == {0: 5}
    scene.now += LONG
    scene.pay()
    assert scene.broker.tries == [{0: 5}], "it was paid twice"


def test_broker_is_left_alone_for_a_while_before_it_is_asked_to_take_what_is_owed() -> None:
    scene = Scene()
    scene.owe({0: 5})
    scene.pay()
    assert scene.broker.tries == []
    scene.now += LONG
    scene.broker.says = [AWAY]
    scene.pay()
    scene.pay()
    assert scene.broker.tries == [{0: 5}], "asked again at once"
    scene.now += LONG
    scene.pay()
    assert scene.commits.taken() == {0: 5}


def test_payment_that_is_not_taken_does_not_wait() -> None:
    scene = Scene()
    scene.owe({0: 5})
    waits, scene.now, scene.broker.says = scene.waits, scene.now + LONG, [AWAY]
    scene.pay()
    assert scene.waits == waits


def test_later_offset_takes_the_place_of_the_owed_one_and_what_else_is_owed_goes_with_it() -> None:
    scene = Scene()
    scene.owe({0: 5, 1: 7})
    scene.commit({0: 50})
    assert scene.broker.tries == [{0: 50, 1: 7}]
    assert scene.commits.taken() == {0: 50, 1: 7}
    scene.now += LONG
    scene.pay()
    assert scene.broker.tries == [{0: 50, 1: 7}], "the group was moved back"


def test_epoch_of_an_owed_offset_goes_with_it() -> None:
    scene = Scene(Broker([AWAY] * 1_000))
    scene.commit({0: 5}, {0: 3})
    scene.broker.says, scene.broker.places = [], []
    scene.commit({1: 7}, {1: 4})
    assert {place.partition: place.leader_epoch for place in scene.broker.places} == {0: 3, 1: 4}


def test_what_is_owed_for_a_partition_that_went_is_forgotten_even_if_it_comes_back() -> None:
    scene = Scene()
    scene.owe({0: 5, 1: 7})
    scene.commits.forget({0})
    scene.now += LONG
    scene.pay()
    assert scene.broker.tries == [{1: 7}]


def test_partition_that_went_between_two_tries_is_not_owed_when_it_comes_back() -> None:
    scene = Scene(Broker([AWAY] * 1_000), revoked_in_wait={0})
    scene.commit({0: 5})
    scene.broker.says, scene.ours = [], {0, 1}
    scene.broker.tries.clear()
    scene.now += LONG
    scene.pay()
    assert scene.broker.tries == []


@pytest.mark.parametrize("said", [PUT_OUT, AWAY, {1: PUT_OUT}])
def test_partitions_are_confirmed_as_ours_only_where_the_broker_takes_all_of_them(said: str | dict[int, str]) -> None:
    scene = Scene()
    assert scene.commits.confirm(cast("Consumer", scene.broker), {0: 5, 1: 7})
    scene.broker.says = [said]
    assert not scene.commits.confirm(cast("Consumer", scene.broker), {0: 5, 1: 7})
    assert scene.commits.taken() == {}
