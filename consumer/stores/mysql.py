"""MySQL and MariaDB: LOAD DATA LOCAL from memory, and a multi-row INSERT where the server forbids it."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from operator import eq, itemgetter
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from consumer.stores.engine import DENIED, errno_of, explain, told_apart
from consumer.stores.isolation import DATA_ERRORS, insert_isolating
from consumer.stores.mysql_connection import BufferConnection
from consumer.stores.store import NeedsCare, Stored
from schemas.message import Row
from schemas.table import COLUMNS, TABLE

log = logging.getLogger(__name__)

_COLUMN_LIST = ", ".join(f"`{column}`" for column in COLUMNS)

LOAD = (
    "LOAD DATA LOCAL INFILE 'chatferry' {repeat} INTO TABLE `{table}` CHARACTER SET utf8mb4 "
    "FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ({columns})"
)

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\0": "\\0"})

_LOCAL_FORBIDDEN = frozenset([1148, 3948, 4166])
"""ER_NOT_ALLOWED_COMMAND, ER_CLIENT_LOCAL_FILES_DISABLED, and MariaDB's "loading of local files is disabled"."""

_DUPLICATE = 1062


LOAD_ROWS = 50_000
"""Rows that one statement loads; a session keeps 65,535 warnings at most, and all of them must be seen."""

LOAD_BYTES = 8 << 20
"""Bytes that one statement loads, about: they are in memory twice while it runs."""


class MySQLStore:
    """Stores batches sorted by id: long sorted runs are what the primary key takes fastest, and one order of locks for
    all workers keeps them from deadlocking.

    LOAD DATA LOCAL never fails on bad values, it cuts them and warns. So a load counts only where every warning is a
    repeated id; otherwise it is rolled back, and the batch must come again for a strict INSERT that finds the row.
    """

    def __init__(self, engine: Engine, *, replace: bool) -> None:
        self._engine = engine
        self._replace = replace
        self._may_load = True
        self.before_commit: Callable[[], None] = lambda: None

    @property
    def careful(self) -> bool:
        """See `Store.careful`: where the server forbids LOAD DATA LOCAL."""
        return not self._may_load

    def prepare(self, rows: Sequence[Row], lines: Sequence[bytes]) -> Sequence[bytes]:
        """See `Store.prepare`: the lines of LOAD DATA."""
        return encode(rows, lines)

    def save(self, ready: Sequence[bytes]) -> Stored:
        """See `Store.save`.

        Where repeats replace, a first load tells how many rows are new, and a second one replaces: the server's own
        count of replaced rows leaves out those that stayed the same.
        """
        ordered = in_order(ready)
        repeats = 0
        try:
            with self._engine.connect() as connection, connection.begin():
                for part in statements(ordered):
                    buffer = memoryview(b"\n".join([*part, b""]))
                    found = self.load(connection, "IGNORE", buffer, len(part))
                    if self._replace and found and self.load(connection, "REPLACE", buffer, len(part)):
                        raise NeedsCare
                    repeats += found
                self.before_commit()
        except DBAPIError as error:
            raise self._failure_of_load(error) from error
        return Stored(len(ordered) - repeats, repeats, [])

    def _failure_of_load(self, error: DBAPIError) -> Exception:
        """What is to be raised; where the server does not let us load, the fast way ends with it."""
        number = errno_of(error)
        if number in _LOCAL_FORBIDDEN:
            log.info("This server forbids LOAD DATA LOCAL: rows go in by INSERT")
            self._may_load = False
            return NeedsCare()
        if number in DENIED and self._replace:  # REPLACE needs DELETE, which INSERT can do without
            self._may_load = False
            return NeedsCare()
        if number in DATA_ERRORS | DENIED:
            return NeedsCare()
        return explain(error) or error

    def save_carefully(self, rows: Sequence[Row]) -> Stored:
        """See `Store.save_carefully`: by INSERT."""
        order = sorted(range(len(rows)), key=list(map(itemgetter(0), rows)).__getitem__)
        with told_apart(), self._engine.begin() as connection:
            stored = insert_isolating(connection, [rows[i] for i in order], replace=self._replace)
            self.before_commit()
        return stored._replace(refused=[(order[i], text) for i, text in stored.refused])

    def load(self, connection: Connection, repeat: str, buffer: memoryview, records: int) -> int:
        """Send the buffer; returns how many of its rows were skipped as repeats.

        Raises `NeedsCare` where the server warns of more than those.
        """
        driver = connection.connection.driver_connection
        assert isinstance(driver, BufferConnection)
        driver.buffer = buffer
        try:
            connection.exec_driver_sql(LOAD.format(repeat=repeat, table=TABLE, columns=_COLUMN_LIST))
        finally:
            driver.buffer = None
        counts = driver.counts()
        if counts["Records"] != records or not self._only_repeats_warned(connection, counts):
            log.debug("The load warned (%s): the batch comes again, for INSERT", counts)
            raise NeedsCare
        return counts["Skipped"]

    @staticmethod
    def _only_repeats_warned(connection: Connection, counts: dict[str, int]) -> bool:
        if counts["Warnings"] != counts["Skipped"]:
            return False
        if not counts["Warnings"]:
            return True
        codes: Any = connection.exec_driver_sql("SHOW WARNINGS").all()
        return len(codes) == counts["Warnings"] and all(code == _DUPLICATE for _level, code, _text in codes)

    def close(self) -> None:
        """See `Store.close`."""
        self._engine.dispose()


def encode(rows: Sequence[Row], lines: Sequence[bytes]) -> list[bytes]:
    """Each row as LOAD DATA reads it: fields by tab, `\\N` for NULL, backslash escapes; without its newline.

    JSON writes a tab, a newline, a zero byte and a backslash with a backslash: a line without has nothing to escape.
    """
    return [
        ("\t".join(row) if row[5] is not None and b"\\" not in line else _escaped(row)).encode()  # type: ignore[arg-type]
        for row, line in zip(rows, lines, strict=True)
    ]


def _escaped(row: Row) -> str:
    return "\t".join(["\\N" if field is None else field.translate(_ESCAPES) for field in row])


def statements(lines: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """The lines cut into statements."""
    size = max(sum(map(len, lines)), 1)
    count = max(min(LOAD_ROWS, LOAD_BYTES * len(lines) // size), 1)
    for start in range(0, len(lines), count):
        yield lines[start : start + count]


def in_order(lines: Sequence[bytes]) -> list[bytes]:
    """Encoded rows sorted by id; those of one id in the order in which they came."""
    ordered = sorted(lines)  # all that begins with one id and its tab stands together
    ids = [line[: line.index(b"\t")] for line in ordered]
    twice = compress(range(len(ids)), map(eq, ids, ids[1:]))
    torn = {ids[i] for i in twice if ordered[i] != ordered[i + 1]}
    if not torn:
        return ordered
    arrived: dict[bytes, deque[bytes]] = {name: deque() for name in torn}
    for line in lines:
        if (same := arrived.get(line[: line.index(b"\t")])) is not None:
            same.append(line)
    return [arrived[name].popleft() if name in torn else line for name, line in zip(ids, ordered, strict=True)]
