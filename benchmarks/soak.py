"""A long quiet run: a followed file, lines at a steady rate, and whether anything grows that should not.

    python -m benchmarks.soak [--minutes 60] [--rate 1000] [--results FOLDER]

Writes `soak.json`, `soak.md` and `soak.svg`: resident memory, file descriptors and threads of each process over time.
Ends with 1 where a line did not become a row or a dead letter, or where a process grew: the median of the last tenth
is compared with that of the second tenth, when everything has started and warmed up.
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.drawing import COLOURS, legend, name_axes, pictures
from benchmarks.markdown import number, table
from benchmarks.measure import CommandFailed
from benchmarks.sampler import children
from benchmarks.site import Site, open_site

RESULTS = Path(__file__).parent / "results"
LOOK_SECONDS = 10.0
CHUNKS = 10  # writes a second
GROWTH = {"rss_mb": 1.1, "descriptors": 1.0, "threads": 1.0}
"""How much a figure may have grown between the second and the last tenth of the run, as a factor."""

NAMES = {"rss_mb": "resident memory, MB", "descriptors": "file descriptors", "threads": "threads"}

Points = dict[str, list[tuple[float, dict[str, float]]]]
"""By process: seconds since the start, and what it had then."""


def look(process: psutil.Process) -> dict[str, float]:
    """What a process has now."""
    with process.oneshot():
        return {
            "rss_mb": process.memory_info().rss / 1e6,
            "descriptors": process.num_fds(),
            "threads": process.num_threads(),
        }


def names_of(producer: int, consumer: int) -> dict[int, str]:
    """What to call each process: the consumer's children are the fork server, a tracker, and its workers below."""
    found = {producer: "producer", consumer: "supervisor"}
    for child in children(consumer):
        line = " ".join(psutil.Process(child).cmdline())
        if psutil.Process(child).ppid() == consumer:
            found[child] = "fork server" if "forkserver" in line else "resource tracker"
    workers = sorted(set(children(consumer)) - set(found))
    return found | {pid: f"worker {place}" for place, pid in enumerate(workers)}


class Flow(threading.Thread):
    """Appends a log's lines to the followed file at a steady rate, a tenth of a second's at once."""

    def __init__(self, source: Path, target: Path, rate: int, seconds: float) -> None:
        super().__init__(daemon=True)
        self._source, self._target, self._rate, self._seconds = source, target, rate, seconds
        self.written = 0

    def run(self) -> None:
        """Until the time is up; begins again at the source's start when it is through, with other ids."""
        began, turn = time.monotonic(), 0
        with self._target.open("ab", buffering=0) as out:
            while time.monotonic() - began < self._seconds:
                turn += 1
                with self._source.open("rb") as lines:
                    for _ in range(self._rate * 60 // (self._rate // CHUNKS)):
                        piece = [next(lines, b"") for _ in range(self._rate // CHUNKS)]
                        late = began + self.written / self._rate - time.monotonic()
                        time.sleep(max(late, 0.0))
                        out.write(b"".join(line.replace(b'"id":"', b'"id":"%d-' % turn, 1) for line in piece))
                        self.written += sum(map(bool, piece))
                        if time.monotonic() - began >= self._seconds:
                            return


def soak(site: Site, minutes: float, rate: int) -> dict[str, Any]:
    """The run; its results. Raises `CommandFailed` where a command ended before its time."""
    source = site.log(rate * 60, bad=0.001, repeats=0.001)
    log, topic = site.folder / "live.jsonl", site.topic()
    log.touch()
    place = ["--brokers", site.kafka.brokers, "--topic", topic, "--json"]
    points: Points = {}
    with site.database() as url:
        commands = [
            ["produce", "--follow", str(log), *place, "--state", str(site.folder / "state")],
            ["consume", *place, "--group", topic, "--database", url, "--workers", "2"],
        ]
        running = [
            subprocess.Popen([sys.executable, "-m", "ops", *command], stdout=subprocess.PIPE) for command in commands
        ]
        flow = Flow(source, log, rate, minutes * 60)
        began = time.monotonic()
        flow.start()
        while flow.is_alive():
            flow.join(LOOK_SECONDS)
            ended = [process.args for process in running if process.poll() is not None]
            if ended:
                raise CommandFailed(f"ended before its time: {ended}")
            seconds = round(time.monotonic() - began, 1)
            for pid, name in names_of(*(process.pid for process in running)).items():
                points.setdefault(name, []).append((seconds, look(psutil.Process(pid))))
        accounts = [_end(process) for process in running]
        rows = site.rows(url)
    return {
        "minutes": minutes,
        "rate": rate,
        "written": flow.written,
        "produced": accounts[0],
        "consumed": {key: value for key, value in accounts[1].items() if key != "batches_over_time"},
        "rows": rows,
        "points": points,
    }


def _end(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Let a command catch up, which at a steady rate takes a moment, end it, and take its account."""
    time.sleep(3.0)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    account: dict[str, Any] = json.loads(output)
    return account


def judged(result: dict[str, Any]) -> list[str]:
    """What is not as it should be."""
    produced, consumed = result["produced"], result["consumed"]
    wrong = []
    if produced["acknowledged"] != result["written"]:
        wrong.append(f"{result['written']:,} lines written, {produced['acknowledged']:,} acknowledged")
    if consumed["messages"] != produced["acknowledged"]:
        wrong.append(f"{produced['acknowledged']:,} lines acknowledged, {consumed['messages']:,} consumed")
    if consumed["rows"] != result["rows"]:
        wrong.append(f"{consumed['rows']:,} rows reported, {result['rows']:,} in the table")
    for process, figure, early, late in growth(result["points"]):
        if late > early * GROWTH[figure]:
            wrong.append(f"{process}: {NAMES[figure]} grew from {early:,.1f} to {late:,.1f}")
    return wrong


def growth(points: Points) -> list[tuple[str, str, float, float]]:
    """Process, figure, and its median in the second and the last tenth of the run."""
    found = []
    for process, series in points.items():
        tenth = max(len(series) // 10, 1)
        early, late = series[tenth : 2 * tenth] or series, series[-tenth:]
        found += [(process, figure, _median(early, figure), _median(late, figure)) for figure in GROWTH]
    return found


def _median(series: Sequence[tuple[float, dict[str, float]]], figure: str) -> float:
    return statistics.median(values[figure] for _, values in series)


def write(result: dict[str, Any], wrong: list[str], folder: Path) -> None:
    """The results, the picture, and the report."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "soak.json").write_text(json.dumps(result | {"wrong": wrong}), encoding="utf-8")
    draw(result["points"], folder / "soak.svg")
    consumed = result["consumed"]
    rows = [
        [process, NAMES[figure], number(early), number(late)]
        for process, figure, early, late in growth(result["points"])
    ]
    told = (
        f"{result['minutes']:g} minutes, {result['rate']:,} lines a second into a followed file: {result['written']:,} "
        f"lines written, {result['produced']['acknowledged']:,} acknowledged, {consumed['messages']:,} consumed = "
        f"{consumed['rows']:,} rows + {consumed['repeats']:,} repeats + {consumed['dead_letters']:,} dead letters; "
        f"{result['rows']:,} rows in the table."
    )
    judgement = "Not as it should be: " + "; ".join(wrong) if wrong else "Nothing grew, and every line is accounted for"
    head = ["process", "figure", "second tenth, median", "last tenth, median"]
    picture = "![Memory, file descriptors and threads over time](soak.svg)"
    blocks = ["# Soak", told, f"{judgement}.", table(head, rows, right={2, 3}), picture]
    (folder / "soak.md").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def draw(points: Points, path: Path) -> None:
    """A panel for each figure, a line for each process, over minutes."""
    with pictures(path, "", len(GROWTH), 2.6, share_y=False) as (figure, panels):
        for axes, key in zip(panels, GROWTH, strict=True):
            for place, (process, series) in enumerate(points.items()):
                minutes = [seconds / 60 for seconds, _ in series]
                axes.plot(minutes, [values[key] for _, values in series], label=process, linewidth=1.4,
                          color=COLOURS[place % len(COLOURS)])  # fmt: skip
            name_axes(axes, "minutes" if axes is panels[-1] else "", NAMES[key])
            axes.set_ylim(bottom=0)
        legend(figure, panels[0])


def main() -> None:
    """Run it and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chatferry-soak-") as name, open_site(Path(name)) as site:
        result = soak(site, options.minutes, options.rate)
    wrong = judged(result)
    write(result, wrong, options.results)
    print((options.results / "soak.md").read_text(encoding="utf-8"))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
