"""What CHATFERRY_FAILPOINT may say. (That a place kills its process is tested in tests/faults, on real ones.)"""

import os
import signal
from pathlib import Path

import pytest

from terminal import failpoints
from terminal.failpoints import Place, armed


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The signals that this process would have sent itself."""
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _pid, number: sent.append(number))
    return sent


def test_without_the_variable_a_place_does_nothing() -> None:
    assert failpoints.reached is failpoints._nothing


def test_place_acts_the_first_time_and_only_then(sent: list[int]) -> None:
    reached = armed("worker.stored:kill")
    for place in Place:
        reached(place)
    assert sent == [signal.SIGKILL]
    reached(Place.WORKER_STORED)
    assert sent == [signal.SIGKILL]


def test_count_says_which_time(sent: list[int]) -> None:
    reached = armed("worker.stored:stop:3")
    for expected in ([], [], [signal.SIGSTOP], [signal.SIGSTOP]):
        reached(Place.WORKER_STORED)
        assert sent == expected


def test_file_makes_it_once_for_all_processes(sent: list[int], tmp_path: Path) -> None:
    text = f"worker.stored:kill:1:{tmp_path / 'a:b'}"
    for _ in range(2):
        armed(text)(Place.WORKER_STORED)
    assert sent == [signal.SIGKILL]


@pytest.mark.parametrize("text", ["", "worker.stored", "worker.stored:explode", "nowhere:kill", "worker.stored:kill:x"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        armed(text)
