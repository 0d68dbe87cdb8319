"""`chatferry consume`: a topic into a table."""

import logging
import os
import time
from contextlib import nullcontext
from typing import Any

import click
from sqlalchemy import Engine

from consumer.client import TopicView, consumer_settings, with_protocol
from consumer.dead_letters import dead_letter_settings
from consumer.insight import Circumstances
from consumer.positions import COMING_UP_SECONDS
from consumer.protocol import offers_kip_848
from consumer.run import Run
from consumer.stores.engine import is_empty, make_engine, told_apart
from consumer.stores.indexes import ALWAYS, Deferral, build, deferred
from consumer.stores.opening import check, first_contact
from consumer.supervisor import prepare_workers
from consumer.tally import Tally
from schemas.errors import BrokerDown, Stop, UsageProblem
from schemas.kafka import Settings
from schemas.reports import WorkerOrder
from schemas.settings import pass_through, secret
from schemas.topics import dead_letters_of
from terminal.command import FerryCommand, emit_json, environment, required, say, settings_options
from terminal.logs import counted
from terminal.signals import Interruption

log = logging.getLogger(__name__)

BATCH_SETTINGS = ["batch_rows", "batch_bytes", "batch_seconds", "dead_letter_run", "dead_letter_ratio"]


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
    brokers, database = required("brokers", given["brokers"]), required("database", given["database"])
    prepare_workers()
    database_password = secret("CHATFERRY_DATABASE_PASSWORD", given["database_password_file"], environment())
    password = secret("CHATFERRY_KAFKA_PASSWORD", given["kafka_password_file"], environment())
    extra = pass_through(given["librdkafka"])
    engine = make_engine(database, database_password)
    first_contact(engine)
    check(engine)
    if not given["until_end"]:
        build(engine)
        if given["defer_indexes"] == ALWAYS:
            log.warning("--defer-indexes %s needs --until-end: without an end, the indexes stay", ALWAYS)
    settings = consumer_settings(brokers, extra, password, given["group"])
    view = TopicView(settings, given["topic"])
    one_writer = engine.dialect.name == "sqlite"
    workers = worker_count(given["workers"], len(view.partitions), single_writer=one_writer)
    order = _order(given, settings, view, workers, database_password, dead_letter_settings(brokers, extra, password))
    _see_that_the_table_is_the_groups(engine, view, given["group"], patient=given["until_end"])
    run = Run(view, Tally(), workers, given["until_end"])
    with (
        run.metrics(given["metrics_port"]),
        (
            deferred(engine, given["defer_indexes"], lambda: not interruption)
            if given["until_end"]
            else nullcontext(Deferral())
        ) as indexes,
    ):
        run.go(order, interruption, quiet=given["quiet"] or given["json"])
    run.ended = time.monotonic()
    circumstances = Circumstances(
        workers,
        len(view.partitions),
        len(os.sched_getaffinity(0)),
        one_writer,
        may_defer=indexes.might,
        building_seconds=indexes.building_seconds,
        batch_rows=order.batch_rows,
    )
    _print(run, circumstances, order.dead_letter_topic, indexes.problem, as_json=given["json"])
    return interruption.exit_status or (1 if indexes.problem else 0)


def _order(
    given: dict[str, Any],
    settings: Settings,
    view: TopicView,
    workers: int,
    database_password: str | None,
    dead_letter_kafka: Settings,
) -> WorkerOrder:
    """What each worker is told; warns where there is no topic for dead letters."""
    dead = dead_letters_of(given["topic"], given["dead_letter_topic"])
    if dead not in view.topics:
        log.warning(
            "There is no dead-letter topic %s: the first bad line will stop the work (chatferry topics create)", dead
        )
    _see_that_all_is_kept(view, given["topic"], dead)
    kip_848 = offers_kip_848(settings)
    fewest, left_over = divmod(len(view.partitions), workers)
    return WorkerOrder(
        number=0,
        topic=given["topic"],
        dead_letter_topic=dead,
        database=given["database"],
        database_password=database_password,
        kafka=with_protocol(settings, kip_848=kip_848),
        dead_letter_kafka=dead_letter_kafka,
        replace=given["on_duplicate"] == "update",
        fair_share=(fewest, fewest + bool(left_over)) if kip_848 else None,
        log_level=logging.getLogger().level,
        **{name: given[name] for name in BATCH_SETTINGS},
    )


def _see_that_the_table_is_the_groups(engine: Engine, view: TopicView, group: str, *, patient: bool) -> None:
    """Warns where the group has read much, and the table has nothing of it: it may be another table's group."""
    try:
        done = sum(view.committed(patience=COMING_UP_SECONDS if patient else 0.0).values())
    except BrokerDown as outage:
        log.debug("%s", outage)
        return
    if not done:
        return
    with told_apart(), engine.connect() as connection:
        if is_empty(connection):
            log.warning("The table is empty, but the group %s has read up to %s records before: they do not come again "
                        "(another --group reads all of them)", group, f"{done:,}")  # fmt: skip


def _see_that_all_is_kept(view: TopicView, topic: str, dead: str) -> None:
    """Warns of a compacted topic, of which lines may be gone. Raises `Stop` where dead letters would go."""
    compacted = view.compacted(topic, *([dead] if dead in view.topics else []))
    if topic in compacted:
        log.warning("The topic %s is compacted: Kafka deletes lines whose key comes again, read or not", topic)
    if dead in compacted:
        raise Stop(
            f"The dead-letter topic {dead} is compacted: of all bad lines with one key it would keep the last",
            "Set its cleanup.policy to delete, or name another: --dead-letter-topic",
        )


def _print(run: Run, circumstances: Circumstances, dead: str, problem: Stop | None, *, as_json: bool) -> None:
    account = run.account() | run.insight.account(circumstances)
    if problem:
        say(f"chatferry: {problem}", err=True)
        account |= {"error": problem.text, "next_step": problem.next_step}
    if as_json:
        emit_json(account)
        return
    say(sentence(account))
    for line in run.insight.sentences(circumstances):
        say(line)
    if account["dead_letters"]:
        say(f"The dead letters, with what is wrong with each, are on the topic {dead}")


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


def sentence(account: dict[str, Any]) -> str:
    """The account for a person."""
    rate = f"{account['rows_per_second']:,} rows/s"
    if not account["rows"] and account["seconds"]:
        rate = f"{account['messages'] / account['seconds']:,.0f} messages/s"
    all_bad = account["dead_letters"] and not account["rows"] and not account["repeats"]
    return (
        f"{_many(account, 'message')}: {_many(account, 'row')}, {_many(account, 'repeat')}, "
        f"{_many(account, 'dead_letter')}; {account['seconds']:.1f} s, {rate}"
        f"{'. Every line was bad: is this the right topic?' if all_bad else ''}"
    )


def _many(account: dict[str, Any], thing: str) -> str:
    return counted(account[f"{thing}s"], thing.replace("_", " "))
