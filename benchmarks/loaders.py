"""Other ways to put a log file into a table, without Kafka: baselines of `chatferry load`.

    python -m benchmarks.loaders [jq_load] [orm] [core_executemany] [bare_sqlite] [embedded_load] [--lines 100_000]

Each fills a fresh table with chatferry's columns, key and indexes, there from the start; a sample counts the rows that
are stored. `main` is the CPU of the client: of the command with all its descendants, or of this very process. The last
holds all rows, parsed before the clock starts, so its memory is not the tool's.
"""

import os
import shlex
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

from sqlalchemy import Engine, create_engine, event, insert
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from benchmarks import tools
from benchmarks.article import ignoring
from benchmarks.measure import CommandFailed, Missing, Sample
from benchmarks.sampler import Sampler
from benchmarks.site import Site, sample
from consumer.stores.sqlite import SKIP
from schemas.errors import BadLine
from schemas.message import Row, parse, parse_lines
from schemas.table import COLUMNS, TABLE, ChatMessage
from tests.services.process import ServicesMissingError, installed

PARSED_AT_ONCE = 10_000  # lines
COMMIT_ROWS = 5_000
SQLITE_COMMIT_ROWS = 50_000

JQ = r"""(fromjson | [.id, .from, .type, .site_id, .timestamp, .data // "\\N"] | @tsv)?"""
"""With -R, for plain jq ends at the first line that is no JSON; the try costs it about 8%. It checks nothing else."""

JQ_LOAD = (
    f"LOAD DATA LOCAL INFILE '/dev/stdin' IGNORE INTO TABLE `{TABLE}` CHARACTER SET utf8mb4 "
    "(`id`, `from`, `type`, `site_id`, @seconds, @data) "
    r"SET `timestamp` = FROM_UNIXTIME(CAST(@seconds AS DECIMAL(20, 6))), `data` = NULLIF(@data, '\\N')"
)


def install() -> None:
    """Install jq; needs root. The `mariadb` client is where the tests' MariaDB is."""
    tools.apt_install("jq")


def jq_load(site: Site, log: Path) -> Sample:
    """`jq -rR '... | @tsv' LOG | mariadb -e 'LOAD DATA LOCAL INFILE'`: one load, one transaction, ids as they come.

    Exact on a clean log. What is JSON but no message goes in all the same, bent to fit (about half of the generator's
    bad lines). Raises `Missing`.
    """
    jq = tools.program("jq", "jq")
    with site.database() as url:
        text = f"{jq} -rR {shlex.quote(JQ)} {shlex.quote(str(log))} | {_client(url)} -e {shlex.quote(JQ_LOAD)}"
        done = tools.run(site, [], shell_text=text)
        return sample(site.rows(url), done)


def _client(url: str) -> str:
    """The shell text of the mariadb client on a database. Raises `Missing`."""
    place = make_url(url)
    try:
        client, libraries = installed("mariadb/bin/mariadb"), installed("mariadb/libs")
    except ServicesMissingError as error:
        raise Missing(str(error)) from error
    return shlex.join(
        ["env", f"LD_LIBRARY_PATH={libraries}", str(client), "--no-defaults", "--local-infile=1", "--skip-ssl",
         f"--host={place.host}", f"--port={place.port}", f"--user={place.username}",
         "--init-command=SET time_zone = '+00:00'", str(place.database)]
    )  # fmt: skip


def orm(site: Site, log: Path) -> Sample:
    """SQLAlchemy's ORM: objects from ready rows, `add_all`, a commit each 5,000, one connection.

    The INSERT ignores ids that are there, as in benchmarks/article.py; the first of an id in a batch stays.
    """

    def store(engine: Engine, rows: list[Row]) -> None:
        event.listen(engine, "before_cursor_execute", ignoring, retval=True)
        with Session(engine, expire_on_commit=False) as session:
            for batch in _batches(rows, COMMIT_ROWS):
                first = {row[0]: row for row in reversed(batch)}
                session.add_all([ChatMessage(**dict(zip(_ATTRIBUTES, row, strict=True))) for row in first.values()])
                session.commit()
                session.expunge_all()

    return _through_sqlalchemy(site, log, store)


_ATTRIBUTES = tuple("sender" if name == "from" else name for name in COLUMNS)


def core_executemany(site: Site, log: Path) -> Sample:
    """SQLAlchemy's Core: `INSERT IGNORE` with a list of dicts, 5,000 a transaction, one connection.

    PyMySQL makes multi-row statements of them, of up to 1 MB each.
    """
    statement = insert(ChatMessage.__table__).prefix_with("IGNORE")  # type: ignore[arg-type] # it is a Table

    def store(engine: Engine, rows: list[Row]) -> None:
        with engine.connect() as connection:
            for batch in _batches(rows, COMMIT_ROWS):
                connection.execute(statement, [dict(zip(COLUMNS, row, strict=True)) for row in batch])
                connection.commit()

    return _through_sqlalchemy(site, log, store)


def _through_sqlalchemy(site: Site, log: Path, store: Callable[[Engine, list[Row]], None]) -> Sample:
    rows = ready_rows(log)
    with site.database() as url:
        engine = create_engine(url)
        try:
            return _in_process(site, lambda: store(engine, rows), lambda: site.rows(url), site.held(log).rows)
        finally:
            engine.dispose()


def bare_sqlite(site: Site, log: Path) -> Sample:
    """Python's sqlite3: `executemany` of ready rows, 50,000 a transaction, in the order of the log.

    A new file with WAL and synchronous=FULL, as chatferry has it; a repeated id is passed over.
    """
    rows = ready_rows(log)
    file = site.folder / f"{site.name()}.db"
    site.ferry("db", "upgrade", "--database", f"sqlite:///{file}")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

        def store() -> None:
            for batch in _batches(rows, SQLITE_COMMIT_ROWS):
                with connection:
                    connection.executemany(SKIP, batch)

        return _in_process(site, store, lambda: _sqlite_rows(connection), site.held(log).rows)


def _sqlite_rows(connection: sqlite3.Connection) -> int:
    return int(connection.execute(f"SELECT COUNT(*) FROM {TABLE}").fetchone()[0])


def embedded_load(site: Site, log: Path) -> Sample:
    """`chatferry load FILE --database sqlite:///NEWFILE`: through its embedded broker, bad lines set aside.

    Raises `CommandFailed` where the table lacks rows.
    """
    file = site.folder / f"{site.name()}.db"
    done = site.run([*tools.FERRY, "load", str(log), "--database", f"sqlite:///{file}", "--json"])
    with closing(sqlite3.connect(file)) as connection:
        return sample(_all_there(_sqlite_rows(connection), site.held(log).rows), done)


def ready_rows(log: Path) -> list[Row]:
    """The rows of a log's good lines, repeats among them, in its order."""
    rows: list[Row] = []
    with log.open("rb") as file:
        while lines := [line.rstrip(b"\n") for line in islice(file, PARSED_AT_ONCE)]:
            rows.extend(parse_lines(lines) or _good(lines))
    return rows


def _good(lines: list[bytes]) -> Iterator[Row]:
    for line in lines:
        try:
            yield parse(line)
        except BadLine:
            continue


def _batches(rows: Sequence[Row], size: int) -> Iterator[Sequence[Row]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _in_process(site: Site, store: Callable[[], None], count: Callable[[], int], expected: int) -> Sample:
    """Watch this process and the servers while `store` runs. Raises `CommandFailed` where rows are missing."""
    groups = {
        "kafka": lambda: [site.kafka.pid],
        "mariadb": lambda: [site.maria.pid],
        "main": lambda: [os.getpid()],
    }
    with Sampler(groups) as sampler:
        began = time.monotonic()
        store()
        seconds = time.monotonic() - began
    usage = sampler.usage
    return Sample(_all_there(count(), expected), seconds, usage.cpu, usage.peak_mb)


def _all_there(rows: int, expected: int) -> int:
    if rows != expected:
        raise CommandFailed(f"{rows:,} rows are stored, where {expected:,} are due")
    return rows


BASELINES: dict[str, tools.Baseline] = {
    "jq_load": jq_load,
    "orm": orm,
    "core_executemany": core_executemany,
    "bare_sqlite": bare_sqlite,
    "embedded_load": embedded_load,
}

if __name__ == "__main__":
    tools.try_out(BASELINES, description="Try out the loaders.")
