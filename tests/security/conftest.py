"""What the security tests share: the command, and a certificate authority for a module's servers."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.ferry import Ferry
from tests.security.secured import secured_kafka
from tests.services.kafka import Kafka
from tests.services.tls import Authority


@pytest.fixture
def ferry(tmp_path: Path) -> Iterator[Ferry]:
    """Runs `chatferry` in tmp_path; what it started is ended with the test, by process id."""
    ferry = Ferry(tmp_path)
    yield ferry
    for running in ferry.running:
        running.kill()


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    """A folder for what the servers of the session need."""
    with tempfile.TemporaryDirectory(prefix="chatferry-security-") as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def authority(folder: Path) -> Authority:
    """The authority that signed the servers' certificates."""
    return Authority(folder)


@pytest.fixture(scope="session")
def stranger(folder: Path) -> Authority:
    """An authority that signed nothing here."""
    return Authority(folder, "stranger")


@pytest.fixture(scope="session")
def secured(folder: Path, authority: Authority) -> Iterator[Kafka]:
    """A Kafka that wants TLS and a password: see `tests.security.secured`."""
    directory = folder / "kafka"
    directory.mkdir()
    with secured_kafka(directory, authority) as server:
        yield server
