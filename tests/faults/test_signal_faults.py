"""Signals while a batch is under way: the end is safe, in time, and what was stored is not delivered again.

(Signals between two batches are in tests/acceptance.)
"""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.ferry import (
    Ferry,
    Running,
    children,
    command_line,
    count_rows,
    lines_of,
    message,
    values,
    wait_until,
)
from tests.faults.place import DATABASE, Place, data_of
from tests.services.kafka import Kafka
from tests.services.mariadb import MariaDB

LINES = 2_000
CONTESTED = 1_500
GRACE_SECONDS = 20
SIGNALS = [
    pytest.param(signal.SIGTERM, 143, id="SIGTERM"),
    pytest.param(signal.SIGINT, 130, id="SIGINT", marks=pytest.mark.long),
]


def everything_of(running: Running) -> list[int]:
    """The process ids of what the command has started."""
    started = children(running.pid)
    return started + [grandchild for child in started for grandchild in children(child)]


def wait_until_gone(processes: list[int], seconds: float = 10) -> None:
    """Return when none of them is left."""
    wait_until(lambda: not any(map(command_line, processes)), "the end of all that it started", seconds)


# -- consume -----------------------------------------------------------------------------------------------------------


def consume_the_rest(place: Place, *, stored: int, repeats: int = 0) -> None:
    """The next run stores what is left, and finds so many rows that are there already."""
    place.fill(100)
    account = place.ferry.run(*place.command("--until-end")).json
    assert (account["rows"], account["repeats"], account["dead_letters"]) == (place.sent - stored, repeats, 0)
    assert place.committed() == place.sent
    place.assert_exact()


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_signal_while_the_database_has_a_batch_waits_for_it_and_commits_it(
    place: Place, number: signal.Signals, status: int
) -> None:
    running = place.consume()
    with place.holding(CONTESTED):
        place.fill(LINES)
        running.wait_until(place.waits_for_a_row, "the database has a batch")
        running.send(number)
        running.wait_until(lambda: "ending safely" in running.err, "it has heard")
        assert place.waits_for_a_row()
    result = running.wait(GRACE_SECONDS)
    assert result.status == status
    assert "Traceback" not in result.err
    stored = count_rows(place.database)
    assert stored > 0
    assert result.json["messages"] == result.json["rows"] == stored == place.committed()
    consume_the_rest(place, stored=stored)


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_second_signal_while_the_database_has_a_batch_ends_at_once_and_loses_nothing(
    place: Place, number: signal.Signals, status: int
) -> None:
    running = place.consume()
    with place.holding(CONTESTED):
        place.fill(LINES)
        running.wait_until(place.waits_for_a_row, "the database has a batch")
        started = everything_of(running)
        running.send(number)
        running.wait_until(lambda: "ending safely" in running.err, "it has heard")
        running.send(number)
        assert running.wait(2).status == status
        assert "leaving now" in running.err
        assert place.waits_for_a_row(), "it did not leave the batch alone"
    wait_until_gone(started)
    stored, committed = count_rows(place.database), place.committed()
    assert committed <= stored
    consume_the_rest(place, stored=stored, repeats=stored - committed)


@pytest.mark.long
def test_signal_while_the_database_keeps_a_batch_for_longer_than_the_grace_period_gives_it_up(place: Place) -> None:
    running = place.consume()
    place.fill(100)
    place.wait_until_committed(running)
    with place.holding(CONTESTED):
        place.fill(LINES)
        running.wait_until(place.waits_for_a_row, "the database has a batch")
        before, started, since = place.committed(), everything_of(running), time.monotonic()
        result = running.end(signal.SIGTERM, seconds=GRACE_SECONDS + 10)
        assert time.monotonic() - since > GRACE_SECONDS
        assert result.status == 143
        assert "what they held comes again" in result.err
        wait_until_gone(started)
        assert result.json["messages"] == place.committed() == before
    wait_until(lambda: not place.writing(), "the database has undone the batch")
    assert count_rows(place.database) == before
    consume_the_rest(place, stored=before)


# -- load --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path: Path) -> Path:
    log = tmp_path / "chat.jsonl"
    log.write_bytes(b"".join(message(number, data_of(number)) + b"\n" for number in range(LINES)))
    return log


@pytest.fixture
def loading(server_directory: Path, ferry: Ferry, topic: str, group: str) -> Iterator[Place]:
    """A table of the test's own, for a load that brings its broker along."""
    with MariaDB(server_directory) as mariadb:
        mariadb.create_database(DATABASE)
        place = Place(ferry, "", topic, group, mariadb)
        place.upgrade()
        yield place


def load_the_rest(place: Place, log: Path, stored: int) -> None:
    """The next load finds what is stored, stores the rest, and the table is exact."""
    account = place.ferry.run("load", log, "--database", place.database, "--json").json
    assert (account["rows"], account["repeats"], account["missing"]) == (LINES - stored, stored, 0)
    assert sorted(place.rows()) == sorted((f"id-{number}", data_of(number)) for number in range(LINES))


@pytest.mark.long
@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_signal_while_the_database_has_a_batch_of_a_load_waits_for_it(
    loading: Place, log: Path, number: signal.Signals, status: int
) -> None:
    with loading.holding(CONTESTED):
        running = loading.ferry.start("load", log, "--database", loading.database, "--workers", "1", "--json")
        running.wait_until(loading.waits_for_a_row, "the database has a batch")
        started = everything_of(running)
        running.send(number)
        running.wait_until(lambda: "ending safely" in running.err, "it has heard")
        assert loading.waits_for_a_row()
    result = running.wait(GRACE_SECONDS)
    assert result.status == status
    assert "Traceback" not in result.err
    stored = count_rows(loading.database)
    assert result.json["rows"] == stored > 0
    wait_until_gone(started)
    load_the_rest(loading, log, stored)


@pytest.mark.long
@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_second_signal_while_the_database_has_a_batch_of_a_load_ends_all_of_it_at_once(
    loading: Place, log: Path, number: signal.Signals, status: int
) -> None:
    with loading.holding(CONTESTED):
        running = loading.ferry.start("load", log, "--database", loading.database, "--workers", "1", "--json")
        running.wait_until(loading.waits_for_a_row, "the database has a batch")
        started = everything_of(running)
        running.send(number)
        running.wait_until(lambda: "ending safely" in running.err, "it has heard")
        running.send(number)
        assert running.wait(2).status == status
    wait_until_gone(started)
    load_the_rest(loading, log, count_rows(loading.database))


# -- produce -----------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("signals", [1, 2])
def test_signal_while_the_broker_does_not_answer_ends_produce_in_its_grace_period_and_loses_nothing(
    server_directory: Path, tmp_path: Path, ferry: Ferry, signals: int
) -> None:
    log = tmp_path / "chat.jsonl"
    log.write_bytes(b"".join(message(number) + b"\n" for number in range(20_000)))
    with Kafka(server_directory) as kafka:
        place = ["--brokers", kafka.brokers, "--topic", "t"]
        ferry.run("topics", "create", *place)
        running = ferry.start("produce", log, *place, "--rate", "4000", "--json")
        running.wait_until(lambda: len(values(kafka.brokers, "t")) > 1_000, "lines arrive")
        kafka.pause()
        since = time.monotonic()
        running.send(signal.SIGTERM)
        running.wait_until(lambda: "ending safely" in running.err, "it has heard")
        if signals == 2:
            running.send(signal.SIGTERM)
        result = running.wait(GRACE_SECONDS + 10)
        assert result.status == 143
        assert (time.monotonic() - since < GRACE_SECONDS) == (signals == 2)
        kafka.resume()
        if signals == 1:
            assert result.json["unacknowledged"] > 0, "nothing was in flight"
        account = ferry.run("produce", log, *place, "--json").json
        assert account["resumed_from"][str(log)] < log.stat().st_size
        assert set(values(kafka.brokers, "t")) == set(lines_of(log))
