"""What moment a line is of, and whether that is inside what was asked for: `--from` and `--until`."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from schemas.errors import BadLine, UsageProblem
from schemas.message import utc_text

YEAR_DIGITS = 4

FUTURE_SECONDS = 60.0
"""So far two clocks may be apart. A topic refuses a record that is further ahead, an hour by default, and a refused
record stops the client."""


class _Timestamp(msgspec.Struct, gc=False):
    timestamp: int | float | str


_decode = msgspec.json.Decoder(_Timestamp).decode


def moment_of(line: bytes) -> float | None:
    """The line's timestamp in Unix seconds; None for a line that has none (it is for the consumer to judge)."""
    try:
        timestamp = _decode(line).timestamp
        utc_text(timestamp, line)
        return float(timestamp)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadLine):
        return None


def create_time(keeps_seconds: float, clock: Callable[[], float] = time.time) -> Callable[[bytes], int]:
    """A function from a line to its timestamp in Unix milliseconds, for a record's CreateTime.

    It is 0, which stands for the moment of sending, where the line has no timestamp, or one that the topic would
    refuse (in the future) or delete at once: older than `keeps_seconds`, how long the topic keeps records.
    """

    def milliseconds(line: bytes) -> int:
        moment, now = moment_of(line), clock()
        if moment is None or not max(0.0, now - keeps_seconds / 2) < moment <= now + FUTURE_SECONDS:
            return 0
        return round(moment * 1000)

    return milliseconds


def parse_moment(text: str | None, flag: str) -> float | None:
    """Unix seconds from what a person typed: a number, or ISO 8601, in UTC where no zone is given.

    Raises `UsageProblem` for anything else.
    """
    if text is None:
        return None
    try:
        number = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        pass
    else:
        if math.isfinite(number):
            if text.isdecimal() and len(text) == YEAR_DIGITS:
                raise UsageProblem(
                    f"{flag} {text} is a second of 1970: as a year it needs a day", f"For example {text}-01-01"
                )
            return number
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageProblem(
            f"{flag} {text!r} is no moment", "For example 2024-05-01T12:00:00Z, or Unix seconds"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


@dataclass(frozen=True)
class Window:
    """Lines from `start` (inclusive) until `end` (exclusive), in Unix seconds; a line without a timestamp is let
    through."""

    start: float | None = None
    end: float | None = None

    def wanted(self, line: bytes) -> bool:
        """Whether the line is inside."""
        moment = moment_of(line)
        if moment is None:
            return True
        return (self.start is None or moment >= self.start) and (self.end is None or moment < self.end)
