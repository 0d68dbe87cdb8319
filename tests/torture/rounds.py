"""One round: lines flow, the schedule strikes, everything heals, and then table and dead letters are compared."""

import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException

from benchmarks.generate import Expected, digest, digest_rows, generate
from tests.acceptance.ferry import (
    Ferry,
    Result,
    bad_lines,
    committed,
    ends,
    lines_of,
    message,
    records,
    table_rows,
    wait_until,
)
from tests.torture.faults import Faults, Undo
from tests.torture.fleet import Service, WillNotWork
from tests.torture.schedule import BAD, FLOW_SECONDS, PARTITIONS, REPEATS, Round
from tests.torture.site import HEALTHY_SECONDS, Site
from tests.torture.writer import Writer

LIVE_SHARE = 4
"""One in so many lines comes from a log that grows, and is rotated; the others are replayed."""

TICK_SECONDS = 0.05
FLOWING_SECONDS = 120.0
ENDING_SECONDS = 60.0
FINISHING_SECONDS = 180.0


@dataclass
class Outcome:
    """What came of a round."""

    lines: int
    struck: int = 0
    copies: int = 0
    """Records on the topic beyond the lines: sent again after a crash."""
    repeats: int = 0
    """Dead letters beyond the bad lines: written again after a crash."""
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    """What was not as it should be; empty where the round passed."""


class Stage:
    """The commands of one round, on a fresh topic, group and database."""

    def __init__(self, site: Site, round_: Round, folder: Path) -> None:
        self.site = site
        self.round = round_
        self.ferry = Ferry(folder)
        self.topic = f"torture-{time.time_ns()}"
        self.group = self.topic
        self.database = site.maria.create_database(self.topic)
        self.log = folder / "chat.jsonl"
        self.held: Expected = generate(self.log, round_.lines, seed=round_.number, repeats=REPEATS, bad=BAD)
        named = ["--brokers", site.brokers, "--topic", self.topic]
        self._produce = ["produce", *named, "--state", str(folder / "state"), "--json"]
        database = ["--database", site.database(self.topic), "--group", self.group]
        workers = [] if "--workers" in round_.options else ["--workers", "2"]
        self._consume = ["consume", *named, *database, "--json", *workers, *round_.options]
        lines = lines_of(self.log)
        replayed, live = folder / "replayed.jsonl", lines[-len(lines) // LIVE_SHARE :]
        replayed.write_bytes(b"".join(line + b"\n" for line in lines[: -len(live)]))
        self.writer = Writer(folder / "logs" / "live.jsonl", live, FLOW_SECONDS)
        self.producer = Service(self.ferry, [*self._produce, str(replayed), "--rate", str(round_.rate)])
        self.follower = Service(self.ferry, [*self._produce, "--follow", str(self.writer.path)])
        self.consumer = Service(self.ferry, self._consume)
        self.other = Service(self.ferry, [*self._consume, "-v"])  # which tells the partitions that it gets
        producers, consumers = (self.producer, self.follower), (self.consumer, self.other)
        self._ends: dict[int, int] = {}
        self._lines: set[bytes] = set()
        self.faults = Faults(site, self.topic, self.writer, producers, consumers)
        self.ferry.run("topics", "create", *named, "--partitions", str(PARTITIONS), "--replication-factor", "3")
        self.ferry.run("db", "upgrade", "--database", self.database)

    def flow(self) -> None:
        """Let the lines flow and the schedule strike, until every line is sent."""
        waiting = list(self.round.events)
        undoing: list[tuple[float, Undo]] = []
        for service in (self.consumer, self.producer, self.follower):
            service.keep()
        wait_until(self._log_is_known, "a checkpoint of the followed log")
        began = time.monotonic()
        while waiting or undoing or not (self.producer.done and self.writer.done):
            now = time.monotonic() - began
            self.writer.write(now)
            if now > FLOWING_SECONDS:
                raise WillNotWork(f"after {now:.0f} s not every line is sent: {self.producer.now.err[-2000:]}")
            for event in [event for event in waiting if event.at <= now]:
                waiting.remove(event)
                undoing.append((now + event.seconds, self.faults.strike(event)))
            for entry in [entry for entry in undoing if entry[0] <= now]:
                undoing.remove(entry)
                entry[1]()
            others = [self.other] if self.faults.joined else []
            for service in (self.producer, self.follower, self.consumer, *others):
                service.keep()
            time.sleep(TICK_SECONDS)

    def finish(self) -> Result:
        """Heal everything, send a fresh line, end the consumers, and store what is left."""
        self.site.heal()
        wait_until(lambda: self.site.cluster.in_sync(self.topic), "every broker has everything", HEALTHY_SECONDS)
        self.follower.keep()
        live = set(self.writer.lines)
        self.follower.now.wait_until(lambda: live <= self._sent(), "every line of the followed log", FINISHING_SECONDS)
        self.follower.now.end(signal.SIGTERM, ENDING_SECONDS)
        fresh = self.ferry.folder / "fresh.jsonl"
        fresh.write_bytes(message(-1) + b"\n")
        self.ferry.run(*self._produce, str(fresh))
        for service in (self.consumer, self.other):
            if service.signal(signal.SIGTERM):
                service.now.wait(ENDING_SECONDS)
        return self.ferry.run(*self._consume, "--until-end", seconds=FINISHING_SECONDS)

    def _log_is_known(self) -> bool:
        """Whether the follower has looked at its log: what is rotated before that is none of its own."""
        checkpoints = (self.ferry.folder / "state").glob("*.json")
        return any(self.writer.path.name in checkpoint.read_text() for checkpoint in checkpoints)

    def _sent(self) -> set[bytes]:
        """What is on the topic; what was there at the last look where no broker can say now."""
        brokers = self.site.cluster.brokers
        with suppress(KafkaException):
            if (there := ends(brokers, self.topic)) != self._ends:
                self._lines = {record.value for record in records(brokers, self.topic)}
                self._ends = there
        return self._lines

    def compare(self) -> Outcome:
        """Table, dead letters and offsets against the log."""
        outcome = Outcome(self.round.lines, len(self.faults.did))
        rows = table_rows(self.database)
        if digest_rows(row for row in rows if row[0] != "id--1") != digest(self.log):
            ids = Counter(row[0] for row in rows)
            outcome.wrong.append(f"the table: {len(rows):,} rows of {self.held.rows + 1:,}, {len(ids):,} ids")
        if len(rows) != self.held.rows + 1:
            outcome.wrong.append("the fresh line, or another, is not there")
        bad = set(bad_lines(self.log))
        letters = [letter.value for letter in records(self.site.cluster.brokers, f"{self.topic}.dlq")]
        if set(letters) != bad:
            outcome.wrong.append(f"the dead letters: {len(set(letters))} lines of {len(bad)}")
        there = ends(self.site.cluster.brokers, self.topic)
        if (taken := committed(self.site.cluster.brokers, self.group)) != there:
            outcome.wrong.append(f"committed {taken} of {there}")
        outcome.copies = sum(there.values()) - self.held.lines - 1
        outcome.repeats = len(letters) - self.held.bad
        tracebacks = [run.err for run in self.ferry.running if "Traceback" in run.err]
        outcome.wrong += [f"a traceback: {text[-3000:]}" for text in tracebacks]
        return outcome

    def close(self) -> None:
        """End what still runs, and drop the database."""
        self.writer.close()
        for run in self.ferry.running:
            with suppress(ProcessLookupError):
                run.send(signal.SIGCONT)
            run.kill()
        self.site.maria.drop_database(self.topic)


def carry_out(site: Site, round_: Round, folder: Path) -> Outcome:
    """A whole round. What does not work at all is an outcome too; what a test's own part does wrong raises."""
    began = time.monotonic()
    stage = Stage(site, round_, folder)
    try:
        stage.flow()
        stage.finish()
        outcome = stage.compare()
    except (WillNotWork, TimeoutError, AssertionError) as failure:
        outcome = Outcome(round_.lines, len(stage.faults.did), wrong=[str(failure)])
    finally:
        site.heal()
        stage.close()
    outcome.seconds = time.monotonic() - began
    return outcome
