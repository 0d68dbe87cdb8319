"""Files onto a topic with as many clients as it takes: one that ends itself is followed by another."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from producer.client import Trouble, new_producer
from producer.dispatch import Dispatch
from producer.hold import CheckpointPlace
from producer.moments import create_time
from producer.publisher import Publisher, Settled, key_of_field
from producer.shipment import Manner
from producer.topic import LimitNow, TopicFacts, ask_topic
from schemas.errors import ClientEnded, Stop
from schemas.kafka import Settings
from terminal.signals import GRACE_SECONDS

log = logging.getLogger(__name__)

FRUITLESS_CLIENTS = 3
"""So many clients in a row that ended with nothing more acknowledged are taken to show that no other will do better."""

PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Address:
    """Where lines go, and by which key."""

    settings: Settings
    topic: str
    dead_letter_topic: str
    key: str | None = None

    def open(self, settled: Settled | None = None, *, live: bool = False) -> tuple[Publisher, TopicFacts]:
        """A publisher with a client of its own, and what it must know of the topic.

        With `live` a record's CreateTime is the line's own timestamp, where the topic takes and keeps that, and the
        publisher leaves it to its owner to say that nothing is acknowledged.
        Raises `Stop` where no broker answers, it refuses us, or there is no such topic.
        """
        facts = ask_topic(self.settings, self.topic)
        trouble = Trouble()
        publisher = Publisher(
            new_producer(self.settings, self.topic, facts.max_message_bytes, trouble.note),
            self.topic,
            facts.partitions,
            self.dead_letter_topic,
            key_of=key_of_field(self.key, facts.longest_line) if self.key else None,
            trouble=trouble,
            settled=settled,
        )
        if live:
            publisher.be_live(create_time(facts.keeps_seconds))
        return publisher, facts


class Delivery:
    """Sends files, and goes on from their checkpoints where a client ended in mid-work.

    That happens where the topic's limit is lowered under its hands, or a broker's log and the client's idea of it do
    not fit together any more. What it had in flight is read and sent again, as after a crash.
    """

    def __init__(self, address: Address, manner: Manner, checkpoints: CheckpointPlace | None) -> None:
        """Raises `Stop` where no broker answers, it refuses us, or there is no such topic."""
        self._address = address
        self._manner = manner
        manner.longest_now = LimitNow(address.settings, address.topic)
        self._publisher, facts = address.open()
        self.dispatch = Dispatch(self._publisher, facts, manner, checkpoints)
        self._before: Counter[int] = Counter()
        self._references_before = 0
        self._fruitless = -1  # the first is never one of them

    def serve(self, seconds: float) -> None:
        """Take delivery reports for up to `seconds`. Raises `Stop` as the publisher does."""
        self._publisher.serve(seconds)

    def attend(self) -> None:
        """Write the checkpoints that are due. Raises `Stop` where that fails."""
        self.dispatch.hold.attend()

    @property
    def by_partition(self) -> Counter[int]:
        """Acknowledged lines by partition; those that were sent again count again."""
        return self._before + self._publisher.acknowledged

    @property
    def references(self) -> int:
        """Acknowledged references to oversize lines."""
        return self._references_before + self._publisher.references

    def run(self, files: Sequence[str], *, follow: bool, progress: Callable[[], None]) -> int:
        """Send the files; returns how many records stayed without an acknowledgement.

        Raises `Stop` where it cannot go on, or could not go on from where it stood: standard input is gone once read.
        """
        while True:
            try:
                return self.dispatch.run(files, progress, follow=follow, grace_seconds=GRACE_SECONDS)
            except ClientEnded as ended:
                if not self.dispatch.hold.resumable:
                    raise self._not_resumable(ended) from None
                if not self._worth_another() or self._manner.stopping():
                    raise Stop(ended.text, "Start again: it goes on from the checkpoint") from None
                log.warning("%s: going on from the checkpoint with a new client", ended.text)
                self._renew()

    def _not_resumable(self, ended: ClientEnded) -> Stop:
        if self._manner.loop:
            return Stop(ended.text, "Start the loop again: it begins anew, with other ids")
        return Stop(
            f"{ended.text}; standard input is gone once it is read",
            "Send it again as a whole: the table absorbs the repeats",
        )

    def _worth_another(self) -> bool:
        """Whether the clients before this one got anywhere; if the last did not, the next one waits a little."""
        self._fruitless = 0 if self.dispatch.hold.progress else self._fruitless + 1
        time.sleep(PAUSE_SECONDS * self._fruitless)
        return self._fruitless < FRUITLESS_CLIENTS

    def _renew(self) -> None:
        self._before += self._publisher.acknowledged
        self._references_before += self._publisher.references
        self._publisher.abandon()
        self._publisher, facts = self._address.open()
        self.dispatch = self.dispatch.successor(self._publisher, facts)
