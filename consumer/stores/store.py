"""What a store promises the worker."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from schemas.message import Row


class Stored(NamedTuple):
    """What became of a batch: rows that are new, ids that were there already, rows that the database refused.

    `refused` holds the index in the batch and the database's words; rows, repeats and refused add up to the batch.
    """

    rows: int
    repeats: int
    refused: list[tuple[int, str]]


class NeedsCare(Exception):
    """Nothing was stored: this batch must be saved carefully."""


class Overtaken(Exception):
    """Nothing was stored: what is in the batch may be another worker's by now, and it may have gone on from there."""


class Store(Protocol):
    """A table that rows go into, a batch a transaction.

    `save` is the fast way, for rows that `prepare` made ready; it may ask for care. `save_carefully` takes the rows
    themselves, and can say of each whether the database refuses it. Both return when the batch is durable, and raise
    `DatabaseDown` where nothing was stored and the same batch should be tried again, `Stop` where a person must act; in
    both cases the transaction is rolled back. Of several rows with one id the first in the batch counts (the last,
    where a repeat replaces).
    """

    before_commit: Callable[[], None]
    """Called when everything is in the transaction. What it raises rolls that back, and is raised."""

    @property
    def careful(self) -> bool:
        """Whether every batch is to be saved carefully: the fast way is not there."""
        ...

    def prepare(self, rows: Sequence[Row], lines: Sequence[bytes]) -> Sequence[Any]:
        """The rows made ready for `save`, one thing for each; `lines` are what they were parsed from."""
        ...

    def save(self, ready: Sequence[Any]) -> Stored:
        """Store a batch of what `prepare` returned.

        Raises `NeedsCare` where this way cannot tell what became of each row.
        """
        ...

    def save_carefully(self, rows: Sequence[Row]) -> Stored:
        """Store a batch of rows; one that the database refuses is left out and returned, its neighbours are stored."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
