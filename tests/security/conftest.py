"""What the security tests share: a certificate authority for a module's servers."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security.secured import secured_kafka
from tests.services.kafka import Kafka
from tests.services.tls import Authority


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
