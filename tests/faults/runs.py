"""Runs of `produce` and `consume` for the tests of the network and the brokers, and what must hold after each."""

import re
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.generate import parse
from tests.acceptance.ferry import Ferry, Result, Running, committed, count_rows, message, records, table_rows
from tests.faults.rig import fill, owners
from tests.services.proxy import Proxy


def write_log(file: Path, lines: int, start: int = 0) -> Path:
    """A log of so many good lines."""
    file.write_bytes(b"".join(message(number) + b"\n" for number in range(start, start + lines)))
    return file


def consume(ferry: Ferry, brokers: str, topic: str, group: str, database: str, *more: str, workers: int = 1) -> Running:
    """Start `chatferry consume`."""
    named = ["--brokers", brokers, "--topic", topic, "--group", group, "--database", database]
    return ferry.start("consume", *named, "--json", "--workers", str(workers), "-v", *more)


def moves(log: str) -> int:
    """How often partitions came to a worker or went, by the log of `consume -v`."""
    return len(re.findall(r"DEBUG partitions \[\d.*\] (?:came|went)", log))


def assert_exact(database: str, lines: int) -> None:
    """The table has each of the lines 0 to `lines` once, as `message` makes them."""
    assert Counter(table_rows(database)) == Counter(parse(message(number)) for number in range(lines))


@dataclass
class Net:
    """A topic and a table, each with a proxy on the way to it; `brokers` and `database` are the ways around."""

    ferry: Ferry
    brokers: str
    topic: str
    group: str
    database: str
    kafka: Proxy
    mariadb: Proxy
    database_behind: str

    def produce(self, log: Path, state: Path, *more: str) -> Running:
        """Start `chatferry produce` behind the proxy."""
        named = ["--brokers", self.kafka.address, "--topic", self.topic, "--state", str(state)]
        return self.ferry.start("produce", log, *named, "--json", *more)

    def consume(self, *more: str, workers: int = 1) -> Running:
        """Start `chatferry consume` behind both proxies."""
        place = self.kafka.address, self.topic, self.group, self.database_behind
        return consume(self.ferry, *place, *more, workers=workers)

    @property
    def stored(self) -> int:
        """How many rows the table has."""
        return count_rows(self.database)

    @property
    def committed(self) -> int:
        """How many records the group has committed; never more than the table has."""
        offsets = sum(committed(self.brokers, self.group).values())
        stored = self.stored
        assert offsets <= stored, f"{offsets} records are committed, {stored} rows are durable"
        return offsets

    def members(self) -> int:
        """How many members the group has."""
        return len(owners(self.brokers, self.group))

    def see_through(self, running: Running, lines: int) -> tuple[Result, dict[str, Any]]:
        """Wait until `lines` are committed, add fresh ones and end; everything must be in the table, once."""
        running.wait_until(lambda: self.committed == lines, "everything is committed")
        fill(self.brokers, self.topic, 100, start=lines)
        running.wait_until(lambda: self.committed == lines + 100, "fresh lines, too")
        result = running.end(signal.SIGTERM)
        assert result.status == 143, result.err
        assert "another takes its place" not in result.err
        assert_exact(self.database, lines + 100)
        assert records(self.brokers, f"{self.topic}.dlq") == []
        assert result.json["messages"] == lines + 100
        return result, result.json
