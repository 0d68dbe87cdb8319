"""The store for a database URL, on a table that is as it should be."""

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError, NoSuchTableError

from consumer.stores.engine import DENIED, errno_of, explain, make_engine, shown, told_apart
from consumer.stores.indexes import missing
from consumer.stores.mysql import MySQLStore
from consumer.stores.sqlite import SQLiteStore
from consumer.stores.store import Store
from schemas.errors import DatabaseDown, NeedsUpgrade, Stop
from schemas.table import BYTEWISE_COLLATIONS, COLUMNS, REVISION, REVISION_TABLE, TABLE


def open_store(database: str, password: str | None, *, replace: bool) -> Store:
    """Connect, check the table, and return the store.

    Raises `Stop` where the table is not as this version needs it, `DatabaseDown` where the database is away.
    """
    engine = make_engine(database, password)
    try:
        check(engine)
    except Exception:
        engine.dispose()
        raise
    if engine.dialect.name == "sqlite":
        return SQLiteStore(engine, replace=replace)
    return MySQLStore(engine, replace=replace)


def check(engine: Engine, *, indexes: bool = False) -> str:
    """See that the table is as this version needs it, and with `indexes` that it has them; returns its revision.

    A worker does without: a load builds them at its end. Raises `Stop` with what is wrong and what to run,
    `DatabaseDown` where the database is away.
    """
    with told_apart(), engine.connect() as connection:
        _look_at_table(connection)
        if indexes and (names := missing(connection)):
            raise NeedsUpgrade(f"The table {TABLE} lacks {' and '.join(names)}: a load did not come to its end")
        return _revision(connection)


def first_contact(engine: Engine, *, may_create: bool = False) -> None:
    """See that the database answers, before any work is begun; `may_create` a SQLite file that is not there.

    Raises `Stop` where it does not: at the start, waiting for ever would hide a wrong address.
    """
    file = engine.url.database if engine.dialect.name == "sqlite" else None
    if file and not may_create and not Path(file).exists():
        raise NeedsUpgrade(f"There is no file {file}")
    try:
        with told_apart(), engine.connect():
            return
    except Stop as problem:
        raise Stop(f"{problem.text} ({file})", problem.next_step) if file else problem from None
    except DatabaseDown as away:
        what = str(away).removeprefix("The database: ")
        where = shown(engine.url)
        raise Stop(f"No database answers at {where}: {what}", "Check --database, and that the server runs") from None


def _revision(connection: Connection) -> str:
    """The revision; checked where the user may read it: the table itself was looked at already."""
    try:
        found = connection.execute(text(f"SELECT version_num FROM {REVISION_TABLE}")).scalar()  # noqa: S608 -- a constant
    except DBAPIError as error:
        if isinstance(said := explain(error), DatabaseDown):
            raise said from None
        if errno_of(error) in DENIED:
            return REVISION
        raise NeedsUpgrade(f"The table {TABLE} has no revision: an upgrade did not come to its end") from None
    if found is None or found < REVISION:
        raise NeedsUpgrade(f"The table {TABLE} is of revision {found}, and this chatferry needs {REVISION}")
    if found > REVISION:
        raise Stop(
            f"The table {TABLE} is of revision {found}, newer than this chatferry's {REVISION}", "Use a newer chatferry"
        )
    return str(found)


def _look_at_table(connection: Connection) -> None:
    """Raises `NeedsUpgrade` where there is no table, `Stop` where it is not ours."""
    inspector = inspect(connection)
    try:
        columns = {column["name"] for column in inspector.get_columns(TABLE)}
    except NoSuchTableError:
        raise NeedsUpgrade(f"There is no table {TABLE}") from None
    unique = [index["name"] for index in inspector.get_indexes(TABLE) if index["unique"]]
    if missing_columns := [name for name in COLUMNS if name not in columns]:
        problem = f"has no column {missing_columns[0]}"
    elif inspector.get_pk_constraint(TABLE)["constrained_columns"] != ["id"]:
        problem = "has another primary key than its id"
    elif unique:
        problem = f"has a second unique key, {unique[0]}: its repeats would pass for repeats of an id"
    elif connection.dialect.name != "sqlite" and (collation := _id_collation(connection)) not in BYTEWISE_COLLATIONS:
        problem = f"compares its ids by {collation}, which takes different ids for the same"
    else:
        return
    raise Stop(
        f"The table {TABLE} {problem}", "Is it chatferry's? Mend it, or move it away and run: chatferry db upgrade"
    )


def _id_collation(connection: Connection) -> str | None:
    """The collation of the ids; SHOW CREATE TABLE, which SQLAlchemy reads, leaves it out where it is the table's
    own."""
    query = text(
        "SELECT collation_name FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND table_name = :table AND column_name = 'id'"
    )
    return connection.execute(query, {"table": TABLE}).scalar()
