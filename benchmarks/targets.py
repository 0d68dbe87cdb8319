"""The targets, and how a run's figures stand to them. Each is a ratio within one run, or a bound."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Measures = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Summaries by suite and measure: see `benchmarks.measure.summary`."""

Figure = Callable[[Measures], float]
"""What a target looks at. Raises `KeyError` or `ValueError` where the run did not measure it."""


@dataclass(frozen=True)
class Target:
    """One line of the table."""

    measure: str
    bound: float
    unit: str
    figure: Figure
    at_most: bool = False
    note: Callable[[Measures], str] = lambda _: ""
    """Where the time of a missed target went."""
    lines: int | None = None
    """How many lines a run must have for it to count."""

    def judge(self, measures: Measures, lines: int) -> dict[str, Any]:
        """The figure beside the target; None where it was not measured."""
        if self.lines not in (None, lines):
            return {**self._said(), "value": None, "met": False, "note": f"this run has {lines:,} lines"}
        try:
            value = self.figure(measures)
        except (KeyError, ValueError, ZeroDivisionError):
            return {**self._said(), "value": None, "met": False, "note": "not measured in this run"}
        met = value <= self.bound if self.at_most else value >= self.bound
        try:
            note = "" if met else self.note(measures)
        except KeyError as absent:
            note = f"not measured: {absent}"
        return {**self._said(), "value": value, "met": met, "note": note}

    def _said(self) -> dict[str, Any]:
        sign = "<=" if self.at_most else ">="
        return {"measure": self.measure, "target": f"{sign} {self.bound:g}", "unit": self.unit}


def judged(measures: Measures, lines: int) -> list[dict[str, Any]]:
    """Every target with its figure, of a run with so many lines in most measures."""
    return [target.judge(measures, lines) for target in TARGETS]


def _rate(measures: Measures, suite: str, name: str) -> float:
    return float(measures[suite][name]["rate"]["median"])


def _best(measures: Measures, suite: str, prefix: str) -> float:
    return max(_rate(measures, suite, name) for name in measures[suite] if name.startswith(prefix))


def ratio(suite: str, ours: str, theirs: str) -> Figure:
    """Our median rate over the best median rate of the measures whose names begin with `theirs`."""
    return lambda measures: _rate(measures, suite, ours) / _best(measures, suite, theirs)


def seconds(suite: str, name: str) -> Figure:
    """The median of the seconds."""
    return lambda measures: statistics.median(float(run["seconds"]) for run in measures[suite][name]["runs"])


def cpu(suite: str, name: str, group: str) -> Figure:
    """Microseconds of CPU a line, of a group of processes."""
    return lambda measures: float(measures[suite][name]["cpu_us_a_line"][group])


def more(suite: str, name: str, key: str) -> Figure:
    """The worst of what only this measure has."""
    return lambda measures: max(float(run["more"][key]) for run in measures[suite][name]["runs"])


def peak(group: str, suites: Sequence[str]) -> Figure:
    """The largest resident size of one process of a group, in MB, in any run of ours in these suites."""

    def figure(measures: Measures) -> float:
        runs = [
            summary
            for suite in suites
            for name, summary in measures.get(suite, {}).items()
            if name.startswith("chatferry")
        ]
        return max(float(summary["peak_mb"][group]) for summary in runs)

    return figure


def growth(group: str) -> Figure:
    """The largest peak over the smallest, by file size."""

    def figure(measures: Measures) -> float:
        peaks = [float(summary["peak_mb"][group]) for summary in measures["memory"].values()]
        if len(peaks) < 2:
            raise ValueError("one size is no comparison")
        return max(peaks) / min(peaks)

    return figure


def right(measures: Measures) -> float:
    """In how many of the three situations the run's own judgement names what holds it back."""
    said = {
        name.partition("-")[0]: summary["runs"][0]["more"]["held_back_by"]
        for name, summary in measures["what holds it back"].items()
    }
    return float(sum(expected == found for expected, found in said.items()))


def core_seconds(suite: str, *names: str) -> Callable[[Measures], str]:
    """Where the core-seconds of the last run of each of these measures went."""

    def note(measures: Measures) -> str:
        said = []
        for name in names:
            run = measures[suite][name]["runs"][-1]
            parts = ", ".join(f"{group} {used:.1f}" for group, used in sorted(run["cpu"].items()))
            said.append(f"{name}: {sum(run['cpu'].values()):.0f} core-seconds in {run['seconds']:.1f} s ({parts})")
        return "; ".join(said)

    return note


MILLION = 1_000_000
ENDS = ("end to end", "end to end, large", "memory")
LOAD, CONSUME, PRODUCE, KCAT = "chatferry load", "chatferry consume", "chatferry produce", "kcat -P -l"
PARSE_ONLY = "parsing-bound: a store that accepts at once"
BEST = "best limit"
LONGEST_LIMIT = "best limit: runs of 1,000,000"

TARGETS = [
    Target(
        "10 M lines, file to table",
        80,
        "s",
        seconds("end to end, large", LOAD),
        at_most=True,
        note=core_seconds("end to end, large", LOAD, LONGEST_LIMIT),
    ),
    Target(
        "10 M lines, of the best limit",
        0.8,
        "x",
        ratio("end to end, large", LOAD, BEST),
        note=core_seconds("end to end, large", LOAD, LONGEST_LIMIT),
    ),
    Target("1 M lines, of the best limit", 0.55, "x", ratio("end to end", LOAD, BEST), lines=MILLION),
    Target(
        "1 M lines, over the article's program",
        10,
        "x",
        ratio("end to end", LOAD, "article"),
        note=core_seconds("end to end", LOAD, "article"),
        lines=MILLION,
    ),
    Target(
        "producer over kcat, 10 M lines",
        1.0,
        "x",
        ratio("producer alone, large", PRODUCE, "kcat"),
        note=core_seconds("producer alone, large", PRODUCE, KCAT),
    ),
    Target(
        "producer over kcat, 1 M lines, with both starts",
        1.0,
        "x",
        ratio("producer alone", PRODUCE, "kcat"),
        note=core_seconds("producer alone", PRODUCE, KCAT),
    ),
    Target(
        "consumer over Connect, insert",
        2,
        "x",
        ratio("consumer alone", CONSUME, "Kafka Connect, Debezium, insert"),
        note=core_seconds("consumer alone", CONSUME, "Kafka Connect, Debezium, insert"),
        lines=MILLION,
    ),
    Target(
        "consumer over Connect, upsert",
        4,
        "x",
        ratio("consumer alone", CONSUME, "Kafka Connect, Debezium, upsert"),
        note=core_seconds("consumer alone", CONSUME, "Kafka Connect, Debezium, upsert"),
        lines=MILLION,
    ),
    *(
        Target(
            f"consumer over {name}",
            bound,
            "x",
            ratio("consumer alone", CONSUME, prefix),
            note=core_seconds("consumer alone", CONSUME, measure),
            lines=MILLION,
        )
        for name, bound, prefix, measure in (
            ("Benthos", 3, "Benthos", "Benthos"),
            ("rsyslog", 3, "rsyslog", "rsyslog"),
            ("Quix Streams", 3, "Quix", "Quix Streams, 2 processes"),
            ("jq | LOAD DATA", 1.3, "jq", "jq | LOAD DATA"),
        )
    ),
    Target(
        "worker CPU a line, without the database",
        2.0,
        "us",
        cpu("what holds it back", PARSE_ONLY, "workers"),
        at_most=True,
        note=core_seconds("what holds it back", PARSE_ONLY),
    ),
    Target(
        "producer CPU a line",
        1.2,
        "us",
        cpu("producer alone, large", PRODUCE, "main"),
        at_most=True,
        note=core_seconds("producer alone, large", PRODUCE, KCAT),
    ),
    Target("memory of produce", 150, "MB", peak("main", ["producer alone", "producer alone, large"]), at_most=True),
    Target("memory of load's first process, producer and supervisor", 150, "MB", peak("main", ENDS), at_most=True),
    Target("a worker's memory", 256, "MB", peak("workers", ENDS), at_most=True),
    Target("producer's memory, 10 GB over 1 GB", 1.1, "x", growth("main"), at_most=True),
    Target("a worker's memory, 10 GB over 1 GB", 1.1, "x", growth("workers"), at_most=True),
    Target("live, p99 from file to row", 250, "ms", more("live", "chatferry, live", "p99_ms"), at_most=True),
    Target(
        "embedded load over a bare executemany",
        0.7,
        "x",
        ratio("SQLite", "chatferry load, embedded", "bare executemany"),
    ),
    Target("own judgement right, of 3 situations", 3, "", right),
]
