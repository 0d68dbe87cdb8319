"""MySQL and MariaDB: LOAD DATA LOCAL from memory, and a multi-row INSERT where the server forbids it."""

import logging
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from consumer.stores.engine import DENIED, errno_of, explain
from consumer.stores.isolation import DATA_ERRORS, insert_isolating
from consumer.stores.mysql_connection import BufferConnection
from consumer.stores.store import Stored
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


class MySQLStore:
    """Stores batches sorted by id: long sorted runs are what the primary key takes fastest, and one order of locks for
    all workers keeps them from deadlocking.

    LOAD DATA LOCAL never fails on bad values, it cuts them and warns. So the load counts only where every warning is a
    repeated id; otherwise it is rolled back and the batch goes through a strict INSERT that finds the row.
    """

    def __init__(self, engine: Engine, *, replace: bool) -> None:
        self._engine = engine
        self._replace = replace
        self._may_load = True

    def prepare(self, rows: Sequence[Row]) -> Sequence[str]:
        """See `Store.prepare`: the lines of LOAD DATA."""
        return encode(rows)

    def save(self, rows: Sequence[Row], prepared: Sequence[str] | None = None) -> Stored:
        """See `Store.save`."""
        try:
            stored = self._load_all(rows, prepared or encode(rows)) if self._may_load else None
            if stored is None:
                stored = self._insert_all(rows)
        except DBAPIError as error:
            raise self._failure(error) from error
        return stored

    def _insert_all(self, rows: Sequence[Row]) -> Stored:
        order = sorted(range(len(rows)), key=list(map(itemgetter(0), rows)).__getitem__)
        with self._engine.begin() as connection:
            stored = insert_isolating(connection, [rows[i] for i in order], replace=self._replace)
        return stored._replace(refused=[(order[i], text) for i, text in stored.refused])

    def _failure(self, error: DBAPIError) -> Exception:
        """What the error means; itself, where it is a bug."""
        return explain(error) or error

    def _load_all(self, rows: Sequence[Row], prepared: Sequence[str]) -> Stored | None:
        """Load the batch; None where it must go through INSERT instead, and then nothing of it is stored.

        Where repeats replace, the first load tells how many rows are new, and a second one replaces: the server's own
        count of replaced rows leaves out those that stayed the same.
        """
        lines = self._one_for_each_id(rows, prepared)
        buffer = memoryview("\n".join([*lines, ""]).encode())
        with self._engine.connect() as connection, connection.begin() as transaction:
            try:
                repeats = self._load(connection, "IGNORE", buffer, len(lines))
                if self._replace and repeats:
                    repeats = repeats if self._load(connection, "REPLACE", buffer, len(lines)) == 0 else None
            except DBAPIError as error:
                if errno_of(error) in _LOCAL_FORBIDDEN:
                    log.info("This server forbids LOAD DATA LOCAL: rows go in by INSERT")
                    self._may_load = False
                elif errno_of(error) not in DATA_ERRORS | DENIED:  # REPLACE needs DELETE, which INSERT can do without
                    raise
                repeats = None
            if repeats is None:
                transaction.rollback()
                return None
            return Stored(len(lines) - repeats, len(rows) - len(lines) + repeats, [])

    def _one_for_each_id(self, rows: Sequence[Row], prepared: Sequence[str]) -> list[str]:
        """The encoded rows, sorted by id: the first of each id, or the last where a repeat replaces."""
        pairs = zip([row[0] for row in rows], prepared, strict=True)
        one_each = dict(pairs if self._replace else reversed(list(pairs)))  # the last of a key stays
        return sorted(one_each.values())  # an id ends at its tab, which sorts before all text

    def _load(self, connection: Connection, repeat: str, buffer: memoryview, records: int) -> int | None:
        """Send the buffer; how many of its rows were skipped as repeats, None where the server warns of more."""
        driver = connection.connection.driver_connection
        assert isinstance(driver, BufferConnection)
        driver.buffer = buffer
        try:
            connection.exec_driver_sql(LOAD.format(repeat=repeat, table=TABLE, columns=_COLUMN_LIST))
        finally:
            driver.buffer = None
        counts = driver.counts()
        if counts["Records"] == records and self._only_repeats_warned(connection, counts):
            return counts["Skipped"]
        log.debug("The load warned (%s): the batch goes through INSERT", counts)
        return None

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


def encode(rows: Sequence[Row]) -> list[str]:
    """Each row as LOAD DATA reads it: fields by tab, `\\N` for NULL, backslash escapes; without its newline."""
    lines = []
    for row in rows:
        if row[5] is None:
            line = _escaped(row)
        else:
            line = "\t".join(row)  # type: ignore[arg-type] # no None in it
            if "\\" in line or "\n" in line or "\0" in line or line.count("\t") != 5:
                line = _escaped(row)
        lines.append(line)
    return lines


def _escaped(row: Row) -> str:
    return "\t".join(["\\N" if field is None else field.translate(_ESCAPES) for field in row])
