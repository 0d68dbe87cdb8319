"""MariaDB on the loopback address."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pymysql
from sqlalchemy import URL, create_engine, make_url

from tests.services.process import SERVICES, ServerError, ServerProcess, free_port, installed

ANSWER_SECONDS = 30.0
"""A server that says nothing for so long does not answer: it is frozen, or its statement waits for a lock."""


class Databases:
    """The databases of a MySQL or MariaDB server whose address and account are those of a SQLAlchemy URL."""

    def __init__(self, server: URL) -> None:
        self._server = server

    def url(self, database: str = "") -> str:
        """The SQLAlchemy URL of a database on this server."""
        return self._server.set(database=database).render_as_string(hide_password=False)

    def execute(self, statement: str, database: str = "", seconds: float = ANSWER_SECONDS) -> list[tuple[Any, ...]]:
        """Run one SQL statement in a connection of its own; its rows, none for a statement that has none.

        Raises SQLAlchemy's OperationalError where the server does not answer in so many seconds.
        """
        patience = {"connect_timeout": seconds, "read_timeout": seconds}
        engine = create_engine(self.url(database), isolation_level="AUTOCOMMIT", connect_args=patience)
        try:
            with engine.connect() as connection:
                result = connection.exec_driver_sql(statement)
                return [tuple(row) for row in result] if result.returns_rows else []
        finally:
            engine.dispose()

    def create_database(self, name: str) -> str:
        """Make an empty database and return its URL. Raises SQLAlchemy's ProgrammingError when it exists."""
        self.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database with all that is in it; nothing happens when there is none."""
        self.execute(f"DROP DATABASE IF EXISTS `{name}`")


class GivenMariaDB(Databases):
    """A MySQL or MariaDB server that somebody else started."""

    def __init__(self, url: str) -> None:
        super().__init__(make_url(url))


class MariaDB(Databases, ServerProcess):
    """A MariaDB server of our own; its account is root without a password.

    `options` are more of mariadbd's, such as "--local-infile=0"; of two equal ones the last counts.
    `buffer_pool` is innodb_buffer_pool_size. A commit is durable, as it is by the server's default. `within`: see
    `ServerProcess`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        options: Sequence[str] = (),
        buffer_pool: str = "256M",
        within: Sequence[str] = (),
    ) -> None:
        self.port = port or free_port()
        self._data = directory / "data"
        Databases.__init__(self, make_url(f"mysql+pymysql://root@127.0.0.1:{self.port}?charset=utf8mb4"))
        ServerProcess.__init__(
            self,
            [*_program(self._data), *_options(self.port, buffer_pool), *options],
            directory=directory,
            environment=_environment(),
            within=within,
        )

    def _prepare(self) -> None:
        if not self._data.exists():
            shutil.copytree(_template(), self._data)

    def _ready(self) -> bool:
        try:
            connection = pymysql.connect(
                host="127.0.0.1", port=self.port, user="root", connect_timeout=1, read_timeout=1
            )
        except pymysql.err.OperationalError:
            return False
        connection.close()
        return True


def _program(data: Path) -> list[str]:
    home = installed("mariadb")
    return [f"{home}/bin/mariadbd", "--no-defaults", f"--basedir={home}", f"--datadir={data}", _account()]


def _options(port: int, buffer_pool: str) -> list[str]:
    return [
        f"--port={port}",
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--skip-ssl",  # else it spends 6-10 s on a certificate of its own
        "--socket=server.sock",  # in the data directory: a full path may exceed a socket's 107 bytes
        "--local-infile=1",
        f"--innodb-buffer-pool-size={buffer_pool}",
        "--innodb-flush-log-at-trx-commit=1",
    ]


def _account() -> str:
    return f"--user={pwd.getpwuid(os.getuid()).pw_name}"  # it refuses to run as root unless told to


def _environment() -> dict[str, str]:
    return {"LD_LIBRARY_PATH": str(installed("mariadb/libs"))}


def _template() -> Path:
    """A data directory with the system tables alone; made once, because a copy is quicker than a new one."""
    template = SERVICES / "mariadb-template"
    if not template.exists():
        with tempfile.TemporaryDirectory(dir=SERVICES) as directory:
            made = _install(Path(directory) / "data")
            try:
                made.rename(template)
            except OSError:  # another test run was quicker
                if not template.exists():
                    raise
    return template


def _install(data: Path) -> Path:
    home = installed("mariadb")
    done = subprocess.run(
        [
            f"{home}/scripts/mariadb-install-db",
            "--no-defaults",
            f"--basedir={home}",
            f"--datadir={data}",
            _account(),
            "--auth-root-authentication-method=normal",
            "--skip-name-resolve",
            "--skip-test-db",
            "--force",  # goes on where nothing resolves the machine's name
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **_environment()},
    )
    if done.returncode != 0:
        raise ServerError(f"mariadb-install-db failed: {done.stdout}{done.stderr}")
    return data
