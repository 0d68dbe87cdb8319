"""`chatferry` as a person types it: its own process, an environment without CHATFERRY_*, a home in tmp_path.

And what a judge needs beside it: what is on a topic, what is in a table, which processes there are. Nothing here
imports the product.
"""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from sqlalchemy import create_engine, make_url

from benchmarks.generate import Row, read

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples" / "chat.jsonl"
PROGRAM = str(Path(sys.executable).with_name("chatferry"))
SECONDS = 60.0
POLL_SECONDS = 0.02
SILENCE_SECONDS = 10.0
LOG_LINE = re.compile(r"\d\d:\d\d:\d\d \S+ [A-Z]+ |chatferry: ending safely")


def wait_until(holds: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
    """Return as soon as it holds; raises TimeoutError when it does not in so many seconds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {seconds} s: not {what}")
        time.sleep(POLL_SECONDS)


# --- commands -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """How a command ended: its exit status (minus the signal's number where one killed it), stdout and stderr."""

    status: int
    out: bytes
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object that `--json` promises on stdout; fails where there is anything else."""
        assert self.out.count(b"\n") == 1, self.out
        values = json.loads(self.out)
        assert isinstance(values, dict)
        return values

    @property
    def error(self) -> str:
        """The one line on stderr in which an error is told; fails where anything but log lines stands beside it."""
        *before, told = self.err.removesuffix("\n").split("\n")
        assert told.startswith("chatferry: "), self.err
        assert all(LOG_LINE.match(line) for line in before), self.err
        return told


class Running:
    """A command that runs beside the test. Its output goes to files, so that no full pipe can hold it up."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.process = process
        self._out = out
        self._err = err

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    @property
    def out(self) -> bytes:
        """What it wrote to stdout so far."""
        return self._out.read_bytes()

    @property
    def err(self) -> str:
        """What it wrote to stderr so far."""
        return self._err.read_text(errors="replace")

    def wait_until(self, holds: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
        """Return as soon as it holds, while the command runs. Fails where the command ended before."""

        def holds_or_ended() -> bool:
            if holds():
                return True
            assert self.process.poll() is None, f"ended with {self.process.returncode} before {what}: {self.err}"
            return False

        try:
            wait_until(holds_or_ended, what, seconds)
        except TimeoutError as late:
            raise TimeoutError(f"{late}: {self.err}") from None

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the command's own process."""
        self.process.send_signal(number)

    def wait(self, seconds: float = SECONDS) -> Result:
        """How it ended; raises subprocess.TimeoutExpired where it has not in so many seconds."""
        status = self.process.wait(seconds)
        return Result(status, self.out, self.err)

    def end(self, number: signal.Signals, seconds: float = SECONDS) -> Result:
        """Send a signal and wait for the end."""
        self.send(number)
        return self.wait(seconds)

    def kill(self) -> None:
        """End it and its children at once, where they have not ended."""
        if self.process.poll() is None:
            left = {pid: command_line(pid) for pid in children(self.pid)}
            self.process.kill()
            self.process.wait()
            for pid, command in left.items():
                if command and command_line(pid) == command:  # and no stranger that got its process id
                    os.kill(pid, signal.SIGKILL)

    def workers(self) -> list[int]:
        """The process ids of a consumer's or a load's workers."""
        servers = [pid for pid in children(self.pid) if "forkserver" in command_line(pid)]
        return [worker for server in servers for worker in children(server)]


@dataclass
class Ferry:
    """Runs `chatferry` with a working folder and a home of the test's own.

    `within` is a command that runs another in its place, such as nsenter.
    """

    folder: Path
    running: list[Running] = field(default_factory=list)
    within: Sequence[str] = ()

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """This process's environment without CHATFERRY_*, with a home in the test's folder, and `extra`."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("CHATFERRY_")}
        home = {"HOME": str(self.folder), "XDG_STATE_HOME": str(self.folder / "state-home")}
        return {**ours, **home, **(extra or {})}

    def run(
        self,
        *args: str | Path,
        check: int | None = 0,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        seconds: float = SECONDS,
    ) -> Result:
        """Run a command to its end; fails where its exit status is not `check` (None: any)."""
        done = subprocess.run(
            [*self.within, PROGRAM, *map(str, args)],
            input=stdin,
            capture_output=True,
            env=self.environment(env),
            cwd=self.folder,
            timeout=seconds,
            check=False,
        )
        result = Result(done.returncode, done.stdout, done.stderr.decode(errors="replace"))
        assert check is None or result.status == check, f"status {result.status}\n{result.err}\n{result.out!r}"
        return result

    def start(
        self,
        *args: str | Path,
        env: Mapping[str, str] | None = None,
        stdin: int | None = None,
        new_session: bool = False,
    ) -> Running:
        """Start a command; it is ended when the test ends.

        `stdin` is a file descriptor; None: nothing to read. With `new_session` its process id is that of its group, to
        which a terminal would send a Ctrl-C.
        """
        number = len(self.running)
        out, err = self.folder / f"{number}.out", self.folder / f"{number}.err"
        with out.open("wb") as out_file, err.open("wb") as err_file:
            process = subprocess.Popen(
                [*self.within, PROGRAM, *map(str, args)],
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=out_file,
                stderr=err_file,
                env=self.environment(env),
                cwd=self.folder,
                start_new_session=new_session,
            )
        started = Running(process, out, err)
        self.running.append(started)
        return started


# --- processes ------------------------------------------------------------------------------------------------------


def children(pid: int) -> list[int]:
    """The process ids of a process's children; none where it has ended."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def command_line(pid: int) -> str:
    """The command line of a process; empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


# --- topics ---------------------------------------------------------------------------------------------------------


class Record(NamedTuple):
    """What is on a topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: dict[str, str]
    milliseconds: int
    """When its producer made it, in Unix milliseconds."""


NO_LEADER_YET = ("_UNKNOWN_PARTITION", "LEADER_NOT_AVAILABLE", "NOT_LEADER_FOR_PARTITION")
"""What a client says of a partition whose broker has just come back."""


def ends(brokers: str, topic: str) -> dict[int, int]:
    """The end offset of each partition; waits for a broker that has just come back."""
    found: dict[int, int] = {}

    def answered() -> bool:
        try:
            found.update(_ends(brokers, topic))
        except KafkaException as error:
            if error.args[0].name() in NO_LEADER_YET:
                return False
            raise
        return True

    wait_until(answered, f"the ends of {topic}")
    return found


def _ends(brokers: str, topic: str) -> dict[int, int]:
    consumer = _reader(brokers)
    try:
        partitions = consumer.list_topics(topic, timeout=SILENCE_SECONDS).topics[topic].partitions
        places = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), SILENCE_SECONDS) for p in partitions}
        return {partition: end for partition, (_, end) in sorted(places.items())}
    finally:
        consumer.close()


def committed(brokers: str, group: str) -> dict[int, int]:
    """The group's committed offsets by partition, as the broker has them, also while brokers come and go.

    Asked as a consumer asks, not by AdminClient: librdkafka (2.16.1) ends the process by SIGSEGV where the broker
    answers an AdminClient that the group's coordinator is elsewhere or not ready yet, as it does to the first who ask.
    """
    consumer = _reader(brokers, group)
    try:
        answers = _patiently(partial(_committed, consumer))
    finally:
        consumer.close()
    return {place.partition: place.offset for place in answers if place.offset >= 0}


def _committed(consumer: Consumer) -> list[TopicPartition]:
    topics = consumer.list_topics(timeout=SILENCE_SECONDS).topics
    places = [TopicPartition(name, p) for name, topic in topics.items() for p in topic.partitions]
    return consumer.committed(places, SILENCE_SECONDS)


def _patiently(ask: Callable[[], list[TopicPartition]]) -> list[TopicPartition]:
    """Ask a broker or a coordinator that may be coming up just now."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return ask()
        except KafkaException:
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_SECONDS)


def records(brokers: str, topic: str) -> list[Record]:
    """Every record of a topic, from its start to its end as it is now, in the order of each partition."""
    left = {partition: end for partition, end in ends(brokers, topic).items() if end}
    found: list[Record] = []
    consumer = _reader(brokers)
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in left])
        deadline = time.monotonic() + SECONDS
        while left:
            assert time.monotonic() < deadline, f"{topic}: after {SECONDS} s {left} was still to be read"
            for message in consumer.consume(10_000, 0.1):
                assert message.error() is None, message.error()
                partition, offset, value = message.partition(), message.offset(), message.value()
                assert partition is not None
                assert offset is not None
                assert isinstance(value, bytes)
                headers = _headers(message)
                key = message.key()
                assert key is None or isinstance(key, bytes)
                found.append(Record(partition, offset, key, value, headers, message.timestamp()[1]))
                if offset + 1 >= left.get(partition, 0):
                    left.pop(partition, None)
    finally:
        consumer.close()
    return found


def _headers(message: Message) -> dict[str, str]:
    pairs = message.headers() or []
    assert isinstance(pairs, list)
    return {str(pair[0]): pair[1].decode() for pair in pairs if isinstance(pair[1], bytes)}


def values(brokers: str, topic: str) -> list[bytes]:
    """The values of every record of a topic."""
    return [record.value for record in records(brokers, topic)]


def create_topic(brokers: str, topic: str, partitions: int = 4) -> None:
    """Create a topic and its dead-letter topic without chatferry."""
    new = [NewTopic(topic, partitions, 1), NewTopic(f"{topic}.dlq", 1, 1)]
    admin = AdminClient({"bootstrap.servers": brokers})  # kept until the answers are there
    for created in admin.create_topics(new).values():
        created.result(timeout=SILENCE_SECONDS)
    for name in (topic, f"{topic}.dlq"):
        wait_until(partial(_has_leaders, brokers, name), f"topic {name} with its leaders")


def _has_leaders(brokers: str, topic: str) -> bool:
    try:
        return bool(_ends(brokers, topic))
    except KafkaException:  # its leaders are not chosen yet
        return False


def publish(brokers: str, topic: str, lines: Iterable[bytes], partitions: Sequence[int] = (0, 1, 2, 3)) -> None:
    """Put lines on a topic without chatferry, in turns over its partitions."""
    producer = Producer({"bootstrap.servers": brokers, "queue.buffering.max.messages": 1_000_000})
    for number, line in enumerate(lines):
        producer.produce(topic, line, partition=partitions[number % len(partitions)])
    assert producer.flush(SECONDS) == 0


def _reader(brokers: str, group: str = "acceptance-reader") -> Consumer:
    return Consumer({"bootstrap.servers": brokers, "group.id": group, "enable.auto.commit": False, "log_level": 2})


# --- tables ---------------------------------------------------------------------------------------------------------


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run one statement on a database; its rows, none for a statement that has none."""
    engine = create_engine(make_url(url), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            result = connection.exec_driver_sql(statement)
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        engine.dispose()


def table_rows(url: str) -> list[Row]:
    """All rows of the table, as `benchmarks.generate` reads them from a log."""
    moment = "CAST(`timestamp` AS CHAR)" if url.startswith("mysql") else "`timestamp`"
    rows = query(url, f"SELECT `id`, `from`, `type`, `site_id`, {moment}, `data` FROM `chat_messages`")  # noqa: S608 -- constants
    return [(row[0], row[1], row[2], row[3], row[4], row[5]) for row in rows]


def count_rows(url: str) -> int:
    """How many rows the table has."""
    return int(query(url, "SELECT COUNT(*) FROM `chat_messages`")[0][0])


# --- logs -----------------------------------------------------------------------------------------------------------


def lines_of(log: Path) -> list[bytes]:
    """The lines of a log that are not blank, without newlines."""
    return [line for line in log.read_bytes().split(b"\n") if line.strip()]


def bad_lines(log: Path) -> list[bytes]:
    """The bad lines of a log, by the independent reader's judgement."""
    with log.open("rb") as lines:
        pairs = zip(read(log), lines, strict=True)
        return [line.rstrip(b"\n").removesuffix(b"\r") for (kind, _), line in pairs if kind == "bad"]


def kept_dead_letters(path: Path) -> list[bytes]:
    """The lines in the file of dead letters that an embedded load leaves."""
    entries = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert all(entry["error"] and entry["text"] and entry["stage"] for entry in entries)
    return [
        entry["line"].encode() if "line" in entry else base64.b64decode(entry["line_base64"], validate=True)
        for entry in entries
    ]


def message(number: int, data: str = "hello", **more: Any) -> bytes:
    """One good line, without a newline."""
    fields = {"id": f"id-{number}", "from": "ann", "type": "message", "site_id": "lobby"}
    return json.dumps({**fields, "timestamp": 1_700_000_000 + number, "data": data, **more}).encode()
