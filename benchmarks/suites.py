"""The suites of the benchmark: which measures stand side by side, on what."""

import itertools
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import connect, ferry, limit, live, loaders, peers, senders
from benchmarks.measure import Measure, Sample
from benchmarks.site import Site, sample

Samples = Mapping[str, list[Sample]]
Figures = dict[str, Any]

LINE_BYTES = 1_800
"""Bytes of a line in the files by which memory is measured: with lines of 181 bytes, 10 GB would be 55 M rows."""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    lines: int
    """Lines of most measures."""
    many: int | None
    """Lines of the large ones; None: they are left out."""
    runs: int
    article_lines: int
    live_seconds: int
    memory_bytes: tuple[int, ...]
    """Sizes of the files by which memory is measured."""


@dataclass(frozen=True)
class Suite:
    """Measures that are interleaved, and what is drawn of them."""

    name: str
    measures: Callable[[Site, Plan], dict[str, Measure]]
    """Empty where the plan leaves the suite out."""
    figures: Callable[[Samples], Figures] | None = None
    runs: int | None = None
    """How often, where not as the plan says."""


def large(site: Site, plan: Plan) -> dict[str, Measure]:
    """File to table with everything at once, beside what the database can take, at the larger size."""
    if not plan.many:
        return {}
    measures = end_to_end(site, plan.many)
    return {name: measure for name, measure in measures.items() if not name.startswith("limit")}  # minutes longer


def usual(site: Site, plan: Plan) -> dict[str, Measure]:
    """The same at the usual size, with the program that it grew from."""
    return {
        **end_to_end(site, plan.lines),
        "article": partial(article, site, plan.article_lines),
    }


def end_to_end(site: Site, lines: int) -> dict[str, Measure]:
    """`load` and the limits. A limit's runs are made before the clock starts, by its first use."""
    log = site.log(lines)
    half = -(-lines // limit.CONNECTIONS)
    return {
        "chatferry load": partial(ferry.load, site, log),
        "limit: runs of 50,000": partial(limit.limit, site, log, 50_000, defer=False),
        "best limit: runs of 50,000": partial(limit.limit, site, log, 50_000, defer=True),
        f"best limit: runs of {min(half, 1_000_000):,}": partial(
            limit.limit, site, log, min(half, 1_000_000), defer=True
        ),
    }


def article(site: Site, lines: int) -> Sample:
    """The program that chatferry grew from, on so many lines."""
    log = site.log(lines)
    with site.database() as url:
        done = site.run([sys.executable, "-m", "benchmarks.article", str(log), "--database", url, "--workers", "2"])
    account = json.loads(done.output)
    return sample(account["rows"], done, seconds=account["seconds"])


def producer(site: Site, plan: Plan) -> dict[str, Measure]:
    """A file onto a topic."""
    log = site.log(plan.lines)
    return {**clients(site, log), "Kafka's performance tool": partial(senders.perf_tool, site, log)}


def large_producer(site: Site, plan: Plan) -> dict[str, Measure]:
    """The same at the larger size, where starting weighs nothing; the performance tool holds its file in memory."""
    return clients(site, site.log(plan.many)) if plan.many else {}


def clients(site: Site, log: Path) -> dict[str, Measure]:
    """The two that rest on librdkafka."""
    return {
        "chatferry produce": partial(senders.chatferry, site, log),
        "kcat -P -l": partial(senders.kcat, site, log),
    }


def consumer(site: Site, plan: Plan) -> dict[str, Measure]:
    """A topic that is filled already into the table; `jq | LOAD DATA` reads the file, without Kafka."""
    log, clean = site.log(plan.lines), site.log(plan.lines, bad=0.0, repeats=0.0)
    topic, clean_topic = site.topic(log), site.topic(clean)
    others: dict[str, Measure] = {
        name: partial(peer, site, clean_topic, plan.lines)
        for name, peer in {
            "rsyslog": peers.rsyslog,
            "Quix Streams": peers.quix,
            "Quix Streams, 2 processes": peers.quix_two,
            "Benthos": peers.benthos,
        }.items()
    }
    return {
        "chatferry consume": partial(ferry.consume, site, log, topic),
        "Kafka Connect, Debezium, insert": partial(connect.connect, site, log, "insert"),
        "Kafka Connect, Debezium, upsert": partial(connect.connect, site, log, "upsert"),
        "jq | LOAD DATA": partial(loaders.jq_load, site, log),
        **others,
    }


def others(site: Site, plan: Plan) -> dict[str, Measure]:
    """Ready rows through SQLAlchemy, on one connection."""
    log = site.log(plan.article_lines)
    return {
        "SQLAlchemy Core, executemany": partial(loaders.core_executemany, site, log),
        "SQLAlchemy ORM, add_all": partial(loaders.orm, site, log),
    }


def workers(site: Site, plan: Plan) -> dict[str, Measure]:
    """What more workers bring."""
    log = site.log(plan.lines)
    topic = site.topic(log)
    return {
        f"chatferry consume, {count} workers": partial(ferry.consume, site, log, topic, count) for count in (1, 2, 4)
    }


def situations(site: Site, plan: Plan) -> dict[str, Measure]:
    """Whether a run's own judgement is right where the answer is known."""
    log, slow = site.log(plan.lines), site.log(30_000)
    topic = site.topic(log)
    return {
        "database-bound: chatferry consume": partial(ferry.consume, site, log, topic),
        "parsing-bound: a store that accepts at once": partial(ferry.parse_only, site, topic),
        "source-bound: 3,000 lines a second": partial(ferry.slow_source, site, slow, 3_000),
    }


def sqlite(site: Site, plan: Plan) -> dict[str, Measure]:
    """The embedded pair, beside a bare executemany of ready rows."""
    log = site.log(plan.lines)
    return {
        "chatferry load, embedded": partial(loaders.embedded_load, site, log),
        "bare executemany": partial(loaders.bare_sqlite, site, log),
    }


def live_latency(site: Site, plan: Plan) -> dict[str, Measure]:
    """A followed file, 1,000 lines a second."""
    return {"chatferry, live": partial(live.latency, site, rate=1_000, seconds=plan.live_seconds)}


def memory(site: Site, plan: Plan) -> dict[str, Measure]:
    """`load` of files of several sizes."""
    return {f"chatferry load, {size / 1e9:g} GB": partial(of_size, site, size) for size in plan.memory_bytes}


def of_size(site: Site, size: int) -> Sample:
    """`load` of a file of so many bytes, which is made for it and removed afterwards."""
    log = site.log(size // LINE_BYTES, line_bytes=LINE_BYTES)
    try:
        return ferry.load(site, log)
    finally:
        site.remove(log)


def curves(samples: Samples) -> Figures:
    """Throughput of all runs, CPU and batch sizes of the last one, over time, of each measure of ours."""
    found: Figures = {}
    stored = {
        f"{name}, run {number}": so_far(run.more["batches_over_time"])
        for name, runs in samples.items()
        for number, run in enumerate(runs, 1)
        if "batches_over_time" in run.more
    }
    if stored:
        found["throughput"] = {"plot": "throughput", "data": stored, "title": "Rows stored"}
    for name, runs in samples.items():
        more = runs[-1].more
        if "series" in more:
            found[f"{name}: CPU"] = {"plot": "cpu", "data": more["series"], "options": {"cores": 2}, "title": name}
        if "batches_over_time" in more:
            found[f"{name}: batches"] = {"plot": "batches", "data": more["batches_over_time"], "title": name}
    return found


def so_far(batches: list[tuple[float, int, int, str]]) -> list[tuple[float, int]]:
    """When how many lines were stored, from the list of batches."""
    return [(0.0, 0), *zip((b[0] for b in batches), itertools.accumulate(b[2] for b in batches), strict=True)]


def latencies(samples: Samples) -> Figures:
    """The distribution of the last run."""
    (runs,) = samples.values()
    return {"latency": {"plot": "latency", "data": runs[-1].more["milliseconds"], "title": "From file to row"}}


def sizes(samples: Samples) -> Figures:
    """Peak memory over file size."""
    points = [
        (runs[-1].more["bytes"], {"producer": runs[-1].peak_mb["main"], "workers": runs[-1].peak_mb["workers"]})
        for runs in samples.values()
    ]
    return {"memory": {"plot": "memory", "data": points, "title": "Peak memory by file size"}} if points else {}


ALL = [
    Suite("end to end", usual, curves),
    Suite("end to end, large", large, curves),
    Suite("producer alone", producer),
    Suite("producer alone, large", large_producer),
    Suite("consumer alone", consumer, curves),
    Suite("SQLAlchemy, for comparison", others),
    Suite("workers", workers),
    Suite("what holds it back", situations, runs=1),
    Suite("SQLite", sqlite),
    Suite("live", live_latency, latencies),
    Suite("memory", memory, sizes, runs=1),
]
