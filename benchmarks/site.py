"""Where measures are taken: the servers, the logs, and commands run as a person runs them."""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.generate import Expected, generate
from benchmarks.measure import CommandFailed, Sample
from benchmarks.sampler import Sampler, Usage, children
from tests.services.kafka import Kafka
from tests.services.mariadb import MariaDB

BUFFER_POOL = "2G"
"""As in the measured facts that the targets come from; all else is the server's default, durable commits among it."""
PARTITIONS = 4
KAFKA_HEAP = "1g"


class Done(NamedTuple):
    """A command that came to its end."""

    seconds: float
    output: bytes
    usage: Usage


class Site:
    """A Kafka and a MariaDB with default settings, and fresh logs, topics and databases on them."""

    def __init__(self, folder: Path, kafka: Kafka, maria: MariaDB) -> None:
        self.folder = folder
        self.kafka = kafka
        self.maria = maria
        self._numbers = itertools.count()
        self._held: dict[Path, Expected] = {}

    def log(self, lines: int, **shape: Any) -> Path:
        """A log of so many lines; made once. `shape` is `generate`'s."""
        path = self.folder / ("-".join(["chat", str(lines), *(f"{k}{v}" for k, v in sorted(shape.items()))]) + ".jsonl")
        if path not in self._held:
            self._held[path] = generate(path, lines, **shape)
        return path

    def held(self, log: Path) -> Expected:
        """What a log of this site holds."""
        return self._held[log]

    def remove(self, log: Path) -> None:
        """Remove a log of this site: it was a large one."""
        log.unlink()
        del self._held[log]

    def name(self) -> str:
        """A name that was not used yet: for a topic, a group, a database, a file."""
        return f"bench_{next(self._numbers)}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a fresh database with chatferry's empty table, dropped afterwards."""
        name = self.name()
        url = self.maria.create_database(name)
        self.ferry("db", "upgrade", "--database", url)
        try:
            yield url
        finally:
            self.maria.drop_database(name)

    def topic(self, log: Path | None = None) -> str:
        """A fresh topic of `PARTITIONS` partitions; filled with the log's lines where one is given."""
        name = self.name()
        self.ferry(
            "topics", "create", "--brokers", self.kafka.brokers, "--topic", name, "--partitions", str(PARTITIONS)
        )
        if log:
            self.ferry("produce", str(log), "--brokers", self.kafka.brokers, "--topic", name,
                       "--state", str(self.folder / name))  # fmt: skip
        return name

    def rows(self, url: str, where: str = "TRUE") -> int:
        """How many rows a database's table has, of those for which `where` holds."""
        query = f"SELECT COUNT(*) FROM chat_messages WHERE {where}"
        return int(self.maria.execute(query, url.rpartition("/")[2].partition("?")[0])[0][0])

    def ferry(self, *arguments: str) -> dict[str, Any]:
        """Run a chatferry command; its JSON object."""
        return self.watched_ferry(*arguments)[0]

    def watched_ferry(self, *arguments: str) -> tuple[dict[str, Any], Done]:
        """Run a chatferry command; its JSON object, and what it cost."""
        done = self.run([sys.executable, "-m", "ops", *arguments, "--json"])
        account: dict[str, Any] = json.loads(done.output)
        return account, done

    def run(self, command: Sequence[str], *, shell_text: str | None = None) -> Done:
        """Run a command to its end and watch it and the servers.

        `shell_text` is given to bash instead of the command, with `pipefail`, for pipelines. The groups are `kafka`,
        `mariadb`, `main` (the process itself) and `workers` (its descendants). Raises `CommandFailed`.
        """
        arguments = ["bash", "-o", "pipefail", "-c", shell_text] if shell_text else list(command)
        began = time.monotonic()
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        groups = {
            "kafka": lambda: [self.kafka.pid],
            "mariadb": lambda: [self.maria.pid],
            "main": lambda: [process.pid],
            "workers": lambda: children(process.pid),
        }
        with Sampler(groups) as sampler:
            output, said = process.communicate()
        seconds = time.monotonic() - began
        if process.returncode:
            raise CommandFailed(f"{' '.join(arguments)}: status {process.returncode}: {said.decode()[-2000:]}")
        return Done(seconds, output, sampler.usage)


def sample(count: int, done: Done, *, seconds: float | None = None, **more: Any) -> Sample:
    """A sample made of a command's end."""
    return Sample(count, seconds or done.seconds, done.usage.cpu, done.usage.peak_mb, more)


@contextmanager
def open_site(folder: Path) -> Iterator[Site]:
    """A site in an empty folder; its servers end with the block."""
    for name in ("kafka", "mariadb"):
        (folder / name).mkdir()
    with (
        Kafka(folder / "kafka", heap=KAFKA_HEAP) as kafka,
        MariaDB(folder / "mariadb", buffer_pool=BUFFER_POOL) as maria,
    ):
        yield Site(folder, kafka, maria)
