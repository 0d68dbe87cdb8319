"""Many files sent one after the other."""

import os
from pathlib import Path
from typing import cast

import pytest

from producer.dispatch import Dispatch
from producer.hold import CheckpointPlace
from producer.publisher import Publisher
from producer.shipment import Manner
from tests.unit.following import FACTS, Shelf, append, lines


@pytest.fixture
def shelf() -> Shelf:
    """Acknowledges when it is asked to wait, and no sooner."""
    return Shelf()


@pytest.fixture
def dispatch(shelf: Shelf, tmp_path: Path) -> Dispatch:
    """A dispatch that has not begun."""
    return Dispatch(cast("Publisher", shelf), FACTS, Manner(), CheckpointPlace(tmp_path / "state", restart=False))


def logs(folder: Path, count: int) -> list[str]:
    """So many logs of one line each."""
    paths = [folder / f"{number}.log" for number in range(count)]
    for number, path in enumerate(paths):
        append(path, number)
    return [str(path) for path in paths]


def test_many_small_files_wait_for_acknowledgements_with_few_of_them_open(
    dispatch: Dispatch, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    most: list[int] = []
    monkeypatch.setattr(dispatch, "_most", 10)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- names alone
    dispatch.run(
        logs(tmp_path, 50),
        lambda: most.append(len(os.listdir("/proc/self/fd"))),  # noqa: PTH208
        follow=False,
        grace_seconds=0,
    )
    assert shelf.lines == lines(*range(50))
    assert before + 10 < max(most) <= before + 2 * 11


def test_file_under_two_names_is_sent_once_and_told(
    dispatch: Dispatch, shelf: Shelf, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first, second = logs(tmp_path, 2)
    link = tmp_path / "latest.log"
    link.symlink_to(first)
    dispatch.run([first, second, str(link), first], lambda: None, follow=False, grace_seconds=0)
    assert shelf.lines == lines(0, 1)
    assert f"{link} is a file that is named before: sent once" in caplog.text
