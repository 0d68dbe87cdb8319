"""Apache Kafka on the loopback address: a node that is both broker and controller."""

import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.services.process import ServerError, ServerProcess, ServicesMissingError, free_port, installed
from tests.services.proxy import Proxy

NODE_ID = 1
CLUSTER_ID = "Y2hhdGZlcnJ5LXRlc3RzIQ"  # any 16 bytes in base64: the storage is formatted for one cluster

# One node keeps every internal topic alone. The group.* times let a killed or paused member be noticed in
# seconds, by either group protocol, and let a group's first member work at once. The controller refuses a
# node that comes back from a crash until broker.session.timeout.ms is over: 9 s by Kafka's default.
DEFAULTS: Mapping[str, str | int] = {
    "auto.create.topics.enable": "false",
    "broker.heartbeat.interval.ms": 500,
    "broker.session.timeout.ms": 2000,
    "group.initial.rebalance.delay.ms": 0,
    "group.min.session.timeout.ms": 1000,
    "group.consumer.session.timeout.ms": 6000,
    "group.consumer.min.session.timeout.ms": 6000,
    "group.consumer.heartbeat.interval.ms": 500,
    "group.consumer.min.heartbeat.interval.ms": 500,
    "offsets.topic.num.partitions": 4,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.num.partitions": 2,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.num.partitions": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
}

LOGGING = (
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)


@dataclass(frozen=True)
class GivenKafka:
    """A Kafka that somebody else started; `brokers` as in bootstrap.servers."""

    brokers: str


class Kafka(ServerProcess):
    """A Kafka node of our own; `brokers` is its address as in bootstrap.servers.

    `properties` are server properties that add to or replace DEFAULTS. `heap` is the JVM's -Xmx.
    `classic_only` formats the storage at group.version=0: the broker then refuses the KIP-848 group protocol,
    as a cluster upgraded from Kafka 3 does until its operator raises that feature. A node with another `node_id`
    than 1 is one of a cluster's (see `tests.services.cluster`); `controller` is then the port that its peers know.
    Clients that come through `proxy` stay behind it; `brokers` is the way around it.
    `listeners` are more of them by their names, upper case; what each speaks is in `properties`. `scram` is the
    password of each user that a listener with SASL/SCRAM-SHA-512 knows.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        properties: Mapping[str, str | int] | None = None,
        heap: str = "512m",
        classic_only: bool = False,
        node_id: int = NODE_ID,
        controller: int | None = None,
        proxy: Proxy | None = None,
        listeners: Sequence[str] = (),
        scram: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port or free_port()
        self.node_id = node_id
        self.brokers = f"127.0.0.1:{self.port}"
        self._configuration = directory / "server.properties"
        self.listeners = {name: f"127.0.0.1:{free_port()}" for name in listeners}
        self._formatting = ["--feature", "group.version=0"] if classic_only else []
        for user, password in (scram or {}).items():
            self._formatting += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"]
        node = _node_properties(
            node_id, self.brokers, f"127.0.0.1:{controller or free_port()}", directory / "data", self.listeners
        )
        proxied = _behind(proxy, str(node["listeners"])) if proxy else {}
        self._properties = {**DEFAULTS, **node, **proxied, **(properties or {})}
        super().__init__([*_java(heap), "kafka.Kafka", str(self._configuration)], directory=directory)

    def _prepare(self) -> None:
        if self._configuration.exists():
            return
        self._configuration.write_text("".join(f"{key}={value}\n" for key, value in self._properties.items()))
        try:
            self._format()
        except ServerError:
            self._configuration.unlink()  # so that another start() formats again
            raise

    def _format(self) -> None:
        arguments = ["format", "-t", CLUSTER_ID, "-c", str(self._configuration), *self._formatting]
        done = subprocess.run(
            [*_java("128m"), "kafka.tools.StorageTool", *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ServerError(f"Kafka's storage tool failed: {done.stdout}{done.stderr}")

    def _ready(self) -> bool:
        # The port first: against a closed one librdkafka backs off for longer than the node takes to start.
        if not _listens(self.port):
            return False
        admin = AdminClient({"bootstrap.servers": self.brokers, "log_level": 0})
        try:
            return self.node_id in admin.list_topics(timeout=1).brokers
        except KafkaException:
            return False


def _behind(proxy: Proxy, listeners: str) -> dict[str, str]:
    """A second listener, at the proxy's target: who asks there is sent to the proxy from then on."""
    return {
        "listeners": f"{listeners},PROXIED://127.0.0.1:{proxy.target}",
        "advertised.listeners": f"{listeners.split(',', maxsplit=1)[0]},PROXIED://{proxy.address}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }


def _node_properties(
    node_id: int, broker: str, controller: str, data: Path, more: Mapping[str, str]
) -> dict[str, str | int]:
    listeners = {"PLAINTEXT": broker, "CONTROLLER": controller, **more}
    return {
        "process.roles": "broker,controller",
        "node.id": node_id,
        "listeners": ",".join(f"{name}://{address}" for name, address in listeners.items()),
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"{node_id}@{controller}",
        "log.dirs": str(data),
    }


def _java(heap: str) -> list[str]:
    java = shutil.which("java")
    if java is None:
        raise ServicesMissingError("java")
    return [java, f"-Xmx{heap}", *LOGGING, "-cp", f"{installed('lib')}/*"]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
