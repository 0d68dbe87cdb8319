"""A long quiet run: a followed file that is rotated, four chat systems, and whether anything grows that should not.

    python -m benchmarks.soak [--minutes 60] [--rate 1000] [--results FOLDER]

Writes `soak.json`, `soak.md` and `soak.svg`: resident memory, file descriptors and threads of each process over time.
Ends with 1 where a line did not become a row or a dead letter, where something that was said is not in the table once,
or where a process grew: the median of the last tenth is compared with that of the second tenth, when everything has
started and warmed up.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure import CommandFailed
from benchmarks.rooms import Rooms, Talk, open_rooms
from benchmarks.sampler import children
from benchmarks.site import Site, open_site
from benchmarks.soak_report import NAMES, growth, write

RESULTS = Path(__file__).parent / "results"
LOOK_SECONDS = 10.0
CUT_SECONDS = 300.0
"""How often the listeners' connections are cut."""
ROTATE_SECONDS = 60
KEPT = 3
"""So many rotated files stay, as logrotate's `rotate 3`."""
CHUNKS = 10  # writes a second
GROWTH = {"rss_mb": 1.1, "descriptors": 1.1, "threads": 1.0}
"""How much a figure may have grown between the second and the last tenth of the run, as a factor. (A descriptor or two
come and go with the webhook's requests.)"""


def look(process: psutil.Process) -> dict[str, float]:
    """What a process has now."""
    with process.oneshot():
        return {
            "rss_mb": process.memory_info().rss / 1e6,
            "descriptors": process.num_fds(),
            "threads": process.num_threads(),
        }


def names_of(producer: int, listener: int, consumer: int) -> dict[int, str]:
    """What to call each process: the consumer's children are the fork server, a tracker, and its workers below."""
    found = {producer: "producer", listener: "listener", consumer: "supervisor"}
    for child in children(consumer):
        line = " ".join(psutil.Process(child).cmdline())
        if psutil.Process(child).ppid() == consumer:
            found[child] = "fork server" if "forkserver" in line else "resource tracker"
    workers = sorted(set(children(consumer)) - set(found))
    return found | {pid: f"worker {place}" for place, pid in enumerate(workers)}


class Flow(threading.Thread):
    """Appends a log's lines to the followed file at a steady rate, a tenth of a second's at once, and rotates it."""

    def __init__(self, source: Path, target: Path, rate: int, seconds: float) -> None:
        super().__init__(daemon=True)
        self._source, self._target, self._rate, self._seconds = source, target, rate, seconds
        self.written = 0
        self.rotations = 0

    def run(self) -> None:
        """Until the time is up. Each file begins again at the source's start, with other ids."""
        began = time.monotonic()
        while True:
            with self._source.open("rb") as lines, self._target.open("ab", buffering=0) as out:
                for _ in range(ROTATE_SECONDS * CHUNKS):
                    piece = [next(lines, b"") for _ in range(self._rate // CHUNKS)]
                    time.sleep(max(began + self.written / self._rate - time.monotonic(), 0.0))
                    own = b'"id":"%d-' % self.rotations
                    out.write(b"".join(line.replace(b'"id":"', own, 1) for line in piece))
                    self.written += sum(map(bool, piece))
                    if time.monotonic() - began >= self._seconds:
                        return
            self._rotate()

    def _rotate(self) -> None:
        names = [self._target, *(self._target.with_name(f"{self._target.name}.{i}") for i in range(1, KEPT + 1))]
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            if newer.exists():
                newer.replace(older)
        self._target.touch()
        self.rotations += 1


class Soak:
    """The run: three commands, what flows into them, and what they had at each look."""

    def __init__(self, site: Site, rooms: Rooms, url: str) -> None:
        self._site, self._rooms, self._url = site, rooms, url
        self._log = site.folder / "live.jsonl"
        self._log.touch()
        self._points: dict[str, list[tuple[float, dict[str, float]]]] = {}
        topic = site.topic()
        place = ["--brokers", site.kafka.brokers, "--topic", topic, "--json"]
        self._running = [
            self._start("produce", "--follow", str(self._log), *place, "--state", str(site.folder / "state")),
            self._start("listen", *(room.url for room in rooms.rooms), *place, "--state", str(site.folder / "heard")),
            self._start("consume", *place, "--group", topic, "--database", url, "--workers", "2"),
        ]

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **self._rooms.environment}
        log = self._site.folder / f"{command[0]}.log"
        with log.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "ops", *command], stdout=subprocess.PIPE, stderr=errors, env=environment
            )
        if command[0] == "listen":
            _wait_until_listening(log, len(self._rooms.rooms))
        return process

    def run(self, minutes: float, rate: int) -> dict[str, Any]:
        """The results. Raises `CommandFailed` where a command ended before its time."""
        source = self._site.log(rate * ROTATE_SECONDS, bad=0.001, repeats=0.001)
        flow = Flow(source, self._log, rate, minutes * 60)
        talks = [Talk(room) for room in self._rooms.rooms]
        began = time.monotonic()
        for thread in (flow, *talks):
            thread.start()
        cuts = 0
        while flow.is_alive():
            flow.join(LOOK_SECONDS)
            seconds = time.monotonic() - began
            if seconds > (cuts + 1) * CUT_SECONDS:
                self._rooms.cut()
                cuts += 1
            self._look(round(seconds, 1))
        for talk in talks:
            talk.finish()
        produced, heard, consumed = map(_end, self._running)
        return {
            "minutes": minutes,
            "rate": rate,
            "written": flow.written,
            "rotations": flow.rotations,
            "cuts": cuts,
            "produced": produced,
            "heard": heard,
            "consumed": {key: value for key, value in consumed.items() if key != "batches_over_time"},
            "rooms": {talk.room.name: {"said": talk.said, "rows": self._messages(talk.room.site)} for talk in talks},
            "rows": self._site.rows(self._url),
            "points": self._points,
        }

    def _look(self, seconds: float) -> None:
        if ended := [process.args for process in self._running if process.poll() is not None]:
            raise CommandFailed(f"ended before its time: {ended}; see the logs in {self._site.folder}")
        for pid, name in names_of(*(process.pid for process in self._running)).items():
            self._points.setdefault(name, []).append((seconds, look(psutil.Process(pid))))

    def _messages(self, site: str) -> int:
        return self._site.rows(self._url, f"site_id = '{site}' AND type = 'message'")


def _wait_until_listening(log: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while (text := log.read_text(errors="replace")).count(": listening") < count:
        if time.monotonic() > deadline:
            raise CommandFailed(f"not every listener listens: {text}")
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Let a command catch up, which at a steady rate takes a moment, end it, and take its account."""
    time.sleep(3.0)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    account: dict[str, Any] = json.loads(output)
    return account


def judged(result: dict[str, Any]) -> list[str]:
    """What is not as it should be."""
    produced, heard, consumed = result["produced"], result["heard"], result["consumed"]
    sent = produced["acknowledged"] + heard["acknowledged"]
    pairs = [
        ("lines written, and acknowledged", result["written"], produced["acknowledged"]),
        ("lines heard, and acknowledged", heard["heard"], heard["acknowledged"]),
        ("lines acknowledged, and consumed", sent, consumed["messages"]),
        ("rows reported, and in the table", consumed["rows"], result["rows"]),
        *((f"said on {name}, and in the table", room["said"], room["rows"]) for name, room in result["rooms"].items()),
    ]
    wrong = [f"{what}: {one:,} and {two:,}" for what, one, two in pairs if one != two]
    for process, figure, early, late in growth(result["points"]):
        if late > early * GROWTH[figure]:
            wrong.append(f"{process}: {NAMES[figure]} grew from {early:,.1f} to {late:,.1f}")
    return wrong


def main() -> None:
    """Run it and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=1_000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chatferry-soak-") as name:
        folder = Path(name)
        with open_site(folder) as site, open_rooms(folder) as rooms, site.database() as url:
            result = Soak(site, rooms, url).run(options.minutes, options.rate)
    wrong = judged(result)
    print(write(result, wrong, options.results).read_text(encoding="utf-8"))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
