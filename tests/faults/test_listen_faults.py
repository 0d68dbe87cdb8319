"""Kafka away under a listener, a listener killed with lines on its spool: every line is in the table once."""

import fcntl
import os
import random
import signal
import termios
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from confluent_kafka import KafkaException

from tests.acceptance.ferry import Ferry, Running, create_topic, ends, message, query, wait_until
from tests.acceptance.hook import Hook
from tests.faults.rig import set_topic_config
from tests.services.kafka import Kafka


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A Kafka that these tests may pause and kill."""
    with Kafka(tmp_path_factory.mktemp("kafka")) as server:
        yield server


@dataclass
class Site:
    """A topic, and what is needed to listen onto it and to look at the table."""

    ferry: Ferry
    kafka: Kafka
    topic: str
    database: str
    source: int
    """The end of the listener's standard input to write to."""
    standard_input: int

    @property
    def place(self) -> list[str]:
        return ["--brokers", self.kafka.brokers, "--topic", self.topic]

    def listen(self, *more: str, env: dict[str, str] | None = None) -> Running:
        running = self.ferry.start("listen", "-", *self.place, *more, "--json", env=env, stdin=self.standard_input)
        running.wait_until(lambda: "listening" in running.err, "it listens")
        return running

    def say(self, first: int, count: int, data: str = "hello") -> None:
        os.write(self.source, b"".join(message(n, data) + b"\n" for n in range(first, first + count)))

    def all_read(self) -> bool:
        """Whether nothing waits in the pipe to the listener."""
        waiting = array("i", [0])
        fcntl.ioctl(self.standard_input, termios.FIONREAD, waiting)
        return waiting[0] == 0

    def count(self) -> int:
        """Records of the topic; 0 while its leaders are not chosen again."""
        try:
            return sum(ends(self.kafka.brokers, self.topic).values())
        except KafkaException:
            return 0

    def stored(self) -> list[int]:
        """The numbers of the messages in the table, in their order, when the topic was consumed to its end."""
        self.ferry.run("db", "upgrade", "--database", self.database)
        self.ferry.run("consume", *self.place, "--database", self.database, "--until-end", "--workers", "1")
        return sorted(int(row[0].removeprefix("id-")) for row in query(self.database, "SELECT id FROM chat_messages"))

    def spooled(self) -> int:
        """Lines in the segments of the spool, delivered ones among them."""
        return sum(path.read_bytes().count(b"\n") for path in self.ferry.folder.rglob("listen/**/*.jsonl"))


@pytest.fixture
def site(ferry: Ferry, broker: Kafka, topic: str, sqlite_url: str) -> Iterator[Site]:
    create_topic(broker.brokers, topic)
    read, write = os.pipe()
    yield Site(ferry, broker, topic, sqlite_url, write, read)
    os.close(read)
    os.close(write)


@pytest.fixture
def paused(site: Site) -> Iterator[Site]:
    """The same, and the broker goes on when the test ends."""
    yield site
    site.kafka.resume()


def test_webhook_says_429_while_kafka_takes_nothing_and_takes_it_when_it_is_back(paused: Site) -> None:
    hook = Hook.start(paused.ferry, *paused.place)
    assert hook.post("/messages", message(1)).status == 200
    paused.kafka.pause()
    late = hook.post("/messages", message(2))
    assert (late.status, int(late.headers["Retry-After"]) > 0) == (429, True)
    wait_until(lambda: hook.get("/healthz").status == 503, "it says that it is behind")
    began = time.monotonic()
    refused = hook.post("/messages", message(3))
    assert (refused.status, time.monotonic() - began < 2) == (429, True)
    paused.kafka.resume()
    wait_until(lambda: hook.post("/messages", message(2)).status == 200, "it takes messages again")
    assert hook.running.end(signal.SIGTERM).status == 143
    assert paused.stored() == [1, 2]


def test_listener_killed_with_lines_on_its_spool_delivers_them_when_it_starts_again(paused: Site) -> None:
    running = paused.listen()
    paused.say(0, 100)
    running.wait_until(lambda: paused.count() == 100, "the first lines are on the topic")
    paused.kafka.pause()
    paused.say(100, 200)
    running.wait_until(lambda: paused.spooled() == 300, "the others are on the spool")
    running.kill()
    paused.kafka.resume()
    running = paused.listen()
    assert "of an earlier run are on the spool" in running.err
    running.wait_until(lambda: paused.count() >= 300, "they are on the topic")
    paused.say(300, 1)
    running.wait_until(lambda: paused.count() >= 301, "and the next one")
    assert running.end(signal.SIGTERM).json["spooled"] == 0
    assert paused.stored() == list(range(301))


@pytest.mark.parametrize("times", [1, 3])
def test_listener_killed_between_acknowledgement_and_mark_repeats_and_skips_nothing(site: Site, times: int) -> None:
    env = {"CHATFERRY_FAILPOINT": f"spool.acknowledged:kill:{times}"}
    running = site.ferry.start("listen", "-", *site.place, env=env, stdin=site.standard_input)
    sent = 0
    while running.process.poll() is None:
        site.say(sent, 10)
        sent += 10
        time.sleep(0.2)
    again = site.listen()
    again.wait_until(lambda: site.count() >= sent, "all are on the topic")
    again.end(signal.SIGTERM)
    assert site.stored() == list(range(sent))


@pytest.mark.long
def test_signal_while_kafka_is_away_leaves_the_lines_on_the_spool_and_says_so(paused: Site) -> None:
    running = paused.listen()
    paused.say(0, 1)
    running.wait_until(lambda: paused.count() == 1, "the first line is on the topic")
    paused.kafka.pause()
    paused.say(1, 4)
    running.wait_until(lambda: paused.spooled() == 5, "the others are on the spool")
    result = running.end(signal.SIGTERM)
    assert (result.status, result.json["acknowledged"], result.json["spooled"]) == (143, 1, 4)
    assert "4 lines stay on the spool" in result.err
    paused.kafka.resume()
    os.close(paused.source)
    paused.source = os.open(os.devnull, os.O_WRONLY)
    assert paused.ferry.run("listen", "-", *paused.place, "--json").json["acknowledged"] == 4
    assert paused.stored() == [0, 1, 2, 3, 4]


def test_full_spool_makes_the_source_wait_and_is_told_and_when_it_is_over(paused: Site) -> None:
    """(A source that waits fills a spool this small again while it empties: each time is told.)"""
    running = paused.listen("--spool-limit", "20000")
    paused.kafka.pause()
    said = 0
    while "The spool is full" not in running.err:
        paused.say(said, 10, "x" * 200)
        said += 10
        running.wait_until(lambda: paused.all_read() or "The spool is full" in running.err, "it reads, or waits")
    paused.say(said, 10)
    said += 10
    assert running.err.count("The spool is full (20,000 bytes") == 1
    assert paused.spooled() < said
    paused.kafka.resume()
    running.wait_until(lambda: paused.count() >= said, "all are on the topic")
    told = running.end(signal.SIGTERM).err
    assert told.count("The spool is full") == told.count("Spool: Back after")
    assert paused.stored() == list(range(said))


@pytest.mark.long
def test_kafka_that_is_killed_and_comes_back_is_an_outage_told_once(site: Site) -> None:
    running = site.listen()
    site.say(0, 10)
    running.wait_until(lambda: site.count() == 10, "the first lines are on the topic")
    site.kafka.kill()
    try:
        site.say(10, 500)
        running.wait_until(lambda: "Kafka: nothing acknowledged" in running.err, "the outage is told")
        running.wait_until(lambda: site.spooled() == 510, "the lines are on the spool")
    finally:
        site.kafka.start()
    site.say(510, 10)
    running.wait_until(lambda: site.count() >= 520, "all are on the topic")
    told = running.end(signal.SIGTERM).err
    assert (told.count("Kafka: nothing"), told.count("Kafka: Back after")) == (1, 1)
    assert site.stored() == list(range(520))


def test_topic_whose_limit_is_lowered_under_the_listener_costs_no_line(site: Site) -> None:
    running = site.listen()
    site.say(0, 1)
    running.wait_until(lambda: site.count() == 1, "the first line is on the topic")
    set_topic_config(site.kafka.brokers, site.topic, "max.message.bytes", 2_000)
    site.say(1, 1, random.Random(1).randbytes(3_000).hex())  # the broker looks at what it is compressed to
    site.say(2, 1)
    running.wait_until(lambda: site.count() >= 2, "the last line is on the topic, by another client")
    running.wait_until(lambda: sum(ends(site.kafka.brokers, f"{site.topic}.dlq").values()), "and a reference")
    assert running.end(signal.SIGTERM).json["spooled"] == 0
    assert site.stored() == [0, 2]
