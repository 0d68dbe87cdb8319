"""The group protocol is the broker's to offer, and is asked for."""

from pathlib import Path
from typing import Any

from consumer.client import consumer_settings
from consumer.protocol import offers_kip_848
from ops.broker import embedded_broker
from tests.services.kafka import Kafka


def offered(brokers: str) -> bool:
    """Whether these brokers offer KIP-848, as `consume` asks."""
    return offers_kip_848(consumer_settings(brokers, {}, None, "group"))


def test_kafka_offers_the_consumer_protocol(kafka: Any) -> None:
    assert offered(kafka.brokers)
    assert offered(f"127.0.0.1:9,{kafka.brokers}")  # the first that answers counts


def test_kafka_without_the_feature_does_not(server_directory: Path) -> None:
    with Kafka(server_directory, classic_only=True) as classic:
        assert not offered(classic.brokers)


def test_the_embedded_broker_does_not() -> None:
    with embedded_broker() as brokers:
        assert not offered(brokers)


def test_nobody_there_means_the_protocol_that_works_everywhere() -> None:
    assert not offered("127.0.0.1:9")
