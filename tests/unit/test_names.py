"""Folders and globs: which files they name, and how their files are followed together."""

import errno
import gzip
import logging
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from producer.following import FEW
from producer.sources.names import Names
from producer.sources.rotated import rotated_name, siblings
from schemas.errors import Stop
from tests.unit.following import Run


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


def append(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- a count


# --- which files ------------------------------------------------------------------------------------------------------


def test_folder_names_its_files_but_no_hidden_compressed_or_deeper_ones_and_says_so_once(
    logs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for name in ("b.log", "a.log", ".hidden", "old.log.gz", "old.log.1.zst"):
        (logs / name).touch()
    (logs / "deeper").mkdir()
    (logs / "deeper" / "c.log").touch()
    names = Names([str(logs)])
    assert names.look() == [str(logs / "a.log"), str(logs / "b.log")]
    assert names.look() == names.look()
    assert caplog.messages == [f"{logs}: hidden and compressed files are left out (3 now)"]
    assert names.given == []


def test_folder_without_a_file_to_follow_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "deep.log").touch()
    names = Names([str(tmp_path)])
    assert names.look() == names.look() == []
    assert caplog.text.count("holds no file yet that can be followed (subfolders are not looked into): waiting") == 1


def test_folder_that_cannot_be_looked_into_is_told_once_and_again_after_it_could_be(
    logs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(_path: str) -> NoReturn:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    names = Names([str(logs)])
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(os, "scandir", refused)
            assert [names.look() for _ in range(3)] == [[], [], []]
        names.look()
    assert caplog.messages == [f"{logs}: cannot be looked into: Permission denied"] * 2


def test_glob_names_what_it_matches_at_any_time(logs: Path) -> None:
    names = Names([str(logs / "*.log"), str(logs / "**" / "c.txt")])
    assert names.look() == []
    (logs / "a.log").touch()
    (logs / "a.txt").touch()
    (logs / "x" / "y").mkdir(parents=True)
    (logs / "x" / "y" / "c.txt").touch()
    assert names.look() == [str(logs / "a.log"), str(logs / "x" / "y" / "c.txt")]


def test_file_whose_name_looks_like_a_glob_is_itself(logs: Path) -> None:
    (logs / "[a].log").touch()
    (logs / "a.log").touch()
    names = Names([str(logs / "[a].log")])
    assert names.look() == names.given == [str(logs / "[a].log")]


def test_name_without_a_file_stays_a_name(logs: Path) -> None:
    names = Names([str(logs / "later.log"), str(logs / "later.log")])
    assert names.look() == names.given == [str(logs / "later.log")]


@pytest.mark.parametrize(
    ("name", "rotated"),
    [
        ("chat.log.1", True),
        ("chat.log.10.gz", True),
        ("chat.log-20240131", True),
        ("chat.log-20240131.zst", True),
        ("chat.log.2024-01-31T10:00:00Z.xz", True),
        ("chat.log.2024-01-31_10-00-00", True),
        ("chat-20240131.log", True),
        ("chat.1.log.bz2", True),
        ("chat.log.old", True),
        ("chat.log", False),
        ("chat.log.bak", False),
        ("chat.log-errors", False),
        ("chat.log.1.tmp", False),
        ("chat.logx", False),
        ("mychat.log.1", False),
        ("chat2.log", False),
    ],
)
def test_name_of_a_rotated_file_is_told_from_others(name: str, rotated: bool) -> None:
    assert (rotated_name("chat.log").fullmatch(name) is not None) == rotated


def test_compressed_file_beside_its_original_is_no_sibling(logs: Path) -> None:
    for name in ("chat.log", "chat.log.1", "chat.log.1.gz", "chat.log.2.gz"):
        (logs / name).touch()
    found = {Path(sibling.path).name for sibling in siblings(str(logs / "chat.log"))}
    assert found == {"chat.log.1", "chat.log.2.gz"}


# --- together ---------------------------------------------------------------------------------------------------------


def test_new_file_in_a_folder_is_sent_from_its_start(logs: Path, start: Callable[..., Run]) -> None:
    append(logs / "a", "a1")
    run = start(logs)
    assert run.settle() == [b"a1"]
    append(logs / "b", "b1", "b2")
    append(logs / "a", "a2")
    assert sorted(run.settle()) == [b"a2", b"b1", b"b2"]


@pytest.mark.parametrize("restart", [False, True])
def test_rotated_file_that_the_glob_matches_as_well_is_sent_once(
    logs: Path, start: Callable[..., Run], *, restart: bool
) -> None:
    append(logs / "app.log.1", "1")
    append(logs / "app.log", "2")
    run = start(str(logs / "app.log*"), restart=restart)
    run.settle()
    for number in range(3, 8):
        for place in range(5, 0, -1):
            if (file := logs / f"app.log.{place}").exists():
                file.rename(logs / f"app.log.{place + 1}")
        (logs / "app.log").rename(logs / "app.log.1")
        append(logs / "app.log.1", f"{number} old")
        append(logs / "app.log", str(number))
        run.settle()
    run.wait(130)
    expected = [b"1", b"2", *(line for n in range(3, 8) for line in (b"%d old" % n, b"%d" % n))]
    assert sorted(run.sent) == sorted(expected)
    run.end()
    again = start(str(logs / "app.log*"))
    assert again.settle() == []


def test_file_under_two_names_is_sent_once(logs: Path, start: Callable[..., Run]) -> None:
    append(logs / "a", "1")
    (logs / "b").hardlink_to(logs / "a")
    (logs / "c").symlink_to(logs / "a")
    run = start(logs, logs / "b")
    assert run.settle() == [b"1"]
    append(logs / "b", "2")
    assert run.settle() == [b"2"]


def test_removed_file_of_a_folder_is_forgotten_and_a_new_one_of_its_name_is_sent(
    logs: Path, start: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    append(logs / "a", "1")
    run = start(logs)
    run.settle()
    (logs / "a").unlink()
    run.wait(65)
    assert run.dispatch.hold.shipments == []
    append(logs / "a", "2")
    assert run.settle() == [b"2"]
    assert caplog.text == ""


def test_idle_files_are_closed_and_each_is_read_on_when_it_grows(logs: Path, start: Callable[..., Run]) -> None:
    count = 100
    for number in range(count):
        append(logs / f"{number}.log", f"{number}")
    before = open_files()
    run = start(logs)
    run.settle()
    run.wait(15)
    assert sorted(run.sent) == sorted(b"%d" % number for number in range(count))
    assert open_files() - before <= 2 * FEW
    append(logs / "7.log", "more")
    (logs / "8.log").write_text("")
    append(logs / "8.log", "anew")
    (logs / "9.log").rename(logs / "9.log.1")
    append(logs / "9.log.1", "the rest")
    append(logs / "9.log", "the next")
    (logs / "10.log").unlink()
    assert sorted(run.settle()) == [b"anew", b"more", b"the next", b"the rest"]


def asleep(run: Run, logs: Path) -> None:
    """Follow more than a few files, each of one line, until they are closed."""
    for number in range(FEW + 1):
        append(logs / f"{number}.log", f"{number}")
    run.settle()
    run.wait(15)
    assert not run.following._awake


def test_quiet_file_that_grows_is_read_on_without_a_look_through_either_folder(
    logs: Path, start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(*[logs / f"{number}.log" for number in range(FEW + 1)])
    asleep(run, logs)
    looks: list[str] = []

    def counted(look: Callable[..., Any]) -> Callable[..., Any]:
        return lambda path: look(looks.append(str(path)) or path)  # type: ignore[func-returns-value]

    for name in ("scandir", "listdir"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    append(logs / "7.log", "more")
    assert (run.settle(), looks) == ([b"more"], [])
    (logs / "8.log").write_text("other\n")
    assert (run.settle(), set(looks)) == ([b"other"], {str(logs), str(logs.with_name("state"))})


def test_quiet_file_that_was_copied_truncated_and_filled_again_is_sent_with_its_copy(
    logs: Path, start: Callable[..., Run]
) -> None:
    run = start(*[logs / f"{number}.log" for number in range(FEW + 1)])
    asleep(run, logs)
    append(logs / "7.log", "before the copy")
    (logs / "7.log.1").write_bytes((logs / "7.log").read_bytes())
    (logs / "7.log").write_text("after it, and longer than all that was there\n")
    assert run.settle() == [b"before the copy", b"after it, and longer than all that was there"]


def test_many_names_are_looked_at_a_few_times_each_before_the_first_line(
    logs: Path, start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [logs / f"{number}.log" for number in range(100)]
    for path in paths:
        append(path, path.name)
    asked: list[Any] = []
    isdir = os.path.isdir

    def counted(path: Any) -> bool:
        asked.append(path)
        return isdir(path)

    monkeypatch.setattr(os.path, "isdir", counted)
    run = start(*paths)
    run.turn()
    assert len(asked) < 10 * len(paths)


def test_more_files_than_descriptors_are_all_sent(
    logs: Path, start: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (192, 192))  # 16 files at once
    for number in range(100):
        append(logs / f"{number}.log", f"{number}")
    before = open_files()
    run = start(logs)
    most = 0
    for _ in range(60):
        run.turn()
        most = max(most, open_files() - before)
    assert sorted(run.sent) == sorted(b"%d" % number for number in range(100))
    assert most <= 2 * 16
    for number in range(100):
        append(logs / f"{number}.log", f"{number} more")
    run.turn(200)
    assert len(run.sent) == 200


def test_folder_beside_a_named_file_and_names_that_cannot_be_followed(
    logs: Path, start: Callable[..., Run], caplog: pytest.LogCaptureFixture
) -> None:
    append(logs / "a", "1")
    run = start(logs, logs / "a")
    assert run.settle() == [b"1"]
    os.mkfifo(logs / "pipe")
    assert run.settle() == []
    with pytest.raises(Stop, match="not a file but a pipe"):
        start(logs / "pipe")
    (logs / "b").write_bytes(gzip.compress(b"packed\n"))  # by its name nobody could tell
    (logs / "c").mkdir()
    append(logs / "d", "2")
    assert run.settle() == [b"2"]
    run.wait(5)
    assert caplog.text.count("b: a gzip file cannot be followed") == 1


def test_folder_in_the_place_of_a_followed_file_is_waited_out(logs: Path, start: Callable[..., Run]) -> None:
    log = logs / "app.log"
    append(log, "1")
    run = start(log)
    run.settle()
    log.rename(log.with_name("app.log.1"))
    append(log, "2")
    append(log.with_name("app.log.1"), "1 more")
    log.rename(log.with_name("elsewhere"))
    log.mkdir()
    assert run.settle() == [b"1 more"]
    log.rmdir()
    log.with_name("elsewhere").rename(log)
    assert run.settle() == [b"2"]
