"""A database that dies, ends sessions, refuses or is full under a running worker: the batch waits, and comes out exact.

Each test sees that the fault bit: the server held, refused or ended a batch, and the worker said so.
"""

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pymysql
import pytest

from tests.acceptance.ferry import Ferry, Running, count_rows, wait_until
from tests.faults.disk import small_disk
from tests.faults.place import DATABASE, OUTAGE, Place, outages
from tests.services.mariadb import MariaDB

LINES = 2_000
CHANGED = "trx_rows_modified > 0"
WAYS = [pytest.param(1, id="load"), pytest.param(0, id="insert", marks=pytest.mark.long)]
"""Of local_infile: how a server takes rows."""

LEAST_CONNECTIONS = 10
"""The server takes no smaller max_connections."""


def wait_for_outage(running: Running, what: str) -> None:
    """Return when the worker has said that its batch waits for the database."""
    running.wait_until(lambda: any(what in line for line in outages(running)), f"an outage: {what}")


# -- a server or a session that dies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("local_infile", WAYS)
def test_database_killed_in_mid_batch_and_started_again_loses_and_doubles_nothing(
    place: Place, local_infile: int
) -> None:
    place.set("local_infile", local_infile)
    running = place.consume()
    place.fill(100)
    place.wait_until_committed(running)
    with place.holding(1_500):
        place.fill(LINES)
        running.wait_until(place.writing, "the server works on a batch")
        place.assert_nothing_runs_ahead()
        place.mariadb.kill()
        wait_for_outage(running, "the batch of")
        assert place.committed() < place.sent
        place.mariadb.start()
    result = place.end_well(running)
    assert result.json["messages"] == place.sent


@pytest.mark.long
@pytest.mark.parametrize("local_infile", WAYS)
@pytest.mark.parametrize("how", ["KILL", "KILL QUERY"])
def test_session_killed_in_mid_statement_stores_its_batch_once(place: Place, how: str, local_infile: int) -> None:
    place.set("local_infile", local_infile)
    place.set("net_read_timeout", 2)  # so long does a killed LOAD DATA wait for the rest of its lines
    running = place.consume()
    with place.holding(1_500):
        place.fill(LINES)
        running.wait_until(place.waits_for_a_row, "the batch waits for a row")
        (session,) = place.writing()
        place.mariadb.execute(f"{how} {session}")
        wait_for_outage(running, OUTAGE)
        place.assert_nothing_runs_ahead()
    assert (session in place.sessions()) == (how == "KILL QUERY")
    place.end_well(running)


@pytest.mark.long
def test_session_killed_between_two_statements_of_a_batch_stores_the_batch_once(place: Place) -> None:
    place.set("local_infile", 0)  # a statement takes a thousand rows then, and a batch has many
    place.fill(30_000)
    running = place.consume("--batch-rows", "30000")
    running.wait_until(lambda: place.transactions(CHANGED), "a batch is under way")
    (worker,) = running.workers()
    os.kill(worker, signal.SIGSTOP)
    running.wait_until(lambda: not place.writing(), "no statement is under way")
    (session,) = place.transactions(CHANGED)
    place.mariadb.execute(f"KILL {session}")
    wait_until(lambda: not place.transactions(CHANGED), "the batch is rolled back")
    os.kill(worker, signal.SIGCONT)
    wait_for_outage(running, OUTAGE)
    place.end_well(running)


def test_session_killed_between_two_batches_is_not_noticed(place: Place) -> None:
    running = place.consume()
    place.fill(100)
    place.wait_until_committed(running)
    sessions = place.sessions()
    for session in sessions:
        place.mariadb.execute(f"KILL {session}")
    running.wait_until(lambda: not set(sessions) & set(place.sessions()), "the sessions are gone")
    place.end_well(running)
    assert outages(running) == []


def test_sessions_that_the_server_ends_after_a_second_without_work_do_not_stop_a_live_topic(place: Place) -> None:
    place.set("wait_timeout", 1)
    running = place.consume()
    used: set[int] = set()
    for _ in range(3):
        place.fill(100)
        place.wait_until_committed(running)
        used |= set(place.sessions())
        running.wait_until(lambda: not place.sessions(), "the server has ended the session")
    assert len(used) >= 3, "the server did not end a session between two batches"
    place.end_well(running)
    assert outages(running) == []


# -- a server that refuses ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("local_infile", WAYS)
def test_read_only_database_keeps_the_batch_until_it_may_be_written_again(place: Place, local_infile: int) -> None:
    place.set("local_infile", local_infile)
    running = place.consume(database=place.least_database())
    place.fill(100)
    place.wait_until_committed(running)
    place.set("read_only", 1)
    place.fill(LINES)
    wait_for_outage(running, "read-only")
    assert (place.committed(), count_rows(place.database)) == (100, 100)
    place.set("read_only", 0)
    place.end_well(running)


def take_every_connection(place: Place, database: str, held: ExitStack) -> None:
    """Open sessions until the server refuses one more."""
    for _ in range(LEAST_CONNECTIONS):
        try:
            held.callback(place.connect(database).close)
        except pymysql.err.OperationalError as refusal:
            assert refusal.args[0] == 1040  # noqa: PT017 -- one of them is refused, and not the first
            return
    with pytest.raises(pymysql.err.OperationalError, match="Too many connections"):
        place.connect(database)


@pytest.mark.long
def test_database_without_a_free_connection_is_told_at_the_start(place: Place) -> None:
    database = place.least_database()
    place.set("max_connections", LEAST_CONNECTIONS)
    with ExitStack() as held:
        take_every_connection(place, database, held)
        refused = place.ferry.run(*place.command("--until-end", database=database), check=1)
    assert "No database answers" in refused.error
    assert "Too many connections" in refused.error
    place.fill(LINES)
    place.end_well(place.consume(database=database))


def test_worker_that_finds_no_free_connection_waits_for_one(place: Place) -> None:
    database = place.least_database()
    place.set("max_connections", LEAST_CONNECTIONS)
    place.fill(LINES)
    with ExitStack() as held:
        for _ in range(LEAST_CONNECTIONS - 1):  # the command has the last one, and its worker none
            held.callback(place.connect(database).close)
        running = place.consume(database=database)
        wait_for_outage(running, "Too many connections")
        assert count_rows(place.database) == 0
    place.end_well(running)


def test_worker_that_lost_its_connection_and_finds_no_free_one_keeps_its_batch(place: Place) -> None:
    database = place.least_database()
    running = place.consume(database=database)
    place.fill(100)
    place.wait_until_committed(running)
    place.set("max_connections", LEAST_CONNECTIONS)
    sessions = place.sessions()
    with ExitStack() as held:
        for session in sessions:
            place.mariadb.execute(f"KILL {session}")
        running.wait_until(lambda: not set(sessions) & set(place.sessions()), "its sessions are gone")
        take_every_connection(place, database, held)
        place.fill(LINES)
        wait_for_outage(running, "Too many connections")
        assert (place.committed(), count_rows(place.database)) == (100, 100)
    place.end_well(running)


# -- a server without room ---------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("local_infile", WAYS)
def test_full_disk_under_the_database_keeps_the_batch_until_there_is_room(
    brokers: str, topic: str, group: str, server_directory: Path, ferry: Ferry, local_infile: int
) -> None:
    options = ["--user=root", f"--local-infile={local_infile}"]  # root in the disk's namespace: nobody outside of it
    with (
        small_disk(server_directory / "disk", "32m") as disk,
        MariaDB(server_directory, options=options, within=disk.within) as mariadb,
    ):
        (server_directory / "data" / DATABASE).symlink_to(disk.folder)  # a folder of the server is a database
        place = Place(ferry, brokers, topic, group, mariadb)
        place.upgrade()
        running = place.consume()
        place.fill(100)
        place.wait_until_committed(running)
        with disk.filled() as make_room:
            place.fill(20_000)
            wait_for_outage(running, "full")
            place.assert_nothing_runs_ahead()
            assert place.committed() < place.sent
            make_room()
            place.end_well(running)
