"""The work of `chatferry load`: a producer and workers at once, and what became of every line."""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from consumer.client import TopicView, consumer_settings
from consumer.command import BATCH_SETTINGS, worker_count
from consumer.dead_letters import dead_letter_settings
from consumer.insight import Circumstances, Insight
from consumer.stores.engine import make_engine
from consumer.stores.indexes import Deferral, deferred
from consumer.stores.opening import first_contact
from consumer.supervisor import Supervisor
from consumer.tally import Tally
from ops.account import Manifest, account
from ops.database import upgrade_where_needed
from ops.topics import create_topics
from producer.client import producer_settings
from producer.delivery import Address
from producer.dispatch import Dispatch
from producer.exports.conversion import conversion_of
from producer.exports.opening import open_input, size_of
from producer.shipment import Manner
from producer.sources.names import each_file_once
from schemas.errors import ClientEnded, Stop
from schemas.kafka import Settings
from schemas.reports import BatchDone, Committed, WorkerOrder
from schemas.settings import pass_through, secret
from schemas.topics import dead_letters_of
from terminal.command import environment
from terminal.progress import Meter
from terminal.signals import GRACE_SECONDS, Interruption

log = logging.getLogger(__name__)

EMBEDDED_WARN_BYTES = 1 << 30
"""From this size on the person is told that the embedded broker holds the compressed lines in memory."""

EMBEDDED_FETCH_WAIT_MS = 10
"""The embedded broker answers a fetch when this time is up, even where records came in meanwhile."""


class Load:
    """One load: a producer in a thread, workers on every partition, and the account that holds them against each other.

    The workers take their partitions without a group: the load knows where it began and where it ends, and neither
    waits for a rebalance nor leaves offsets behind.
    """

    def __init__(self, files: tuple[str, ...], brokers: str, given: dict[str, Any], interruption: Interruption) -> None:
        """Raises `UsageProblem` for settings that are wrong."""
        self._files = files
        self._given = given
        self._interruption = interruption
        self._started = time.monotonic()
        self._extra = pass_through(given["librdkafka"])
        self._password = secret("CHATFERRY_KAFKA_PASSWORD", given["kafka_password_file"], environment())
        self._database_password = secret("CHATFERRY_DATABASE_PASSWORD", given["database_password_file"], environment())
        self._brokers = brokers
        self.topic: str = given["topic"]
        self.dead: str = dead_letters_of(self.topic, given["dead_letter_topic"])
        self.producer_settings: Settings = producer_settings(brokers, self._extra, self._password)
        self.tally = Tally()
        self.insight = Insight()
        self.indexes = Deferral()
        self.manifest = Manifest()
        self.workers = 0
        self._produced = threading.Event()
        self.failure: Stop | None = None
        self._bug: BaseException | None = None
        self._halt = False

    def prepare(self) -> None:
        """See that database and broker answer, and create the topics that are not there.

        Raises `Stop` where they do not answer, or refuse.
        """
        size = sum(map(size_of, each_file_once(self._files)))
        if size > EMBEDDED_WARN_BYTES and not self._given["brokers"]:
            log.warning(
                "The embedded broker holds all lines in memory, compressed (half of their %.1f GB or more): a real "
                "Kafka is kinder, with --brokers",
                size / 1e9,
            )
        self._engine = make_engine(self._given["database"], self._database_password)
        first_contact(self._engine, may_create=True)
        create_topics(
            self.producer_settings,
            self.topic,
            self.dead,
            partitions=self._given["partitions"],
            replication_factor=self._given["replication_factor"],
        )

    def go(self) -> None:
        """Send and store until every line that could be read is accounted for, or a signal.

        The table is made while the first lines are on their way already. What ended the reading early, a damaged file,
        is in `failure` afterwards. Raises `Stop` where the storing cannot go on.
        """
        settings = consumer_settings(self._brokers, self._extra, self._password, "chatferry-load")
        if not self._given["brokers"]:
            settings["fetch.wait.max.ms"] = EMBEDDED_FETCH_WAIT_MS
        view = TopicView(settings, self.topic)
        self._starts = {partition: end for partition, (_, end) in view.offsets().items()}
        view.close()
        address = Address(self.producer_settings, self.topic, self.dead, self._given["key"])
        publisher, facts = address.open(self.manifest.settled)
        manner = Manner(stopping=self._stopping, open_input=partial(open_input, how=conversion_of(self._given)))
        self._dispatch = Dispatch(publisher, facts, manner, checkpoints=None)
        self._references: Callable[[], int] = lambda: publisher.references
        thread = threading.Thread(target=self._produce, name="producer")
        thread.start()
        try:
            upgrade_where_needed(self._engine)
            supervisor = Supervisor(self._orders(settings), self._heard, self._renew)
            with deferred(self._engine, self._given["defer_indexes"], lambda: not self._interruption) as indexes:
                self.indexes = indexes
                supervisor.start()
                with self._meter() as meter:
                    supervisor.run(lambda: self._finished(meter), self._interruption.__bool__)
        finally:
            self._halt = True
            thread.join()
        if self._bug:
            raise self._bug

    def _orders(self, settings: Settings) -> list[WorkerOrder]:
        partitions = sorted(self._starts)
        one_writer = self._engine.dialect.name == "sqlite"
        asked = worker_count(self._given["workers"], len(partitions), single_writer=one_writer)
        self.workers = min(asked, len(partitions))
        dead_letters = dead_letter_settings(self._brokers, self._extra, self._password)
        if not self._given["brokers"]:
            dead_letters["enable.idempotence"] = False  # nothing is lost on the way to the embedded one, and it is slow
        return [
            WorkerOrder(
                number=number,
                topic=self.topic,
                dead_letter_topic=self.dead,
                database=self._given["database"],
                database_password=self._database_password,
                kafka=settings,
                dead_letter_kafka=dead_letters,
                replace=self._given["on_duplicate"] == "update",
                partitions=tuple(partitions[number :: self.workers]),
                starts={partition: self._starts[partition] for partition in partitions[number :: self.workers]},
                log_level=logging.getLogger().level,
                **{name: self._given[name] for name in BATCH_SETTINGS},
            )
            for number in range(self.workers)
        ]

    def _heard(self, report: BatchDone | Committed) -> None:
        assert isinstance(report, BatchDone)  # without a group nothing is committed
        self.tally.add(report)
        self.insight.add(report)

    @property
    def circumstances(self) -> Circumstances:
        """What the advice on the next load depends on."""
        return Circumstances(
            self.workers,
            len(self._starts),
            len(os.sched_getaffinity(0)),
            one_writer=self._engine.dialect.name == "sqlite",
            may_defer=self.indexes.might,
            building_seconds=self.indexes.building_seconds,
            batch_rows=self._given["batch_rows"],
        )

    def _renew(self, order: WorkerOrder) -> WorkerOrder:
        """The order for a killed worker's successor: from where its reports ended."""
        starts = {p: max(start, self.tally.covered.get(p, start)) for p, start in order.starts.items()}
        return replace(order, starts=starts)

    def _stopping(self) -> bool:
        return self._halt or bool(self._interruption)

    def _produce(self) -> None:
        """The producer's thread."""
        try:
            self._dispatch.run(self._files, lambda: None, follow=False, grace_seconds=GRACE_SECONDS)
        except ClientEnded as ended:
            self.failure = Stop(ended.text, "Start again: what the table has is a repeat then")
        except Stop as failure:
            self.failure = failure
        except BaseException as bug:  # noqa: BLE001 -- raised again in the main thread
            self._bug = bug
        finally:
            self._produced.set()

    def _meter(self) -> Meter:
        return Meter("load", total=None, in_bytes=False, quiet=self._given["quiet"] or self._given["json"])

    def _finished(self, meter: Meter) -> bool:
        meter.show(self.tally.messages, self.tally.messages)
        if not self._produced.is_set():
            return False
        totals = self._dispatch.hold.totals
        meter.expect(totals.lines - totals.blank)
        return self._bug is not None or self.tally.reached(self.manifest.ends)

    def account(self) -> dict[str, Any]:
        """The account of the load, as of now."""
        return account(
            self._dispatch.hold.totals,
            self.tally,
            self.manifest,
            self._references(),
            workers=self.workers,
            seconds=time.monotonic() - self._started,
        ) | self.insight.account(self.circumstances)
