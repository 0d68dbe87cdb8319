"""SQLite: the embedded store. One writer at a time; others wait."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError

from consumer.stores.engine import told_apart
from consumer.stores.store import Stored
from schemas.message import Row
from schemas.table import COLUMNS, TABLE

_COLUMN_LIST = ", ".join(f'"{column}"' for column in COLUMNS)
_INSERT = f"INSERT INTO {TABLE} ({_COLUMN_LIST}) VALUES ({', '.join('?' * len(COLUMNS))}) ON CONFLICT (id)"  # noqa: S608
SKIP = f"{_INSERT} DO NOTHING"
UPDATE = f"{_INSERT} DO UPDATE SET " + ", ".join(f'"{column}" = excluded."{column}"' for column in COLUMNS[1:])


class SQLiteStore:
    """Stores batches sorted by id, a transaction each."""

    def __init__(self, engine: Engine, *, replace: bool) -> None:
        self._engine = engine
        self._replace = replace
        self.before_commit: Callable[[], None] = lambda: None

    @property
    def careful(self) -> bool:
        """See `Store.careful`: an INSERT tells of each row, and costs no more."""
        return True

    def prepare(self, rows: Sequence[Row], _lines: Sequence[bytes]) -> Sequence[Row]:
        """See `Store.prepare`: nothing is to be done."""
        return rows

    def save(self, ready: Sequence[Row]) -> Stored:
        """See `Store.save`."""
        return self.save_carefully(ready)

    def save_carefully(self, rows: Sequence[Row]) -> Stored:
        """See `Store.save_carefully`."""
        order = sorted(range(len(rows)), key=lambda i: rows[i][0])
        ordered = [rows[i] for i in order]
        with told_apart():
            try:
                with self._engine.begin() as connection:
                    new = self._insert(connection, ordered)
                    self.before_commit()
                    return Stored(new, len(rows) - new, [])
            except IntegrityError:
                with self._engine.begin() as connection:
                    return self._insert_isolating(connection, ordered, order)

    def _insert(self, connection: Connection, rows: Sequence[Row]) -> int:
        """How many of the rows are new. Where repeats replace, the first statement tells, the second replaces."""
        new = connection.exec_driver_sql(SKIP, list(rows)).rowcount
        if self._replace:
            connection.exec_driver_sql(UPDATE, list(rows))
        return new

    def _insert_isolating(self, connection: Connection, rows: Sequence[Row], order: Sequence[int]) -> Stored:
        new, refused = 0, []
        for i, row in enumerate(rows):
            try:
                new += self._insert(connection, [row])
            except IntegrityError as error:
                refused.append((order[i], str(error.orig)))
        self.before_commit()
        return Stored(new, len(rows) - new - len(refused), refused)

    def close(self) -> None:
        """See `Store.close`."""
        self._engine.dispose()
