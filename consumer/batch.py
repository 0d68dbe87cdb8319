"""Records parsed into a batch. Pure: no Kafka, no database, no clock."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from schemas.errors import BadLine
from schemas.message import Row, parse
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


@dataclass
class Batch:
    """What one turn of the loop moves.

    `rows[i]` was parsed from `records[i]`. `next_offsets` holds, for each partition, the offset after the last record
    that the batch accounts for: what is committed once the rows are stored and the rejects are acknowledged.
    """

    rows: list[Row] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    next_offsets: dict[int, int] = field(default_factory=dict)
    epochs: dict[int, int | None] = field(default_factory=dict)
    starts: dict[int, int] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many records it holds."""
        return len(self.rows) + len(self.rejects)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to store and nothing to commit."""
        return not self.next_offsets

    def refuse(self, refused: Iterable[tuple[int, str]]) -> None:
        """Turn the rows at these indices, which the database refused by themselves, into rejects."""
        texts = dict(refused)
        self.rejects += [Reject(self.records[i], "store", "refused", text) for i, text in sorted(texts.items())]
        self.rows = [row for i, row in enumerate(self.rows) if i not in texts]
        self.records = [record for i, record in enumerate(self.records) if i not in texts]

    def only(self, partitions: set[int]) -> "Batch":
        """The part of the batch that belongs to these partitions: after the others were revoked."""
        kept = [i for i, record in enumerate(self.records) if record.partition() in partitions]
        return Batch(
            [self.rows[i] for i in kept],
            [self.records[i] for i in kept],
            [reject for reject in self.rejects if reject.record.partition() in partitions],
            {p: offset for p, offset in self.next_offsets.items() if p in partitions},
            self.epochs,
            self.starts,
            self.counts,
        )

    def segments(self) -> dict[int, Segment]:
        """What the batch holds of each partition, for the account."""
        dead: dict[int, list[int]] = {partition: [] for partition in self.next_offsets}
        for reject in self.rejects:
            dead[reject.record.partition() or 0].append(reject.record.offset() or 0)
        return {
            partition: Segment(
                self.starts.get(partition, end),
                end,
                self.counts.get(partition, 0),
                tuple(sorted(dead[partition])),
            )
            for partition, end in self.next_offsets.items()
        }


def parse_batch(records: Sequence[Record], ends: dict[int, int] | None = None) -> Batch:
    """The batch of `records`, which are in the order of their offsets within each partition.

    `ends` are positions that partitions reached without a record to show for it (the end of a partition may follow
    records that nobody gets to see, such as a transaction's marks).
    """
    batch = Batch()
    good, rows, rejects = batch.records, batch.rows, batch.rejects
    counts, starts, last = batch.counts, batch.starts, batch.next_offsets
    for record in records:
        partition = record.partition() or 0
        if partition in counts:
            counts[partition] += 1
        else:
            counts[partition] = 1
            starts[partition] = record.offset() or 0
        try:
            rows.append(parse(record.value()))  # type: ignore[arg-type] # bytes: we set no deserializer
            good.append(record)
        except BadLine as problem:
            rejects.append(Reject(record, "parse", problem.reason, str(problem)))
    for record in reversed(records):
        if len(last) == len(counts):
            break
        partition = record.partition() or 0
        if partition not in last:
            last[partition] = (record.offset() or 0) + 1
            batch.epochs[partition] = record.leader_epoch()
    for partition, end in (ends or {}).items():
        last[partition] = max(last.get(partition, 0), end)
    return batch
