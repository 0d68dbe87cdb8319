"""How long a line takes from a followed file to its row: written at a steady rate, and looked for all the time."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Self

import pymysql
from sqlalchemy import make_url

from benchmarks.measure import CommandFailed, Sample
from benchmarks.site import Site

POLL_SECONDS = 0.005
"""How often is looked for new rows: what a latency is too long by, at most."""

LOST_SECONDS = 30.0
QUANTILES = 1_000


def latency(site: Site, *, rate: int, seconds: float) -> Sample:
    """`produce --follow` and `consume`, with `rate` lines written a second; milliseconds by percentile.

    Raises `CommandFailed` where a line did not become a row.
    """
    log, topic = site.folder / f"{site.name()}.jsonl", site.topic()
    log.touch()
    place = ["--brokers", site.kafka.brokers, "--topic", topic, "--quiet"]
    with site.database() as url:
        commands = [
            ["produce", "--follow", str(log), *place, "--state", str(site.folder / topic)],
            ["consume", *place, "--group", topic, "--database", url, "--workers", "2"],
        ]
        running = [
            subprocess.Popen([sys.executable, "-m", "ops", *command], stdout=subprocess.DEVNULL) for command in commands
        ]
        try:
            with Watch(url) as watch:
                write(log, "warm", rate, 3.0)  # both have started when its rows are there
                watch.until_seen("warm", int(rate * 3.0), LOST_SECONDS)
                watch.expect("line")
                written = write(log, "line", rate, seconds)
                watch.until_seen("line", len(written), LOST_SECONDS)
        finally:
            for process in running:
                process.send_signal(signal.SIGTERM)
            for process in running:
                process.wait(60)
    late = sorted(1e3 * (watch.seen[name] - moment) for name, moment in written.items())
    return Sample(
        len(late),
        seconds,
        more={
            "p50_ms": late[len(late) // 2],
            "p99_ms": late[int(len(late) * 0.99)],
            "longest_ms": late[-1],
            "milliseconds": [late[min(i * len(late) // QUANTILES, len(late) - 1)] for i in range(QUANTILES + 1)],
        },
    )


def write(log: Path, prefix: str, rate: int, seconds: float) -> dict[str, float]:
    """Append lines at a steady rate, each in a write of its own; id and moment of each."""
    written = {}
    began = time.monotonic()
    with log.open("ab", buffering=0) as out:
        for number in range(int(rate * seconds)):
            if (ahead := began + number / rate - time.monotonic()) > 0:
                time.sleep(ahead)
            name = f"{prefix}-{number:09}"
            line = f'{{"id":"{name}","from":"a","type":"message","site_id":"s","timestamp":{number},"data":"hello"}}\n'
            written[name] = time.monotonic()
            out.write(line.encode())
    return written


class Watch:
    """Notes when each row becomes visible to another connection."""

    def __init__(self, url: str) -> None:
        place = make_url(url)
        self._connection = pymysql.connect(
            host=place.host, port=place.port or 3306, user=place.username, database=place.database, autocommit=True
        )
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.seen: dict[str, float] = {}
        """When the row of each id was seen first."""
        self._wanted = ""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._connection.close()

    def _look(self) -> None:
        """Ask for rows behind the first that is missing: they come in order, but for the order among partitions."""
        prefix, first_missing = "", 0
        while not self._over.wait(POLL_SECONDS):
            if prefix != self._wanted:
                prefix, first_missing = self._wanted, 0
            with self._connection.cursor() as cursor:
                cursor.execute(
                    "SELECT id FROM chat_messages WHERE id >= %s AND id < %s",
                    (f"{prefix}-{first_missing:09}", f"{prefix}-a"),
                )
                now = time.monotonic()
                for (name,) in cursor.fetchall():
                    self.seen.setdefault(name, now)
            while f"{prefix}-{first_missing:09}" in self.seen:
                first_missing += 1

    def expect(self, prefix: str) -> None:
        """Look for rows of this prefix from now on."""
        self._wanted = prefix

    def until_seen(self, prefix: str, count: int, seconds: float) -> None:
        """Wait until so many rows of this prefix were seen. Raises `CommandFailed` where that takes too long."""
        self.expect(prefix)
        deadline = time.monotonic() + seconds
        while sum(name.startswith(prefix) for name in list(self.seen)) < count:
            if time.monotonic() > deadline:
                raise CommandFailed(f"of {count} lines not all became rows within {seconds} s")
            time.sleep(0.1)
