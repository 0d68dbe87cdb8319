"""Three Apache Kafka nodes on the loopback address, each both broker and controller."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import PartitionMetadata

from tests.services.kafka import Kafka
from tests.services.process import free_port
from tests.services.proxy import Proxy

NODES = (1, 2, 3)

DEFAULTS: Mapping[str, str | int] = {
    "default.replication.factor": 3,
    "min.insync.replicas": 2,
    "offsets.topic.replication.factor": 3,
    "replica.lag.time.max.ms": 3000,  # so soon a dead follower is let go of, and acks=all goes on without it
    "controller.quorum.election.timeout.ms": 500,
    "controller.quorum.election.backoff.max.ms": 500,
    "controller.quorum.fetch.timeout.ms": 1000,
    "leader.imbalance.check.interval.seconds": 1,  # leaders go home, so that each node has some to lose
    "leader.imbalance.per.broker.percentage": 0,
}


class Cluster:
    """The nodes by number, 1 to 3; `brokers` are their addresses as in bootstrap.servers.

    `proxies`, one a node, lead to a second listener of each, at their targets: who asks there stays behind them.
    """

    def __init__(self, directory: Path, *, heap: str = "320m", proxies: Sequence[Proxy] = ()) -> None:
        ports = {node: (free_port(), free_port()) for node in NODES}
        voters = ",".join(f"{node}@127.0.0.1:{controller}" for node, (_, controller) in ports.items())
        self.nodes = {
            node: Kafka(
                _made(directory / str(node)),
                port=port,
                heap=heap,
                node_id=node,
                controller=controller,
                proxy=proxies[node - 1] if proxies else None,
                properties={**DEFAULTS, "controller.quorum.voters": voters},
            )
            for node, (port, controller) in ports.items()
        }
        self.brokers = ",".join(kafka.brokers for kafka in self.nodes.values())

    def start(self) -> None:
        """Start the nodes that do not run, wake those that are paused, and return when all are ready."""
        for kafka in self.nodes.values():
            if kafka.ended():
                kafka.launch()
            else:
                kafka.resume()
        for kafka in self.nodes.values():
            kafka.wait_until_ready()

    def leader(self, topic: str, partition: int) -> int | None:
        """The node that leads a partition; None while there is none, or none that says so."""
        known = self._ask(topic)
        return known[partition].leader if known and known[partition].leader in NODES else None

    def in_sync(self, topic: str) -> bool:
        """Whether every node has all of the topic, and says so."""
        known = self._ask(topic)
        return bool(known) and all(sorted(partition.isrs) == sorted(NODES) for partition in known.values())

    def _ask(self, topic: str) -> dict[int, PartitionMetadata]:
        """The topic's partitions by number; none where no node answers."""
        admin = AdminClient({"bootstrap.servers": self.brokers, "log_level": 0})
        try:
            return dict(admin.list_topics(topic, timeout=5).topics[topic].partitions)
        except KafkaException:  # a node is away
            return {}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()  # in their orderly way the last ones would wait for a quorum; the data go anyway

    def _kill(self) -> None:
        for kafka in self.nodes.values():
            kafka.kill()


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
