"""Unit tests: no process, no server, no sleep. Property tests have no deadline, since machines may be busy,
and try the same examples in every run: `make fuzz` and the long tests look for new ones."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.unit.following import Run

slow_is_fine = [HealthCheck.too_slow]
settings.register_profile("unit", deadline=None, max_examples=300, derandomize=True, suppress_health_check=slow_is_fine)
settings.load_profile("unit")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a log will be, alone in its folder."""
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder / "chat.log"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts producers, one after the other; the last one is ended with the test."""
    runs: list[Run] = []

    def begin(*names: Path | str, restart: bool = False) -> Run:
        runs.append(Run(tmp_path / "state", names, restart=restart))
        return runs[-1]

    yield begin
    for run in runs:
        run.kill()
