"""What held a run back, out of the workers' reports: where the time went, how long batches were, what would help."""

import statistics
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from consumer.filling import BACKLOG, FULL
from schemas.reports import BatchDone, Spent

DATABASE, PARSING, SOURCE, BROKER, NOTHING = "database", "parsing", "source", "broker", "nothing"

MOST_POINTS = 500
"""Batches that the account lists, at most: of more, every second one is left out, again and again."""


MANY_ROWS = 100_000
"""From so many new rows on it is worth a word that indexes could be built at the end."""


class Circumstances(NamedTuple):
    """What the advice depends on besides the reports."""

    workers: int
    partitions: int
    cores: int
    one_writer: bool = False
    """The database takes one writer at a time: SQLite."""
    may_defer: bool = False
    """The secondary indexes were there while rows went in, and could have been built at the end."""
    building_seconds: float = 0.0
    """How long it took to build them at the end."""
    batch_rows: int = 0
    """The limit of a batch's rows."""


class Insight:
    """Collects the reports of a run. Cheap for a run of a year: sums, and a list of bounded length."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._every = 1
        self._seen = 0
        self._points: list[tuple[float, int, int, str]] = []
        self.spent = Spent()
        self.largest = 0
        self.messages = 0
        self.rows = 0
        self.ended: Counter[str] = Counter()
        """How many batches ended why: see `consumer.filling`."""

    def add(self, report: BatchDone) -> None:
        """Take a worker's report in."""
        size = sum(segment.messages for segment in report.segments.values())
        self.spent = self.spent.plus(report.spent)
        self.largest = max(self.largest, size)
        self.messages += size
        self.rows += report.rows
        self.ended[report.why] += 1
        if self._seen % self._every == 0:
            self._points.append((round(self._clock() - self._began, 3), report.worker, size, report.why))
            if len(self._points) > MOST_POINTS:
                self._points, self._every = self._points[::2], self._every * 2
        self._seen += 1

    def held_back_by(self) -> str:
        """Which of the stages was busy when the others were not.

        Fetching and parsing is one stage, storing and committing the other, and they work side by side: the one with
        more work is what the run waits for. Unless both were idle for lack of records: then it is the source. And where
        the second one spent more on dead letters and commits than on rows, it is the broker that they go to.
        """
        spent = self.spent
        storing = spent.storing + spent.committing
        if not spent.total:
            return NOTHING
        if spent.broker > max(spent.parsing, storing):
            return SOURCE
        if spent.parsing >= storing:
            return PARSING
        return DATABASE if spent.storing >= spent.committing else BROKER

    def account(self, circumstances: Circumstances) -> dict[str, Any]:
        """What `--json` says of it. Times are seconds, added up over the workers; the last one is by the clock."""
        spent = self.spent
        return {
            "time": {
                "waiting_for_records": round(spent.broker, 3),
                "parsing": round(spent.parsing, 3),
                "waiting_for_database": round(spent.database, 3),
                "committing": round(spent.committing, 3),
                "database_at_work": round(spent.storing, 3),
                "building_indexes": round(circumstances.building_seconds, 3),
            },
            "held_back_by": self.held_back_by(),
            "advice": self.advice(circumstances),
            "batch_rows": {
                "median": round(statistics.median([point[2] for point in self._points])) if self._points else 0,
                "largest": self.largest,
                "ended": dict(self.ended),
            },
            "batches_over_time": [list(point) for point in self._points],
        }

    def advice(self, circumstances: Circumstances) -> str:
        """Whether another worker, partition, or way with the indexes would help."""
        return {
            NOTHING: lambda _: "There was nothing to do",
            SOURCE: lambda _: "Lines came no faster: no worker, partition or index would change that",
            BROKER: lambda _: (
                "Dead letters and commits waited for Kafka: see to the lines that are bad, and to the broker"
            ),
            PARSING: _advice_on_parsing,
            DATABASE: self._advice_on_database,
        }[self.held_back_by()](circumstances)

    def _advice_on_database(self, circumstances: Circumstances) -> str:
        if circumstances.one_writer:
            return "SQLite takes one writer: another worker would not help, MySQL or MariaDB would"
        said = ["Another worker helps only where the database server has cores and disk to spare; a partition does not"]
        if circumstances.may_defer and self.rows >= MANY_ROWS and self.rows > self.messages / 2:
            said.append("--defer-indexes always helps where these rows are many beside those of the table before")
        if self.ended[FULL] > 1:
            limit = "--batch-rows" if self.largest >= circumstances.batch_rows else "--batch-bytes"
            said.append(f"longer batches spare a large table work: a larger {limit}, for more of a worker's memory")
        return "; ".join(said)

    def sentences(self, circumstances: Circumstances) -> list[str]:
        """The same for a person: where the time went, and what would help."""
        spent, held = self.spent, self.held_back_by()
        if held == NOTHING:
            return ["Nothing held it back: there was nothing to do"]
        shares = (
            f"{spent.parsing / spent.total:.0%} parsing, {spent.broker / spent.total:.0%} waiting for records, "
            f"{spent.database / spent.total:.0%} waiting for the database, "
            f"{spent.committing / spent.total:.0%} committing"
        )
        busy = f" (at work {min(spent.storing / spent.total, 1.0):.0%} of the time)" if held == DATABASE else ""
        grew = "growing behind the backlog" if self.ended[BACKLOG] else "no backlog made them grow"
        if self.ended[FULL]:
            grew = "as long as the limits allow"
        building = circumstances.building_seconds
        then = f"; building the indexes then took {building:.1f} s" if building else ""
        return [
            f"Held back by the {held}{busy}. Workers: {shares}. Batches of up to {self.largest:,} lines, {grew}{then}.",
            f"{self.advice(circumstances)}.",
        ]


def _advice_on_parsing(circumstances: Circumstances) -> str:
    if circumstances.one_writer:
        return "SQLite takes one writer, so one worker parses too; MySQL or MariaDB takes several"
    workers, partitions, cores = circumstances.workers, circumstances.partitions, circumstances.cores
    if workers >= cores:
        return f"Workers on another machine would help: this one's {cores} cores have a worker each"
    if workers >= partitions:
        return f"More partitions, and as many workers, would help: {partitions} partitions keep {workers} workers busy"
    return f"Another worker would help: there are {cores} cores and {partitions} partitions"
