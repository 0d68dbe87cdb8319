"""Workers that die or freeze at one exact point, and what a test needs to look at Kafka from outside.

The worker is the real one in a process of its own, without a supervisor; a failpoint (`terminal.failpoints`) sends it a
signal at the place that the test names.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

import pymysql
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic
from sqlalchemy import make_url

from consumer.client import consumer_settings, with_protocol
from consumer.dead_letters import dead_letter_settings
from consumer.process import open_its_store, work
from consumer.stores.store import Store, Stored
from schemas.message import Row
from schemas.reports import BatchDone, WorkerOrder
from terminal.failpoints import VARIABLE
from tests.acceptance.ferry import SECONDS, message, publish, query, wait_until

PARTITIONS = 2
"""Of the topic that the `brokers` fixture makes."""

LINES = 2_000
"""That `fill` puts on it, unless told otherwise."""


class HeldStore:
    """A real store whose first batch waits until a file is there."""

    def __init__(self, store: Store, gate: Path) -> None:
        self._store = store
        self._gate = gate

    @property
    def before_commit(self) -> Callable[[], None]:
        return self._store.before_commit

    @before_commit.setter
    def before_commit(self, called: Callable[[], None]) -> None:
        self._store.before_commit = called

    @property
    def careful(self) -> bool:
        return self._store.careful

    def prepare(self, rows: Sequence[Row], lines: Sequence[bytes]) -> Sequence[Any]:
        return self._store.prepare(rows, lines)

    def save(self, ready: Sequence[Any]) -> Stored:
        self._gate.with_suffix(".held").touch()
        wait_until(self._gate.exists, "the batch is let go")
        return self._store.save(ready)

    def save_carefully(self, rows: Sequence[Row]) -> Stored:
        return self._store.save_carefully(rows)

    def close(self) -> None:
        self._store.close()


def work_beside(order: WorkerOrder, supervisor: Connection, log: str, *, hold: bool) -> None:
    """The work of a worker's process. `log` is the file that gets stderr; with `hold` its first batch waits."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, sys.stderr.fileno())

    def open_held(order: WorkerOrder) -> Store:
        return HeldStore(open_its_store(order), gate_of(Path(log)))

    work(order, supervisor, open_held if hold else open_its_store)


@contextmanager
def environment(failpoint: str) -> Iterator[None]:
    """What is started meanwhile has this failpoint; "" is none."""
    if failpoint:
        os.environ[VARIABLE] = failpoint
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)


def gate_of(log: Path) -> Path:
    """The file that lets a held batch go."""
    return log.with_suffix(".gate")


class WorkerProcess:
    """One worker without a supervisor: started, listened to, told to end; killed at the end of its block."""

    def __init__(self, order: WorkerOrder, log: Path, failpoint: str = "", *, hold: bool = False) -> None:
        """`failpoint` is as in CHATFERRY_FAILPOINT; with `hold` the first batch waits until `release`."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=work_beside, args=(order, theirs, str(log)), kwargs={"hold": hold}, daemon=True
        )
        with environment(failpoint):
            self._process.start()
        theirs.close()
        self._log = log
        self.reports: list[BatchDone] = []

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it wrote to stderr so far."""
        return self._log.read_text() if self._log.exists() else ""

    def listen(self) -> list[BatchDone]:
        """Its reports so far."""
        try:
            while self._pipe.poll():
                said = self._pipe.recv()
                if isinstance(said, BatchDone):
                    self.reports.append(said)
        except (EOFError, ConnectionResetError):
            pass
        return self.reports

    @property
    def rows(self) -> int:
        return sum(report.rows for report in self.listen())

    @property
    def repeats(self) -> int:
        return sum(report.repeats for report in self.listen())

    def wait_until_over(self) -> int:
        """Wait for its end; its exit status, negative for a signal."""
        self._process.join(SECONDS)
        assert self._process.exitcode is not None, f"process {self.pid} did not end in {SECONDS} s: {self.log}"
        self.listen()
        return self._process.exitcode

    def end(self) -> int:
        """Tell it to end, as its supervisor would; its exit status."""
        self._pipe.send("end")
        return self.wait_until_over()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    @property
    def holds(self) -> bool:
        """Whether its first batch waits before the database."""
        return gate_of(self._log).with_suffix(".held").exists()

    def release(self) -> None:
        """Let the held batch go to the database."""
        gate_of(self._log).touch()

    @property
    def frozen(self) -> bool:
        """Whether a STOP holds it."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()
        self._process.close()


def worker_order(brokers: str, topic: str, group: str, database: str, **kafka: str) -> WorkerOrder:
    """The order that `chatferry consume` would give; `kafka` as after -X, with _ for a dot."""
    extra = {key.replace("_", "."): value for key, value in kafka.items()}
    kip_848 = extra.pop("group.protocol", "consumer") == "consumer"
    settings = consumer_settings(brokers, extra, None, group)
    return WorkerOrder(
        number=0,
        topic=topic,
        dead_letter_topic=f"{topic}.dlq",
        database=database,
        kafka=with_protocol(settings, kip_848=kip_848),
        dead_letter_kafka=dead_letter_settings(brokers, {}, None),
    )


def second(order: WorkerOrder) -> WorkerOrder:
    """The same order for another worker."""
    return replace(order, number=order.number + 1)


# -- Kafka, from outside -----------------------------------------------------------------------------------------------


def be_patient(brokers: str, group: str) -> None:
    """Let the members of a group be silent for 45 s by the new protocol, Kafka's default: the tests' broker says 6."""
    patience = ConfigEntry("consumer.session.timeout.ms", "45000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.GROUP, group, incremental_configs=[patience])
    admin = _admin(brokers)
    for altered in admin.incremental_alter_configs([resource]).values():
        altered.result(SECONDS)


def _admin(brokers: str) -> AdminClient:
    """It must outlive the answers it is asked for."""
    return AdminClient({"bootstrap.servers": brokers, "log_level": 2})


def create_topic(brokers: str, topic: str, partitions: int, replication_factor: int = 1, **config: str | int) -> None:
    """Make a topic; `config` with _ for a dot."""
    settings = {key.replace("_", "."): str(value) for key, value in config.items()}
    admin = _admin(brokers)
    admin.create_topics([NewTopic(topic, partitions, replication_factor, config=settings)])[topic].result()


def set_topic_config(brokers: str, topic: str, name: str, value: int | str) -> None:
    """Change one setting of a topic, and return when the broker says that it holds."""
    admin = _admin(brokers)
    entry = ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result()

    def holds() -> bool:
        asked = ConfigResource(ResourceType.TOPIC, topic)
        return bool(admin.describe_configs([asked])[asked].result()[name].value == str(value))

    wait_until(holds, f"{name} of {topic} is {value}")


def owners(brokers: str, group: str) -> dict[str, list[int]]:
    """The partitions of each of the group's members, as the broker has assigned them."""
    admin = _admin(brokers)
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            members = admin.describe_consumer_groups([group])[group].result().members
        except KafkaException:  # its coordinator is not there yet
            if time.monotonic() > deadline:
                raise
        else:
            break
    places = {member.member_id: member.assignment.topic_partitions if member.assignment else [] for member in members}
    return {member: sorted(place.partition for place in theirs) for member, theirs in places.items()}


def forget(brokers: str, group: str) -> None:
    """Delete a group without members and its offsets, as their expiry does."""
    admin = _admin(brokers)
    admin.delete_consumer_groups([group])[group].result()


def delete_topic(brokers: str, topic: str) -> None:
    """Delete a topic, and return when it is gone."""
    admin = _admin(brokers)
    admin.delete_topics([topic])[topic].result()
    wait_until(lambda: topic not in admin.list_topics(timeout=SECONDS).topics, f"{topic} is gone")


def commit(brokers: str, group: str, topic: str, offsets: dict[int, int]) -> None:
    """Set the offsets of a group that has no members."""
    places = [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
    asked = ConsumerGroupTopicPartitions(group, places)
    admin = _admin(brokers)
    admin.alter_consumer_group_offsets([asked])[group].result()


def delete_records(brokers: str, topic: str, before: dict[int, int]) -> None:
    """Delete what lies before these offsets, as retention does."""
    places = [TopicPartition(topic, partition, offset) for partition, offset in before.items()]
    admin = _admin(brokers)
    for done in admin.delete_records(places).values():
        done.result()


# -- what is on the topic, and in the table ----------------------------------------------------------------------------


def fill(brokers: str, topic: str, lines: int = LINES, *, start: int = 0) -> list[str]:
    """Put good lines on the topic, evenly over its partitions; their ids."""
    numbers = range(start, start + lines)
    publish(brokers, topic, (message(number) for number in numbers), range(PARTITIONS))
    return [f"id-{number}" for number in numbers]


def connect(database: str) -> Any:
    """A connection past all that the product has; the caller closes it."""
    url = make_url(database)
    return pymysql.connect(
        host=url.host, port=url.port or 0, user=url.username, password=url.password or "", database=url.database
    )


def ids(database: str) -> list[str]:
    """The ids in the table."""
    return [name for (name,) in query(database, "SELECT id FROM chat_messages")]
