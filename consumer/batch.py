"""Records parsed into a batch. Pure: no Kafka, no database, no clock."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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

Prepare = Callable[[Sequence[Row]], Sequence[Any]]
"""How a store wants rows made ready: see `consumer.stores.store.Store.prepare`."""


@dataclass
class Batch:
    """What one turn of the loop moves; records are added as they come, in the order of offsets within each partition.

    `rows[i]` was parsed from `records[i]`, and `prepared[i]` is that row made ready for the store while it was at hand:
    a row that is looked at again after fifty thousand others has left the processor's cache, and costs three times as
    much. `next_offsets` holds, for each partition, the offset after the last record that the batch accounts for: what
    is committed once the rows are stored and the rejects are acknowledged.
    """

    prepare: Prepare = list
    rows: list[Row] = field(default_factory=list)
    prepared: list[Any] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    next_offsets: dict[int, int] = field(default_factory=dict)
    epochs: dict[int, int | None] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)
    counts: Counter[int] = field(default_factory=Counter)
    bad_run: int = 0
    """Bad lines without a good one between, up to the last record; a batch begins with where the last one ended."""
    longest_bad_run: int = 0

    def __len__(self) -> int:
        """How many records it holds."""
        return len(self.rows) + len(self.rejects)

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
        lines = [record.value() for record in records]
        rows = parse_lines(lines) if None not in lines else None  # type: ignore[arg-type] # bytes: we set no deserializer
        if rows is None:
            rows, records = self._sort_out(records)
        else:
            self.bad_run = 0
        self.rows += rows
        self.records += records
        self.prepared += self.prepare(rows)

    def _sort_out(self, records: Sequence[Record]) -> tuple[list[Row], list[Record]]:
        """The good ones' rows, and the good ones; the others are rejects."""
        rows, good = [], []
        for record in records:
            try:
                rows.append(parse(record.value()))  # type: ignore[arg-type] # as above
                good.append(record)
                self.bad_run = 0
            except BadLine as problem:
                self.bad_run += 1
                self.longest_bad_run = max(self.longest_bad_run, self.bad_run)
                self.rejects.append(Reject(record, "parse", problem.reason, str(problem)))
        return rows, good

    def _take_positions(self, records: Sequence[Record]) -> None:
        """Note for each partition how many records there are, where they begin and what follows them."""
        counts = Counter([record.partition() or 0 for record in records])
        missing = counts.keys() - self.starts.keys()
        for record in records if missing else ():
            if (partition := record.partition() or 0) in missing:
                self.starts[partition] = record.offset() or 0
                missing.discard(partition)
            if not missing:
                break
        missing = set(counts)
        for record in reversed(records):
            if (partition := record.partition() or 0) in missing:
                self.next_offsets[partition] = (record.offset() or 0) + 1
                self.epochs[partition] = record.leader_epoch()
                missing.discard(partition)
            if not missing:
                break
        self.counts += counts

    def refuse(self, refused: Iterable[tuple[int, str]]) -> None:
        """Turn the rows at these indices, which the database refused by themselves, into rejects."""
        texts = dict(refused)
        if not texts:
            return
        self.rejects += [Reject(self.records[i], "store", REFUSED, text) for i, text in sorted(texts.items())]
        self._keep([i for i in range(len(self.rows)) if i not in texts])

    def drop(self, partitions: Collection[int]) -> None:
        """Forget all that belongs to these partitions: they were revoked."""
        if not partitions:
            return
        self._keep([i for i, record in enumerate(self.records) if record.partition() not in partitions])
        self.rejects = [reject for reject in self.rejects if reject.record.partition() not in partitions]
        for partition in partitions:
            for positions in (self.next_offsets, self.epochs, self.starts, self.counts):
                positions.pop(partition, None)

    def _keep(self, indices: Sequence[int]) -> None:
        self.rows = [self.rows[i] for i in indices]
        self.prepared = [self.prepared[i] for i in indices]
        self.records = [self.records[i] for i in indices]

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
