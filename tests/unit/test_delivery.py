"""Files onto a topic with clients that end in mid-work: each goes on where the last stood, and all is counted once."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from producer.delivery import Address, Delivery
from producer.hold import CheckpointPlace
from producer.publisher import Publisher, Settled
from producer.shipment import Manner
from producer.topic import TopicFacts
from schemas.errors import Stop
from schemas.kafka import Settings

FACTS = TopicFacts("t", partitions=2, max_message_bytes=2_000, identity="one")
LINES = 10
"""Of each file."""


@dataclass(frozen=True)
class Taken:
    """As much of an acknowledged message as the publisher looks at."""

    number: int
    place: int

    def partition(self) -> int:
        return self.place

    def offset(self) -> int:
        return self.number


class Client:
    """Kafka's producer: takes so many records, acknowledges them when it is polled, and ends itself with the next."""

    def __init__(self, takes: int, topic: list[bytes], at_end: Callable[[], None]) -> None:
        self._left = takes
        self._topic = topic
        self._at_end = at_end
        self._queue: list[tuple[str, bytes, int, Callable[[None, Taken], None] | None]] = []
        self._ended = False
        self.purged = False

    def produce(
        self,
        topic: str,
        value: bytes,
        _key: bytes | None,
        partition: int,
        on_delivery: Callable[[None, Taken], None] | None = None,
        headers: object = None,  # noqa: ARG002 -- as the client has it
        timestamp: int = 0,  # noqa: ARG002
    ) -> None:
        self._queue.append((topic, value, max(partition, 0), on_delivery))

    def poll(self, _seconds: float) -> int:
        while self._queue and not self._ended:
            if self._left == 0:
                self._ended = True
                self._at_end()
                break
            self._left -= 1
            _, value, partition, reported = self._queue.pop(0)
            self._topic.append(value)
            if reported:
                reported(None, Taken(len(self._topic), partition))
        if self._ended:
            raise KafkaException(KafkaError(KafkaError._FATAL, "the client gave up", True))
        return 0

    def purge(self) -> None:
        self.purged = True

    def __len__(self) -> int:
        return len(self._queue)


@dataclass(frozen=True)
class Scripted(Address):
    """An address whose clients take as many records as `takes` says, one after the other; the last number is kept."""

    takes: Sequence[int] = ()
    at_end: Callable[[], None] = lambda: None
    clients: list[Client] = field(default_factory=list)
    arrived: list[bytes] = field(default_factory=list)

    def open(self, settled: Settled | None = None, *, live: bool = False) -> tuple[Publisher, TopicFacts]:
        assert not live
        client = Client(self.takes[min(len(self.clients), len(self.takes) - 1)], self.arrived, self.at_end)
        self.clients.append(client)
        producer = cast("Producer", client)
        return Publisher(producer, "t", FACTS.partitions, "t.dlq", settled=settled), FACTS


@dataclass
class Scene:
    """Some files, and a delivery of them. `waits` are the seconds between clients."""

    folder: Path
    waits: list[float]
    stopping: bool = False
    stopped_by_end: bool = False
    """Whether the run is told to end when its first client ends."""
    address: Scripted = field(init=False)
    delivery: Delivery = field(init=False)

    def log(self, name: str, *more: bytes) -> str:
        """A file of ten lines, and what else is in it."""
        lines = [b"%s-%d" % (name.encode(), number) for number in range(LINES)]
        path = self.folder / name
        path.write_bytes(b"".join(line + b"\n" for line in [*lines, *more]))
        return str(path)

    def send(self, files: Sequence[str], *takes: int) -> int:
        """Send them with clients that take so many records; returns what the delivery does."""
        said: Settings = {"message.max.bytes": FACTS.max_message_bytes}  # so that no broker is asked for it
        self.address = Scripted(said, "t", "t.dlq", takes=takes, at_end=self._ended)
        place = CheckpointPlace(self.folder / "state", restart=False)
        self.delivery = Delivery(self.address, Manner(stopping=lambda: self.stopping), place)
        return self.delivery.run(files, follow=False, progress=lambda: None)

    def _ended(self) -> None:
        self.stopping = self.stopped_by_end

    @property
    def counted(self) -> tuple[int, int, int]:
        """Lines read, lines acknowledged, references acknowledged."""
        delivery = self.delivery
        return delivery.dispatch.hold.totals.lines, delivery.by_partition.total(), delivery.references


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    return Scene(tmp_path, waits)


def test_one_client_that_takes_everything_is_enough(scene: Scene) -> None:
    assert scene.send([scene.log("a"), scene.log("b")], 100) == 0
    assert len(scene.address.clients) == 1
    assert scene.counted == (20, 20, 0)


def test_client_that_ends_is_followed_by_one_that_goes_on_where_every_line_is_acknowledged(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    assert scene.send([scene.log("a"), scene.log("b")], LINES, 100) == 0
    first, second = scene.address.clients
    assert (first.purged, second.purged) == (True, False)
    assert len(scene.address.arrived) == len(set(scene.address.arrived)) == 20
    assert "the client gave up: going on from the checkpoint with a new client" in caplog.text


def test_counts_go_on_over_a_renewal_and_what_is_sent_again_is_acknowledged_again(scene: Scene) -> None:
    scene.send([scene.log("a"), scene.log("b")], LINES + LINES // 2, 100)
    lines, acknowledged, _ = scene.counted
    assert lines == 20
    assert acknowledged == len(scene.address.arrived) == 25
    assert set(scene.delivery.by_partition) == {0, 1}


def test_references_are_counted_over_a_renewal(scene: Scene) -> None:
    long = b"x" * 3_000
    scene.send([scene.log("a", long), scene.log("b", long)], LINES + 1, 100)
    assert scene.counted == (22, 20, 2)


def test_resumed_from_is_what_the_run_began_with_and_not_the_renewal(scene: Scene) -> None:
    log = scene.log("a")
    scene.send([log, scene.log("b")], LINES, 100)
    assert set(scene.delivery.dispatch.hold.resumed_from.values()) == {0}


def test_clients_that_end_without_a_line_more_acknowledged_come_to_an_end(scene: Scene) -> None:
    with pytest.raises(Stop, match="the client gave up") as stopped:
        scene.send([scene.log("a")], 0)
    assert "Start again" in stopped.value.next_step
    assert 1 < len(scene.address.clients) < 10
    assert scene.waits == sorted(scene.waits)
    assert scene.waits[-1] > 0, "the broker was not left alone between two of them"


def test_clients_that_get_a_file_further_each_are_followed_by_others_however_many_there_are(scene: Scene) -> None:
    files = [scene.log(f"log-{number}") for number in range(20)]
    assert scene.send(files, LINES) == 0
    assert len(scene.address.clients) == 20
    assert sum(scene.waits) == 0
    assert scene.counted == (200, 200, 0)


def test_fruitless_clients_are_forgotten_when_one_gets_further(scene: Scene) -> None:
    files = [scene.log(name) for name in "abcd"]
    assert scene.send(files, LINES, 0, LINES, 0, LINES, 0, 100) == 0
    assert scene.counted[0] == 40


def test_client_that_ends_while_the_run_is_to_end_is_not_followed_by_another(scene: Scene) -> None:
    scene.stopped_by_end = True
    with pytest.raises(Stop, match="the client gave up"):
        scene.send([scene.log("a")], LINES // 2, 100)
    assert len(scene.address.clients) == 1


@pytest.fixture
def standard_input() -> Iterator[Callable[[bytes], None]]:
    """Sets what is on standard input."""
    before = os.dup(0)

    def give(content: bytes) -> None:
        reading, writing = os.pipe()
        os.write(writing, content)
        os.close(writing)
        os.dup2(reading, 0)
        os.close(reading)

    yield give
    os.dup2(before, 0)
    os.close(before)


def test_client_that_ends_while_standard_input_is_sent_is_followed_by_no_other(
    scene: Scene, standard_input: Callable[[bytes], None]
) -> None:
    standard_input(b"one\ntwo\n")
    with pytest.raises(Stop, match="standard input is gone once it is read") as stopped:
        scene.send(["-"], 1, 100)
    assert "Send it again as a whole" in stopped.value.next_step
    assert len(scene.address.clients) == 1


def test_standard_input_that_one_client_takes_is_sent(scene: Scene, standard_input: Callable[[bytes], None]) -> None:
    standard_input(b"one\ntwo\n")
    assert scene.send(["-"], 100) == 0
    assert sorted(scene.address.arrived) == [b"one", b"two"]
