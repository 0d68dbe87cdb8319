"""The two secondary indexes, built once at the end of a load into an empty table: they cost more than the rows.

What a crash leaves is a table without them, which anybody can see: `missing` asks the database itself. Whoever comes
next finishes the work: the next load, `consume` before it starts, or `db upgrade`; `db check` says so.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import DBAPIError

from consumer.stores.engine import DENIED, errno_of, explain, is_empty, told_apart
from schemas.errors import DatabaseDown, Stop
from schemas.table import TABLE, Base
from terminal import failpoints
from terminal.failpoints import Place
from terminal.outage import Outage

log = logging.getLogger(__name__)

AUTO, ALWAYS, NEVER = "auto", "always", "never"

LOCK_SECONDS = 5
"""How long the start may wait for others to let go of the table; then the indexes stay."""

BUILD_LOCK_SECONDS = 15
"""The same for the build at the end; then it is tried again. Shorter than the grace period of a run that is to end."""

RETRY_SECONDS = 1.0

_NO_SUCH_KEY = 1091

COLUMN_OF = {str(index.name): next(iter(index.columns)).name for index in Base.metadata.tables[TABLE].indexes}
"""The secondary indexes: name and column."""


def missing(connection: Connection) -> list[str]:
    """The names of the indexes that the table lacks."""
    there = {index["name"] for index in inspect(connection).get_indexes(TABLE)}
    return sorted(COLUMN_OF.keys() - there)


@dataclass
class Deferral:
    """What became of the indexes in a run."""

    off: bool = False
    """They were not there while rows went in."""
    might: bool = False
    """They were there, though they need not have been: `always`, and the rights, would have left them off."""
    building_seconds: float = 0.0
    """How long it took to build them at the end."""
    problem: Stop | None = None
    """Why they could not be built. The rows are there; the next run, or `chatferry db upgrade`, builds them."""


@contextmanager
def deferred(engine: Engine, mode: str, complete: Callable[[], bool]) -> Iterator[Deferral]:
    """Leave the indexes off while the block fills the table, and build them at its end; yields what became of that.

    `auto` does so where the table is empty, `always` in any case, `never` not. Indexes that are missing from before
    are built at the end as well; while the database is away or others hold the table that is tried again, for ever.
    Where the block fails or is interrupted (`complete` says no), the next run does it.
    """
    with told_apart(), engine.connect() as connection:
        left = missing(connection)
        if not left and mode != NEVER and (mode == ALWAYS or is_empty(connection)):
            left = _drop(connection)
    deferral = Deferral(off=bool(left), might=not left and mode != NEVER)
    failpoints.reached(Place.INDEXES_DROPPED)
    done = False
    try:
        yield deferral
        done = complete()
    finally:
        if left and not done:
            log.warning("The indexes of %s are not built yet: the next run does it, or chatferry db upgrade", TABLE)
    if left and done:
        failpoints.reached(Place.INDEXES_DUE)
        began = time.monotonic()
        deferral.problem = _build_in_the_end(engine, complete)
        deferral.building_seconds = time.monotonic() - began


def _build_in_the_end(engine: Engine, go_on: Callable[[], bool]) -> Stop | None:
    """Build the indexes, however long the database is away, as long as `go_on` says so; returns what a person must do
    about it, None where they are built."""
    outage = Outage("the indexes are built, and that is tried again,")
    while True:
        try:
            build(engine)
        except DatabaseDown as problem:
            outage.goes_on(problem)
        except Stop as problem:
            return problem
        else:
            outage.is_over()
            return None
        if not go_on():
            return Stop("The indexes are not built yet", "The next run does it, or: chatferry db upgrade")
        time.sleep(RETRY_SECONDS)


def build(engine: Engine) -> list[str]:
    """Build the indexes that are missing, and return their names.

    Raises `Stop` where the database refuses, `DatabaseDown` where it goes away.
    """
    with told_apart(), engine.connect() as connection:
        names = missing(connection)
        if not names:
            return []
        log.info("Building the indexes of %s: some seconds for each million rows", TABLE)
        connection.rollback()
        _lock_patience(connection, BUILD_LOCK_SECONDS)
        quote = connection.dialect.identifier_preparer.quote
        if connection.dialect.name == "sqlite":
            statements = [f"CREATE INDEX IF NOT EXISTS {n} ON {TABLE} ({quote(COLUMN_OF[n])})" for n in names]
        else:  # one statement: one pass over the table
            added = ", ".join(f"ADD INDEX IF NOT EXISTS {n} ({quote(COLUMN_OF[n])})" for n in names)
            statements = [f"ALTER TABLE {TABLE} {added}"]
        for statement in statements:
            _execute_ddl(connection, statement)
        connection.commit()
        return names


def _drop(connection: Connection) -> list[str]:
    """Drop the indexes; where that is not allowed, or others hold the table, they stay. Returns those that are gone."""
    names = sorted(COLUMN_OF)
    try:
        if connection.dialect.name == "sqlite":
            for name in names:
                connection.exec_driver_sql(f"DROP INDEX {name}")
        else:
            connection.rollback()
            _lock_patience(connection, LOCK_SECONDS)
            connection.exec_driver_sql(f"ALTER TABLE {TABLE} " + ", ".join(f"DROP INDEX {name}" for name in names))
        connection.commit()
    except DBAPIError as error:
        if errno_of(error) == _NO_SUCH_KEY:  # another run, that began with the same empty table, was faster
            connection.rollback()
            return missing(connection)
        if errno_of(error) in DENIED or isinstance(explain(error), DatabaseDown):
            log.info("The indexes of %s stay while rows go in: %s", TABLE, error.orig)
            return []
        raise
    log.debug("The indexes of %s are built at the end", TABLE)
    return names


def _lock_patience(connection: Connection, seconds: int) -> None:
    """How long statements of this session wait for the table; SQLite has its own patience."""
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {seconds}")


def _execute_ddl(connection: Connection, statement: str) -> None:
    """Run the statement; MySQL, which knows no IF NOT EXISTS for an index, gets it without."""
    try:
        connection.exec_driver_sql(statement)
    except DBAPIError as error:
        if errno_of(error) != 1064:
            raise
        connection.exec_driver_sql(statement.replace("IF NOT EXISTS ", ""))
