"""How late lines left: a histogram that stays as small as it begins."""

import math
from bisect import bisect_left
from collections.abc import Sequence

FINEST_MS = 0.01
GROWTH = 1.02
"""A bucket's upper edge is so many times its lower one: what a percentile is too high by, at most."""

BUCKETS = 1_400
"""From a hundredth of a millisecond up to four months."""

_UPPER_EDGES = [FINEST_MS * GROWTH**bucket for bucket in range(BUCKETS - 1)]


class Drift:
    """Milliseconds between the time a line was due and the time it was handed to Kafka's client.

    What the client and the broker take from there comes on top: `linger.ms` (5) and a way there and back.
    """

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self.lines = 0
        self.max_ms = 0.0

    def add(self, dues: Sequence[float], sent: float) -> None:
        """Lines that were due then, all sent now, in seconds of one clock; one that left early counts as in time."""
        if not dues:
            return
        counts = self._counts
        for due in dues:
            counts[bisect_left(_UPPER_EDGES, 1e3 * (sent - due))] += 1
        self.lines += len(dues)
        self.max_ms = max(self.max_ms, 1e3 * (sent - min(dues)))

    def percentile(self, share: float) -> float:
        """Milliseconds that the share of lines (0 to 1) stayed within, up to 2 % too high; 0 where there is none."""
        wanted = math.ceil(share * self.lines)
        seen = 0
        for edge, count in zip(_UPPER_EDGES, self._counts, strict=False):
            seen += count
            if seen >= wanted:
                return min(edge, self.max_ms)
        return self.max_ms

    def report(self) -> dict[str, float]:
        """The account's `drift_ms`."""
        return {
            "p50": round(self.percentile(0.5), 3),
            "p99": round(self.percentile(0.99), 3),
            "max": round(self.max_ms, 3),
        }
