"""Whether the topic is still the one that the worker began with, or another that was made in its name."""

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._topic import TopicDescription

from schemas.errors import Stop
from schemas.kafka import Settings, connection_settings, not_told

log = logging.getLogger(__name__)

ASK_SECONDS = 1.0
FIRST_ANSWER_SECONDS = 10.0
MARK = "topic-id="


class TopicIdentity:
    """Asks for the topic's id beside the work, and waits for the answer only before the first offset is believed.

    The client follows a topic that is deleted and made anew without a word, and goes on at its old position: what lies
    before that in the new topic would be skipped. So every offset is committed with the id of the topic it speaks of,
    and compared when it is read again. A broker that does not tell ids, or not to us, is believed.
    """

    def __init__(self, settings: Settings, topic: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._topic = topic
        self._clock = clock
        self._admin = AdminClient(connection_settings(settings))
        self._next = 0.0
        self._answer: Future[TopicDescription] | None = None
        self._known: str | None = None
        self._read: set[str] = set()

    def check(self) -> None:
        """Look at the last answer, and ask again now and then. Raises `Stop` where the topic is another one."""
        if self._answer is not None and self._answer.done():
            self._compare(self._answer)
            self._answer = None
        if self._answer is None and self._clock() >= self._next:
            self._ask()

    @property
    def mark(self) -> str | None:
        """What is written beside an offset, to tell of which topic it is; as long as we do not know, what was there."""
        if self._known is not None:
            return MARK + self._known
        return next(iter(self._read)) if len(self._read) == 1 else None

    def compare(self, marks: Iterable[str | None]) -> None:
        """Look at what was written beside the group's offsets. Raises `Stop` where it names another topic."""
        self._read |= {mark for mark in marks if mark and mark.startswith(MARK)}
        if self._known is None:
            self._compare(self._ask())
        self._compare_marks()

    def _compare_marks(self) -> None:
        if self._known is not None and self._read - {MARK + self._known}:
            raise self._another("since it was read")

    def _ask(self) -> Future[TopicDescription]:
        self._next = self._clock() + ASK_SECONDS
        self._answer = self._admin.describe_topics(TopicCollection([self._topic]))[self._topic]
        return self._answer

    def _compare(self, answer: Future[TopicDescription]) -> None:
        try:
            told = str(answer.result(FIRST_ANSWER_SECONDS).topic_id)
        except NoAnswer:
            return  # asked again, and until then nothing is believed that was not before
        except KafkaException as error:
            if not_told(error.args[0].name()):
                self._read = set()
            log.debug("The broker does not tell the id of %s: %s", self._topic, error.args[0].str())
            return
        if self._known is None:
            self._known = told
            self._compare_marks()
        elif told != self._known:
            raise self._another("while it was read")

    def _another(self, when: str) -> Stop:
        return Stop(
            f"The topic {self._topic} was deleted and made anew {when}, and the group's offsets are those of the old "
            "one",
            "Start again: the new one is read from its beginning. Where that is refused with these words, use another "
            "--group, or set the group's offsets on purpose (kafka-consumer-groups --reset-offsets); what is in the "
            "table already is not doubled",
        )
