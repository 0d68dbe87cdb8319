"""A few rounds of `make torture`, as the whole of it."""

import subprocess
import sys

import pytest


@pytest.mark.long
@pytest.mark.timeout(900)
def test_rounds_of_mixed_faults_lose_and_double_nothing() -> None:
    command = [sys.executable, "-m", "tests.torture", "--seed", "every run", "--rounds", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 rounds" in done.stdout
    assert done.stdout.count("passed in") == 5
