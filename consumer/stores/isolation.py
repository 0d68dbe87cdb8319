"""Rows into MySQL by a strict INSERT that finds the row which the database refuses, and keeps its neighbours."""

from collections.abc import Sequence
from itertools import chain

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from consumer.stores.engine import errno_of
from consumer.stores.store import Stored
from schemas.message import Row
from schemas.table import COLUMNS, TABLE

DATA_ERRORS = frozenset(
    [
        *(
            1048,
            1138,
            1230,
            1261,
            1262,
            1263,
            1264,
            1265,
            1292,
            1366,
            1367,
            1406,
            1411,
        ),  # null, cut, out of range, wrong
        *(1153, 1301, 1118),  # too large a packet or row
        *(1690, 3140),  # generated and JSON columns
        *(1452, 1216, 3819, 4025, 1644, 1369, 1526, 1241),  # constraints, triggers, partitions
    ]
)
"""What a row's own content can cause (MariaDB's and MySQL's error lists), told by number: the drivers file them under
the same classes as a server that went away."""

STATEMENT_ROWS = 1_000
STATEMENT_BYTES = 1_024  # of a packet that are not the row's: verb, columns, punctuation
PACKET_SHARE = 0.5
"""A statement's size stays below this share of max_allowed_packet: escaping may double text."""

_COLUMN_LIST = ", ".join(f"`{column}`" for column in COLUMNS)
_INSERT = f"INSERT INTO `{TABLE}` ({_COLUMN_LIST}) VALUES {{values}} ON DUPLICATE KEY UPDATE "  # noqa: S608 -- constants
_SKIP = _INSERT + "`id` = `id`"
_UPDATE = _INSERT + ", ".join(f"`{column}` = VALUES(`{column}`)" for column in COLUMNS[1:])
_VALUES = "(" + ", ".join(["%s"] * len(COLUMNS)) + ")"


def insert_isolating(connection: Connection, rows: Sequence[Row], *, replace: bool) -> Stored:
    """Insert the rows on this connection, in its transaction; a refused row is left out and returned.

    What fails is undone to its savepoint, so halving it finds the row. Raises `DBAPIError` for
    everything that is not the data's fault.
    """
    largest = connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one()
    work = _Inserter(connection, rows, int(largest), replace=replace)
    for start, end in work.statements():
        work.insert(start, end)
    return Stored(work.new, len(rows) - work.new - len(work.refused), work.refused)


class _Inserter:
    def __init__(self, connection: Connection, rows: Sequence[Row], largest: int, *, replace: bool) -> None:
        self._connection = connection
        self._rows = rows
        self._largest = largest
        self._replace = replace
        self.new = 0
        self.refused: list[tuple[int, str]] = []

    def statements(self) -> list[tuple[int, int]]:
        """The rows' indices cut into statements by number and by size; a row that no packet can hold is refused here.

        (Sent all the same, it would end the connection, and look like a server that went away.)
        """
        cuts, start, size = [], 0, 0
        for i, row in enumerate(self._rows):
            row_size = sum(4 * len(field) for field in row if field)
            if row_size > self._largest * PACKET_SHARE and self._literal_bytes(row) > self._largest - STATEMENT_BYTES:
                self.refused.append((i, f"the row is larger than max_allowed_packet ({self._largest} bytes)"))
                cuts.append((start, i))
                start, size = i + 1, 0
                continue
            if i > start and (i - start >= STATEMENT_ROWS or size + row_size > self._largest * PACKET_SHARE):
                cuts.append((start, i))
                start, size = i, 0
            size += row_size
        return [(first, end) for first, end in [*cuts, (start, len(self._rows))] if first < end]

    def _literal_bytes(self, row: Row) -> int:
        """The length of the row within a statement, escaped as the driver does."""
        driver = self._connection.connection.driver_connection
        assert driver is not None
        return sum(len(driver.escape(field).encode()) for field in row if field)

    def insert(self, start: int, end: int) -> None:
        """Insert these rows, or, where the server refuses, each half by itself."""
        self._connection.exec_driver_sql("SAVEPOINT part")
        try:
            self.new += self._execute(self._rows[start:end])
        except DBAPIError as error:
            if errno_of(error) not in DATA_ERRORS:
                raise
            self._connection.exec_driver_sql("ROLLBACK TO SAVEPOINT part")
            if end - start == 1:
                self.refused.append((start, str(error.orig.args[-1]) if error.orig else str(error)))
                return
            middle = (start + end) // 2
            self.insert(start, middle)
            self.insert(middle, end)

    def _execute(self, rows: Sequence[Row]) -> int:
        """How many of the rows are new. Where repeats replace, the first statement tells, the second replaces."""
        values = ", ".join([_VALUES] * len(rows))
        parameters = tuple(chain.from_iterable(rows))
        new = self._connection.exec_driver_sql(_SKIP.format(values=values), parameters).rowcount
        if self._replace and new < len(rows):
            self._connection.exec_driver_sql(_UPDATE.format(values=values), parameters)
        return new
