"""What the fault tests may ask for beside the servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumer.stores.engine import make_engine
from ops.database import upgrade
from tests.acceptance.ferry import Ferry
from tests.faults.place import DATABASE, Place
from tests.faults.rig import PARTITIONS, create_topic
from tests.services.kafka import GivenKafka, Kafka
from tests.services.mariadb import MariaDB


@pytest.fixture
def ferry(tmp_path: Path) -> Iterator[Ferry]:
    """Runs `chatferry` in tmp_path; what it started is ended with the test, by process id."""
    ferry = Ferry(tmp_path)
    yield ferry
    for running in ferry.running:
        running.kill()


@pytest.fixture
def brokers(kafka: Kafka | GivenKafka, topic: str) -> str:
    """The shared Kafka, with an empty `topic` on it and its dead letters."""
    create_topic(kafka.brokers, topic, PARTITIONS)
    create_topic(kafka.brokers, f"{topic}.dlq", 1)
    return kafka.brokers


@pytest.fixture
def database(mysql_url: str) -> str:
    """The URL of a database with an empty table."""
    engine = make_engine(mysql_url)
    upgrade(engine)
    engine.dispose()
    return mysql_url


@pytest.fixture
def place(brokers: str, topic: str, group: str, server_directory: Path, ferry: Ferry) -> Iterator[Place]:
    """An empty table on a MariaDB of the test's own."""
    with MariaDB(server_directory) as mariadb:
        mariadb.create_database(DATABASE)
        place = Place(ferry, brokers, topic, group, mariadb)
        place.upgrade()
        yield place
