"""Stops the work where bad lines come so thick that the topic, the parser or the table is wrong, not the lines."""

from collections.abc import Sequence
from dataclasses import dataclass

from consumer.batch import Batch, Record
from schemas.errors import Stop

RATIO_LINES = 10_000
"""The share of bad lines is looked at each time that so many have come; of fewer it says little."""

PARSER = "Is this the right log or topic, one JSON object a line? If so"
TABLE = "Does the table refuse them for good (a trigger, a constraint, a narrower column)? If so"


@dataclass
class _Share:
    """How many of the lines since the last judgement were bad, and the last of these."""

    lines: int = 0
    bad: int = 0
    last: str = ""


class Breaker:
    """Looks at each batch before it goes to the database, and at what the database refused of it."""

    def __init__(self, longest_run: int, highest_ratio: float) -> None:
        """`longest_run` bad lines in a row are borne, 0: any; and a share of `highest_ratio`, 1: any."""
        self._longest_run = longest_run
        self._highest_ratio = highest_ratio
        self._parsed, self._stored = _Share(), _Share()
        self.run = 0
        """Bad lines at the end of what was looked at, without a good one between."""
        self._refused_run = 0

    def look_at(self, batch: Batch) -> None:
        """Raises `Stop` where the batch takes it too far."""
        self.run = batch.bad_run
        if batch.rejects:
            self._parsed.last = _told(batch.rejects[-1].record, batch.rejects[-1].text)
        self._judge(self._parsed, len(batch), len(batch.rejects), batch.longest_bad_run, "bad", PARSER)

    def look_at_refused(self, batch: Batch, refused: Sequence[tuple[int, str]]) -> None:
        """The same for the rows that the database refused: the index of each among the batch's, and why."""
        if refused:
            index, text = max(refused)
            self._stored.last = _told(batch.records[index], text)
        longest = self._follow_run({index for index, _ in refused}, len(batch.ready))
        self._judge(self._stored, len(batch.ready), len(refused), longest, "refused", TABLE)

    def _follow_run(self, refused: set[int], rows: int) -> int:
        """The longest run of refused rows, which may have begun in the batch before."""
        if not refused:
            self._refused_run = 0 if rows else self._refused_run
            return 0
        longest = 0
        for index in range(rows):
            self._refused_run = self._refused_run + 1 if index in refused else 0
            longest = max(longest, self._refused_run)
        return longest

    def _judge(self, share: _Share, lines: int, bad: int, longest: int, how: str, question: str) -> None:
        share.lines += lines
        share.bad += bad
        if self._longest_run and longest > self._longest_run:
            raise _stop(f"{longest:,} {how} lines in a row", share, f"{question}: --dead-letter-run 0")
        if share.lines < RATIO_LINES:
            return
        if share.bad > self._highest_ratio * share.lines:
            raise _stop(
                f"{share.bad:,} of {share.lines:,} lines are {how}", share, f"{question}: --dead-letter-ratio 1"
            )
        share.lines = share.bad = 0

    def start_over(self) -> None:
        """What was parsed comes again. (What was stored does not.)"""
        self._parsed = _Share()
        self.run = 0


def _told(record: Record, text: str) -> str:
    return f"partition {record.partition()} offset {record.offset()}: {text}"


def _stop(what: str, share: _Share, next_step: str) -> Stop:
    return Stop(f"{what}; the last, {share.last}", next_step)
