"""What the fault tests may ask for beside the servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.ferry import Ferry


@pytest.fixture
def ferry(tmp_path: Path) -> Iterator[Ferry]:
    """Runs `chatferry` in tmp_path; what it started is ended with the test, by process id."""
    ferry = Ferry(tmp_path)
    yield ferry
    for running in ferry.running:
        running.kill()
