"""Other programs between a topic and a table: baselines of `chatferry consume`.

    python -m benchmarks.peers [rsyslog] [quix] [benthos] [quix_two] [--lines 100_000]

Each takes a topic that was filled before into a fresh table with chatferry's columns, key and indexes. The clock goes
from the start of the process until the last row is in the table, start-up included; then the process is ended.

Fill the topic from a clean log (`site.log(lines, bad=0.0, repeats=0.0)`): a bad line ends Quix Streams, Benthos tries
it for ever, and rsyslog stores what it can read of it as a row; and the number of rows is what each waits for. rsyslog
stores an empty text as NULL (it has one name for both); the others' tables are exact.

Redpanda Connect, the present Benthos, could not be had where this was written; Benthos 4.27, the last before it, could.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pymysql
from sqlalchemy.engine import make_url

from benchmarks import tools
from benchmarks.measure import CommandFailed, Missing, Sample
from benchmarks.sampler import Sampler, children
from benchmarks.site import Site
from schemas.table import TABLE

FILES = Path(__file__).parent / "peer_files"
CACHE = Path(__file__).parents[1] / ".cache" / "peers"
QUIX_PYTHON = CACHE / "quix" / "bin" / "python"
BENTHOS = CACHE / "benthos" / "benthos"
QUIX_PACKAGES = ("quixstreams==3.28.1", "pymysql")
BENTHOS_MODULE = "github.com/benthosdev/benthos/v4@v4.27.0"
RSYSLOG_PACKAGES = ("rsyslog", "rsyslog-kafka", "rsyslog-mysql")

LOOK_SECONDS = 0.1
STALLED_SECONDS = 30.0
"""A peer that has stored nothing for so long is given up."""
END_SECONDS = 10.0

Peer = Callable[[Site, str, int], Sample]
"""A measure that takes a site, a filled topic of it, and how many rows that becomes."""


def install() -> None:
    """Install all three: rsyslog by apt-get, as root; the others in .cache/peers, by pip and by go.

    Raises `CalledProcessError`, `Missing` without go.
    """
    go = tools.program("go", "golang-go")
    tools.apt_install(*RSYSLOG_PACKAGES)
    subprocess.run([sys.executable, "-m", "venv", str(CACHE / "quix")], check=True)
    subprocess.run([str(QUIX_PYTHON), "-m", "pip", "install", "--quiet", *QUIX_PACKAGES], check=True)
    BENTHOS.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(FILES / "benthos.go", BENTHOS.parent / "main.go")
    if not (BENTHOS.parent / "go.mod").exists():
        subprocess.run([go, "mod", "init", "peer"], check=True, cwd=BENTHOS.parent)
    for arguments in (["get", BENTHOS_MODULE], ["mod", "tidy"], ["build", "-o", BENTHOS.name, "."]):
        subprocess.run([go, *arguments], check=True, cwd=BENTHOS.parent)


def installed() -> bool:
    """Whether all three are there."""
    return _rsyslogd() is not None and QUIX_PYTHON.exists() and BENTHOS.exists()


def _rsyslogd() -> str | None:
    return shutil.which("rsyslogd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def rsyslog(site: Site, topic: str, lines: int) -> Sample:
    """imkafka, mmjsonparse, ommysql: four workers, each with a transaction of 5,000 single-row INSERTs.

    Raises `Missing`, and `CommandFailed` where it ends or stalls.
    """
    found = _rsyslogd()
    if found is None:
        raise Missing(f"rsyslogd is missing: apt-get install -y --no-install-recommends {' '.join(RSYSLOG_PACKAGES)}")
    pid_file = site.folder / f"{site.name()}.pid"
    return _peer(site, topic, lines, [found, "-n", "-f", str(FILES / "rsyslog.conf"), "-i", str(pid_file)])


def quix(site: Site, topic: str, lines: int, *, processes: int = 1) -> Sample:
    """Quix Streams with a sink of its user's: JSON decoded by it, `executemany` of 5,000 by PyMySQL.

    It has no threads of its own; more processes of one group share the partitions. Raises `Missing`, and
    `CommandFailed` where it ends or stalls.
    """
    _there(QUIX_PYTHON)
    return _peer(site, topic, lines, [str(QUIX_PYTHON), str(FILES / "quix_app.py")], processes=processes)


def quix_two(site: Site, topic: str, lines: int) -> Sample:
    """Quix Streams in two processes of one group."""
    return quix(site, topic, lines, processes=2)


def benthos(site: Site, topic: str, lines: int) -> Sample:
    """Benthos: kafka_franz with batches of 1,000, sql_insert with four at a time, and a lazy garbage collector.

    (GOGC=400 takes a third off its CPU. Batches of 5,000 halve its speed.)

    Raises `Missing`, and `CommandFailed` where it ends or stalls.
    """
    _there(BENTHOS)
    return _peer(site, topic, lines, ["env", "GOGC=400", str(BENTHOS), "-c", str(FILES / "benthos.yaml")])


def _there(tool: Path) -> None:
    if not tool.exists():
        raise Missing(
            f"{tool.name} is missing in .cache/peers: python -c 'from benchmarks import peers; peers.install()'"
        )


def _peer(site: Site, topic: str, rows: int, command: Sequence[str], *, processes: int = 1) -> Sample:
    """Run so many of the command until the table of a fresh database has `rows` rows."""
    folder = site.folder / site.name()
    folder.mkdir()
    with site.database() as url, closing(_connect(url)) as connection:
        place = make_url(url)
        names = {"BROKERS": site.kafka.brokers, "TOPIC": topic, "GROUP": folder.name, "FOLDER": str(folder),
                 "HOST": place.host, "PORT": str(place.port), "DATABASE": place.database}  # fmt: skip
        environment = {**os.environ, **{name: str(value) for name, value in names.items()}}
        written = _written(connection)
        began = time.monotonic()
        with ExitStack() as stack, (folder / "said").open("wb") as said:
            running = [stack.enter_context(_running(command, environment, said)) for _ in range(processes)]
            sampler = stack.enter_context(Sampler(_groups(site, running)))
            for seen in _looks(connection, written, running):
                if seen >= rows and _count(connection) >= rows:
                    break
            else:
                said.flush()
                raise CommandFailed(f"{command[0]}: {(folder / 'said').read_text(errors='replace')[-2000:]}")
            seconds = time.monotonic() - began
    return Sample(rows, seconds, sampler.usage.cpu, sampler.usage.peak_mb)


def _connect(url: str) -> Any:
    place = make_url(url)
    return pymysql.connect(
        host=place.host, port=place.port, user=place.username, database=place.database, autocommit=True
    )


def _groups(site: Site, running: Sequence[subprocess.Popen[bytes]]) -> Mapping[str, Callable[[], list[int]]]:
    return {
        "kafka": lambda: [site.kafka.pid],
        "mariadb": lambda: [site.maria.pid],
        "main": lambda: [process.pid for process in running],
        "workers": lambda: [pid for process in running for pid in children(process.pid)],
    }


@contextmanager
def _running(
    command: Sequence[str], environment: Mapping[str, str], said: BinaryIO
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the command for the block; TERM at its end, and KILL where that is not heard."""
    process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _looks(connection: Any, before: int, running: Sequence[subprocess.Popen[bytes]]) -> Iterator[int]:
    """How many rows were written since, ten times a second; ends where a process ended or nothing is written."""
    seen, since = 0, time.monotonic()
    while time.monotonic() < since + STALLED_SECONDS and all(process.poll() is None for process in running):
        time.sleep(LOOK_SECONDS)
        now = _written(connection) - before
        if now > seen:
            seen, since = now, time.monotonic()
        yield now


def _written(connection: Any) -> int:
    """The server's counter of rows that were written: cheap, and ahead of what is committed."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Handler_write'")
        return int(cursor.fetchone()[1])


def _count(connection: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {TABLE}")
        return int(cursor.fetchone()[0])


PEERS: dict[str, Peer] = {"rsyslog": rsyslog, "quix": quix, "quix_two": quix_two, "benthos": benthos}


def _with_topic(peer: Peer) -> tools.Baseline:
    """The peer as a measure of a log, which is put on a topic first."""
    return lambda site, log: peer(site, site.topic(log), site.held(log).rows)


if __name__ == "__main__":
    baselines = {name: _with_topic(peer) for name, peer in PEERS.items()}
    tools.try_out(baselines, description="Try out the peers.", bad=0.0, repeats=0.0)
