"""Rotations and disks that fail in the very moment in which a followed name is looked at: nothing is given up."""

import errno
import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import producer.beside
from producer.sources.rotated import Sibling, siblings
from producer.sources.streams import Source, open_source
from schemas.errors import Stop
from tests.unit.following import Run, append, compressed, copied_and_truncated, lines, rotated, sent_once

Start = Callable[..., Run]


@pytest.fixture
def unfinished(log: Path, start: Start) -> Path:
    """A log that was rotated with a line that was not sent, as it lies there."""
    sent_once(log, start, 1)
    append(log, 2)
    old = rotated(log)
    append(log, 3)
    return old


def assert_all_is_sent(run: Run) -> None:
    """The rest of the unfinished log, and then the new one, when there was time for another look."""
    run.wait(2)
    run.settle()
    assert run.sent == lines(2, 3)


def test_file_that_is_compressed_between_two_looks_at_its_folder_is_sent(
    log: Path, start: Start, unfinished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(path: str) -> list[Sibling]:
        found = siblings(path)
        if unfinished.exists():
            compressed(unfinished)
        return found

    monkeypatch.setattr(producer.beside, "siblings", look)
    assert_all_is_sent(start(log))


def test_file_that_is_missing_in_a_listing_because_it_is_renamed_just_then_is_sent(
    log: Path, start: Start, unfinished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def look(path: str) -> list[Sibling]:
        looks.append(1)
        return siblings(path) if len(looks) > 1 else [s for s in siblings(path) if s.path != str(unfinished)]

    monkeypatch.setattr(producer.beside, "siblings", look)
    assert_all_is_sent(start(log))


def test_folder_that_cannot_be_read_for_a_while_is_waited_for_and_told_once(
    log: Path, start: Start, unfinished: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = start(log)
    with monkeypatch.context() as patch:
        patch.setattr(producer.beside, "siblings", failing)
        run.wait(30)
    assert run.sent == []
    assert caplog.text.count(f"waiting for {unfinished.parent}, which cannot be read yet") == 1
    assert_all_is_sent(run)


def test_folder_that_does_not_let_us_look_is_told_and_what_is_in_it_is_sent_by_a_later_run(
    log: Path, start: Start, unfinished: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refusing(_path: str) -> list[Sibling]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(producer.beside, "siblings", refusing)
        run = start(log)
        assert run.settle() == lines(3)
        run.end()
    assert caplog.text.count("its folder does not let us look for files that were rotated (Permission denied)") == 1
    append(log, 4)
    assert unfinished.exists()
    assert start(log).settle() == lines(2, 4)


def test_rotated_file_that_cannot_be_opened_keeps_its_checkpoint_for_the_next_run(
    log: Path, start: Start, unfinished: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refusing(path: str) -> Source:
        if path == str(unfinished):
            raise Stop(f"{path}: Permission denied", "Check the path and its permissions")
        return open_source(path)

    with monkeypatch.context() as patch:
        patch.setattr("producer.beside.open_source", refusing)
        patch.setattr("producer.trail.open_source", refusing)
        run = start(log)
        assert run.settle() == lines(3)
        run.end()
    assert f"{unfinished}: Permission denied" in caplog.text
    assert "is missing" not in caplog.text
    assert start(log).settle() == lines(2)


def test_copy_that_is_compressed_before_it_was_opened_is_sent_before_the_truncated_log(log: Path, start: Start) -> None:
    append(log, 1)
    run = start(log)
    run.turn(3)
    append(log, 2)
    copy = copied_and_truncated(log, 3)
    run.turn()
    assert run.sent == lines(1)
    compressed(copy)
    assert run.settle() == lines(2, 3)


@pytest.mark.parametrize("packed", [False, True], ids=["as they are", "compressed"])
def test_logs_that_begin_alike_are_told_from_each_other(log: Path, start: Start, *, packed: bool) -> None:
    """The first file was sent as far as all of them are alike. Compressed, it may be any of them: all are sent."""
    sent_once(log, start, 0)
    append(log, 1)
    rotated(log)
    append(log, 0, 2)
    rotated(log)
    append(log, 0, 3)
    if packed:
        compressed(log.with_name("chat.log.1"))
        compressed(log.with_name("chat.log.2"))
    run = start(log)
    assert run.settle() == (lines(0, 1, 0, 2, 0, 3) if packed else lines(1, 0, 2, 0, 3))
    run.end()
    assert start(log).settle() == []


def test_file_that_was_done_with_and_is_followed_again_is_looked_for_again(log: Path, start: Start) -> None:
    first, second = log.with_name("a"), log.with_name("b")
    append(first, 1)
    append(second, 2)
    log.symlink_to(first)
    run = start(log)
    run.settle()
    turned_to(log, second)
    assert run.settle() == lines(2)
    run.wait(62)  # the first is closed, and done with
    turned_to(log, first)
    run.settle()
    append(first, 3)
    assert run.turn(3, acknowledge=False) == lines(3)
    run.kill()
    turned_to(log, second)
    assert start(log).settle() == lines(3)


def turned_to(link: Path, target: Path) -> None:
    """Make the link lead elsewhere."""
    link.unlink()
    link.symlink_to(target)


def test_log_whose_disk_fails_ends_the_run_with_a_sentence_and_with_its_checkpoint(
    log: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stale(*_: int) -> bytes:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    append(log, 1)
    run = start(log)
    run.turn(3)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", stale)
        with pytest.raises(Stop, match=r"chat\.log: cannot be read: Stale file handle"):
            run.settle()
        run.dispatch.hold.close()
    append(log, 2)
    assert start(log).settle() == lines(2)


def failing(_path: str) -> list[Sibling]:
    """A folder, while the process has no descriptor left."""
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_run_that_ends_before_it_could_look_for_the_copy_of_a_truncated_log_leaves_it_to_the_next(
    log: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(log, 1)
    run = start(log)
    run.turn(3)
    append(log, 2)
    copied_and_truncated(log, 3)
    with monkeypatch.context() as patch:
        patch.setattr(producer.beside, "siblings", failing)
        run.wait(5)
        run.end()
    assert run.sent == lines(1)
    assert start(log).settle() == lines(2, 3)


def test_entry_that_is_no_rotated_file_and_cannot_be_looked_at_is_in_nobody_s_way(
    log: Path, unfinished: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a folder where a network file system was mounted that is gone."""
    scan = os.scandir

    class Gone:
        name = "backup"

        def is_dir(self, **_: bool) -> bool:
            return False

        def is_symlink(self) -> bool:
            return False

        def stat(self) -> os.stat_result:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    monkeypatch.setattr("producer.sources.rotated.os.scandir", lambda path: [Gone(), *scan(path)])
    assert unfinished.exists()
    assert start(log).settle() == lines(2, 3)


def test_archive_beside_a_file_that_was_sent_is_known_as_its_copy(log: Path, start: Start) -> None:
    append(log, *range(500))
    run = start(log)
    run.settle()
    old = rotated(log)
    append(log, 500)
    run.settle()
    run.wait(62)
    run.end()
    archive = log.with_name("chat.log-20240131.gz")
    archive.write_bytes(gzip.compress(old.read_bytes()))
    append(log, 501)
    rotated(log)
    append(log, 502)
    assert start(log).settle() == lines(501, 502)


def test_rotated_file_that_its_folder_follows_too_stays_done_with(
    log: Path, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    append(log, *range(500))
    run = start(log.parent)
    run.settle()
    rotated(log)
    append(log, 500)
    run.settle()
    run.wait(62)
    run.settle()
    run.end()
    compressed(log.with_name("chat.log.1")).rename(log.with_name("chat.log.2.gz"))
    append(log, 501)
    rotated(log)
    append(log, 502)
    assert sorted(start(log.parent).settle()) == lines(501, 502)
    assert "missing" not in caplog.text
