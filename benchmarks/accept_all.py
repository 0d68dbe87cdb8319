"""The workers without a database: a store that accepts every batch at once. What is left is fetching and parsing.

    python -m benchmarks.accept_all --brokers HOST:PORT --topic TOPIC [--workers N]

Reads a topic from its beginning to its end as of now and prints one JSON object. Commits nothing; bad lines go to the
dead letters.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from consumer.client import TopicView, consumer_settings
from consumer.dead_letters import dead_letter_settings
from consumer.insight import Circumstances, Insight
from consumer.process import work
from consumer.stores.mysql import encode
from consumer.stores.store import Stored
from consumer.supervisor import Supervisor
from consumer.tally import Tally
from schemas.message import Row
from schemas.reports import BatchDone, Committed, WorkerOrder
from schemas.topics import dead_letter_topic


class AcceptAll:
    """A store of nothing; rows are made ready for it as for MariaDB."""

    careful = False

    def __init__(self) -> None:
        self.before_commit: Callable[[], None] = lambda: None

    def prepare(self, rows: Sequence[Row], lines: Sequence[bytes]) -> Sequence[bytes]:
        """As MySQLStore does."""
        return encode(rows, lines)

    def save(self, ready: Sequence[bytes]) -> Stored:
        """Accept all."""
        return Stored(len(ready), 0, [])

    def save_carefully(self, rows: Sequence[Row]) -> Stored:
        """Accept all."""
        return Stored(len(rows), 0, [])

    def close(self) -> None:
        """Nothing is open."""


def accept_all(_order: WorkerOrder) -> AcceptAll:
    """The store for a worker's process."""
    return AcceptAll()


def watched_work(order: WorkerOrder, supervisor: Connection, folder: str) -> None:
    """Work, and leave the core-seconds that it took in a file of the folder."""
    try:
        work(order, supervisor, open_store=accept_all)
    finally:
        used = resource.getrusage(resource.RUSAGE_SELF)
        Path(folder, str(order.number)).write_text(str(used.ru_utime + used.ru_stime))


def orders(brokers: str, topic: str, dead: str, view: TopicView, workers: int) -> list[WorkerOrder]:
    """Orders for workers that share the partitions, without a group."""
    starts = {partition: start for partition, (start, _) in view.offsets().items()}
    order = WorkerOrder(
        number=0,
        topic=topic,
        dead_letter_topic=dead,
        database="",
        kafka=consumer_settings(brokers, {}, None, "accept-all"),
        dead_letter_kafka=dead_letter_settings(brokers, {}, None),
    )
    shares = [tuple(view.partitions[number::workers]) for number in range(workers)]
    return [
        replace(order, number=number, partitions=share, starts={p: starts[p] for p in share})
        for number, share in enumerate(shares)
    ]


def main() -> None:
    """Read the topic and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    view = TopicView(consumer_settings(options.brokers, {}, None, "accept-all"), options.topic)
    ends = {partition: end for partition, (start, end) in view.offsets().items() if end > start}
    tally, insight = Tally(), Insight()

    def heard(report: BatchDone | Committed) -> None:
        assert isinstance(report, BatchDone)  # without a group nothing is committed
        tally.add(report)
        insight.add(report)

    work_orders = orders(options.brokers, options.topic, dead_letter_topic(options.topic), view, options.workers)
    with tempfile.TemporaryDirectory() as folder:
        supervisor = Supervisor(work_orders, heard, work=partial(watched_work, folder=folder))
        supervisor.start()
        supervisor.run(lambda: tally.reached(ends), lambda: False)
        cpu = sum(float(file.read_text()) for file in Path(folder).iterdir())
    view.close()
    cores = len(os.sched_getaffinity(0))
    circumstances = Circumstances(options.workers, len(view.partitions), cores)
    seconds = time.monotonic() - began
    account = insight.account(circumstances)
    print(json.dumps({"messages": tally.messages, "seconds": seconds, "worker_cpu_seconds": cpu, **account}))


if __name__ == "__main__":
    main()
