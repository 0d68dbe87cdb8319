"""Blocks onto the topic."""

import logging
import time
from collections import Counter
from collections.abc import Callable

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from producer.client import Trouble
from producer.ledger import Pending
from schemas import topics
from schemas.errors import BrokerDown, ChatferryError, ClientEnded
from schemas.kafka import translate
from schemas.topics import Oversize

log = logging.getLogger(__name__)

QUEUE_WAIT_SECONDS = 0.1
PATIENCE_SECONDS = 10.0  # after so long without an acknowledgement the person is told that we wait

KeyOf = Callable[[bytes], bytes | None]
MomentOf = Callable[[bytes], int]
"""A line's CreateTime in Unix milliseconds; 0: the moment of sending."""
Settled = Callable[[int, int, int, Pending], None]
"""Called with partition, first offset, number of lines and block when a slice is acknowledged."""


class Publisher:
    """Sends lines and learns of their acknowledgement.

    A block is cut into one slice a partition, and only the last line of a slice asks for a delivery report. That is
    enough: the client is idempotent, so a partition takes records in order, and gapless, so a record that fails stops
    the client with a fatal error; the report of the last line speaks for all before it. (A report for every line
    doubles the CPU a line costs: docs/decisions.md.) With a key every line has its own report.
    """

    def __init__(
        self,
        client: Producer,
        topic: str,
        partitions: int,
        dead_letter_topic: str,
        *,
        key_of: KeyOf | None = None,
        trouble: Trouble | None = None,
        settled: Settled | None = None,
    ) -> None:
        self._client = client
        self._topic = topic
        self._partitions = partitions
        self._dead_letter_topic = dead_letter_topic
        self._key_of = key_of
        self._moment_of: MomentOf | None = None
        self._trouble = trouble or Trouble()
        self._settled = settled
        self._tell = True
        self._next_partition = 0
        self._failure: KafkaError | None = None
        self._last_report = time.monotonic()
        self.acknowledged: Counter[int] = Counter()
        """Acknowledged lines by partition."""
        self.references = 0
        """Acknowledged references to oversize lines."""

    def be_live(self, moment_of: MomentOf) -> None:
        """Give records the CreateTime that `moment_of` says, and leave it to others to tell that Kafka is away."""
        self._moment_of = moment_of
        self._tell = False

    def publish(self, lines: list[bytes], pending: Pending) -> None:
        """Hand over the lines of a block; waits while the queue is full.

        Raises `ClientEnded` when the client gave up, `Stop` when the topic refuses for good.
        """
        if not lines:
            return
        if self._key_of:
            self._publish_by_key(lines, pending, self._key_of)
        else:
            size = -(-len(lines) // self._partitions)
            for first in range(0, len(lines), size):
                self._publish_slice(lines[first : first + size], self._next_partition, pending)
                self._next_partition = (self._next_partition + 1) % self._partitions
        self.serve()

    def _publish_slice(self, lines: list[bytes], partition: int, pending: Pending) -> None:
        produce, topic = self._client.produce, self._topic
        count = len(lines)
        pending.parts += 1

        def reported(error: KafkaError | None, message: Message) -> None:
            self._reported(error, message, count, pending)

        moment_of = self._moment_of
        last = lines.pop()
        if moment_of:
            for line in lines:
                self._insist(topic, line, partition=partition, moment=moment_of(line))
        else:
            for line in lines:
                try:
                    produce(topic, line, None, partition)
                except (BufferError, KafkaException):
                    self._insist(topic, line, partition=partition)
        moment = moment_of(last) if moment_of else 0
        self._insist(topic, last, partition=partition, moment=moment, reported=reported)

    def _publish_by_key(self, lines: list[bytes], pending: Pending, key_of: KeyOf) -> None:
        pending.parts += len(lines)

        def reported(error: KafkaError | None, message: Message) -> None:
            self._reported(error, message, 1, pending)

        for line in lines:
            moment = self._moment_of(line) if self._moment_of else 0
            self._insist(self._topic, line, key=key_of(line), moment=moment, reported=reported)

    def _insist(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes | None = None,
        partition: int = -1,
        moment: int = 0,
        reported: Callable[[KafkaError | None, Message], None] | None = None,
        headers: topics.Headers | None = None,
    ) -> None:
        """Hand one record over, waiting for room."""
        while True:
            try:
                self._client.produce(
                    topic, value, key, partition, on_delivery=reported, timestamp=moment, headers=headers
                )
            except BufferError:
                self.serve(QUEUE_WAIT_SECONDS)
            except KafkaException as error:
                raise self._explain(error.args[0]) from None
            else:
                return

    def refer(self, line: Oversize, source: str, pending: Pending) -> None:
        """Send a reference to a line that the topic does not take to the dead letters."""
        pending.parts += 1

        def reported(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                self._failure = self._failure or error
                return
            self.references += 1
            pending.acknowledged()

        headers: topics.Headers = [
            (topics.ORIGIN_TOPIC, self._topic),
            (topics.STAGE, "read"),
            (topics.ERROR_CLASS, "oversize"),
            (topics.ERROR_TEXT, f"the line has {line.length} bytes, more than the topic takes"),
            (topics.CONTENT, "reference"),
        ]
        log.warning("%s: the line at byte %d has %d bytes, more than the topic takes: a reference goes to %s",
                    source, line.offset, line.length, self._dead_letter_topic)  # fmt: skip
        self._insist(self._dead_letter_topic, line.reference(source), reported=reported, headers=headers)

    def _reported(self, error: KafkaError | None, message: Message, count: int, pending: Pending) -> None:
        """A delivery report. Raises nothing: what an exception in a callback would do is not defined."""
        self._last_report = time.monotonic()
        if error is not None:
            self._failure = self._failure or error
            return
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        self.acknowledged[partition] += count
        pending.acknowledged()
        if self._settled and offset is not None:
            self._settled(partition, offset - count + 1, count, pending)

    def serve(self, seconds: float = 0.0) -> None:
        """Take delivery reports for up to `seconds`.

        Raises `ClientEnded` or `Stop` when one of them, or the client itself, says that this cannot go on.
        """
        try:
            self._client.poll(seconds)
        except KafkaException as error:  # how a fatal error of the client comes to light
            raise self._explain(error.args[0]) from None
        if self._failure is not None:
            raise self._explain(self._failure)
        if len(self._client) == 0:
            self._last_report = time.monotonic()
        elif self._tell and time.monotonic() - self._last_report > PATIENCE_SECONDS:
            self._last_report = time.monotonic()
            log.warning("Nothing acknowledged for %d s%s: waiting", PATIENCE_SECONDS, self.trouble_text)

    @property
    def trouble_text(self) -> str:
        """The client's last complaint, in brackets; empty where there was none."""
        return f" ({self._trouble.last.str()})" if self._trouble.last else ""

    @property
    def in_flight(self) -> int:
        """Records handed over and not acknowledged."""
        return len(self._client)

    def flush(self, *, give_up: Callable[[], bool]) -> int:
        """Wait until everything handed over is acknowledged, or `give_up` says so; returns how many are not."""
        while left := len(self._client):
            if give_up():
                return left
            self.serve(QUEUE_WAIT_SECONDS)
        self.serve()
        return 0

    def abandon(self) -> None:
        """Drop what is still queued, so that the process can end."""
        self._client.purge()

    def _explain(self, error: KafkaError) -> ChatferryError:
        if error.fatal() or error.name() in ("_FATAL", "_PURGE_QUEUE", "_PURGE_INFLIGHT"):
            text = (self._trouble.fatal or self._trouble.last or error).str()
            return ClientEnded(f"Sending to {self._topic} ended: {text}")
        said = translate(error.name(), error.str(), f"Sending to {self._topic}")
        if isinstance(said, BrokerDown) or error.name() == "MSG_SIZE_TOO_LARGE":  # the topic's limit was lowered
            return ClientEnded(str(said))
        return said


def key_of_field(field: str, longest: int) -> KeyOf:
    """A function from a line to its key: the text of the JSON object's `field`, None where it has none.

    A line without the field, or that is no JSON, gets no key and so any partition; it is not this side's to judge it.
    So does a line that fits into a record, `longest` bytes, but not with its key beside it: better out of order than
    stuck.
    """
    shape = msgspec.defstruct("Keyed", [("key", str | int | float | None, msgspec.field(default=None, name=field))])
    decode = msgspec.json.Decoder(shape).decode

    def key_of(line: bytes) -> bytes | None:
        try:
            key = decode(line).key  # type: ignore[attr-defined]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if key is None:
            return None
        text = str(key).encode()
        return text if len(text) + len(line) <= longest else None

    return key_of
