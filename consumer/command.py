"""`chatferry consume`: a topic into a table."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import click

from consumer.client import TopicView, consumer_settings, with_protocol
from consumer.dead_letters import dead_letter_settings
from consumer.insight import Circumstances, Insight
from consumer.protocol import offers_kip_848
from consumer.stores.engine import make_engine
from consumer.stores.indexes import build, deferred
from consumer.stores.opening import check, first_contact
from consumer.supervisor import Supervisor, prepare_workers
from consumer.tally import Tally
from schemas.errors import BrokerDown, UsageProblem
from schemas.reports import BatchDone, WorkerOrder
from schemas.settings import pass_through, secret
from schemas.topics import dead_letter_topic
from terminal.command import FerryCommand, emit_json, environment, required, settings_options
from terminal.progress import Meter
from terminal.signals import Interruption

log = logging.getLogger(__name__)

ASK_COMMITTED_SECONDS = 1.0
"""How often `--until-end` asks for the group's offsets, when the own workers have nothing to report: other members of
the group may be the ones who finish."""

BATCH_SETTINGS = ["batch_rows", "batch_bytes", "batch_seconds", "dead_letter_run"]


@click.command(cls=FerryCommand, name="consume")
@settings_options(
    ["brokers", "topic", "group", "database", "database_password_file", "workers", "until_end", "on_duplicate",
     "defer_indexes", "dead_letter_topic", *BATCH_SETTINGS, "metrics_port", "librdkafka", "kafka_password_file"]
)  # fmt: skip
def consume(**given: Any) -> int:
    """Parse the lines on a topic and insert them into the table, in batches.

    Runs until a signal, or with --until-end to the end of the topic as it is now. More of the same group, here or on
    other machines, share the partitions.
    """
    interruption = Interruption().listen()
    brokers = required("brokers", given["brokers"])
    prepare_workers()
    database = required("database", given["database"])
    database_password = secret("CHATFERRY_DATABASE_PASSWORD", given["database_password_file"], environment())
    password = secret("CHATFERRY_KAFKA_PASSWORD", given["kafka_password_file"], environment())
    engine = make_engine(database, database_password)
    first_contact(engine)
    check(engine)
    if not given["until_end"]:
        build(engine)
    extra = pass_through(given["librdkafka"])
    settings = consumer_settings(brokers, extra, password, given["group"])
    view = TopicView(settings, given["topic"])
    dead = given["dead_letter_topic"] or dead_letter_topic(given["topic"])
    if dead not in view.topics:
        log.warning(
            "There is no dead-letter topic %s: the first bad line will stop the work (chatferry topics create)",
            dead,
        )
    kip_848 = offers_kip_848(settings)
    order = WorkerOrder(
        number=0,
        topic=given["topic"],
        dead_letter_topic=dead,
        database=database,
        database_password=database_password,
        kafka=with_protocol(settings, kip_848=kip_848),
        dead_letter_kafka=dead_letter_settings(brokers, extra, password),
        replace=given["on_duplicate"] == "update",
        log_level=logging.getLogger().level,
        **{name: given[name] for name in BATCH_SETTINGS},
    )
    workers = worker_count(given["workers"], len(view.partitions), single_writer=engine.dialect.name == "sqlite")
    if kip_848:
        order = replace(order, fair_share=(len(view.partitions) // workers, -(-len(view.partitions) // workers)))
    run = Run(view, Tally(), workers, given["until_end"])
    deferral = (
        deferred(engine, given["defer_indexes"], lambda: not interruption)
        if given["until_end"]
        else nullcontext(enter_result=False)
    )
    with deferral as indexes_off:
        run.go(order, interruption, quiet=given["quiet"] or given["json"], metrics_port=given["metrics_port"])
    run.ended = time.monotonic()
    circumstances = Circumstances(
        workers,
        len(view.partitions),
        len(os.sched_getaffinity(0)),
        one_writer=engine.dialect.name == "sqlite",
        indexes_kept=not indexes_off,
    )
    account = run.account() | run.insight.account(circumstances)
    if given["json"]:
        emit_json(account)
    else:
        click.echo(sentence(account))
        click.echo(run.insight.sentence(circumstances))
        if account["dead_letters"]:
            click.echo(f"The dead letters, with what is wrong with each, are on the topic {dead}")
    return interruption.exit_status


def worker_count(asked: str, partitions: int, *, single_writer: bool) -> int:
    """How many workers: `auto` is the smaller of cores and partitions, and one where the database takes one writer.

    Raises `UsageProblem` for what is neither `auto` nor a number from 1 on.
    """
    if asked == "auto":
        return 1 if single_writer else max(1, min(len(os.sched_getaffinity(0)), partitions))
    if not (asked.isascii() and asked.isdecimal() and int(asked)):
        raise UsageProblem(f"--workers {asked}: neither auto nor a number from 1 on")
    if int(asked) > partitions:
        log.warning("%s workers for %d partitions: some will have nothing to do", asked, partitions)
    return int(asked)


@dataclass
class Run:
    """One run of a group's workers, and its account."""

    view: TopicView
    tally: Tally
    workers: int
    until_end: bool
    insight: Insight = field(default_factory=Insight)
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None

    def go(self, order: WorkerOrder, interruption: Interruption, *, quiet: bool, metrics_port: int | None) -> None:
        """Run the workers to the end."""
        committed = self.view.committed() if self.until_end else {}
        ends = self._ends(committed)
        total = sum(end - committed.get(partition, start) for partition, (start, end) in ends.items()) or None
        supervisor = Supervisor([numbered(order, n) for n in range(self.workers)], self._heard)
        with (
            Meter("consume", total=total, in_bytes=False, quiet=quiet) as meter,
            ExitStack() as stack,
        ):
            stack.callback(self.view.close)
            if metrics_port:
                from consumer.metrics import serve_metrics  # noqa: PLC0415 -- a web server, where one is asked for

                stack.enter_context(serve_metrics(metrics_port, self.tally, lambda: supervisor.alive))
            is_over = self._is_over({partition: end for partition, (_, end) in ends.items()})

            def finished() -> bool:
                meter.show(self.tally.messages, self.tally.messages)
                return self.until_end and is_over()

            if not (self.until_end and not ends):
                supervisor.start()
                supervisor.run(finished, interruption.__bool__)

    def _heard(self, report: BatchDone) -> None:
        self.tally.add(report)
        self.insight.add(report)

    def _ends(self, committed: dict[int, int]) -> dict[int, tuple[int, int]]:
        """First and end offset of each partition that has something to read, as of now."""
        if not self.until_end:
            return {}
        return {
            partition: (start, end)
            for partition, (start, end) in self.view.offsets().items()
            if end > max(start, committed.get(partition, 0))
        }

    def _is_over(self, ends: dict[int, int]) -> Callable[[], bool]:
        """A function that says whether the group has stored everything before `ends`: by our workers' word, or the
        broker's."""
        next_question = time.monotonic() + ASK_COMMITTED_SECONDS
        known = 0

        def is_over() -> bool:
            nonlocal next_question, known
            if self.tally.reached(ends):
                return True
            now = time.monotonic()
            progress = sum(min(self.tally.covered.get(p, 0), end) for p, end in ends.items())
            if progress != known:  # what lies behind the ends is no progress
                known, next_question = progress, now + ASK_COMMITTED_SECONDS
            if now < next_question:
                return False
            next_question = now + ASK_COMMITTED_SECONDS
            try:
                committed = self.view.committed(patience=0)
            except BrokerDown as outage:
                log.debug("%s", outage)
                return False
            return all(max(committed.get(p, 0), self.tally.covered.get(p, 0)) >= end for p, end in ends.items())

        return is_over

    def account(self) -> dict[str, Any]:
        """What `--json` prints."""
        seconds = (self.ended or time.monotonic()) - self.started
        tally = self.tally
        return {
            "messages": tally.messages,
            "rows": tally.rows,
            "repeats": tally.repeats,
            "dead_letters": tally.dead_letters,
            "batches": tally.batches,
            "workers": self.workers,
            "messages_by_worker": {str(worker): count for worker, count in sorted(tally.by_worker.items())},
            "seconds": round(seconds, 3),
            "rows_per_second": round(tally.rows / seconds) if seconds else 0,
        }


def numbered(order: WorkerOrder, number: int) -> WorkerOrder:
    """The same order for worker `number`."""

    return replace(order, number=number)


def sentence(account: dict[str, Any]) -> str:
    """The account for a person."""
    return (
        f"{account['messages']:,} messages: {account['rows']:,} rows, {account['repeats']:,} repeats, "
        f"{account['dead_letters']:,} dead letters; {account['seconds']:.1f} s, {account['rows_per_second']:,} rows/s"
    )
