"""The account of a load: every line that was read is a row, a repeat, a dead letter or blank, or it is missing and
named."""

from typing import Any, NamedTuple

from consumer.tally import Tally
from producer.ledger import Counts, Pending
from terminal.logs import plural


class Slice(NamedTuple):
    """Lines of one block that went to one partition, one after the other from offset `first` on."""

    partition: int
    first: int
    lines: int
    source: str
    start: int
    end: int


class Missing(NamedTuple):
    """Lines that are not accounted for: `lines` of those in the bytes `start` to `end` of `source`."""

    source: str
    start: int
    end: int
    lines: int


class Manifest:
    """Which lines went where: told by the delivery reports, held against what the workers stored.

    One entry a block and partition, so that 10 million lines take a few megabytes.
    """

    def __init__(self) -> None:
        self._slices: list[Slice] = []
        self._last: dict[int, int] = {}
        self.ends: dict[int, int] = {}
        """The offset after the last acknowledged line, by partition."""

    def settled(self, partition: int, first: int, count: int, pending: Pending) -> None:
        """A slice was acknowledged: see `producer.publisher.Settled`."""
        last = self._last.get(partition)
        if last is not None:
            known = self._slices[last]
            if known.first + known.lines == first and (known.source, known.start) == (pending.source, pending.start):
                self._slices[last] = known._replace(lines=known.lines + count)  # keyed lines come one by one
                self.ends[partition] = first + count
                return
        self._last[partition] = len(self._slices)
        self._slices.append(Slice(partition, first, count, pending.source, pending.start, pending.end))
        self.ends[partition] = max(self.ends.get(partition, 0), first + count)

    def missing(self, tally: Tally) -> list[Missing]:
        """The acknowledged lines that no worker reported as stored, by the block that they were read in."""
        found: dict[tuple[str, int, int], int] = {}
        for part in self._slices:
            left = part.first + part.lines - max(tally.covered.get(part.partition, 0), part.first)
            if left > 0:
                place = (part.source, part.start, part.end)
                found[place] = found.get(place, 0) + left
        return [Missing(*place, lines) for place, lines in found.items()]

    def place(self, partition: int, offset: int) -> Slice | None:
        """The slice that a record belongs to; None for a record that somebody else put there."""
        for part in self._slices:
            if part.partition == partition and part.first <= offset < part.first + part.lines:
                return part
        return None


def account(
    totals: Counts, tally: Tally, manifest: Manifest, references: int, *, workers: int, seconds: float
) -> dict[str, Any]:
    """The account as `--json` prints it. `lines = blank + rows + repeats + dead_letters + missing`."""
    dead_letters = tally.dead_letters + references
    stored = tally.rows + tally.repeats + dead_letters
    unsent = max(totals.lines - totals.blank - stored - sum(m.lines for m in manifest.missing(tally)), 0)
    missing = manifest.missing(tally)
    return {
        "lines": totals.lines,
        "blank": totals.blank,
        "rows": tally.rows,
        "repeats": tally.repeats,
        "dead_letters": dead_letters,
        "missing": unsent + sum(m.lines for m in missing),
        "missing_in": [m._asdict() for m in missing[:100]],
        "workers": workers,
        "batches": tally.batches,
        "seconds": round(seconds, 3),
        "rows_per_second": round(tally.rows / seconds) if seconds else 0,
    }


def sentences(values: dict[str, Any], *, interrupted: bool) -> list[str]:
    """The account for a person."""
    lines = [
        f"{values['lines']:>12,} {plural(values['lines'], 'line')} read",
        f"{values['rows']:>12,} new {plural(values['rows'], 'row')}",
        f"{values['repeats']:>12,} {plural(values['repeats'], 'repeat')} (their id was there before)",
        f"{values['dead_letters']:>12,} dead {plural(values['dead_letters'], 'letter')}",
        f"{values['blank']:>12,} blank",
    ]
    if values["repeats"] and not values["rows"]:
        lines.append(f"{'':>12} Nothing new: the table had every row already.")
    if values["dead_letters"] and not values["rows"] and not values["repeats"]:
        lines.append(f"{'':>12} Every line was bad: is this the right log?")
    if values["missing"] and interrupted:
        lines.append(f"{values['missing']:>12,} not stored yet: run the same command again; the table ends exact")
    elif values["missing"]:
        lines.append(f"{values['missing']:>12,} MISSING: not accounted for")
        lines += [
            f"{'':>12} {m['lines']:,} in {m['source']}, bytes {m['start']:,} to {m['end']:,}"
            for m in values["missing_in"][:10]
        ]
    workers = "1 worker" if values["workers"] == 1 else f"{values['workers']} workers"
    lines.append(f"{values['seconds']:>12.1f} s, {values['rows_per_second']:,} rows/s, {workers}")
    return lines
