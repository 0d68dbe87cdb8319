"""One run of a group's workers: to the end of the topic as it is at the start, or until a signal."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from consumer.client import TopicView
from consumer.insight import Insight
from consumer.supervisor import Supervisor
from consumer.tally import Tally
from schemas.errors import BrokerDown
from schemas.reports import BatchDone, Committed, WorkerOrder
from terminal.progress import Meter
from terminal.signals import Interruption

log = logging.getLogger(__name__)

ASK_COMMITTED_SECONDS = 1.0
"""How often `--until-end` asks for the group's offsets, when the own workers have nothing to report: other members of
the group may be the ones who finish."""


@dataclass
class Run:
    """One run of a group's workers, and its account."""

    view: TopicView
    tally: Tally
    workers: int
    until_end: bool
    insight: Insight = field(default_factory=Insight)
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    _supervisor: Supervisor | None = None

    @contextmanager
    def metrics(self, port: int | None) -> Iterator[None]:
        """Serve the metrics while the block runs, where a port is given.

        Raises `Stop` where the port is taken.
        """
        if not port:
            yield
            return
        from consumer.metrics import serve_metrics  # noqa: PLC0415 -- a web server, where one is asked for

        with serve_metrics(port, self.tally, lambda: self._supervisor.alive if self._supervisor else 0):
            yield

    def go(self, order: WorkerOrder, interruption: Interruption, *, quiet: bool) -> None:
        """Run the workers to the end."""
        committed = self.view.committed() if self.until_end else {}
        ends = self._ends(committed)
        total = sum(end - committed.get(partition, start) for partition, (start, end) in ends.items()) or None
        supervisor = Supervisor([numbered(order, n) for n in range(self.workers)], self._heard)
        self._supervisor = supervisor
        with Meter("consume", total=total, in_bytes=False, quiet=quiet) as meter, closing(self.view):
            is_over = self._is_over({partition: end for partition, (_, end) in ends.items()})

            def finished() -> bool:
                meter.show(self.tally.messages, self.tally.messages)
                return self.until_end and is_over()

            if not (self.until_end and not ends):
                supervisor.start()
                supervisor.run(finished, interruption.__bool__)

    def _heard(self, report: BatchDone | Committed) -> None:
        if isinstance(report, Committed):
            self.tally.commit(report)
            return
        self.tally.add(report)
        self.insight.add(report)

    def _ends(self, committed: dict[int, int]) -> dict[int, tuple[int, int]]:
        """First and end offset of each partition that has something to read, as of now."""
        if not self.until_end:
            return {}
        return {
            partition: (start, end)
            for partition, (start, end) in self.view.offsets().items()
            if end > max(start, committed.get(partition, 0))
        }

    def _is_over(self, ends: dict[int, int]) -> Callable[[], bool]:
        """A function that says whether the group has committed everything before `ends`: by our workers' word, or the
        broker's. (Stored is not enough: what a worker stored of a partition that went is its next owner's to commit.)
        """
        next_question = time.monotonic() + ASK_COMMITTED_SECONDS
        known = 0

        def is_over() -> bool:
            nonlocal next_question, known
            ours = self.tally.committed
            if all(ours.get(partition, 0) >= end for partition, end in ends.items()):
                return True
            now = time.monotonic()
            progress = sum(min(ours.get(p, 0), end) for p, end in ends.items())
            if progress != known:  # what lies behind the ends is no progress
                known, next_question = progress, now + ASK_COMMITTED_SECONDS
            if now < next_question:
                return False
            next_question = now + ASK_COMMITTED_SECONDS
            try:
                committed = self.view.committed(patience=0)
            except BrokerDown as outage:
                log.debug("%s", outage)
                return False
            return all(max(committed.get(p, 0), ours.get(p, 0)) >= end for p, end in ends.items())

        return is_over

    def account(self) -> dict[str, Any]:
        """What `--json` prints."""
        seconds = (self.ended or time.monotonic()) - self.started
        tally = self.tally
        return {
            "messages": tally.messages,
            "rows": tally.rows,
            "repeats": tally.repeats,
            "dead_letters": tally.dead_letters,
            "batches": tally.batches,
            "workers": self.workers,
            "messages_by_worker": {str(worker): count for worker, count in sorted(tally.by_worker.items())},
            "seconds": round(seconds, 3),
            "rows_per_second": round(tally.rows / seconds) if seconds else 0,
        }


def numbered(order: WorkerOrder, number: int) -> WorkerOrder:
    """The same order for worker `number`."""

    return replace(order, number=number)
