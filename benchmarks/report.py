"""The report of a benchmark's run, in Markdown beside its results: `python -m benchmarks.report results.json`.

The results are one JSON object:

    {"kind": "small" or "full", "started": ISO time, "seconds": 1.5, "lines": 10,
     "machine": what `benchmarks.machine.describe` returns,
     "measures": {suite: {name: what `benchmarks.measure.summary` returns}},
     "targets": [{"measure": "", "target": "", "value": number or null, "unit": "", "met": true, "note": ""}],
     "figures": {name: {"plot": a name of `benchmarks.plots.PLOTS`, "suite": "", "title": "", "data": its data,
                        "options": {its options by name}}},
     "left_out": {name: why}, "flame_graph": name of a file beside the report}

What is absent is left out; a figure without points is named as not drawn. A measure whose name begins with `chatferry`
has its colour in the bars. The pictures go to `<results>-figures/`, which is emptied of earlier ones.
"""

import itertools
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.drawing import NothingToDraw
from benchmarks.markdown import judgement_table, measure_table, more_table, number, plain, share_table, table
from benchmarks.plots import PLOTS

OURS = "chatferry"
HOW_TO_READ = (
    "Rates are lines or rows a second, medians of the runs, with the lowest and the highest run beside them. CPU is "
    "user and system time, by group of processes. Memory is the largest resident size of one process of a group in any "
    "run; 1 MB is 10^6 bytes."
)
GLOSSARY = """\
- **main** is the first process of what is measured (`load`'s producer and supervisor, `produce`, another tool),
  **workers** are the processes that it started, **kafka** and **mariadb** the servers.
- **limit: runs of N**: two connections load ready rows, sorted by id in runs of N, and nothing else runs; the
  **best limit** builds the secondary indexes at the end.
- **article**: the program that chatferry grew from, ported to Python 3: a multiprocessing queue, the ORM, 50 rows a
  commit.
- A rate is from the start of the command to its last row or acknowledgement, start-up with it (so a source of 3,000
  lines a second shows less). **own_rate** is what Kafka's performance tool says itself, without the start of its JVM;
  **warm_rate** a second run of Connect in a JVM that is warm.
- **caught up, backlog, full, old**: why a batch went to the database: no lines were waiting, it was as long as it
  should be behind a backlog, it reached `--batch-rows` or `--batch-bytes`, it grew too old.
- The files of the suite "memory" have lines of 1.8 kB, all others of 181 bytes on average.
- Rows are drawn as they are stored; after the last one the indexes are built, which only the CPU figures show."""
SERVERS = (
    "Apache Kafka 4.3.1, one node, a heap of 1 GB, topics of 4 partitions; MariaDB 11.4.5, a buffer pool of 2 GB, "
    "everything else at its default: `innodb_flush_log_at_trx_commit` 1, a redo log of 96 MB. Producers use lz4 and "
    "acks=all."
)
MACHINE = {
    "cpu": "processor",
    "cores": "cores",
    "memory_gb": "memory, GB",
    "disk": "disk",
    "fsync_ms": "4 kB write with fsync, median, ms",
    "kernel": "kernel",
    "python": "Python",
    "versions": "versions",
    "commit": "commit",
    "load_average": "load average at the start (1, 5, 15 minutes)",
}
"""What the machine's entries are called; others keep the name that they have."""


class BadResults(ValueError):
    """The file is no results file; the message says why."""


def write_report(results: Path) -> Path:
    """Write `<results>.md` and its pictures beside a results file; the report's path.

    Raises `BadResults` where the file is not the JSON object of a run, and `OSError` where a file cannot be read or
    written.
    """
    try:
        run = json.loads(results.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadResults(f"{results.name} is not JSON: {error}") from error
    if not isinstance(run, dict) or "measures" not in run:
        raise BadResults(f"{results.name} has no measures")
    pictures = draw_figures(run, results.with_name(f"{results.stem}-figures"))
    report = results.with_suffix(".md")
    report.write_text("\n\n".join(sections(run, pictures)) + "\n", encoding="utf-8")
    return report


def sections(run: Mapping[str, Any], pictures: Mapping[str, list[str]]) -> Iterator[str]:
    """The report's blocks of Markdown in their order; `pictures` gives those of each suite."""
    yield f"# Benchmark: {plain(run.get('kind', 'unnamed'))} run"
    yield introduction(run)
    yield GLOSSARY
    yield "## Targets"
    yield from targets(run.get("targets") or [])
    yield "## Machine"
    yield machine(run.get("machine") or {})
    yield SERVERS
    for suite, measures in run["measures"].items():
        yield f"## {plain(suite)}"
        yield from suite_section(measures)
        yield from pictures.get(suite, [])
    yield from appendix(run)
    if others := [line for suite, lines in pictures.items() if suite not in run["measures"] for line in lines]:
        yield "## Other figures"
        yield from others


def appendix(run: Mapping[str, Any]) -> Iterator[str]:
    """What was left out for want of a tool, and the flame graph."""
    if left_out := run.get("left_out"):
        yield "## Left out"
        yield table(["measure", "why"], [[name, reason] for name, reason in left_out.items()])
    if graph := run.get("flame_graph"):
        yield "## Flame graph"
        yield f"A worker whose store accepts at once, by py-spy, with native frames: [{graph}]({quote(graph)})"


def introduction(run: Mapping[str, Any]) -> str:
    """When the run was, how long it took, and how to read the tables."""
    facts = [
        f"Started {plain(run['started'])}." if "started" in run else "",
        f"It took {number(run['seconds'])} seconds." if "seconds" in run else "",
        f"The main log has {number(run['lines'])} lines." if "lines" in run else "",
        HOW_TO_READ,
    ]
    return " ".join(fact for fact in facts if fact)


def targets(all_of_them: list[dict[str, Any]]) -> Iterator[str]:
    """How many targets are met, and each with its figure; one without a figure is `not measured`, never met."""
    if not all_of_them:
        yield "This run has no targets."
        return
    said = [verdict(target) for target in all_of_them]
    missed, unknown = said.count("**missed**"), said.count("not measured")
    yield f"{said.count('met')} of {len(said)} targets are met, {missed} missed, {unknown} not measured."
    yield table(
        ["measure", "target", "figure", "met or missed", "note"],
        [
            [target["measure"], target["target"], figure(target), word, target.get("note", "")]
            for target, word in zip(all_of_them, said, strict=True)
        ],
        right={2},
    )


def verdict(target: Mapping[str, Any]) -> str:
    """`met`, `missed` (in bold) or `not measured`."""
    if number(target.get("value")) == "-":
        return "not measured"
    return "met" if target.get("met") is True else "**missed**"


def figure(target: Mapping[str, Any]) -> str:
    """A target's figure with its unit, as precise as it must be to tell it from the bound."""
    value = number(target.get("value"))
    if (
        target.get("met") is False
        and value != "-"
        and value.rstrip("0").rstrip(".") == str(target["target"]).split()[-1]
    ):
        value = f"{target['value']:.4g}"
    return value if value == "-" else f"{value} {target.get('unit', '')}".rstrip()


def machine(facts: Mapping[str, Any]) -> str:
    """The table of the machine."""
    if not facts:
        return "The results do not describe the machine."
    known = [key for key in MACHINE if key in facts] + [key for key in facts if key not in MACHINE]
    return table(["", ""], [[MACHINE.get(key, key), fact_text(facts[key])] for key in known])


def fact_text(fact: object) -> str:
    """A fact of the machine in words: versions and averages in a row."""
    if isinstance(fact, dict):
        return ", ".join(f"{name} {value}" for name, value in fact.items())
    if isinstance(fact, list):
        return ", ".join(map(fact_text, fact))
    return number(fact) if isinstance(fact, int | float) and not isinstance(fact, bool) else str(fact)


def suite_section(measures: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A suite's tables: rates and costs, what else was measured, and where the core-seconds went."""
    if not measures:
        yield "Nothing was measured in this suite."
        return
    yield measure_table(measures)
    if more := more_table(measures):
        yield "Also measured, as the median of the runs, with the lowest and the highest:"
        yield more
    if judgements := judgement_table(measures):
        yield "What the last run said of itself:"
        yield judgements
    if shares := share_table(measures):
        yield "### Where the core-seconds went"
        yield "Core-seconds of a run by group of processes, as medians of the runs, and their share of all of them."
        yield shares


def draw_figures(run: Mapping[str, Any], folder: Path) -> dict[str, list[str]]:
    """Draw the pictures into a folder; for each suite the links to them, or that one was not drawn and why."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    pictures: dict[str, list[str]] = {}
    for name, entry in all_figures(run).items():
        pictures.setdefault(entry.get("suite", ""), []).append(draw_figure(name, entry, folder))
    return pictures


def all_figures(run: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The bars of each suite that has two measures or more, then the figures of the results."""
    bars: dict[str, dict[str, Any]] = {
        f"{suite} rates": {
            "plot": "bars",
            "suite": suite,
            "title": f"{suite}: rates",
            "data": {name: measure["rate"] for name, measure in measures.items() if measure.get("rate")},
            "options": {"ours": [name for name in measures if name.lower().startswith(OURS)]},
        }
        for suite, measures in run["measures"].items()
        if len(measures) > 1
    }
    return bars | {name: entry or {} for name, entry in (run.get("figures") or {}).items()}


def draw_figure(name: str, entry: Mapping[str, Any], folder: Path) -> str:
    """Draw one picture; the link to it, or the sentence that it was not drawn."""
    title = entry.get("title") or name
    path = unused(folder, file_name(name))
    if entry.get("plot") not in PLOTS:
        return f"Not drawn: {plain(title)}: there is no plot `{entry.get('plot')}`."
    try:
        PLOTS[entry["plot"]](path, entry.get("data") or {}, title=title, **entry.get("options", {}))
    except NothingToDraw as error:
        return f"Not drawn: {plain(title)}: {error}."
    return f"![{plain(title)}]({quote(f'{folder.name}/{path.name}')})"


def file_name(name: str) -> str:
    """A figure's name as that of a file: small letters, digits and hyphens."""
    return "-".join("".join(letter if letter.isalnum() else " " for letter in name.lower()).split()) or "figure"


def unused(folder: Path, name: str) -> Path:
    """The SVG file of this name, with a number where the folder has one already: `a b` and `a-b` are two figures."""
    paths = (folder / f"{name}{'' if count == 1 else f'-{count}'}.svg" for count in itertools.count(1))
    return next(path for path in paths if not path.exists())


def main() -> None:
    """Write the report of the results file that the command line names, and print the report's path."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m benchmarks.report results.json")
    try:
        print(write_report(Path(sys.argv[1])))
    except (BadResults, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
