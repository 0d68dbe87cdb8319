"""Workers that die, freeze, or lose their database, at the worst moment: the table ends exact, no offset runs ahead."""

import hashlib
import json
import os
import random
import re
import signal
import string
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import make_url

from terminal.failpoints import Place
from tests.acceptance.ferry import (
    Ferry,
    Running,
    command_line,
    committed,
    count_rows,
    message,
    publish,
    query,
    records,
    wait_until,
)
from tests.faults.rig import (
    LINES,
    PARTITIONS,
    WorkerProcess,
    commit,
    connect,
    create_topic,
    delete_records,
    fill,
    ids,
    second,
    worker_order,
)
from tests.faults.runs import moves
from tests.services.kafka import GivenKafka, Kafka
from tests.services.mariadb import MariaDB

ENDS = {0: LINES // 2, 1: LINES // 2}


HASTY = [
    f"-X{setting}" for setting in ("group.protocol=classic", "session.timeout.ms=6000", "max.poll.interval.ms=7000")
]
"""A group that puts a member out after 7 s without a poll; the new protocol's client allows no less than 45 s."""


def consume(ferry: Ferry, brokers: str, topic: str, group: str, database: str, *more: str) -> Running:
    """Start `chatferry consume`, with one worker unless told otherwise."""
    named = ["--brokers", brokers, "--topic", topic, "--group", group, "--database", database]
    return ferry.start("consume", *named, "--json", "--defer-indexes", "never", "--workers", "1", *more)


def owned_by_worker(log: str) -> dict[str, str]:
    """Which partitions each worker owned last, by the log of `consume -v`."""
    return dict(re.findall(r"(worker-\d) DEBUG partitions .* (?:now|left) (\[.*\])", log))


@contextmanager
def locked(database: str) -> Iterator[Callable[[], bool]]:
    """Hold the table against writers; yields a function that says whether one waits for it."""
    waiting = "SELECT 1 FROM information_schema.processlist WHERE db = '{}' AND state LIKE 'Waiting for table%%'"
    with closing(connect(database)) as connection:
        connection.cursor().execute("LOCK TABLES chat_messages READ")
        yield lambda: bool(query(database, waiting.format(make_url(database).database)))


# -- a worker that dies between two of its steps -----------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_worker_killed_between_database_commit_and_offset_commit_repeats_its_batch_as_a_no_op(
    brokers: str, topic: str, group: str, database: str, tmp_path: Path, protocol: str
) -> None:
    sent = fill(brokers, topic)
    kafka = {"group_protocol": protocol} | ({"session_timeout_ms": "3000"} if protocol == "classic" else {})
    order = worker_order(brokers, topic, group, database, **kafka)
    with WorkerProcess(order, tmp_path / "log", f"{Place.WORKER_STORED}:kill") as killed:
        assert killed.wait_until_over() == -signal.SIGKILL
        assert killed.listen() == []
    durable = count_rows(database)
    assert durable > 0
    assert committed(brokers, group) == {}
    with WorkerProcess(second(order), tmp_path / "log") as successor:
        wait_until(lambda: committed(brokers, group) == ENDS, "everything is committed")
        assert successor.end() == 0
        assert successor.repeats == durable
        assert successor.rows == LINES - durable
    assert sorted(ids(database)) == sorted(sent)
    assert records(brokers, f"{topic}.dlq") == []


def test_worker_killed_between_dead_letters_and_offset_commit_loses_no_bad_line(
    brokers: str, topic: str, group: str, database: str, tmp_path: Path
) -> None:
    bad = [f"bad line {number}".encode() for number in range(100)]
    good = [message(number) for number in range(100)]
    publish(brokers, topic, [line for pair in zip(good, bad, strict=True) for line in pair], range(PARTITIONS))
    order = worker_order(brokers, topic, group, database)
    order = replace(order, batch_seconds=1.0)  # so that the first batch holds both partitions
    with WorkerProcess(order, tmp_path / "log", f"{Place.WORKER_DEAD_LETTERS}:kill") as killed:
        assert killed.wait_until_over() == -signal.SIGKILL
    first = [record.value for record in records(brokers, f"{topic}.dlq")]
    assert first
    assert committed(brokers, group) == {}
    with WorkerProcess(second(order), tmp_path / "log") as successor:
        wait_until(lambda: committed(brokers, group) == {0: 100, 1: 100}, "everything is committed")
        assert successor.end() == 0
    assert len(ids(database)) == len(set(ids(database))) == 100
    letters = records(brokers, f"{topic}.dlq")
    assert Counter(letter.value for letter in letters) == Counter(bad) + Counter(first)
    origins = {
        (letter.headers["chatferry.origin.partition"], letter.headers["chatferry.origin.offset"]) for letter in letters
    }
    assert origins == {("1", str(offset)) for offset in range(100)}


def test_frozen_worker_that_wakes_up_after_its_session_commits_nothing_and_works_on(
    brokers: str, topic: str, group: str, database: str, tmp_path: Path
) -> None:
    sent = fill(brokers, topic)
    order = worker_order(brokers, topic, group, database)
    with WorkerProcess(order, tmp_path / "zombie", f"{Place.WORKER_STORED}:stop") as zombie:
        wait_until(lambda: zombie.frozen, "the worker froze after its first batch")
        durable = count_rows(database)
        assert durable > 0
        assert committed(brokers, group) == {}
        sent += fill(brokers, topic, start=LINES)  # so that the stale commit would lie behind
        everything = {0: LINES, 1: LINES}
        with WorkerProcess(second(order), tmp_path / "heir") as heir:
            wait_until(lambda: committed(brokers, group) == everything, "the heir has committed everything")
            assert heir.repeats == durable
            zombie.signal(signal.SIGCONT)

            def refused() -> bool:
                assert committed(brokers, group) == everything, "a stale commit moved the group back"
                return bool(zombie.listen())  # the broker refuses its commit, or it heard first that it is out

            wait_until(refused, "the zombie is done with its batch")
            sent += fill(brokers, topic, start=2 * LINES)
            wait_until(lambda: committed(brokers, group) == {0: 3 * LINES // 2, 1: 3 * LINES // 2}, "fresh lines too")
            assert heir.end() == 0
        fresh = fill(brokers, topic, start=3 * LINES)
        wait_until(lambda: committed(brokers, group) == {0: 2 * LINES, 1: 2 * LINES}, "the zombie lives on alone")
        assert zombie.end() == 0
    assert sorted(ids(database)) == sorted(sent + fresh)
    assert records(brokers, f"{topic}.dlq") == []


# -- a database that is away -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [pytest.param("stop", marks=pytest.mark.long), "kill"])
def test_database_ended_in_mid_run_and_started_again_loses_nothing(
    brokers: str, topic: str, group: str, server_directory: Path, ferry: Ferry, way: str
) -> None:
    lines = 40_000
    sent = fill(brokers, topic, lines)
    with MariaDB(server_directory) as mariadb:
        database = mariadb.create_database("chat")
        ferry.run("db", "upgrade", "--database", database)
        running = consume(ferry, brokers, topic, group, database, "--workers", "2", "--batch-rows", "200")
        running.wait_until(lambda: count_rows(database) > 0, "the first rows are there")
        (mariadb.stop if way == "stop" else mariadb.kill)()
        running.wait_until(lambda: "the batch of" in running.err, "a batch waits for the database")
        before = sum(committed(brokers, group).values())
        assert before < lines, "the run was over before the database went"
        mariadb.start()
        running.wait_until(lambda: sum(committed(brokers, group).values()) == lines, "everything is committed")
        fresh = fill(brokers, topic, 100, start=lines)
        running.wait_until(lambda: sum(committed(brokers, group).values()) == lines + 100, "fresh lines too")
        result = running.end(signal.SIGTERM)
        assert result.status == 143
        assert result.json["messages"] == lines + 100
        assert result.json["dead_letters"] == 0
        assert sorted(ids(database)) == sorted(sent + fresh)
    assert "another takes its place" not in result.err
    assert records(brokers, f"{topic}.dlq") == []


def test_table_locked_for_longer_than_max_poll_interval_causes_no_rebalance_and_no_repeat(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    running = consume(ferry, brokers, topic, group, database, "--workers", "2", "-v", *HASTY)
    running.wait_until(lambda: sorted(owned_by_worker(running.err).values()) == ["[0]", "[1]"], "the group is balanced")
    moved = moves(running.err)
    with locked(database) as somebody_waits:
        sent = fill(brokers, topic)
        running.wait_until(somebody_waits, "a batch waits for the table")
        since = time.monotonic()
        running.wait_until(lambda: time.monotonic() - since > 9, "the interval and more went by")
        assert somebody_waits()
        assert ids(database) == []
    running.wait_until(lambda: committed(brokers, group) == ENDS, "everything is committed")
    assert moves(running.err) == moved, "the group was rebalanced"
    sent += fill(brokers, topic, 100, start=LINES)
    running.wait_until(lambda: sum(committed(brokers, group).values()) == LINES + 100, "fresh lines too")
    result = running.end(signal.SIGTERM)
    assert result.status == 143, result.err
    assert (result.json["rows"], result.json["repeats"], result.json["dead_letters"]) == (LINES + 100, 0, 0)
    assert sorted(ids(database)) == sorted(sent)


@pytest.mark.long
def test_worker_frozen_for_longer_than_max_poll_interval_rejoins_and_works_on(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    sent = fill(brokers, topic)
    running = consume(ferry, brokers, topic, group, database, "-v", *HASTY)
    running.wait_until(lambda: committed(brokers, group) == ENDS, "everything is committed")
    (worker,) = running.workers()
    os.kill(worker, signal.SIGSTOP)
    since = time.monotonic()
    running.wait_until(lambda: time.monotonic() - since > 9, "the interval and more went by")
    os.kill(worker, signal.SIGCONT)
    sent += fill(brokers, topic, 100, start=LINES)
    running.wait_until(lambda: sum(committed(brokers, group).values()) == LINES + 100, "fresh lines too")
    result = running.end(signal.SIGTERM)
    assert result.status == 143
    assert result.err.count("partitions [0, 1] came") == 2, "the group did not put the worker out"
    assert sorted(ids(database)) == sorted(sent)


# -- dead letters that cannot be kept as they are ----------------------------------------------------------------------


def test_missing_dead_letter_topic_stops_the_worker_and_commits_nothing(
    kafka: Kafka | GivenKafka, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    create_topic(kafka.brokers, topic, PARTITIONS)
    publish(kafka.brokers, topic, [message(1), message(2), b"bad"], [0])
    result = consume(ferry, kafka.brokers, topic, group, database).wait()
    assert result.status == 1
    assert "no offset was committed" in result.error
    assert f"topics create --topic {topic} --dead-letter-topic {topic}.dlq" in result.error
    assert committed(kafka.brokers, group) == {}


def incompressible(length: int, seed: int) -> bytes:
    rng = random.Random(seed)
    return "".join(rng.choices(string.ascii_letters + string.digits + "+-", k=length)).encode()


def test_dead_letter_topic_too_small_for_a_line_gets_a_reference_with_its_hash(
    kafka: Kafka | GivenKafka, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    create_topic(kafka.brokers, topic, 1)
    create_topic(kafka.brokers, f"{topic}.dlq", 1, max_message_bytes=4_000)
    large, small = incompressible(20_000, 1), b"small and bad"
    publish(kafka.brokers, topic, [message(1), large, message(2), small, message(3)], [0])
    result = consume(ferry, kafka.brokers, topic, group, database, "--until-end").wait()
    assert result.status == 0
    assert (result.json["rows"], result.json["dead_letters"]) == (3, 2)
    letters = {letter.headers["chatferry.content"]: letter for letter in records(kafka.brokers, f"{topic}.dlq")}
    reference = json.loads(letters["reference"].value)
    assert reference["sha256"] == hashlib.sha256(large).hexdigest()
    assert (reference["source"], reference["offset"], reference["length"]) == (f"{topic}/0", 1, len(large))
    assert letters["line"].value == small
    assert committed(kafka.brokers, group) == {0: 5}


def test_many_bad_lines_on_a_small_dead_letter_topic_stay_byte_exact(
    kafka: Kafka | GivenKafka, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    create_topic(kafka.brokers, topic, 1)
    create_topic(kafka.brokers, f"{topic}.dlq", 1, max_message_bytes=10_000)
    bad = [incompressible(2_000, seed) for seed in range(100)]
    publish(kafka.brokers, topic, bad, [0])
    result = consume(ferry, kafka.brokers, topic, group, database, "--until-end").wait()
    assert result.status == 0, result.err
    assert sorted(letter.value for letter in records(kafka.brokers, f"{topic}.dlq")) == sorted(bad)


# -- offsets that lead nowhere -----------------------------------------------------------------------------------------


def test_records_deleted_below_the_committed_offset_stop_the_work_with_a_clear_error(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    fill(brokers, topic)
    commit(brokers, group, topic, {0: 10})
    delete_records(brokers, topic, {0: 500})
    result = consume(ferry, brokers, topic, group, database).wait()
    assert result.status == 1
    assert "Records were deleted before they were read" in result.error
    assert committed(brokers, group)[0] == 10
    beyond = [name for name in ids(database) if int(name[3:]) % PARTITIONS == 0]
    assert beyond == [], "lines behind the gap were stored as if nothing were missing"


# -- processes that go away --------------------------------------------------------------------------------------------


def test_workers_end_by_themselves_when_their_supervisor_is_killed(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    fill(brokers, topic)
    running = consume(ferry, brokers, topic, group, database, "--workers", "2")
    running.wait_until(lambda: committed(brokers, group) == ENDS, "everything is committed")
    workers = running.workers()
    assert len(workers) == 2
    assert running.end(signal.SIGKILL).status == -signal.SIGKILL
    wait_until(lambda: not any(map(command_line, workers)), "the workers are gone", 5)


def test_workers_whose_batch_waits_for_the_database_end_when_their_supervisor_is_killed(
    brokers: str, topic: str, group: str, server_directory: Path, ferry: Ferry
) -> None:
    fill(brokers, topic)
    with MariaDB(server_directory) as mariadb:
        database = mariadb.create_database("chat")
        ferry.run("db", "upgrade", "--database", database)
        with locked(database) as somebody_waits:
            running = consume(ferry, brokers, topic, group, database)
            running.wait_until(somebody_waits, "a batch waits for the table")
            mariadb.kill()
        running.wait_until(lambda: "the batch of" in running.err, "a batch waits for the database")
    workers = running.workers()
    assert len(workers) == 1
    assert running.end(signal.SIGKILL).status == -signal.SIGKILL
    wait_until(lambda: not any(map(command_line, workers)), "the workers are gone", 5)
    assert committed(brokers, group) == {}


def test_worker_killed_again_and_again_stops_the_supervisor_with_a_sentence(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    running = consume(ferry, brokers, topic, group, database)
    killed: set[int] = set()
    for _ in range(5):
        running.wait_until(lambda: set(running.workers()) - killed, "there is a worker")
        (worker,) = set(running.workers()) - killed
        killed.add(worker)
        os.kill(worker, signal.SIGKILL)
    result = running.wait()
    assert result.status == 1
    assert "5 workers were killed within 60 s, the last by signal 9" in result.error
    assert result.err.count("another takes its place") == 4
