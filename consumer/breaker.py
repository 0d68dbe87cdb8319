"""Stops the work where bad lines come so thick that the topic or the parser is wrong, not the lines."""

from consumer.batch import Batch
from schemas.errors import Stop

RATIO_LINES = 10_000
"""The share of bad lines is looked at each time that so many have come; of fewer it says little."""


class Breaker:
    """Looks at each batch before it goes to the database."""

    def __init__(self, longest_run: int, highest_ratio: float) -> None:
        """`longest_run` bad lines in a row are borne, 0: any; and a share of `highest_ratio`, 1: any."""
        self._longest_run = longest_run
        self._highest_ratio = highest_ratio
        self._lines = self._bad = 0
        self.run = 0
        """Bad lines at the end of what was looked at, without a good one between."""

    def look_at(self, batch: Batch) -> None:
        """Raises `Stop` where the batch takes it too far."""
        self.run = batch.bad_run
        self._lines += len(batch)
        self._bad += len(batch.rejects)
        if self._longest_run and batch.longest_bad_run > self._longest_run:
            raise _stop(f"{batch.longest_bad_run:,} bad lines in a row", batch, "--dead-letter-run 0")
        if self._lines < RATIO_LINES:
            return
        if self._bad > self._highest_ratio * self._lines:
            raise _stop(f"{self._bad:,} of {self._lines:,} lines are bad", batch, "--dead-letter-ratio 1")
        self._lines = self._bad = 0

    def start_over(self) -> None:
        """What was looked at comes again."""
        self._lines = self._bad = self.run = 0


def _stop(what: str, batch: Batch, remedy: str) -> Stop:
    worst = batch.rejects[-1]
    place = f"partition {worst.record.partition()} offset {worst.record.offset()}"
    return Stop(
        f"{what}; the last, {place}: {worst.text}",
        f"Is this the right log or topic, one JSON object a line? If so: {remedy}",
    )
