"""What a store promises the worker."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from schemas.message import Row


class Stored(NamedTuple):
    """What became of a batch: rows that are new, ids that were there already, rows that the database refused.

    `refused` holds the index in the batch and the database's words; rows, repeats and refused add up to the batch.
    """

    rows: int
    repeats: int
    refused: list[tuple[int, str]]


class Store(Protocol):
    """A table that rows go into, a batch a transaction."""

    def prepare(self, rows: Sequence[Row]) -> Sequence[Any]:
        """The rows made ready for `save`, one thing for each: what can be done while they are at hand."""
        ...

    def save(self, rows: Sequence[Row], prepared: Sequence[Any]) -> Stored:
        """Store the batch in one transaction, and return when it is durable; a repeat of an id is counted.

        Of several rows with one id the first in the batch counts (the last, where a repeat replaces). A row that the
        database refuses by itself is left out and returned, and its neighbours are stored. Raises `DatabaseDown` where
        nothing was stored and the same batch should be tried again, `Stop` where a person must act; in both cases the
        transaction is rolled back.
        """
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
