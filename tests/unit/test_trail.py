"""One followed name through all that happens to logs, on real files."""

import gzip
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.errors import Stop
from tests.unit.following import (
    COMPRESS,
    Run,
    append,
    compressed,
    copied_and_truncated,
    lines,
    rotated,
    sent_once,
    text,
)

# --- while it runs ----------------------------------------------------------------------------------------------------


def test_renamed_and_made_anew_the_old_file_is_read_to_its_end_before_the_new_one(
    log: Path, start: Callable[..., Run]
) -> None:
    append(log, 1)
    run = start(log)
    assert run.turn(3) == lines(1)
    old = rotated(log)
    append(log, 3)
    append(old, 2)
    assert run.settle() == lines(2, 3)
    append(log, 4)
    assert run.settle() == lines(4)


def test_line_that_a_writer_adds_to_the_rotated_file_before_it_reopens_is_sent(
    log: Path, start: Callable[..., Run]
) -> None:
    append(log, 1)
    run = start(log)
    run.turn(3)
    old = rotated(log)
    log.touch()
    run.settle()
    append(old, 2)
    assert run.settle() == lines(2)
    append(log, 3)
    assert run.settle() == lines(3)
    append(old, 4)  # another writer still has it
    assert run.settle() == lines(4)
    run.wait(61)
    append(old, 5)
    assert run.settle() == [], "it is still looked at"


def test_rotation_is_seen_within_a_second_while_lines_come_to_the_old_file_without_a_pause(
    log: Path, start: Callable[..., Run]
) -> None:
    append(log, 1)
    run = start(log)
    run.turn(3)
    old = rotated(log)
    append(log, 1_000)
    for number in range(2, 60):
        append(old, number)
        run.turn()
    assert b"line 1000" in run.sent
    assert run.sent.index(b"line 1000") < run.sent.index(b"line 59")


def test_half_a_line_waits_for_its_other_half_in_the_rotated_file_and_is_never_sent_alone(
    log: Path, start: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    log.write_bytes(text(1) + b"line 2 begins")
    run = start(log)
    run.turn(3)
    old = rotated(log)
    append(log, 3)
    assert run.settle() == lines(3)
    with old.open("ab") as file:
        file.write(b" and ends\nline 4 has no end")
    assert run.settle() == [b"line 2 begins and ends"]
    run.wait(61)
    assert run.sent == [b"line 1", b"line 3", b"line 2 begins and ends"]
    assert f"{log}: its last line, 17 bytes from byte 30 on, has no newline and was not sent" in caplog.text


def test_unterminated_last_line_of_a_rotated_file_is_sent_by_a_later_replay(
    log: Path, start: Callable[..., Run], tmp_path: Path
) -> None:
    log.write_bytes(text(1) + b"line 2")
    run = start(log)
    run.turn(3)
    old = rotated(log)
    append(log, 3)
    run.settle()
    run.wait(61)
    run.end()
    replay = Run(tmp_path / "state", [], begin=False)
    replay.dispatch.replay([str(old)], lambda: None)
    assert replay.sent == lines(2)
    replay.end()


def test_removed_and_made_anew_the_removed_file_is_read_to_its_end(
    log: Path, start: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    append(log, 1)
    run = start(log)
    run.turn(3)
    with log.open("ab") as writer:
        log.unlink()
        run.turn(3)
        writer.write(text(2))
        writer.flush()
        assert run.settle() == lines(2)
    assert "was renamed or removed: waiting for a file of that name" in caplog.text
    append(log, 3)
    assert run.settle() == lines(3)


def test_removed_file_is_closed_after_a_while_and_the_new_one_may_have_its_inode(
    log: Path, start: Callable[..., Run]
) -> None:
    append(log, 1, 2)
    inode = log.stat().st_ino
    run = start(log)
    run.turn(3)
    log.unlink()
    run.wait(62)
    assert run.dispatch.hold.shipments == []
    for number in range(100):
        other = log.with_name(f"try{number}")
        append(other, 3, 4)
        if other.stat().st_ino == inode:
            break
    other.rename(log)
    assert run.settle() == lines(3, 4)


def test_two_rotations_between_two_looks_lose_nothing(log: Path, start: Callable[..., Run]) -> None:
    append(log, 1)
    run = start(log)
    run.turn(3)
    rotated(log)
    append(log, 2)
    rotated(log)
    append(log, 3)
    rotated(log)
    append(log, 4)
    assert run.settle() == lines(2, 3, 4)


def test_truncated_log_is_read_from_its_start_and_its_copy_from_where_it_was_read(
    log: Path, start: Callable[..., Run]
) -> None:
    append(log, 1)
    run = start(log)
    run.turn(3)
    append(log, 2)
    copied_and_truncated(log, 3)
    assert run.settle() == lines(2, 3)
    append(log, 4)
    assert run.settle() == lines(4)
    append(log, 5)
    copied_and_truncated(log, 6, 7, number=2)
    assert run.settle() == lines(5, 6, 7)


def test_truncated_and_filled_to_the_same_length_the_next_run_goes_on_there(
    log: Path, start: Callable[..., Run]
) -> None:
    append(log, 1, 2)
    run = start(log)
    run.settle()
    run.save()
    log.write_bytes(text(3, 4))
    assert run.settle() == lines(3, 4)
    run.end()
    assert start(log).settle() == []


@pytest.mark.parametrize("new", [[7], [7, 8], [7, 8, 9]], ids=["shorter", "as long", "longer"])
def test_truncated_log_without_a_copy_is_read_from_its_start(
    log: Path, start: Callable[..., Run], new: list[int]
) -> None:
    append(log, 1, 2)
    run = start(log)
    run.turn(3)
    log.write_bytes(text(*new))
    assert run.settle() == lines(*new)


def test_name_without_a_file_is_waited_for_and_it_is_said_at_once(
    log: Path, start: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    run = start(log)
    run.turn(10)
    assert caplog.text.count(f"{log} does not exist: waiting for a file of that name") == 1
    append(log, 1)
    assert run.turn(2) == lines(1)


def test_link_that_is_turned_to_another_file_is_followed_there(log: Path, start: Callable[..., Run]) -> None:
    first, second = log.with_name("first"), log.with_name("second")
    append(first, 1)
    log.symlink_to(first)
    run = start(log)
    run.turn(3)
    append(first, 2)
    append(second, 3)
    log.unlink()
    log.symlink_to(second)
    assert run.settle() == lines(2, 3)


def test_compressed_file_is_not_followed(log: Path, start: Callable[..., Run]) -> None:
    log.write_bytes(gzip.compress(text(1)))
    run = start(log)
    with pytest.raises(Stop, match="a gzip file cannot be followed"):
        run.turn()


def test_many_rotations_keep_few_files_open(log: Path, start: Callable[..., Run]) -> None:
    append(log, 0)
    run = start(log)
    run.turn(3)
    open_files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- a count
    for number in range(1, 40):
        log.rename(log.with_name(f"chat.log-2024{number:04}"))
        append(log, number)
        run.turn(4)
    assert run.sent == lines(*range(40))
    assert len(os.listdir("/proc/self/fd")) - open_files < 30  # noqa: PTH208
    run.wait(62)
    assert len(os.listdir("/proc/self/fd")) == open_files  # noqa: PTH208
    assert len(run.dispatch.hold.shipments) == 1
    assert run.dispatch.hold.totals.lines == 40


# --- between two runs -------------------------------------------------------------------------------------------------


def test_only_what_is_not_sent_yet_is_told_to_be_sent_first(
    log: Path, start: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sent_once(log, start, 1)
    rotated(log)
    append(log, 2)
    run = start(log)
    assert run.settle() == lines(2)
    assert "is sent first" not in caplog.text
    run.end()
    append(log, 3)
    rotated(log)
    append(log, 4)
    assert start(log).settle() == lines(3, 4)
    assert caplog.text.count("is sent first") == 1


@pytest.mark.parametrize("kind", ["", *COMPRESS])
def test_rotated_twice_while_nobody_ran_all_is_sent_in_order(log: Path, start: Callable[..., Run], kind: str) -> None:
    sent_once(log, start, 1)
    append(log, 2)
    first = rotated(log)
    append(log, 3)
    if kind:
        first = compressed(first, kind)
        first.rename(log.with_name(f"chat.log.2.{kind}"))
    rotated(log)
    append(log, 4)
    again = start(log)
    assert again.settle() == lines(2, 3, 4)
    again.end()
    assert start(log).settle() == []


def test_file_between_that_was_compressed_already_is_sent_whole(log: Path, start: Callable[..., Run]) -> None:
    sent_once(log, start, 1)
    rotated(log)
    append(log, 2)
    rotated(log)
    compressed(log.with_name("chat.log.1"))
    append(log, 3)
    assert start(log).settle() == lines(2, 3)


def test_rotated_away_and_not_made_anew_the_rest_is_sent(log: Path, start: Callable[..., Run]) -> None:
    sent_once(log, start, 1)
    append(log, 2)
    rotated(log)
    run = start(log)
    assert run.settle() == lines(2)
    append(log, 3)
    assert run.settle() == lines(3)


def test_copied_and_truncated_twice_while_nobody_ran_all_is_sent_in_order(log: Path, start: Callable[..., Run]) -> None:
    sent_once(log, start, 1)
    append(log, 2)
    copy = log.with_name("chat.log.1")
    copy.write_bytes(log.read_bytes())
    log.write_bytes(text(3))
    copy.rename(log.with_name("chat.log.2"))
    copy.write_bytes(log.read_bytes())
    log.write_bytes(text(4))
    assert start(log).settle() == lines(2, 3, 4)


def test_files_rotated_before_the_first_start_are_left_alone(log: Path, start: Callable[..., Run]) -> None:
    append(log, 1)
    rotated(log)
    append(log, 2)
    run = start(log)
    assert run.settle() == lines(2)
    append(log, 3)
    rotated(log)
    append(log, 4)
    assert run.settle() == lines(3, 4)
    run.end()
    append(log, 5)
    rotated(log)
    append(log, 6)
    assert start(log).settle() == lines(5, 6)


def test_predecessor_that_is_gone_is_told_with_its_offset_once(
    log: Path, start: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    sent_once(log, start, 1, 2)
    rotated(log).unlink()
    append(log, 3)
    run = start(log)
    assert run.settle() == lines(3)
    assert f"{log}: the file that stood there before was sent up to byte 14, and is not found" in caplog.text
    run.end()
    caplog.clear()
    assert start(log).settle() == []
    assert caplog.text == ""


def test_file_rotated_just_before_the_kill_is_sent_to_its_end_by_the_next_run(
    log: Path, start: Callable[..., Run]
) -> None:
    append(log, 1)
    run = start(log)
    run.settle()
    append(log, 2)
    old = rotated(log)
    append(log, 3)
    run.turn(40, acknowledge=False)
    assert run.sent == lines(1, 2, 3)
    run.save()
    run.kill()
    append(old, 4)
    assert start(log).settle() == lines(2, 4, 3)


def test_kill_at_any_turn_after_two_rotations_loses_nothing(log: Path, start: Callable[..., Run]) -> None:
    for turns in range(12):
        for name in log.parent.iterdir():
            name.unlink()
        sent_once(log, start, turns * 10)
        append(log, turns * 10 + 1)
        rotated(log)
        append(log, turns * 10 + 2)
        rotated(log)
        append(log, turns * 10 + 3)
        run = start(log)
        first = run.turn(turns, acknowledge=turns % 2 == 0)
        run.kill()
        again = start(log)
        assert {*first, *again.settle()} == {*lines(*range(turns * 10 + 1, turns * 10 + 4))}, turns
        again.end()


def test_gzip_that_is_still_being_written_is_waited_for(log: Path, start: Callable[..., Run]) -> None:
    sent_once(log, start, *range(1_000))
    append(log, *range(1_000, 40_000))
    whole = gzip.compress(log.read_bytes())
    log.unlink()
    packed = log.with_name("chat.log.1.gz")
    packed.write_bytes(whole[: len(whole) // 2])
    append(log, 40_000)
    run = start(log)
    run.turn(20)
    assert b"line 40000" not in run.sent
    packed.write_bytes(whole)  # the same file, longer
    run.wait(9)
    assert run.sent == lines(*range(1_000, 40_001))


def half_compressed(log: Path, start: Callable[..., Run], written: int = 5) -> Path:
    """The log as it was is being compressed, and nothing of that can be read yet."""
    sent_once(log, start, *range(10))
    append(log, 10)
    whole = gzip.compress(log.read_bytes())
    log.unlink()
    packed = log.with_name("chat.log.1.gz")
    packed.write_bytes(whole[:written])
    append(log, 11)
    return packed


def test_gzip_of_a_clock_that_is_ahead_does_not_hold_up_the_log(log: Path, start: Callable[..., Run]) -> None:
    packed = half_compressed(log, start)
    ahead = time.time() + 3_600
    os.utime(packed, (ahead, ahead))
    run = start(log)
    run.wait(30)
    assert run.sent == lines(11)


@pytest.mark.parametrize("written", [0, 5])
def test_gzip_that_is_waited_for_longer_than_one_should_take_is_told_once(
    log: Path, start: Callable[..., Run], caplog: pytest.LogCaptureFixture, written: int
) -> None:
    packed = half_compressed(log, start, written)
    run = start(log)
    for seconds, times in ((9, 0), (3, 1), (30, 1)):
        os.utime(packed)
        run.wait(seconds)
        told = [r for r in caplog.records if r.levelno == logging.WARNING and f"waiting for {packed}" in r.message]
        assert len(told) == times
    assert run.sent == []


def test_gzip_that_stays_cut_short_is_told_and_does_not_hold_up_the_log(
    log: Path, start: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    sent_once(log, start, *range(1_000))
    append(log, *range(1_000, 40_000))
    whole = gzip.compress(log.read_bytes())
    log.unlink()
    log.with_name("chat.log.1.gz").write_bytes(whole[: len(whole) // 2])
    append(log, 40_000)
    run = start(log)
    run.wait(30)
    assert run.sent[-1] == b"line 40000"
    assert run.sent[0] == b"line 1000"
    assert "is damaged or cut short" in caplog.text


def test_restart_begins_the_file_at_the_name_anew_and_leaves_the_others(log: Path, start: Callable[..., Run]) -> None:
    sent_once(log, start, 1)
    append(log, 2)
    rotated(log)
    append(log, 3)
    run = start(log)
    run.settle()
    run.end()
    again = start(log, restart=True)
    assert again.settle() == lines(3)
    append(log, 4)
    rotated(log)
    append(log, 5)
    assert again.settle() == lines(4, 5)


@pytest.mark.parametrize("known", [True, False], ids=["some of it sent", "nothing sent"])
@pytest.mark.parametrize("moved", [True, False], ids=["moved", "removed"])
def test_lines_in_flight_in_a_file_that_is_not_there_any_more_are_sent_by_the_next_client(
    log: Path, start: Callable[..., Run], tmp_path: Path, *, known: bool, moved: bool
) -> None:
    append(log, 1)
    run = start(log)
    run.dispatch._following = run.following
    run.turn(3, acknowledge=known)
    append(log, 2)
    run.turn(3, acknowledge=False)
    if moved:
        (tmp_path / "elsewhere").mkdir()
        log.rename(tmp_path / "elsewhere" / "chat.log.1")
    else:
        log.unlink()
    append(log, 3)
    run.dispatch.give_up()
    other = Run(tmp_path / "state", [log])
    successor = run.dispatch.successor(other.dispatch._publisher, other.dispatch._facts)
    other.dispatch = successor
    other.begin()
    other.following.inherit(successor.orphans)
    assert other.settle() == (lines(2, 3) if known else lines(1, 2, 3))
    other.end()


def test_what_is_said_of_a_rotation_is_no_warning(
    log: Path, start: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    append(log, 1)
    run = start(log)
    run.turn(3)
    rotated(log)
    append(log, 2)
    run.settle()
    run.wait(62)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_name_that_is_missing_for_the_moment_of_a_rotation_is_not_told_and_one_that_stays_missing_is(
    log: Path, start: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    append(log, 1)
    run = start(log)
    run.turn(3)
    rotated(log)
    run.turn(3)
    append(log, 2)
    assert run.settle() == lines(2)
    assert "renamed or removed" not in caplog.text
    log.unlink()
    run.wait(2)
    assert "renamed or removed" in caplog.text
