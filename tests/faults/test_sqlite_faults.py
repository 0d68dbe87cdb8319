"""The embedded pair: a SQLite file that is locked, without room, or left by a load that was killed in mid-batch."""

import os
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.ferry import Ferry, Running, children, command_line, message, wait_until
from tests.faults.disk import small_disk
from tests.faults.place import data_of

LINES = 60_000
BATCH = 2_000
BUSY_SECONDS = 30
"""So long does a worker wait for another writer before it says so."""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    log = tmp_path / "chat.jsonl"
    log.write_bytes(b"".join(message(number, data_of(number)) + b"\n" for number in range(LINES)))
    return log


def load(ferry: Ferry, log: Path, file: Path, *more: str) -> Running:
    return ferry.start("load", log, "--database", f"sqlite:///{file}", "--batch-rows", str(BATCH), "--json", *more)


def rows(file: Path) -> list[tuple[str, str]]:
    """Id and content of each row; none where there is no table yet."""
    if not file.exists():
        return []
    with closing(sqlite3.connect(file, timeout=BUSY_SECONDS)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'chat_messages'").fetchall():
            return []
        return connection.execute("SELECT id, data FROM chat_messages").fetchall()


def assert_exact(file: Path) -> None:
    """Each line is one row with its content."""
    assert Counter(rows(file)) == Counter((f"id-{number}", data_of(number)) for number in range(LINES))
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@contextmanager
def writing(file: Path) -> Iterator[None]:
    """Be the one writer, until the end of the block."""
    with closing(sqlite3.connect(file, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def is_being_written(file: Path) -> bool:
    """Whether somebody has a write transaction open."""
    with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            assert error.sqlite_errorname.startswith("SQLITE_BUSY")  # noqa: PT017 -- the other outcome is no failure
            return True
        connection.execute("ROLLBACK")
        return False


@pytest.mark.long
def test_sqlite_file_locked_by_another_writer_keeps_the_batch_until_it_is_free(
    ferry: Ferry, log: Path, tmp_path: Path
) -> None:
    file = tmp_path / "chat.db"
    running = load(ferry, log, file)
    running.wait_until(lambda: rows(file), "the first rows")
    with writing(file):
        before = len(rows(file))
        running.wait_until(lambda: "locked" in running.err, "an outage", BUSY_SECONDS + 15)
        assert len(rows(file)) == before < LINES
    result = running.wait()
    assert result.status == 0, result.err
    account = result.json
    assert (account["rows"], account["repeats"], account["dead_letters"], account["missing"]) == (LINES, 0, 0, 0)
    assert_exact(file)


def test_full_disk_under_a_sqlite_file_keeps_the_batch_until_there_is_room(log: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "40m") as disk:
        ferry = Ferry(tmp_path, within=disk.within)
        running = load(ferry, log, disk.folder / "chat.db")
        file = disk.outside / "chat.db"  # not to be opened by SQLite, which would look where the link leads
        try:
            running.wait_until(lambda: file.exists() and file.stat().st_size > 1 << 20, "the first rows")
            with disk.filled() as make_room:
                running.wait_until(lambda: "full" in running.err or "I/O" in running.err, "an outage")
                make_room()
            result = running.wait()
        finally:
            running.kill()
        copy = Path(shutil.copy(file, tmp_path / "copy.db"))
    assert result.status == 0, result.err
    account = result.json
    assert (account["rows"], account["repeats"], account["dead_letters"], account["missing"]) == (LINES, 0, 0, 0)
    assert_exact(copy)


def caught_in_mid_batch(running: Running, file: Path) -> bool:
    """Freeze the worker; where that was not in the middle of a transaction, let it go on."""
    (worker,) = running.workers()
    os.kill(worker, signal.SIGSTOP)
    if is_being_written(file):
        return True
    os.kill(worker, signal.SIGCONT)
    return False


@pytest.mark.long
def test_load_killed_in_the_middle_of_a_sqlite_transaction_leaves_whole_batches_and_the_next_run_the_rest(
    ferry: Ferry, log: Path, tmp_path: Path
) -> None:
    file = tmp_path / "chat.db"
    running = load(ferry, log, file)
    running.wait_until(lambda: rows(file), "the first rows")
    running.wait_until(lambda: caught_in_mid_batch(running, file), "a batch under way")
    started = children(running.pid)
    stored = len(rows(file))
    assert 0 < stored < LINES
    assert running.end(signal.SIGKILL).status == -signal.SIGKILL
    for process in running_workers(started):
        os.kill(process, signal.SIGKILL)
    wait_until(lambda: not any(map(command_line, started)), "the end of all that it started", 10)
    assert not is_being_written(file)
    kept = len(
        rows(file)
    )  # frozen while its commit goes to the disk, the batch is there only when the log is read again
    assert kept in (stored, stored + BATCH), "half a batch was kept, or a whole one lost"
    account = load(ferry, log, file).wait().json
    assert (account["rows"], account["repeats"], account["missing"]) == (LINES - kept, kept, 0)
    assert_exact(file)


def running_workers(started: list[int]) -> list[int]:
    """The workers among what a load has started: one that is frozen cannot see that the load is gone."""
    return [worker for server in started for worker in children(server)]
