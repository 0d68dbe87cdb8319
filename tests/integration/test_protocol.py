"""The group protocol is the broker's to offer, and is asked for."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from consumer.client import consumer_settings
from consumer.protocol import offers_kip_848
from ops.broker import embedded_broker
from tests.acceptance.ferry import Ferry, committed, count_rows, message, publish
from tests.faults.rig import create_topic
from tests.services.kafka import Kafka


@pytest.fixture(scope="module")
def classic() -> Iterator[Kafka]:
    """A Kafka that refuses the new protocol."""
    with (
        tempfile.TemporaryDirectory(prefix="chatferry-tests-") as directory,
        Kafka(Path(directory), classic_only=True) as server,
    ):
        yield server


def offered(brokers: str) -> bool:
    """Whether these brokers offer KIP-848, as `consume` asks."""
    return offers_kip_848(consumer_settings(brokers, {}, None, "group"))


def test_kafka_offers_the_consumer_protocol(kafka: Any) -> None:
    assert offered(kafka.brokers)
    assert offered(f"127.0.0.1:9,{kafka.brokers}")  # the first that answers counts


def test_kafka_without_the_feature_does_not(classic: Kafka) -> None:
    assert not offered(classic.brokers)


def test_the_embedded_broker_does_not() -> None:
    with embedded_broker() as brokers:
        assert not offered(brokers)


def test_nobody_there_means_the_protocol_that_works_everywhere() -> None:
    assert not offered("127.0.0.1:9")


LINES = 100


def consume_by_subscription(brokers: str, topic: str, folder: Path, *more: str) -> str:
    """Put lines on a new topic and have a group of two workers store them; what the command said."""
    for name in (topic, f"{topic}.dlq"):
        create_topic(brokers, name, 2)
    publish(brokers, topic, [*map(message, range(LINES)), b"bad"], [0, 1])
    ferry, database = Ferry(folder), f"sqlite:///{folder / 'chat.db'}"
    ferry.run("db", "upgrade", "--database", database)
    named = ["--brokers", brokers, "--topic", topic, "--group", topic, "--database", database, "--workers", "2"]
    result = ferry.run("consume", *named, "--until-end", "--json", "-v", *more)
    assert (result.json["rows"], result.json["dead_letters"]) == (LINES, 1)
    assert count_rows(database) == LINES
    assert sum(committed(brokers, topic).values()) == LINES + 1
    return result.err


def test_workers_consume_by_the_consumer_protocol(kafka: Any, topic: str, tmp_path: Path) -> None:
    assert " offers KIP-848" in consume_by_subscription(kafka.brokers, topic, tmp_path)


def test_workers_consume_by_the_classic_protocol_where_the_broker_offers_no_other(
    classic: Kafka, topic: str, tmp_path: Path
) -> None:
    assert " does not offer KIP-848" in consume_by_subscription(classic.brokers, topic, tmp_path)


def test_workers_consume_from_the_embedded_broker(topic: str, tmp_path: Path) -> None:
    with embedded_broker() as brokers:
        said = consume_by_subscription(brokers, topic, tmp_path, "-X", "session.timeout.ms=3000")
    assert " does not offer KIP-848" in said
