"""SQLAlchemy's engine, made fit for each database, and its errors told apart."""

import sqlite3
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from consumer.stores.mysql_connection import BufferConnection
from schemas.errors import ChatferryError, DatabaseDown, Stop, UsageProblem
from schemas.table import TABLE

CONNECT_SECONDS = 10
SQLITE_BUSY_SECONDS = 30.0
"""How long SQLite waits for another writer before it says that the file is locked."""

SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00', max_error_count = 65535"
)
"""Values are refused, not cut; moments are UTC; every warning of a load can be read (65535 is the most)."""

_DOWN = frozenset(
    [
        *(2002, 2003, 2006, 2013, 2055, 1053, 1317, 1927, 4031),  # gone, killed, shutting down
        *(1040, 1129, 1203, 1226, 1041),  # too many connections, memory
        *(1021, 1114, 1290, 1792, 1836, 1028, 1036, 1026, 1878),  # disk full, read-only
        *(3032, 3100, 3101, 9001),  # offline; its replication group refused the commit; a proxy finds no server
        *(1030, 1020, 1037, 1038, 1047, 1135, 1206),  # its engine, memory, threads, locks; a Galera node not ready
        *(1158, 1159, 1160, 1161, 1180, 1969, 3024, 1412, 1637),  # network, time limits, passing conflicts
        *(1205, 1213),  # lock wait timeout, deadlock
    ]
)
TLS_KEYS = ("ssl_ca", "ssl_cert", "ssl_key", "ssl_verify")
"""What of TLS the URL's query takes; `ssl_verify=false` leaves certificate and host name unchecked."""

DENIED = frozenset([1044, 1142, 1143, 1227])  # a right is missing

_CREDENTIALS = "Check user and password (CHATFERRY_DATABASE_PASSWORD, or --database-password-file)"
_RENEW = "Set a new password as this user: ALTER USER ... IDENTIFIED BY ..."
_UNLOCK = "Have the account unlocked: ALTER USER ... ACCOUNT UNLOCK"

_NEXT_STEP = {
    1044: "Grant the user SELECT, INSERT and UPDATE on this database's table",
    1045: _CREDENTIALS,
    1049: "Create the database first: CREATE DATABASE ... CHARACTER SET utf8mb4",
    1054: "Run: chatferry db upgrade --database ...",
    1130: "Let the user in from this host: CREATE USER ...@'host', and GRANT",
    1142: "Grant the user SELECT, INSERT and UPDATE on the table",
    1143: "Grant the user SELECT, INSERT and UPDATE on the table (and DELETE for --on-duplicate update)",
    1146: "Run: chatferry db upgrade --database ...",
    1227: "Ask for the privilege that it names",
    1364: "chatferry does not fill this column: give it a default value, or let it be NULL",
    1698: _CREDENTIALS,
    1820: _RENEW,
    1862: _RENEW,
    2026: "Check that the server offers TLS; if it does, something between takes it away. Nothing was sent",
    2059: "Create the user with another plugin: IDENTIFIED VIA mysql_native_password, or WITH caching_sha2_password",
    3118: _UNLOCK,
    3159: "The server takes TLS alone: add ?ssl_ca=FILE to the URL",
    4151: _UNLOCK,
}


def make_engine(database: str, password: str | None = None) -> Engine:
    """The engine for a SQLAlchemy URL; nothing is connected yet.

    Raises `UsageProblem` for a URL that is none, or of a database that we have no store for.
    """
    url = _parse(database, password)
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": SQLITE_BUSY_SECONDS}, hide_parameters=True)
        event.listen(engine, "connect", _sqlite_durable)
        return engine
    options: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "local_infile": True,
        "init_command": SESSION,
    }
    url, tls = _tls(url)
    if tls:
        options["ssl"] = tls
    engine = create_engine(
        url,
        connect_args=options,
        isolation_level="READ COMMITTED",  # fewer gap locks, so fewer deadlocks between workers
        pool_size=1,
        max_overflow=1,
        pool_pre_ping=True,
        pool_reset_on_return=None,  # what we begin we end: a second ROLLBACK only asks a server that may be gone by now
        hide_parameters=True,  # what people wrote stays out of tracebacks
    )
    event.listen(engine, "do_connect", _buffer_connection)
    return engine


def _parse(database: str, password: str | None) -> URL:
    try:
        url = make_url(database)
        backend = url.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise UsageProblem(
            "--database is not a database URL",
            "For example mysql+pymysql://user@host/chat, or sqlite:///chat.db",
        ) from None
    if backend not in ("mysql", "mariadb", "sqlite"):
        raise UsageProblem(f"--database: there is no store for {backend}", "MySQL, MariaDB and SQLite are supported")
    if backend != "sqlite":
        if not url.database:
            raise UsageProblem(
                "--database names a server, but no database", "For example mysql+pymysql://user@host/chat"
            )
        url = url.set(drivername=f"{backend}+pymysql")
        if password is not None:
            url = url.set(password=password)
    elif url.database in (None, "", ":memory:"):
        raise UsageProblem(
            "--database: SQLite needs a file, since every worker opens it", "For example sqlite:///chat.db"
        )
    return url


def shown(database: str | URL) -> str:
    """The URL without its password."""
    try:
        url = make_url(database)
        url = url.difference_update_query([name for name in url.query if "pass" in name.lower()])
        return url.render_as_string(hide_password=True)
    except ArgumentError:
        return "(not a URL)"


def _tls(url: URL) -> tuple[URL, ssl.SSLContext | None]:
    """TLS that verifies: PyMySQL's own `ssl_ca` alone does not look at the host name.

    `TLS_KEYS` are taken from the URL's query, and no other words for it: of PyMySQL's own, `ssl_disabled` turns TLS off
    beside an `ssl_ca`, and `ssl_verify_cert` takes the place of our context.
    """
    if other := [name for name in url.query if name.lower().startswith("ssl") and name not in TLS_KEYS]:
        raise UsageProblem(f"--database: {other[0]} is no setting here", f"For TLS there are {', '.join(TLS_KEYS)}")
    given = {key: str(url.query[key]) for key in TLS_KEYS if key in url.query}
    if not given:
        return url, None
    try:
        context = ssl.create_default_context(cafile=given.get("ssl_ca"))
        if "ssl_cert" in given:
            context.load_cert_chain(given["ssl_cert"], given.get("ssl_key"))
    except OSError as error:
        raise UsageProblem(
            f"--database: the TLS files cannot be used: {error.strerror or error}",
            "Check " + ", ".join(f"{key}={given[key]}" for key in TLS_KEYS if key in given),
        ) from None
    if given.get("ssl_verify", "true").lower() in ("false", "0", "no"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return url.difference_update_query(TLS_KEYS), context


def _buffer_connection(_dialect: Any, _record: Any, arguments: list[Any], options: dict[str, Any]) -> BufferConnection:
    """Connect through the class that serves LOAD DATA from memory and nothing else."""
    try:
        return BufferConnection.dial(arguments, options)
    except (TypeError, ValueError, AttributeError) as error:  # what the driver makes of an option that it does not know
        raise UsageProblem(f"--database: the driver does not take an option of the URL: {error}") from None


def _sqlite_durable(connection: sqlite3.Connection, _record: Any) -> None:
    """WAL lets people read while we write; FULL makes a committed transaction survive a power cut."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def errno_of(error: DBAPIError) -> int | None:
    """MySQL's number of the error, or None."""
    arguments = getattr(error.orig, "args", ())
    return arguments[0] if arguments and isinstance(arguments[0], int) else None


@contextmanager
def told_apart() -> Iterator[None]:
    """A failure of the database within comes out as one of ours; a bug as it is."""
    try:
        yield
    except DBAPIError as error:
        if said := explain(error):
            raise said from error
        raise


def explain(error: DBAPIError) -> ChatferryError | None:
    """The failure behind a database error: `DatabaseDown`, `Stop`, or None where it may be this batch's data, or a
    bug."""
    number = errno_of(error)
    if isinstance(error.orig, sqlite3.Error):
        return _explain_sqlite(error.orig)
    arguments: tuple[object, ...] = getattr(error.orig, "args", ())
    text = f"{arguments[1]} ({number})" if number is not None and len(arguments) > 1 else str(error.orig)
    if isinstance(getattr(error.orig, "original_exception", None), ssl.SSLCertVerificationError):
        return Stop(f"The database: {text}", "Check the certificate, its host name and ssl_ca; no password was sent")
    if number in _DOWN or (number is None and error.connection_invalidated) or number == 0:
        return DatabaseDown(f"The database: {text}")
    if number in _NEXT_STEP:
        return Stop(f"The database: {text}", _NEXT_STEP[number])
    return None


def _explain_sqlite(error: sqlite3.Error) -> ChatferryError | None:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR")):
        return DatabaseDown(f"The database: {error}")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_NOTADB", "SQLITE_CORRUPT", "SQLITE_PERM")):
        return Stop(f"The database: {error}", "Check the path of the SQLite file and its permissions")
    if "no such table" in str(error) or "no such column" in str(error):
        return Stop(f"The database: {error}", "Run: chatferry db upgrade --database ...")
    return None


def is_empty(connection: Connection) -> bool:
    """Whether the table has no row."""
    return connection.execute(text(f"SELECT 1 FROM {TABLE} LIMIT 1")).first() is None  # noqa: S608 -- a constant
