"""What the fault tests may ask for beside the servers."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from consumer.stores.engine import make_engine
from ops.database import upgrade
from tests.acceptance.ferry import Ferry
from tests.faults.place import DATABASE, Place
from tests.faults.rig import PARTITIONS, create_topic
from tests.faults.runs import Net
from tests.services.cluster import Cluster
from tests.services.kafka import GivenKafka, Kafka
from tests.services.mariadb import MariaDB
from tests.services.process import free_port
from tests.services.proxy import Proxy


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


@pytest.fixture(scope="session")
def proxied_kafka() -> Iterator[tuple[Kafka, Proxy]]:
    """A Kafka, and a proxy that clients stay behind who come through it."""
    with (
        tempfile.TemporaryDirectory(prefix="chatferry-tests-") as directory,
        Proxy(free_port()) as proxy,
        Kafka(Path(directory), proxy=proxy) as kafka,
    ):
        yield kafka, proxy


@pytest.fixture
def net(proxied_kafka: tuple[Kafka, Proxy], topic: str, group: str, database: str, ferry: Ferry) -> Iterator[Net]:
    """A topic and a table, each with a proxy on the way to it."""
    kafka, proxy = proxied_kafka
    create_topic(kafka.brokers, topic, PARTITIONS)
    create_topic(kafka.brokers, f"{topic}.dlq", 1)
    url = make_url(database)
    assert url.port is not None
    with Proxy(url.port) as database_proxy:
        behind = url.set(host="127.0.0.1", port=database_proxy.port).render_as_string(hide_password=False)
        yield Net(ferry, kafka.brokers, topic, group, database, proxy, database_proxy, behind)
    proxy.heal()


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[Cluster]:
    """Three nodes for all tests of a run."""
    with tempfile.TemporaryDirectory(prefix="chatferry-tests-") as directory, Cluster(Path(directory)) as cluster:
        yield cluster


@pytest.fixture
def cluster(running_cluster: Cluster) -> Cluster:
    """Three nodes, all well."""
    running_cluster.start()
    return running_cluster
