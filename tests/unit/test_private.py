"""Files in the state folder: written whole, on the disk before anybody relies on them, and never through a link."""

import errno
import os
import stat
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from producer.logbook import Logbook
from producer.private import lock_private, read_private, write_private
from producer.state import State
from schemas.errors import Stop


def test_what_was_written_and_its_name_are_on_the_disk_when_it_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def noted_rename(old: Path, new: Path) -> Path:
        steps.append("rename")
        return rename(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_rename)
    write_private(tmp_path / "memory.json", b"content")
    assert steps == ["file", "rename", "folder"]
    assert read_private(tmp_path / "memory.json") == b"content"
    assert [path.name for path in tmp_path.iterdir()] == ["memory.json"]


def test_what_the_disk_does_not_take_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_arguments: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_private(tmp_path / "mark", b"old")
    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(Stop, match="No space left"):
        write_private(tmp_path / "mark", b"new")
    assert read_private(tmp_path / "mark") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["mark"]


def test_lock_is_held_until_its_descriptor_is_closed(tmp_path: Path) -> None:
    held = lock_private(tmp_path / "lock")
    assert held is not None
    assert lock_private(tmp_path / "lock") is None
    os.close(held)
    again = lock_private(tmp_path / "lock")
    assert again is not None
    os.close(again)


def test_checkpoint_that_is_a_link_is_left_out_of_the_logbook(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    state = State("chat.log", "topic", 5, 0, "", place="/chat.log", topic_id="id")
    for key in ("ours", "linked"):
        write_private(folder / f"{key}.json", msgspec.json.encode(state.sealed(key)))
    logbook = Logbook(folder, "topic", "id")
    (folder / "linked.json").rename(tmp_path / "elsewhere")
    (folder / "linked.json").symlink_to(tmp_path / "elsewhere")
    logbook.refresh()
    assert [entry.key for entry in logbook.of("/chat.log")] == ["ours"]
