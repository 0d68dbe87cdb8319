"""The guarantee with every lever on: two batches in hand, indexes built at the end, batches that must come again."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from terminal.failpoints import Place
from tests.acceptance.ferry import (
    Ferry,
    command_line,
    committed,
    count_rows,
    message,
    publish,
    query,
    records,
    wait_until,
)
from tests.faults.rig import LINES, PARTITIONS, WorkerProcess, connect, fill, ids, second, worker_order
from tests.services.mariadb import MariaDB

INDEXES = (
    "SELECT index_name FROM information_schema.statistics WHERE table_schema = DATABASE() AND index_name <> 'PRIMARY'"
)


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_partition_revoked_while_two_batches_are_in_hand_is_committed_by_its_new_owner_alone(
    brokers: str, topic: str, group: str, database: str, tmp_path: Path, protocol: str
) -> None:
    sent = fill(brokers, topic, LINES)
    order = worker_order(brokers, topic, group, database, group_protocol=protocol)
    order = replace(order, batch_seconds=1.0)  # so that the first batch holds both partitions
    with WorkerProcess(order, tmp_path / "first", hold=True) as first:
        wait_until(lambda: first.holds, "the first batch waits before the database")
        sent += fill(brokers, topic, LINES, start=LINES)  # what the first worker gathers meanwhile
        with WorkerProcess(second(order), tmp_path / "second") as other:
            wait_until(lambda: len(committed(brokers, group)) == 1, "the second worker has committed its partition")
            ((moved, end),) = committed(brokers, group).items()
            wait_until(lambda: committed(brokers, group) == {moved: LINES}, "all of it")
            assert end <= LINES
            assert first.listen() == [], "the held batch was reported"
            assert count_rows(database) == LINES, "the second worker stored another partition than the one it has"
            first.release()
            wait_until(lambda: committed(brokers, group) == {0: LINES, 1: LINES}, "everything is committed")
            assert first.repeats > 0, "the first worker's batch held nothing of the partition that moved"
            sent += fill(brokers, topic, 100, start=2 * LINES)
            wait_until(lambda: sum(committed(brokers, group).values()) == 2 * LINES + 100, "fresh lines too")
            assert (first.end(), other.end()) == (0, 0)
            assert first.rows + other.rows == len(sent)
    assert sorted(ids(database)) == sorted(sent)
    assert records(brokers, f"{topic}.dlq") == []


def test_worker_killed_after_a_database_commit_with_the_next_batch_in_hand_loses_neither(
    brokers: str, topic: str, group: str, database: str, tmp_path: Path
) -> None:
    sent = fill(brokers, topic, LINES)
    order = replace(worker_order(brokers, topic, group, database), batch_rows=200)
    with WorkerProcess(order, tmp_path / "killed", f"{Place.WORKER_STORED}:kill") as killed:
        assert killed.wait_until_over() == -signal.SIGKILL
        assert killed.listen() == []
    durable = count_rows(database)
    assert 0 < durable <= 200
    assert committed(brokers, group) == {}
    with WorkerProcess(second(order), tmp_path / "heir") as heir:
        wait_until(lambda: sum(committed(brokers, group).values()) == LINES, "everything is committed")
        assert heir.end() == 0
        assert (heir.repeats, heir.rows) == (durable, LINES - durable)
    assert sorted(ids(database)) == sorted(sent)


def test_batch_that_the_database_warns_about_comes_again_and_only_the_refused_rows_are_dead_letters(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    query(database, "ALTER TABLE chat_messages ADD CONSTRAINT polite CHECK (data <> 'rude')")
    sent = fill(brokers, topic, LINES)
    rude = [message(number, data="rude") for number in range(LINES, LINES + 3)]
    publish(brokers, topic, rude, range(PARTITIONS))
    sent += fill(brokers, topic, LINES, start=2 * LINES)
    named = ["--brokers", brokers, "--topic", topic, "--group", group, "--database", database, "--until-end", "--json"]
    result = ferry.start("consume", *named, "--batch-rows", "700", "-v").wait()
    assert result.status == 0, result.err
    assert "comes again, for INSERT" in result.err, "no batch was refused"
    account = result.json
    assert (account["messages"], account["rows"], account["repeats"]) == (len(sent) + 3, len(sent), 0)
    assert account["dead_letters"] == 3
    letters = records(brokers, f"{topic}.dlq")
    assert Counter(letter.value for letter in letters) == Counter(rude)
    assert {letter.headers["chatferry.stage"] for letter in letters} == {"store"}
    assert sorted(ids(database)) == sorted(sent)


@contextmanager
def in_a_transaction(database: str, statement: str) -> Iterator[None]:
    """Hold a transaction that has run this statement; it is rolled back with its session."""
    with closing(connect(database)) as connection:
        connection.begin()
        connection.cursor().execute(statement)
        yield


READING = "SELECT 1 FROM chat_messages LIMIT 1"
"""Rows may go in, an ALTER TABLE waits."""

INSERTING = "INSERT INTO chat_messages VALUES ('id-0', '', 'message', '', '2024-01-01', NULL)"
"""Whoever inserts this id as well waits."""


def test_run_to_the_end_is_over_when_everything_is_committed_and_a_partition_moved_meanwhile_has_its_letters_once(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    sent = fill(brokers, topic, LINES)
    bad = [b"bad line %d" % number for number in range(20)]
    publish(brokers, topic, bad, range(PARTITIONS))
    named = ["--brokers", brokers, "--topic", topic, "--group", group, "--database", database, "--json", "-v"]
    with in_a_transaction(database, INSERTING):
        first = ferry.start("consume", *named, "--until-end", "--workers", "1", "--defer-indexes", "never")
        # (not innodb_trx: that is a cache, and stays as it is for whoever asks more often than ten times a second)
        waiting = (
            "SELECT 1 FROM information_schema.global_status "
            "WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS' AND variable_value > 0"
        )
        first.wait_until(lambda: bool(query(database, waiting)), "its batch waits for the row")
        second = ferry.start("consume", *named, "--workers", "1")
        first.wait_until(lambda: "went, left" in first.err, "one of its partitions has moved")
    ended = first.wait()
    assert ended.status == 0, ended.err
    assert sum(committed(brokers, group).values()) == LINES + len(bad)
    assert Counter(letter.value for letter in records(brokers, f"{topic}.dlq")) == Counter(bad)
    assert second.end(signal.SIGTERM).status == 143
    assert sorted(ids(database)) == sorted(sent)


def test_load_and_database_killed_in_the_middle_of_an_index_build_leave_what_the_next_run_finishes(
    brokers: str, topic: str, group: str, server_directory: Path, ferry: Ferry
) -> None:
    lines = 60_000
    sent = fill(brokers, topic, lines)
    with MariaDB(server_directory) as mariadb:
        database = mariadb.create_database("chat")
        ferry.run("db", "upgrade", "--database", database)
        named = ["--brokers", brokers, "--topic", topic, "--group", group, "--database", database, "--until-end"]
        running = ferry.start("consume", *named, "--batch-rows", "1000", "-v")
        running.wait_until(lambda: count_rows(database) > 0, "the first rows are there")
        with in_a_transaction(database, READING):
            running.wait_until(lambda: "Building the indexes" in running.err, "the indexes are being built")
            altering = "SELECT 1 FROM information_schema.processlist WHERE info LIKE 'ALTER TABLE%%ADD INDEX%%'"
            running.wait_until(lambda: bool(query(database, altering)), "the database is at it")
            workers = running.workers()
            assert running.end(signal.SIGKILL).status == -signal.SIGKILL
            mariadb.kill()
        wait_until(lambda: not any(map(command_line, workers)), "no worker is left", 5)
        mariadb.start()
        assert query(database, INDEXES) == []
        assert "lacks" in ferry.run("db", "check", "--database", database, check=1).error
        assert sorted(ids(database)) == sorted(sent), "rows were lost with the indexes"
        fresh = fill(brokers, topic, 100, start=lines)
        result = ferry.start("consume", *named, "--json").wait()
        assert (result.status, result.json["rows"], result.json["repeats"]) == (0, 100, 0)
        assert len(query(database, INDEXES)) == 2
        ferry.run("db", "check", "--database", database)
        assert sorted(ids(database)) == sorted(sent + fresh)


def test_death_of_the_process_that_workers_are_forked_from_is_survived(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    sent = fill(brokers, topic, LINES)
    named = ["--brokers", brokers, "--topic", topic, "--group", group, "--database", database]
    running = ferry.start("consume", *named, "--workers", "1", "--json")
    running.wait_until(lambda: count_rows(database) == LINES, "everything is stored")
    (worker,) = running.workers()
    server = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(server, signal.SIGKILL)
    sent += fill(brokers, topic, 100, start=LINES)
    running.wait_until(lambda: count_rows(database) == LINES + 100, "fresh lines too")
    result = running.end(signal.SIGTERM)
    assert result.status == 143
    assert "ended by the end of the process that it was forked from: another takes its place" in result.err
    assert sorted(ids(database)) == sorted(sent)


def test_sigterm_to_the_whole_process_group_ends_as_safely_as_one_to_the_command(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    lines = 100_000
    sent = fill(brokers, topic, lines)
    named = ["--brokers", brokers, "--topic", topic, "--group", group, "--database", database]
    running = ferry.start("consume", *named, "--workers", "2", "--batch-rows", "100", "--json", new_session=True)
    running.wait_until(lambda: count_rows(database) > 0, "the first rows are there")
    os.killpg(running.pid, signal.SIGTERM)
    result = running.wait()
    assert result.status == 143, result.err
    assert "another takes its place" not in result.err
    assert "Traceback" not in result.err
    stored = count_rows(database)
    assert 0 < stored < lines, "it was ended too late to matter"
    assert result.json["messages"] == result.json["rows"] == stored
    assert sum(committed(brokers, group).values()) == stored
    again = ferry.start("consume", *named, "--until-end", "--json").wait()
    assert (again.json["rows"], again.json["repeats"]) == (lines - stored, 0)
    assert sorted(ids(database)) == sorted(sent)
