"""Every measure beside its baseline, in one run: `make bench` (some ten minutes) and `make bench-full` (10 M lines).

Starts its own servers, writes benchmarks/results/NAME.json after each suite, and at the end a report in Markdown with
plots beside it. Within a suite the measures are interleaved, at least three times each.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import suites
from benchmarks.machine import describe
from benchmarks.measure import CommandFailed, interleaved, summary
from benchmarks.report import write_report
from benchmarks.site import Site, open_site
from benchmarks.suites import Plan, Suite
from benchmarks.targets import judged

RESULTS = Path(__file__).parent / "results"

SMALL = Plan(lines=200_000, many=None, runs=3, article_lines=30_000, live_seconds=10, memory_bytes=())
FULL = Plan(
    lines=1_000_000, many=10_000_000, runs=3, article_lines=200_000, live_seconds=30, memory_bytes=(10**9, 10**10)
)


@dataclass
class Results:
    """What is written to the results file, suite by suite."""

    path: Path
    kind: str
    plan: Plan
    began: float

    def __post_init__(self) -> None:
        self.content: dict[str, Any] = {
            "kind": self.kind,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "lines": self.plan.lines,
            "machine": {},
            "measures": {},
            "left_out": {},
            "figures": {},
            "targets": [],
        }

    def write(self) -> None:
        """Write what there is so far."""
        self.content["seconds"] = round(time.monotonic() - self.began, 1)
        self.content["targets"] = judged(self.content["measures"], self.plan.lines)
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text(json.dumps(self.content, indent=1, default=str) + "\n")


def run(site: Site, results: Results, wanted: Iterable[Suite]) -> None:
    """Run the suites one after the other."""
    for suite in wanted:
        print(f"-- {suite.name}", file=sys.stderr, flush=True)
        runs = suite.runs or results.plan.runs
        samples = interleaved(suite.measures(site, results.plan), runs, results.content["left_out"])
        if samples:
            results.content["measures"][suite.name] = {name: summary(found) for name, found in samples.items()}
        if suite.figures and samples:
            results.content["figures"] |= {
                f"{suite.name}: {name}": {"suite": suite.name, **figure}
                for name, figure in suite.figures(samples).items()
            }
        results.write()


def flame_graph(site: Site, results: Results) -> str | None:
    """Where a worker's time goes; the name of the picture beside the results, None where py-spy may not look."""
    picture = results.path.with_name(f"{results.path.stem}-worker.svg")
    topic = site.topic(site.log(results.plan.lines))
    spy = str(Path(sys.executable).with_name("py-spy"))
    record = [spy, "record", "--subprocesses", "--native", "--rate", "200", "--output", str(picture), "--"]
    watched = [sys.executable, "-m", "benchmarks.accept_all", "--brokers", site.kafka.brokers, "--topic", topic]
    try:
        site.run([*record, *watched])
    except CommandFailed as problem:
        print(f"no flame graph: {problem}", file=sys.stderr, flush=True)
        return None
    return picture.name


def main() -> None:
    """Measure, write, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="10 M lines and 10 GB")
    names = [suite.name for suite in suites.ALL]
    parser.add_argument("--only", action="append", choices=names, help="this suite only; can be given again")
    parser.add_argument("--name", help="of the results file")
    parser.add_argument("--lines", type=int, help="of most measures, instead of the plan's")
    parser.add_argument("--runs", type=int, help="of most measures, instead of the plan's")
    options = parser.parse_args()
    kind, plan = ("full", FULL) if options.full else ("small", SMALL)
    plan = replace(plan, lines=options.lines or plan.lines, runs=options.runs or plan.runs)
    wanted = [suite for suite in suites.ALL if not options.only or suite.name in options.only]
    results = Results(RESULTS / f"{options.name or kind}.json", kind, plan, time.monotonic())
    with tempfile.TemporaryDirectory(prefix="chatferry-bench-") as name, open_site(Path(name)) as site:
        results.content["machine"] = describe(Path(name))
        run(site, results, wanted)
        if not options.only:
            results.content["flame_graph"] = flame_graph(site, results)
            results.write()
    print(write_report(results.path))


if __name__ == "__main__":
    main()
