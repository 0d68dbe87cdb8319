"""Records parsed into a batch. Pure: no Kafka, no database, no clock."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from schemas.errors import BadLine
from schemas.message import REFUSED, Row, parse, parse_lines
from schemas.reports import Segment


class Record(Protocol):
    """What a batch needs of a Kafka message."""

    def partition(self) -> int | None:
        """Its partition."""
        ...

    def offset(self) -> int | None:
        """Its offset."""
        ...

    def value(self) -> bytes | str | None:
        """The line's bytes."""
        ...

    def leader_epoch(self) -> int | None:
        """The epoch of the leader that it was read from."""
        ...

    def key(self) -> bytes | str | None:
        """The line's key, where it has one."""
        ...


class Reject(NamedTuple):
    """A record that becomes a dead letter, and why. `stage` is `parse` or `store`."""

    record: Record
    stage: str
    reason: str
    text: str


CHUNK = 128
"""Lines parsed as one text: so few that a bad one among them costs little, so many that the call costs nothing."""

Prepare = Callable[[Sequence[Row], Sequence[bytes]], Sequence[Any]]
"""How a store wants rows made ready: see `consumer.stores.store.Store.prepare`."""


@dataclass
class Batch:
    """What one turn of the loop moves; records are added as they come, in the order of offsets within each partition.

    `ready` holds each good line as the store takes it, made so while it was at hand: what is looked at again after
    fifty thousand others has left the processor's cache, and costs three times as much. Nothing else is kept of it, so
    that a batch can be long: what is needed again, Kafka gives again.

    A `careful` batch (one without `prepare`) keeps the rows as they are, and their records: `ready[i]` is the row of
    `records[i]`. It is for stores that must be able to say which record they refuse.

    `next_offsets` holds, for each partition, the offset after the last record that the batch accounts for: what is
    committed once the rows are stored and the rejects are acknowledged.
    """

    prepare: Prepare | None = None
    ready: list[Any] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    size: int = 0
    """Bytes of its lines."""
    reject_bytes: int = 0
    """Bytes of those that are rejects."""
    next_offsets: dict[int, int] = field(default_factory=dict)
    epochs: dict[int, int | None] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)
    bad_run: int = 0
    """Bad lines without a good one between, up to the last record; a batch begins with where the last one ended."""
    longest_bad_run: int = 0

    def __len__(self) -> int:
        """How many records it holds."""
        return len(self.ready) + len(self.rejects)

    @property
    def careful(self) -> bool:
        """Whether it keeps rows and records."""
        return self.prepare is None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to store and nothing to commit."""
        return not self.next_offsets

    def add(self, records: Sequence[Record], ends: Mapping[int, int] | None = None) -> None:
        """Parse and prepare more records.

        `ends` are positions that partitions reached without a record to show for it (the end of a partition may follow
        records that nobody gets to see, such as a transaction's marks).
        """
        for first in range(0, len(records), CHUNK):
            self._add_chunk(records[first : first + CHUNK])
        self._take_positions(records)
        for partition, end in (ends or {}).items():
            self.next_offsets[partition] = max(self.next_offsets.get(partition, 0), end)

    def _add_chunk(self, records: Sequence[Record]) -> None:
        """Parse some records: all at once where all are good, else each by itself."""
        lines: list[bytes] = [record.value() for record in records]  # type: ignore[misc] # bytes: we set no deserializer
        rows = None
        if None in lines:
            self.size += sum(len(line) for line in lines if line is not None)
        else:
            self.size += sum(map(len, lines))
            rows = parse_lines(lines)
        if rows is None:
            rows, records, lines = self._sort_out(records)
        else:
            self.bad_run = 0
        if self.prepare is None:
            self.ready += rows
            self.records += records
        else:
            self.ready += self.prepare(rows, lines)

    def _sort_out(self, records: Sequence[Record]) -> tuple[list[Row], list[Record], list[bytes]]:
        """The good ones' rows, the good ones, and their lines; the others are rejects."""
        rows, good, lines = [], [], []
        for record in records:
            line: bytes = record.value()  # type: ignore[assignment] # as above
            try:
                rows.append(parse(line))
            except BadLine as problem:
                self.bad_run += 1
                self.longest_bad_run = max(self.longest_bad_run, self.bad_run)
                self.rejects.append(Reject(record, "parse", problem.reason, str(problem)))
                self.reject_bytes += len(line or b"")
            else:
                good.append(record)
                lines.append(line)
                self.bad_run = 0
        return rows, good, lines

    def _take_positions(self, records: Sequence[Record]) -> None:
        """Note for each partition how many records there are, where they begin and what follows them."""
        partitions = [record.partition() or 0 for record in records]
        for partition, first, last, count in _runs(partitions):
            self.starts.setdefault(partition, records[first].offset() or 0)
            self.next_offsets[partition] = (records[last].offset() or 0) + 1
            self.epochs[partition] = records[last].leader_epoch()
            self.counts[partition] += count

    def refuse(self, refused: Iterable[tuple[int, str]]) -> None:
        """Turn the rows at these indices, which the database refused by themselves, into rejects.

        Only a careful batch can.
        """
        texts = dict(refused)
        if not texts:
            return
        self.rejects += [Reject(self.records[i], "store", REFUSED, text) for i, text in sorted(texts.items())]
        kept = [i for i in range(len(self.ready)) if i not in texts]
        self.ready = [self.ready[i] for i in kept]
        self.records = [self.records[i] for i in kept]

    def segments(self) -> dict[int, Segment]:
        """What the batch holds of each partition, for the account."""
        dead: dict[int, list[int]] = {partition: [] for partition in self.next_offsets}
        for reject in self.rejects:
            dead[reject.record.partition() or 0].append(reject.record.offset() or 0)
        return {
            partition: Segment(
                self.starts.get(partition, end), end, self.counts[partition], tuple(sorted(dead[partition]))
            )
            for partition, end in self.next_offsets.items()
        }


def first_offsets(records: Iterable[Record]) -> dict[int, int]:
    """Where the records of each partition begin."""
    found: dict[int, int] = {}
    for record in records:
        found.setdefault(record.partition() or 0, record.offset() or 0)
    return found


def _runs(partitions: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """Of each partition in the list: itself, its first index, its last index, how often it stands there."""
    counts = Counter(partitions)
    if len(counts) == 1:
        return [(partitions[0], 0, len(partitions) - 1, len(partitions))]
    backwards = partitions[::-1]
    return [
        (partition, partitions.index(partition), len(partitions) - 1 - backwards.index(partition), count)
        for partition, count in counts.items()
    ]
