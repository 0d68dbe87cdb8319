"""What every test may ask for: the command, a Kafka, a MariaDB, and names and databases that no other test has.

The servers start when the first test asks for one and serve the whole run. CHATFERRY_TEST_BROKERS and
CHATFERRY_TEST_DATABASE (the URL of an account that may create databases) name servers to use instead.
"""

import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.ferry import Ferry
from tests.services.kafka import GivenKafka, Kafka
from tests.services.mariadb import GivenMariaDB, MariaDB
from tests.services.process import ServicesMissingError


@contextmanager
def _directory() -> Iterator[Path]:
    # Not tmp_path: pytest keeps that for three runs, and an empty MariaDB alone has 140 MB.
    with tempfile.TemporaryDirectory(prefix="chatferry-tests-") as directory:
        yield Path(directory)


@contextmanager
def _missing_services_fail() -> Iterator[None]:
    try:
        yield
    except ServicesMissingError as error:
        pytest.fail(str(error), pytrace=False)


def _unique(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka | GivenKafka]:
    """A Kafka that all tests share: one that kills or changes its broker starts its own Kafka."""
    if given := os.environ.get("CHATFERRY_TEST_BROKERS"):
        yield GivenKafka(given)
        return
    with _directory() as directory, _missing_services_fail(), Kafka(directory) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB | GivenMariaDB]:
    """A MariaDB that all tests share: one that kills or changes its server starts its own MariaDB."""
    if given := os.environ.get("CHATFERRY_TEST_DATABASE"):
        yield GivenMariaDB(given)
        return
    with _directory() as directory, _missing_services_fail(), MariaDB(directory) as server:
        yield server


@pytest.fixture
def ferry(tmp_path: Path) -> Iterator[Ferry]:
    """Runs `chatferry` in tmp_path; what it started is ended with the test, by process id."""
    ferry = Ferry(tmp_path)
    yield ferry
    for running in ferry.running:
        running.kill()


@pytest.fixture
def server_directory() -> Iterator[Path]:
    """An empty directory for a server of the test's own."""
    with _directory() as directory:
        yield directory


@pytest.fixture
def topic() -> str:
    """The name of a topic that no test has used; it is not created."""
    return _unique("topic")


@pytest.fixture
def group() -> str:
    """The name of a consumer group that no test has used."""
    return _unique("group")


@pytest.fixture
def mysql_url(mariadb: MariaDB | GivenMariaDB) -> Iterator[str]:
    """The URL of an empty database on the shared MariaDB, dropped when the test ends."""
    name = _unique("test")
    yield mariadb.create_database(name)
    mariadb.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'chat.db'}"
