"""The servers that the other tests stand on are what those tests take them for."""

import time
from pathlib import Path

import pymysql
import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from tests.services.kafka import GivenKafka, Kafka
from tests.services.mariadb import GivenMariaDB, MariaDB
from tests.services.process import ServerError, free_port


def create_topic(brokers: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": brokers})
    for created in admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)]).values():
        created.result()


def produce(brokers: str, topic: str, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
    producer.produce(topic, value)
    assert producer.flush(30) == 0


def first_message(brokers: str, topic: str, group: str, protocol: str) -> Message:
    """The first thing that a consumer of this group gets within 30 s: a record, or an error as a message."""
    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": group,
            "group.protocol": protocol,
            "auto.offset.reset": "earliest",
        }
    )
    try:
        consumer.subscribe([topic])
        message = consumer.poll(30)
        assert message is not None, "nothing came in 30 s"
        return message
    finally:
        consumer.close()


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_a_record_goes_through_kafka_by_either_group_protocol(
    kafka: Kafka | GivenKafka, topic: str, group: str, protocol: str
) -> None:
    create_topic(kafka.brokers, topic)
    produce(kafka.brokers, topic, b"hello")
    assert first_message(kafka.brokers, topic, group, protocol).value() == b"hello"


@pytest.mark.long
def test_classic_only_kafka_refuses_the_new_group_protocol_at_once_and_serves_the_classic_one(
    server_directory: Path, topic: str, group: str
) -> None:
    with Kafka(server_directory, classic_only=True) as kafka:
        create_topic(kafka.brokers, topic)
        produce(kafka.brokers, topic, b"hello")
        error = first_message(kafka.brokers, topic, group, "consumer").error()
        assert error is not None
        assert error.code() == KafkaError._FATAL
        assert "API version not supported" in error.str()
        assert first_message(kafka.brokers, topic, group, "classic").value() == b"hello"


@pytest.mark.long
def test_killed_kafka_keeps_its_records_and_its_address(server_directory: Path, topic: str, group: str) -> None:
    with Kafka(server_directory) as kafka:
        create_topic(kafka.brokers, topic)
        produce(kafka.brokers, topic, b"hello")
        kafka.kill()
        kafka.start()
        assert first_message(kafka.brokers, topic, group, "consumer").value() == b"hello"


def test_paused_kafka_answers_again_when_resumed(server_directory: Path) -> None:
    with Kafka(server_directory) as kafka:
        kafka.pause()
        assert not kafka._ready()
        kafka.resume()
        deadline = time.monotonic() + 30
        while not kafka._ready():
            assert time.monotonic() < deadline, "not back 30 s after it was resumed"


def test_kafka_that_cannot_start_fails_with_the_end_of_its_log(server_directory: Path) -> None:
    kafka = Kafka(server_directory, properties={"group.consumer.heartbeat.interval.ms": 60_000})
    with pytest.raises(ServerError, match=r"group\.consumer\.heartbeat\.interval\.ms"):
        kafka.start()


def test_mariadb_loads_from_the_client_into_a_database_of_the_tests_own(
    mariadb: MariaDB | GivenMariaDB, mysql_url: str, tmp_path: Path
) -> None:
    database = make_url(mysql_url).database or ""
    mariadb.execute("CREATE TABLE chat (line VARCHAR(20))", database)
    file = tmp_path / "lines"
    file.write_text("one\ntwo\n")
    url = make_url(mysql_url)
    connection = pymysql.connect(
        host=url.host or "",
        port=url.port or 3306,
        user=url.username,
        password=url.password or "",
        database=database,
        local_infile=True,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("LOAD DATA LOCAL INFILE %s INTO TABLE chat", [str(file)])
        connection.commit()
    assert mariadb.execute("SELECT line FROM chat ORDER BY line", database) == [("one",), ("two",)]


def test_mariadb_can_forbid_the_load_from_the_client(server_directory: Path) -> None:
    with MariaDB(server_directory, options=["--local-infile=0"]) as mariadb:
        assert mariadb.execute("SELECT @@local_infile") == [(0,)]


def test_killed_mariadb_keeps_its_rows_and_its_address(server_directory: Path) -> None:
    with MariaDB(server_directory) as mariadb:
        mariadb.create_database("chat")
        mariadb.execute("CREATE TABLE chat (line VARCHAR(20))", "chat")
        mariadb.execute("INSERT INTO chat VALUES ('one')", "chat")
        mariadb.kill()
        assert mariadb.ended()
        mariadb.start()
        assert mariadb.execute("SELECT line FROM chat", "chat") == [("one",)]


def test_paused_mariadb_is_not_waited_for_without_an_end_and_answers_again_when_resumed(server_directory: Path) -> None:
    with MariaDB(server_directory) as mariadb:
        mariadb.pause()
        assert mariadb.paused()
        with pytest.raises(OperationalError, match="timed out"):
            mariadb.execute("SELECT 1", seconds=0.5)
        mariadb.resume()
        assert not mariadb.paused()
        assert mariadb.execute("SELECT 1") == [(1,)]


def test_mariadb_that_cannot_start_fails_with_the_end_of_its_log(server_directory: Path) -> None:
    mariadb = MariaDB(server_directory, options=["--no-such-option"])
    with pytest.raises(ServerError, match="no-such-option"):
        mariadb.start()


def test_free_port_is_one_that_outgoing_connections_do_not_take() -> None:
    assert 20_000 <= free_port() <= 32_000
