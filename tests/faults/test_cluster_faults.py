"""Three brokers: leaders that die, too few replicas, a broker that freezes, all under produce and consume."""

import json
import signal
from collections import Counter
from collections.abc import Iterator

import pytest

from consumer.stores.engine import make_engine
from ops.database import upgrade
from tests.acceptance.ferry import SECONDS, Ferry, committed, count_rows, lines_of, message, values, wait_until
from tests.faults.rig import PARTITIONS, create_topic
from tests.faults.runs import assert_exact, consume, write_log
from tests.services.cluster import Cluster

pytestmark = pytest.mark.long

RATE = 1_500

REQUEST_SECONDS = 60.0
"""So long a client waits for a broker that is frozen: its socket.timeout.ms."""


class Traffic:
    """A producer and two workers on a topic of the cluster; one more line than was sent, and one fewer, is seen."""

    def __init__(self, ferry: Ferry, cluster: Cluster, topic: str, group: str, database: str) -> None:
        self.cluster = cluster
        self.topic = topic
        self._group = group
        self.database = database
        self._ferry = ferry
        self._folder = ferry.folder

    def create(self, min_insync_replicas: int = 2) -> None:
        """The topic and its dead letters."""
        options = {"replication_factor": 3, "min_insync_replicas": min_insync_replicas}
        create_topic(self.cluster.brokers, self.topic, PARTITIONS, **options)
        create_topic(self.cluster.brokers, f"{self.topic}.dlq", 1, **options)
        wait_until(lambda: self.cluster.in_sync(self.topic), "every node has the topic")

    def start(self) -> None:
        """Both sides, and wait until lines come through."""
        self.log = write_log(self._folder / "chat.jsonl", 0)
        self.lines = 0
        brokers = self.cluster.brokers
        named = ["--brokers", brokers, "--topic", self.topic, "--state", str(self._folder / "state"), "--json"]
        self.producer = self._ferry.start("produce", self.log, *named, "--follow", "--rate", str(RATE))
        self.consumer = consume(self._ferry, brokers, self.topic, self._group, self.database, workers=2)
        self.write()
        self.come_through()

    def write(self) -> None:
        """More lines into the log: two seconds of traffic."""
        with self.log.open("ab") as log:
            log.write(b"".join(message(number) + b"\n" for number in range(self.lines, self.lines + 2 * RATE)))
        self.lines += 2 * RATE

    def flow(self) -> None:
        """More lines into the log, and wait until the first ones come through: the others are on their way then."""
        before = self.lines
        self.write()
        self.consumer.wait_until(lambda: count_rows(self.database) > before, "the first lines come through")
        assert count_rows(self.database) < self.lines, "there is no traffic"

    def come_through(self, seconds: float = SECONDS) -> None:
        """Wait until every line is in the table."""
        self.consumer.wait_until(lambda: count_rows(self.database) == self.lines, "every line comes through", seconds)

    @property
    def acknowledged_bytes(self) -> int:
        """Where the checkpoint stands."""
        return sum(json.loads(file.read_bytes())["offset"] for file in (self._folder / "state").glob("*.json"))

    def finish(self) -> None:
        """Fresh lines, and the end: the topic has each line once, so has the table, and everything is committed."""
        brokers = self.cluster.brokers
        self.write()
        self.come_through()
        self.consumer.wait_until(self._everything_is_committed, "everything is committed")
        produced, consumed = self.producer.end(signal.SIGTERM), self.consumer.end(signal.SIGTERM)
        assert (produced.status, produced.json["acknowledged"]) == (143, self.lines), produced.err
        assert consumed.status == 143, consumed.err
        assert "another takes its place" not in consumed.err
        assert Counter(values(brokers, self.topic)) == Counter(lines_of(self.log))
        assert_exact(self.database, self.lines)
        assert values(brokers, f"{self.topic}.dlq") == []

    def _everything_is_committed(self) -> bool:
        return sum(committed(self.cluster.brokers, self._group).values()) == self.lines


@pytest.fixture
def traffic(ferry: Ferry, cluster: Cluster, topic: str, group: str, mysql_url: str) -> Iterator[Traffic]:
    """The topic is not there yet, the table is; the nodes are well again afterwards."""
    engine = make_engine(mysql_url)
    upgrade(engine)
    engine.dispose()
    yield Traffic(ferry, cluster, topic, group, mysql_url)
    cluster.start()


def test_leader_bounced_five_times_loses_and_doubles_nothing(traffic: Traffic) -> None:
    cluster = traffic.cluster
    traffic.create()
    traffic.start()
    for turn in range(5):
        leader = cluster.leader(traffic.topic, 0)
        assert leader is not None
        node = cluster.nodes[leader]
        traffic.flow()
        (node.stop if turn % 2 == 0 else node.kill)()
        wait_until(lambda left=leader: cluster.leader(traffic.topic, 0) not in (None, left), "another leads")  # type: ignore[misc]
        traffic.come_through()
        traffic.flow()
        node.start()
        wait_until(lambda: cluster.in_sync(traffic.topic), "every node has all again")
        traffic.come_through()
    traffic.finish()


@pytest.mark.parametrize("away", [1, 2])
def test_fewer_replicas_than_min_insync_make_the_producer_wait_and_lose_nothing(traffic: Traffic, away: int) -> None:
    cluster = traffic.cluster
    traffic.create(min_insync_replicas=3 if away == 1 else 2)  # with two of three away there is no controller either
    traffic.start()
    traffic.flow()
    for node in list(cluster.nodes.values())[:away]:
        node.kill()
    traffic.write()
    traffic.producer.wait_until(lambda: "Nothing acknowledged for" in traffic.producer.err, "the producer says so")
    assert 0 < traffic.acknowledged_bytes < traffic.log.stat().st_size
    assert count_rows(traffic.database) < traffic.lines
    cluster.start()
    traffic.come_through()
    traffic.finish()


def test_broker_paused_under_produce_and_consume_costs_time_only(traffic: Traffic) -> None:
    cluster = traffic.cluster
    traffic.create()
    traffic.start()
    leader = cluster.leader(traffic.topic, 0)
    assert leader is not None
    traffic.flow()
    cluster.nodes[leader].pause()
    wait_until(lambda: cluster.leader(traffic.topic, 0) not in (None, leader), "another leads")
    traffic.come_through(REQUEST_SECONDS + SECONDS)
    traffic.flow()
    cluster.nodes[leader].resume()
    wait_until(lambda: cluster.in_sync(traffic.topic), "every node has all again")
    traffic.come_through()
    traffic.finish()
