"""Other ways to put a log file on a topic: baselines of `chatferry produce`.

    python -m benchmarks.senders [kcat] [perf_tool] [chatferry] [--lines 100_000]

Each sends a whole log to a fresh topic of `PARTITIONS` partitions: acks=all, idempotent, lz4, with the linger, the
batch and the window in flight of chatferry's producer. The rate is lines a second from the start of the process to
its exit, start-up included; `main` is the CPU of that process.
"""

from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from benchmarks import tools
from benchmarks.measure import CommandFailed, Missing, Sample
from benchmarks.site import Done, Site, sample
from producer.client import QUEUE_KILOBYTES, producer_settings
from tests.services.kafka import LOGGING
from tests.services.process import ServicesMissingError, installed

BATCH_BYTES = 1_000_000
"""librdkafka's batch.size, which chatferry leaves as it is; Java's own, 16 KiB, is far slower for small lines."""

HEAP = "2g"
"""The performance tool holds the whole file several times over: as bytes, as text, as lines."""

OWN = frozenset({"client.id", "bootstrap.servers"})  # of chatferry's settings, those that name it and the server


def install() -> None:
    """Install kcat; needs root."""
    tools.apt_install("kcat")


def kcat(site: Site, log: Path) -> Sample:
    """kcat -P -l with chatferry's own settings of librdkafka (kcat brings an older one: Debian 12's is 2.0.2).

    kcat leaves blank lines out. Raises `Missing` without kcat, `CommandFailed` where not every line arrived.
    """
    topic = site.topic()
    settings = producer_settings(site.kafka.brokers, {}, None)
    properties = [f"-X{key}={_text(value)}" for key, value in settings.items() if key not in OWN]
    command = [tools.program("kcat", "kcat"), "-P", "-b", site.kafka.brokers, "-t", topic, *properties, "-l", str(log)]
    return _sent(site, topic, log, tools.run(site, command))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def perf_tool(site: Site, log: Path) -> Sample:
    """Kafka's ProducerPerformance: as many records as the log has lines, drawn from them at random, unthrottled.

    `more["own_rate"]` is the rate that it reports itself, in records a second: its JVM's start and its reading of the
    file are not in it. Raises `Missing` without Java or Kafka's jars.
    """
    topic = site.topic()
    settings = {
        "bootstrap.servers": site.kafka.brokers,
        "acks": "all",
        "compression.type": "lz4",
        "linger.ms": producer_settings("", {}, None)["linger.ms"],
        "batch.size": BATCH_BYTES,
        "buffer.memory": QUEUE_KILOBYTES << 10,
    }
    command = [
        tools.program("java", "openjdk-17-jre-headless"), f"-Xmx{HEAP}", *LOGGING, "-cp", f"{_jars()}/*",
        "org.apache.kafka.tools.ProducerPerformance", "--topic", topic, "--num-records", str(site.held(log).lines),
        "--throughput", "-1", "--payload-file", str(log),
        "--command-property", *(f"{key}={value}" for key, value in settings.items()),
    ]  # fmt: skip
    done = tools.run(site, command)
    last = done.output.decode().splitlines()[-1]  # "100000 records sent, 98765.4 records/sec (17.1 MB/sec), ..."
    return _sent(site, topic, log, done, own_rate=float(last.partition(" records/sec")[0].rpartition(" ")[2]))


def _jars() -> Path:
    try:
        return installed("lib")
    except ServicesMissingError as error:
        raise Missing(str(error)) from error


def chatferry(site: Site, log: Path) -> Sample:
    """`chatferry produce` with its default settings and a checkpoint of its own."""
    topic = site.topic()
    state = site.folder / topic
    command = [*tools.FERRY, "produce", str(log), "--brokers", site.kafka.brokers, "--topic", topic,
               "--state", str(state), "--json"]  # fmt: skip
    return _sent(site, topic, log, tools.run(site, command))


def _sent(site: Site, topic: str, log: Path, done: Done, **more: float) -> Sample:
    """The sample, once the topic holds as many records as the log has lines.

    (A line too long for a record would be missing; a generated log has none.) Raises `CommandFailed`.
    """
    held = site.held(log)
    there = records(site, topic)
    if not held.lines - held.blank <= there <= held.lines:
        raise CommandFailed(f"{there:,} records are on the topic, of {held.lines:,} lines")
    return sample(there, done, **more)


def records(site: Site, topic: str) -> int:
    """How many records a topic holds, by its offsets."""
    client = Consumer({"bootstrap.servers": site.kafka.brokers, "group.id": "benchmarks"})
    try:
        partitions = client.list_topics(topic, timeout=10).topics[topic].partitions
        ends = [client.get_watermark_offsets(TopicPartition(topic, number), timeout=10) for number in partitions]
        return sum(high - low for low, high in ends)
    finally:
        client.close()


BASELINES: dict[str, tools.Baseline] = {"kcat": kcat, "perf_tool": perf_tool, "chatferry": chatferry}

if __name__ == "__main__":
    tools.try_out(BASELINES, description="Try out the senders.")
