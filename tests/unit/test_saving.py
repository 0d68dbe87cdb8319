"""A batch between two tries: nobody waits for a database that has nothing in hand."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from consumer.batch import Batch
from consumer.saving import Saving
from consumer.stores.store import Stored
from schemas.errors import DatabaseDown
from schemas.message import Row
from tests.unit.records import good


class AwayOnce:
    """A store whose database is away the first time."""

    careful = False
    before_commit: Callable[[], None]

    def __init__(self) -> None:
        self.tries = 0

    def prepare(self, rows: Sequence[Row], _lines: Sequence[bytes]) -> Sequence[Any]:
        return rows

    def save(self, ready: Sequence[Any]) -> Stored:
        self.tries += 1
        if self.tries == 1:
            raise DatabaseDown("gone")
        return Stored(len(ready), 0, [])

    def save_carefully(self, rows: Sequence[Row]) -> Stored:
        return self.save(rows)

    def close(self) -> None:
        """Nothing is open."""


def test_partitions_that_go_between_two_tries_are_let_go_at_once() -> None:
    waits: list[float] = []

    def hold_on(*, may_give_up: bool) -> None:
        assert may_give_up
        began = time.monotonic()
        saving.let_finish(60)
        waits.append(time.monotonic() - began)

    store = AwayOnce()
    batch = Batch(store.prepare)
    batch.add([good(0, 0)])
    with closing(Saving(store, hold_on)) as saving:
        saving.begin(batch, "enough")
        assert saving.result() == Stored(1, 0, [])
    assert waits
    assert max(waits) < 1
