"""The main job from end to end, with a producer and a worker killed in the middle."""

import json
import os
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient

from benchmarks.generate import Expected, digest_rows, expected_rows, generate
from tests.acceptance.ferry import Ferry, Record, Result, bad_lines, count_rows, ends, lines_of, records, table_rows
from tests.services.kafka import GivenKafka, Kafka

LINES = 50_000
RATE = "12500"  # lines a second of the producer that is killed: so that it has a middle
BATCH_ROWS = "50"  # so that the workers' time has one, too


@dataclass(frozen=True)
class Job:
    """The log and where it goes."""

    ferry: Ferry
    brokers: str
    topic: str
    group: str
    database: str
    log: Path
    expected: Expected

    @property
    def state(self) -> Path:
        """The folder of the checkpoints."""
        return self.ferry.folder / "state"

    @property
    def kafka(self) -> Sequence[str]:
        """The flags that name the topic."""
        return ["--brokers", self.brokers, "--topic", self.topic]

    @property
    def consume(self) -> Sequence[str]:
        """The consumer's command line."""
        return ["consume", *self.kafka, "--database", self.database, "--group", self.group, "--until-end", "--json"]

    def checkpoint(self) -> int:
        """The byte offset in the one checkpoint; 0 where there is none yet."""
        files = list(self.state.glob("*.json"))
        assert len(files) <= 1
        return int(json.loads(files[0].read_bytes())["offset"]) if files else 0


def produce_with_a_kill(job: Job) -> None:
    """Send the log with a producer that is killed in the middle, and a second one that does the rest."""
    command = ["produce", str(job.log), *job.kafka, "--state", str(job.state), "--json"]
    first = job.ferry.start(*command, "--rate", RATE)
    first.wait_until(lambda: job.checkpoint() > job.expected.bytes // 4, "a quarter of the log in the checkpoint")
    assert first.end(signal.SIGKILL).status == -signal.SIGKILL
    reached = job.checkpoint()
    assert 0 < reached < job.expected.bytes
    before = sum(ends(job.brokers, job.topic).values())

    second = job.ferry.run(*command).json
    assert second["resumed_from"] == {str(job.log): reached}
    rest = job.log.read_bytes()[reached:].split(b"\n")[:-1]
    assert (second["lines"], second["blank"]) == (len(rest), rest.count(b""))
    assert second["lines"] == second["blank"] + second["acknowledged"]
    assert job.checkpoint() == job.expected.bytes
    assert sum(ends(job.brokers, job.topic).values()) == before + second["acknowledged"]


def consume_with_a_kill(job: Job) -> Result:
    """Fill the table with two workers, one of which is killed in the middle; returns how the command ended."""
    admin = AdminClient({"bootstrap.servers": job.brokers})

    def members() -> int:
        described = admin.describe_consumer_groups([job.group])[job.group].result(timeout=10)
        return sum(bool(member.assignment and member.assignment.topic_partitions) for member in described.members)

    consumer = job.ferry.start(*job.consume, "--workers", "2", "--batch-rows", BATCH_ROWS)
    consumer.wait_until(lambda: members() == 2, "two workers with partitions")
    workers = consumer.workers()
    assert len(workers) == 2
    consumer.wait_until(lambda: count_rows(job.database) > 0, "the first rows in the table")
    os.kill(workers[0], signal.SIGKILL)
    assert count_rows(job.database) < job.expected.rows, "the worker was killed too late to matter"
    ended = consumer.wait()
    assert "was ended by signal 9: another takes its place" in ended.err
    return ended


def assert_dead_letters_are_the_bad_lines(job: Job, arrived: Sequence[Record]) -> None:
    """Byte for byte, each with the place that it came from, and none of those places left out."""
    bad = set(bad_lines(job.log))
    assert len(bad) == job.expected.bad
    by_place = {(record.partition, record.offset): record.value for record in arrived}
    letters = records(job.brokers, f"{job.topic}.dlq")
    assert {letter.value for letter in letters} == bad
    places = set()
    for letter in letters:
        headers = letter.headers
        place = int(headers["chatferry.origin.partition"]), int(headers["chatferry.origin.offset"])
        assert by_place[place] == letter.value
        assert headers["chatferry.origin.topic"] == job.topic
        assert (headers["chatferry.content"], headers["chatferry.stage"]) == ("line", "parse")
        assert headers["chatferry.error.class"]
        assert headers["chatferry.error.text"]
        places.add(place)
    assert places == {place for place, value in by_place.items() if value in bad}


def test_producer_and_worker_killed_in_the_middle_and_the_table_equals_the_log(
    ferry: Ferry, kafka: Kafka | GivenKafka, mysql_url: str, topic: str, group: str, tmp_path: Path
) -> None:
    log = tmp_path / "chat.jsonl"
    expected = generate(log, LINES, repeats=0.01, bad=0.001, blank=0.002)
    job = Job(ferry, kafka.brokers, topic, group, mysql_url, log, expected)
    created = ferry.run("topics", "create", *job.kafka, "--partitions", "4", "--json").json
    assert (created["topic"], created["partitions"]) == (topic, 4)
    revisions = [ferry.run("db", verb, "--database", mysql_url, "--json").json for verb in ("upgrade", "check")]
    assert revisions[0]["revision"] == revisions[1]["revision"]

    produce_with_a_kill(job)
    arrived = records(kafka.brokers, topic)
    copies, lines = Counter(record.value for record in arrived), Counter(lines_of(log))
    assert copies >= lines  # a line that was in flight at the kill came twice
    assert copies.keys() == lines.keys()
    assert lines.total() == expected.lines - expected.blank

    ended = consume_with_a_kill(job)
    assert ended.status == 0, ended.err
    account = ended.json
    assert account["messages"] == len(arrived)
    assert account["messages"] == account["rows"] + account["repeats"] + account["dead_letters"]
    assert account["dead_letters"] == sum(copies[line] for line in set(bad_lines(job.log)))
    rows = table_rows(mysql_url)
    assert len(rows) == len({row[0] for row in rows}) == expected.rows
    assert digest_rows(rows) == digest_rows(expected_rows(log))
    assert_dead_letters_are_the_bad_lines(job, arrived)

    again = ferry.run(*job.consume).json
    assert again["messages"] == 0, "it left something behind"
