"""The main job beside the program that it grew from, on the same servers in the same run.

    python -m benchmarks.compare [--lines 1_000_000] [--article-lines 200_000] [--runs 3]

Starts its own Apache Kafka (4 partitions, lz4, acks=all) and MariaDB (durable defaults, a buffer pool of 2 GB), and for
each run, in turn: the article's program on the first lines of the log; `produce`, then `consume --until-end` from the
filled topic; and `load --brokers`, everything at once. Prints one JSON object: rows a second, median and spread, and
ratios of medians.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.generate import generate
from tests.services.kafka import Kafka
from tests.services.mariadb import MariaDB

BUFFER_POOL = "2G"
PARTITIONS = 4


def command(module: str, *arguments: str) -> dict[str, Any]:
    """Run a command of this checkout; its JSON object.

    Raises `CalledProcessError` where it fails.
    """
    process = subprocess.run([sys.executable, "-m", module, *arguments], check=True, stdout=subprocess.PIPE)
    result: dict[str, Any] = json.loads(process.stdout)
    return result


class Bench:
    """The servers, the logs, and the measurements, each on a fresh database and topic."""

    def __init__(self, folder: Path, kafka: Kafka, maria: MariaDB, lines: int, article_lines: int) -> None:
        self._kafka = kafka
        self._maria = maria
        self._folder = folder
        self._numbers = itertools.count()
        self._log = folder / "chat.jsonl"
        self._article_log = folder / "article.jsonl"
        generate(self._log, lines)
        with self._log.open("rb") as whole, self._article_log.open("wb") as part:
            part.writelines(itertools.islice(whole, article_lines))

    def fresh(self) -> tuple[str, str]:
        """A new database's URL and a new topic's name."""
        name = f"bench_{next(self._numbers)}"
        return self._maria.create_database(name), name

    def article(self) -> float:
        """Rows a second of the article's program."""
        database, _ = self.fresh()
        account = command("benchmarks.article", str(self._article_log), "--database", database, "--workers", "2")
        return float(account["rows_per_second"])

    def consume(self) -> float:
        """Rows a second of `consume --until-end`, from its start to its account, the topic filled before."""
        database, topic = self.fresh()
        place = ["--brokers", self._kafka.brokers, "--topic", topic, "--json"]
        command("ops", "topics", "create", *place, "--partitions", str(PARTITIONS))
        command("ops", "db", "upgrade", "--database", database, "--json")
        command("ops", "produce", str(self._log), *place, "--state", str(self._folder / topic))
        account = command(
            "ops", "consume", *place, "--database", database, "--group", topic, "--workers", "2", "--until-end"
        )
        return float(account["rows_per_second"])

    def load(self) -> float:
        """Rows a second of `load --brokers`: file to Kafka to the table with its indexes, everything at once."""
        database, topic = self.fresh()
        account = command(
            "ops", "load", str(self._log), "--brokers", self._kafka.brokers, "--topic", topic, "--database", database,
            "--partitions", str(PARTITIONS), "--workers", "2", "--json",
        )  # fmt: skip
        if account["missing"]:
            raise RuntimeError(f"lines are missing: {account}")
        return float(account["rows_per_second"])


def measure(measures: dict[str, Callable[[], float]], runs: int) -> dict[str, dict[str, float]]:
    """Each measure `runs` times, interleaved; median, lowest and highest of each."""
    figures: dict[str, list[float]] = {name: [] for name in measures}
    for run in range(runs):
        for name, measured in measures.items():
            figures[name].append(measured())
            print(f"run {run + 1}: {name} {figures[name][-1]:,.0f} rows/s", file=sys.stderr)
    return {name: {"median": statistics.median(f), "lowest": min(f), "highest": max(f)} for name, f in figures.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--article-lines", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "kafka").mkdir()
        (folder / "mariadb").mkdir()
        with Kafka(folder / "kafka", heap="1g") as kafka, MariaDB(folder / "mariadb", buffer_pool=BUFFER_POOL) as maria:
            bench = Bench(folder, kafka, maria, options.lines, options.article_lines)
            measures = {"article": bench.article, "consume": bench.consume, "load": bench.load}
            figures = measure(measures, options.runs)
    article = figures["article"]["median"]
    ratios = {name: round(figure["median"] / article, 1) for name, figure in figures.items()}
    print(json.dumps({"rows_per_second": figures, "times_the_article": ratios}, indent=2))


if __name__ == "__main__":
    main()
