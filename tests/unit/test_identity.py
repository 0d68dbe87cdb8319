"""Whether the topic is still the same: by what the broker tells of it, and what stands beside the group's offsets."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicCollection

from consumer import identity
from consumer.identity import TopicIdentity
from schemas.errors import Stop

FORBIDDEN = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
AWAY = KafkaError(KafkaError._TRANSPORT)


class Silence(Future[Any]):
    """An answer that does not come, however long it is waited for."""

    def result(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "it would be waited for without an end"
        raise TimeoutError


@dataclass
class Broker:
    """An admin client and the broker behind it, which tells `says` as the topic's id from now on; None: silence."""

    says: str | KafkaError | None = "one"
    asked: int = 0
    settings: dict[str, Any] = field(default_factory=dict)

    def connect(self, settings: dict[str, Any]) -> "Broker":
        self.settings = settings
        return self

    def describe_topics(self, topics: TopicCollection) -> dict[str, Future[Any]]:
        assert topics.topic_names == ["t"]
        self.asked += 1
        if self.says is None:
            return {"t": Silence()}
        answer: Future[Any] = Future()
        if isinstance(self.says, KafkaError):
            answer.set_exception(KafkaException(self.says))
        else:
            answer.set_result(SimpleNamespace(topic_id=self.says))
        return {"t": answer}


@dataclass
class Worker:
    """One worker's view of the topic, with a clock that the test moves."""

    broker: Broker
    now: float = 100.0
    identity: TopicIdentity = field(init=False)

    def __post_init__(self) -> None:
        self.identity = TopicIdentity({"bootstrap.servers": "b", "group.id": "g"}, "t", lambda: self.now)

    def check(self) -> None:
        """Look, and look again later: the last answer is looked at, another is asked for, and looked at."""
        for _ in range(3):
            self.identity.check()
            self.now += 60


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    broker = Broker()
    monkeypatch.setattr(identity, "AdminClient", broker.connect)
    return broker


def mark_of(broker: Broker, topic_id: str) -> str:
    """What a worker writes beside its offsets while the topic has this id."""
    before, broker.says = broker.says, topic_id
    worker = Worker(broker)
    worker.identity.compare([])
    broker.says = before
    assert worker.identity.mark is not None
    return worker.identity.mark


def test_group_setting_is_not_for_the_client_that_asks(broker: Broker) -> None:
    Worker(broker)
    assert broker.settings == {"bootstrap.servers": "b"}


def test_first_offsets_wait_for_the_id_and_get_a_mark_that_names_it(broker: Broker) -> None:
    assert Worker(broker).identity.mark is None
    worker = Worker(broker)
    worker.identity.compare([None, None])
    assert worker.identity.mark is not None
    assert "one" in worker.identity.mark


def test_offsets_with_the_mark_of_this_topic_are_believed(broker: Broker) -> None:
    mark = mark_of(broker, "one")
    worker = Worker(broker)
    worker.identity.compare([mark, None, mark])
    assert worker.identity.mark == mark


def test_offset_with_the_mark_of_another_topic_is_not_believed(broker: Broker) -> None:
    marks = [mark_of(broker, "one"), mark_of(broker, "old")]
    with pytest.raises(Stop, match="was deleted and made anew since it was read") as stopped:
        Worker(broker).identity.compare(marks)
    assert "--group" in stopped.value.next_step


def test_mark_of_another_topic_is_not_believed_by_a_worker_that_has_read_for_long(broker: Broker) -> None:
    worker = Worker(broker)
    worker.identity.compare([None])
    with pytest.raises(Stop, match="since it was read"):
        worker.identity.compare([mark_of(broker, "new")])


@pytest.mark.parametrize("text", [None, "", "a note of another tool", "one"])
def test_what_others_write_beside_offsets_is_no_mark(broker: Broker, text: str | None) -> None:
    worker = Worker(broker)
    worker.identity.compare([text])
    assert worker.identity.mark == mark_of(broker, "one")


def test_broker_that_tells_no_ids_is_believed(broker: Broker) -> None:
    mark = mark_of(broker, "old")
    broker.says = FORBIDDEN
    worker = Worker(broker)
    worker.identity.compare([mark])
    worker.check()
    assert worker.identity.mark is None


@pytest.mark.parametrize("says", [None, AWAY])
def test_broker_that_does_not_answer_now_is_not_waited_for_without_an_end(
    broker: Broker, says: KafkaError | None
) -> None:
    broker.says = says
    worker = Worker(broker)
    worker.identity.compare([None])
    assert worker.identity.mark is None
    broker.says = "one"
    if says is not None:  # (a silent answer stays one; a question that is refused is asked again)
        worker.check()
        assert worker.identity.mark == mark_of(broker, "one")


def test_topic_made_anew_while_it_is_read_is_told(broker: Broker) -> None:
    worker = Worker(broker)
    worker.identity.compare([None])
    worker.check()
    broker.says = "two"
    with pytest.raises(Stop, match="was deleted and made anew while it was read"):
        worker.check()


def test_broker_that_is_away_for_a_while_makes_no_other_topic(broker: Broker) -> None:
    worker = Worker(broker)
    worker.identity.compare([None])
    mark = worker.identity.mark
    broker.says = AWAY
    worker.check()
    broker.says = "one"
    worker.check()
    assert worker.identity.mark == mark


def test_broker_is_asked_now_and_then_and_not_at_every_turn(broker: Broker) -> None:
    worker = Worker(broker)
    worker.identity.compare([None])
    for _ in range(100):
        worker.identity.check()
    assert broker.asked == 1
    worker.now += 60
    for _ in range(100):
        worker.identity.check()
    assert broker.asked == 2
