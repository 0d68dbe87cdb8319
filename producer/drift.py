"""How late lines left: a histogram that stays as small as it begins."""

import math
from collections.abc import Iterable

FINEST_MS = 0.01
GROWTH = 1.02
"""A bucket's upper edge is so many times its lower one: what a percentile is too high by, at most."""

BUCKETS = 1_400
"""From a hundredth of a millisecond up to four months."""

_STEP = math.log(GROWTH)


class Drift:
    """Milliseconds between the time a line was due and the time it was handed to Kafka's client.

    What the client and the broker take from there comes on top: `linger.ms` (5) and a way there and back.
    """

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self.lines = 0
        self.max_ms = 0.0

    def add(self, dues: Iterable[float], sent: float) -> None:
        """Lines that were due then, all sent now, in seconds of one clock; one that left early counts as in time."""
        for due in dues:
            late = max(1e3 * (sent - due), 0.0)
            self._counts[_bucket(late)] += 1
            self.lines += 1
            self.max_ms = max(self.max_ms, late)

    def percentile(self, share: float) -> float:
        """Milliseconds that the share of lines (0 to 1) stayed within, up to 2 % too high; 0 where there is none."""
        wanted = math.ceil(share * self.lines)
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return min(FINEST_MS * GROWTH**bucket, self.max_ms)
        return self.max_ms

    def report(self) -> dict[str, float]:
        """The account's `drift_ms`."""
        return {
            "p50": round(self.percentile(0.5), 3),
            "p99": round(self.percentile(0.99), 3),
            "max": round(self.max_ms, 3),
        }


def _bucket(late: float) -> int:
    """The bucket whose upper edge is the first that is not below."""
    if late <= FINEST_MS:
        return 0
    return min(math.ceil(math.log(late / FINEST_MS) / _STEP), BUCKETS - 1)
