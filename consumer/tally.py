"""The account of a run, out of the workers' reports: each offset counted once, whoever reported it how often."""

from collections import Counter

from schemas.reports import BatchDone, Committed, Segment


class Tally:
    """Counts records, new rows, repeats and dead letters.

    A batch is reported after it is stored and before its offsets are committed. Between the two a worker may die, and
    its batch comes again through another; what of it was counted is not counted again. `covered` holds, for each
    partition, the offset before which everything is stored. (A worker that dies between the database's COMMIT and its
    report leaves rows that the next one finds there already: they count as repeats. The sum stays exact.)
    `committed` holds what the broker took of that.
    """

    def __init__(self) -> None:
        self.covered: dict[int, int] = {}
        self.committed: dict[int, int] = {}
        self.messages = 0
        self.rows = 0
        self.repeats = 0
        self.dead_letters = 0
        self.batches = 0
        self.by_worker: Counter[int] = Counter()

    def add(self, report: BatchDone) -> None:
        """Count one batch."""
        known_good = 0
        for partition, segment in report.segments.items():
            fresh, fresh_dead = self._fresh(partition, segment)
            known_good += (segment.messages - fresh) - (len(segment.dead_offsets) - fresh_dead)
            self.messages += fresh
            self.dead_letters += fresh_dead
            self.by_worker[report.worker] += fresh
            self.covered[partition] = max(self.covered.get(partition, 0), segment.end)
        self.rows += report.rows
        self.repeats += max(report.repeats - known_good, 0)
        self.batches += 1

    def commit(self, word: Committed) -> None:
        """Note what the broker took."""
        for partition, offset in word.offsets.items():
            self.committed[partition] = max(self.committed.get(partition, 0), offset)

    def _fresh(self, partition: int, segment: Segment) -> tuple[int, int]:
        """How many records and how many dead letters of the segment were not counted before."""
        covered = self.covered.get(partition, segment.start)
        if covered <= segment.start:
            return segment.messages, len(segment.dead_offsets)
        fresh = min(segment.messages, max(segment.end - covered, 0))
        return fresh, sum(offset >= covered for offset in segment.dead_offsets)

    def reached(self, ends: dict[int, int]) -> bool:
        """Whether everything before these offsets is stored."""
        return all(self.covered.get(partition, 0) >= end for partition, end in ends.items())
