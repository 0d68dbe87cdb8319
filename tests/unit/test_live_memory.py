"""A listener's memory: what is written down speaks of nothing that Kafka has not acknowledged."""

import stat
from pathlib import Path

import pytest

from producer.live.memory import WAITING, Memory
from schemas.errors import Stop


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "memory.json"


def test_nothing_is_remembered_before_its_mark_is_acknowledged(path: Path) -> None:
    memory = Memory(path)
    memory.remember(10, {"since": "a"})
    memory.remember(20, {"since": "b"})
    memory.settle(9)
    assert Memory(path).value == {}
    memory.settle(19)
    assert Memory(path).value == {"since": "a"}
    memory.settle(20)
    assert Memory(path).value == {"since": "b"}


def test_value_that_is_changed_later_is_remembered_as_it_was(path: Path) -> None:
    memory, value = Memory(path), {"last": "a"}
    memory.remember(10, value)
    value["last"] = "b"
    memory.settle(10)
    assert Memory(path).value == {"last": "a"}


def test_values_that_wait_long_are_bounded_and_the_newest_is_kept(path: Path) -> None:
    memory = Memory(path)
    for mark in range(10 * WAITING):
        memory.remember(mark, {"last": mark})
    memory.settle(WAITING)
    assert Memory(path).value["last"] <= WAITING
    memory.settle(10 * WAITING)
    assert Memory(path).value == {"last": 10 * WAITING - 1}


def test_file_is_for_its_owner_alone_and_written_whole(path: Path) -> None:
    memory = Memory(path)
    memory.remember(1, {"since": "a"})
    memory.settle(1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff"])
def test_damaged_file_is_as_good_as_none_and_told(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(content)
    assert Memory(path).value == {}
    assert "is damaged" in caplog.text


def test_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Stop):
        Memory(path)


def test_value_that_the_disk_did_not_take_is_written_down_the_next_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = Memory(path)
    memory.remember(1, {"since": "a"})
    with monkeypatch.context() as failing:
        failing.setattr("producer.live.memory.write_private", fail)
        for _ in range(2):
            with pytest.raises(Stop, match="Cannot write"):
                memory.settle(1)
    memory.settle(1)
    assert Memory(path).value == {"since": "a"}


def fail(path: Path, _content: bytes) -> None:
    raise Stop(f"Cannot write {path}")


def test_dry_run_keeps_nothing(tmp_path: Path) -> None:
    memory = Memory(None)
    memory.remember(0, {"since": "a"})
    memory.settle(0)
    assert (memory.value, list(tmp_path.iterdir())) == ({}, [])
