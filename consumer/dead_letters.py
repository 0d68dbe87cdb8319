"""Bad lines to the dead-letter topic, acknowledged before their offsets are committed."""

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import NoReturn

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from consumer.batch import Record, Reject
from schemas import topics
from schemas.errors import BrokerDown, Stop
from schemas.kafka import Settings, base_settings, connection_settings, translate

log = logging.getLogger(__name__)

ACKNOWLEDGE_SECONDS = 30.0
"""How long the dead-letter topic may take before the worker begins anew, with nothing committed."""

MISSING_SECONDS = 3.0
"""How long the topic may be unknown: a broker that makes topics by itself takes a moment."""

HEAD_START_SECONDS = 1.0
"""How long a new client may ask for the topic: meanwhile nobody looks whether the worker should end."""

FORCED: Settings = {"enable.idempotence": True, "acks": "all"}

LIMIT = 1_000_000_000
"""The client's own size limit: librdkafka's maximum. The topic judges, not the client."""

TOO_LARGE = "MSG_SIZE_TOO_LARGE"
MISSING = frozenset(["_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_OR_PART"])


def dead_letter_settings(brokers: str, pass_through: dict[str, str], password: str | None) -> Settings:
    """librdkafka's settings for the dead letters' producer."""
    defaults: Settings = {"client.id": "chatferry-dead-letters", "compression.type": "lz4", "linger.ms": 5}
    own = base_settings(brokers, connection_settings(pass_through), password, FORCED)
    return {**defaults, **own, "message.max.bytes": LIMIT}


class DeadLetters:
    """Sends rejected records, bytes and key exact, with where they came from and what was wrong as headers.

    `send` returns when every one of them is acknowledged, and raises otherwise: a bad line is never passed over. A
    record that the dead-letter topic is too small for goes there as a reference; its bytes stay in the topic it came
    from.
    """

    def __init__(self, settings: Settings, topic: str, origin: str) -> None:
        self._settings = settings
        self._topic = topic
        self._origin = origin
        self._client: Producer | None = None
        self._topic_seen = False

    def send(self, rejects: Sequence[Reject], keep_alive: Callable[[], None]) -> None:
        """Send them all; `keep_alive` is called now and then while the topic takes its time.

        Raises `Stop` where the topic does not take them, `BrokerDown` where it does not in time.
        """
        if not rejects:
            return
        for reject in self._attempt(rejects, self._exact, keep_alive):
            alone = self._attempt([reject], self._exact, keep_alive)  # it was refused with all that went beside it
            if alone and self._attempt(alone, self._reference, keep_alive):
                raise Stop(
                    f"The dead-letter topic {self._topic} does not even take a reference; no offset was committed",
                    "Raise its max.message.bytes",
                )

    def _attempt(
        self,
        rejects: Sequence[Reject],
        value_of: Callable[[Record], tuple[bytes | None, str]],
        keep_alive: Callable[[], None],
    ) -> list[Reject]:
        """Send all; returns those that were too large, they or the batch they went in. Raises as `send` does for any
        other failure."""
        failures: list[tuple[Reject, KafkaError]] = []
        client = self._connected()
        for reject in rejects:
            self._hand_over(client, reject, value_of, failures)
        self._wait(client, keep_alive)
        for _, error in failures:
            if error.name() != TOO_LARGE:
                self._give_up(error)
        return [reject for reject, _ in failures]

    def open(self) -> None:
        """Begin to connect: an idempotent producer needs half a second before its first record goes."""
        self._client = self._client or Producer(self._settings)

    def _connected(self) -> Producer:
        """The client, which knows the topic."""
        self.open()
        client = self._client
        assert client is not None
        if not self._topic_seen:
            self._look_for_topic(client)
            self._topic_seen = True
        return client

    def _look_for_topic(self, client: Producer) -> None:
        deadline = time.monotonic() + MISSING_SECONDS
        with contextlib.suppress(KafkaException):  # only a head start: else it learns of the topic half a second later
            while error := client.list_topics(self._topic, timeout=HEAD_START_SECONDS).topics[self._topic].error:
                if error.name() not in MISSING:
                    break
                if time.monotonic() > deadline:
                    self._give_up(error)
                time.sleep(0.1)

    def _hand_over(
        self,
        client: Producer,
        reject: Reject,
        value_of: Callable[[Record], tuple[bytes | None, str]],
        failures: list[tuple[Reject, KafkaError]],
    ) -> None:
        def reported(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                failures.append((reject, error))

        value, content = value_of(reject.record)
        while True:
            try:
                client.produce(
                    self._topic,
                    value,
                    reject.record.key(),
                    headers=self._headers(reject, content),
                    on_delivery=reported,
                )
            except BufferError:
                client.poll(0.1)
            except KafkaException as error:
                failures.append((reject, error.args[0]))
                return
            else:
                return

    def _wait(self, client: Producer, keep_alive: Callable[[], None]) -> None:
        deadline, fewest = time.monotonic() + ACKNOWLEDGE_SECONDS, len(client)
        while left := client.flush(1.0):
            keep_alive()
            if left < fewest:  # slow is not silent
                deadline, fewest = time.monotonic() + ACKNOWLEDGE_SECONDS, left
            if time.monotonic() > deadline:
                client.purge()
                client.flush(1.0)
                raise BrokerDown(
                    f"The dead-letter topic {self._topic} acknowledged nothing for {ACKNOWLEDGE_SECONDS:.0f} s; "
                    "no offset was committed"
                )

    def _give_up(self, error: KafkaError) -> NoReturn:
        said = translate(error.name(), error.str(), f"The dead-letter topic {self._topic} does not take a bad line")
        text = f"{said.args[0]}; no offset was committed"
        if error.name() in MISSING:
            next_step = f"Create it: chatferry topics create --topic {self._origin} --dead-letter-topic {self._topic}"
            raise Stop(text, next_step)
        raise Stop(text, said.next_step) if isinstance(said, Stop) else BrokerDown(text)

    @staticmethod
    def _exact(record: Record) -> tuple[bytes | None, str]:
        return record.value(), "line"  # type: ignore[return-value] # bytes: we set no deserializer

    def _reference(self, record: Record) -> tuple[bytes | None, str]:
        value = record.value() or b""
        assert isinstance(value, bytes)
        return topics.reference_to_record(
            self._origin, record.partition() or 0, record.offset() or 0, value
        ), "reference"

    def _headers(self, reject: Reject, content: str) -> topics.Headers:
        return [
            (topics.ORIGIN_TOPIC, self._origin),
            (topics.ORIGIN_PARTITION, str(reject.record.partition())),
            (topics.ORIGIN_OFFSET, str(reject.record.offset())),
            (topics.STAGE, reject.stage),
            (topics.ERROR_CLASS, reject.reason),
            (topics.ERROR_TEXT, reject.text[:1000].encode("utf-8", "backslashreplace")),
            (topics.CONTENT, content),
        ]

    def close(self) -> None:
        """Let go of the client. What was on its way when `send` was told to end may arrive, and comes again."""
        if self._client:
            self._client.purge()
        self._client = None
