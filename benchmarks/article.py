"""The classical program that this project grew from: a log into MySQL over a multiprocessing queue.

One process reads the file and puts each line into a manager's queue. One process a core takes lines, decodes
them, builds ORM objects, and commits each fifty.

    python -m benchmarks.article FILE --database mysql+pymysql://user@host/base [--workers N]

It fills a table of its own, `article_messages`, dropped first, and prints one JSON object. The classical
program had no answer to bad lines and repeats; here bad lines are skipped and the INSERT ignores an id that
is there, which costs it nothing. All else is kept as it was, so that its speed stays its own.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue
from typing import Any

from sqlalchemy import String, Text, create_engine, event, func, select
from sqlalchemy.dialects.mysql import DATETIME, LONGTEXT
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

COMMIT_EVERY = 50  # objects
QUEUE_LINES = 100_000  # a bound on memory only: the reader waits when the consumers are this far behind
ATTEMPTS = 20  # of one commit
DEADLOCK = 1213  # MySQL's error number; two consumers met on one index page
BAD = (ValueError, KeyError, TypeError, OverflowError)  # what a line raises that is no message

Lines = Queue[bytes | None]
"""Lines as they stand in the file; None tells one consumer to end."""


class Base(DeclarativeBase):
    """The registry of this program's one table."""


class ArticleMessage(Base):
    """A row, with the columns, the key and the indexes of the table that chatferry fills."""

    __tablename__ = "article_messages"
    __table_args__ = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}  # noqa: RUF012 - SQLAlchemy's form

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    sender: Mapped[str] = mapped_column("from", String(255))
    type: Mapped[str] = mapped_column(String(16))
    site_id: Mapped[str] = mapped_column(String(255), index=True)
    timestamp: Mapped[datetime] = mapped_column(DATETIME(fsp=6), index=True)
    data: Mapped[str | None] = mapped_column(Text().with_variant(LONGTEXT(), "mysql", "mariadb"))


def message(line: bytes) -> ArticleMessage:
    """The object of one line; raises one of BAD when the line is no message."""
    fields: dict[str, Any] = json.loads(line)
    if fields["type"] not in {"message", "status"}:
        raise ValueError(fields["type"])
    texts = [fields[name] for name in ("id", "from", "type", "site_id")]
    "".join([*texts, fields.get("data") or ""]).encode()
    identifier, sender, kind, site = texts
    timestamp = datetime.fromtimestamp(float(fields["timestamp"]), UTC).replace(tzinfo=None)
    return ArticleMessage(
        id=identifier, sender=sender, type=kind, site_id=site, timestamp=timestamp, data=fields.get("data")
    )


def read(path: Path, lines: Lines, totals: Queue[int], workers: int) -> None:
    """The reader's process: each line into the queue, then an end mark a consumer and the number of lines."""
    count = 0
    with path.open("rb") as log:
        for line in log:
            lines.put(line)
            count += 1
    for _ in range(workers):
        lines.put(None)
    totals.put(count)


def batches(lines: Lines) -> Iterator[dict[str, ArticleMessage]]:
    """Objects by id, fifty lines at a time, until the end mark; the first object of an id stays."""
    batch: dict[str, ArticleMessage] = {}
    taken = 0
    while (line := lines.get()) is not None:
        with suppress(*BAD):
            found = message(line)
            batch.setdefault(found.id, found)
        taken += 1
        if taken % COMMIT_EVERY == 0:
            yield batch
            batch = {}
    yield batch


def save(session: Session, batch: dict[str, ArticleMessage]) -> None:
    """Add the objects and commit; again when two consumers locked each other out."""
    for _ in range(ATTEMPTS):
        session.add_all(batch.values())
        try:
            session.commit()
        except OperationalError as error:
            if error.orig is None or error.orig.args[0] != DEADLOCK:
                raise
            session.rollback()
        else:
            session.expunge_all()
            return
    raise RuntimeError(f"a batch met {ATTEMPTS} deadlocks")


def ignoring(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
    """SQLAlchemy's hook before a statement: an INSERT passes over ids that are there."""
    return statement.replace("INSERT INTO", "INSERT IGNORE INTO", 1), parameters


def consume(lines: Lines, database: str) -> None:
    """A consumer's process: objects from lines, a commit each fifty."""
    engine = create_engine(database)
    event.listen(engine, "before_cursor_execute", ignoring, retval=True)
    with Session(engine, expire_on_commit=False) as session:
        for batch in batches(lines):
            save(session, batch)
    engine.dispose()


def _run(path: Path, database: str, workers: int) -> int:
    """Start the processes, wait for them, and return the number of lines; a failed consumer ends all."""
    with multiprocessing.Manager() as manager:
        lines: Lines = manager.Queue(QUEUE_LINES)
        totals: Queue[int] = manager.Queue()
        reader = multiprocessing.Process(target=read, args=(path, lines, totals, workers))
        consumers = [multiprocessing.Process(target=consume, args=(lines, database)) for _ in range(workers)]
        for process in (reader, *consumers):
            process.start()
        for process in consumers:
            process.join()
        if any(process.exitcode for process in consumers):
            reader.terminate()
            raise SystemExit("a consumer failed; its error is above")
        reader.join()
        return totals.get()


def load(path: Path, database: str, workers: int) -> dict[str, float]:
    """Load a log into an empty `article_messages`, measured from the first process to the last commit."""
    engine = create_engine(database)
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    start = time.perf_counter()
    lines = _run(path, database, workers)
    seconds = time.perf_counter() - start
    with Session(engine) as session:
        rows = session.scalar(select(func.count()).select_from(ArticleMessage)) or 0
    engine.dispose()
    speed = round(rows / seconds)
    return {
        "lines": lines,
        "rows": rows,
        "seconds": round(seconds, 3),
        "rows_per_second": speed,
        "workers": workers,
    }


def main() -> None:
    """Load one file and print the measure as a JSON object."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.article", description="Load a log as the classical program did."
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--database", required=True, help="mysql+pymysql://user:password@host:port/base")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="consumers (one a core)")
    settings = parser.parse_args()
    print(json.dumps(load(settings.file, settings.database, settings.workers)))


if __name__ == "__main__":
    main()
