"""What the database can take: ready rows, in sorted runs, by LOAD DATA over several connections, and nothing else.

The runs are made and written before the clock starts. With `deferred` the two secondary indexes are built at the end,
as `chatferry load` does; else they are there all the time.

    python -m benchmarks.limit FOLDER --database URL [--connections 2] [--deferred]     loads the runs of a folder
"""

import argparse
import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from benchmarks.measure import CommandFailed, Sample
from benchmarks.site import Site, sample
from consumer.stores.engine import make_engine
from consumer.stores.indexes import AUTO, deferred
from consumer.stores.mysql import LOAD_ROWS, MySQLStore, encode, in_order
from schemas.errors import BadLine
from schemas.message import parse

CONNECTIONS = 2


def limit(site: Site, log: Path, run_rows: int, *, defer: bool) -> Sample:
    """Load a log's ready rows in runs of `run_rows`. Raises `CommandFailed` where rows are missing afterwards."""
    runs = prepared(site, log, run_rows)
    with site.database() as url:
        command = [sys.executable, "-m", "benchmarks.limit", str(runs), "--database", url]
        done = site.run([*command, "--deferred"] if defer else command)
        rows = site.rows(url)
    if rows != site.held(log).rows:
        raise CommandFailed(f"{rows} rows of {site.held(log).rows} are there")
    return sample(rows, done)


def prepared(site: Site, log: Path, run_rows: int) -> Path:
    """The folder with the log's runs, written once."""
    folder = site.folder / f"{log.stem}-runs-{run_rows}"
    if not folder.exists():
        folder.mkdir()
        for number, run in enumerate(runs_of(log, run_rows)):
            (folder / f"{number:04}").write_bytes(b"\n".join([*run, b""]))
    return folder


def runs_of(log: Path, run_rows: int) -> Iterator[list[bytes]]:
    """The log's good lines as LOAD DATA reads them, sorted by id within each run."""
    run: list[bytes] = []
    with log.open("rb") as lines:
        for line in lines:
            try:
                run += encode([parse(line[:-1])], [line])
            except BadLine:
                continue
            if len(run) == run_rows:
                yield in_order(run)
                run = []
    if run:
        yield in_order(run)


def load(runs: list[Path], database: str) -> None:
    """Load these runs over one connection, a transaction each."""
    engine = make_engine(database)
    store = MySQLStore(engine, replace=False)
    for run in runs:
        lines = [line + b"\n" for line in run.read_bytes().split(b"\n")[:-1]]
        with engine.connect() as connection, connection.begin():
            for start in range(0, len(lines), LOAD_ROWS):
                part = lines[start : start + LOAD_ROWS]
                store.load(connection, "IGNORE", memoryview(b"".join(part)), len(part))
    engine.dispose()


def main() -> None:
    """Load the runs of a folder, the connections side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--database", required=True)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--deferred", action="store_true")
    options = parser.parse_args()
    runs = sorted(options.folder.iterdir())
    engine = make_engine(options.database)
    with deferred(engine, AUTO, lambda: True) if options.deferred else nullcontext():
        processes = [
            multiprocessing.Process(target=load, args=(runs[number :: options.connections], options.database))
            for number in range(options.connections)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit("a connection failed; its error is above")


if __name__ == "__main__":
    main()
