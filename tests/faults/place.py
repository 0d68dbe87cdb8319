"""A database of the test's own whose server is changed under a running `chatferry consume`, and what is held to be true
of it afterwards."""

import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import make_url

from tests.acceptance.ferry import Ferry, Result, Running, committed, count_rows, message, publish, query, records
from tests.faults.rig import PARTITIONS, connect
from tests.services.mariadb import MariaDB

DATABASE = "chat"
OUTAGE = "The database: "
"""How each word of an outage begins, in what a worker writes to stderr."""

INNODB_TRX_SECONDS = 0.15
"""InnoDB renews innodb_trx only where nobody has read it for 0.1 s."""

LEAST = "ferry"
LEAST_PASSWORD = "no-secret"


def data_of(number: int) -> str:
    """What the line holds: of every kind that a way into a database may spoil."""
    return f"{number}\t\\ 'x' \"y\" \n😀é"


@dataclass
class Place:
    """The command, a topic on the shared Kafka, a group, and a MariaDB that nobody else uses."""

    ferry: Ferry
    brokers: str
    topic: str
    group: str
    mariadb: MariaDB
    sent: int = field(default=0, init=False)

    @property
    def database(self) -> str:
        """The URL of its database, for an account that may do anything."""
        return self.mariadb.url(DATABASE)

    def least_database(self) -> str:
        """The same for an account that may write the one table, and pass over no limit of the server."""
        self.mariadb.execute(f"CREATE USER '{LEAST}'@'%%' IDENTIFIED BY '{LEAST_PASSWORD}'")
        self.mariadb.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {DATABASE}.* TO '{LEAST}'@'%%'")
        url = make_url(self.database).set(username=LEAST, password=LEAST_PASSWORD)
        return url.render_as_string(hide_password=False)

    def upgrade(self) -> None:
        """Make the table."""
        self.ferry.run("db", "upgrade", "--database", self.database)

    def command(self, *more: str, database: str | None = None) -> list[str]:
        """`consume` with one worker and one account, unless told otherwise."""
        named = ["--brokers", self.brokers, "--topic", self.topic, "--group", self.group]
        to = ["--database", database or self.database, "--defer-indexes", "never"]
        return ["consume", *named, *to, "--workers", "1", "--json", *more]

    def consume(self, *more: str, database: str | None = None) -> Running:
        """Start it."""
        return self.ferry.start(*self.command(*more, database=database))

    def fill(self, lines: int) -> None:
        """Put so many more lines on the topic, evenly over its partitions."""
        numbers = range(self.sent, self.sent + lines)
        publish(self.brokers, self.topic, (message(n, data_of(n)) for n in numbers), range(PARTITIONS))
        self.sent += lines

    def committed(self) -> int:
        """How many records the group's committed offsets stand for."""
        return sum(committed(self.brokers, self.group).values())

    def wait_until_committed(self, running: Running) -> None:
        """Return when the group has committed all that is on the topic."""
        running.wait_until(lambda: self.committed() == self.sent, "everything is committed")

    def assert_nothing_runs_ahead(self) -> None:
        """No offset is committed for a line that is not in the table."""
        promised = self.committed()  # asked first: what is durable only grows
        assert promised <= count_rows(self.database)

    def end_well(self, running: Running, *, repeats: int = 0) -> Result:
        """See that a fresh line lands, end the run, and see that its account, the table and Kafka are exact."""
        self.wait_until_committed(running)
        self.fill(100)
        self.wait_until_committed(running)
        result = running.end(signal.SIGTERM)
        assert result.status == 143, result.err
        assert "Traceback" not in result.err
        assert "another takes its place" not in result.err
        account = result.json
        assert (account["rows"], account["repeats"], account["dead_letters"]) == (self.sent - repeats, repeats, 0)
        self.assert_exact()
        return result

    def rows(self) -> list[tuple[Any, ...]]:
        """Id and content of each row."""
        return query(self.database, "SELECT id, data FROM chat_messages")

    def assert_exact(self) -> None:
        """Each line is one row with its content, and there is no dead letter."""
        assert sorted(self.rows()) == sorted((f"id-{number}", data_of(number)) for number in range(self.sent))
        assert records(self.brokers, f"{self.topic}.dlq") == []

    # -- what a side connection does ---------------------------------------------------------------------------------

    def connect(self, database: str | None = None) -> Any:
        """A connection past all that the product has."""
        return connect(database or self.database)

    @contextmanager
    def holding(self, *numbers: int) -> Iterator[Any]:
        """The cursor of a transaction that has inserted these lines' ids: a batch with one of them waits for its end,
        which undoes it."""
        with closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute("BEGIN")
            values = ", ".join(f"('id-{number}', '', 'message', '', '2024-01-01')" for number in numbers)
            cursor.execute(f"INSERT INTO chat_messages (id, `from`, type, site_id, timestamp) VALUES {values}")  # noqa: S608
            yield cursor

    def sessions(self, where: str = "TRUE") -> list[int]:
        """The ids of the sessions in the database, but this one's."""
        ours = f"db = '{DATABASE}' AND id <> CONNECTION_ID()"
        rows = self.mariadb.execute(f"SELECT id FROM information_schema.processlist WHERE {ours} AND {where}")  # noqa: S608
        return [number for (number,) in rows]

    def writing(self) -> list[int]:
        """The ids of the sessions that are at a statement which fills the table."""
        return self.sessions("command = 'Query' AND LOCATE('INTO', info)")

    def transactions(self, where: str) -> list[int]:
        """The ids of the sessions that have such a transaction open."""
        time.sleep(INNODB_TRX_SECONDS)
        rows = self.mariadb.execute(f"SELECT trx_mysql_thread_id FROM information_schema.innodb_trx WHERE {where}")  # noqa: S608
        return [number for (number,) in rows]

    def waits_for_a_row(self) -> list[int]:
        """The ids of the sessions that wait for the lock of a row."""
        return self.transactions("trx_state = 'LOCK WAIT'")

    def half_done(self) -> list[int]:
        """The ids of those that have changed rows before."""
        return self.transactions("trx_state = 'LOCK WAIT' AND trx_rows_modified > 0")

    def status(self, name: str) -> int:
        """One of the server's counters."""
        ((_, value),) = self.mariadb.execute(f"SHOW GLOBAL STATUS LIKE '{name}'")
        return int(value)

    def set(self, name: str, value: int) -> None:
        """Set a variable of the server, for the sessions to come."""
        self.mariadb.execute(f"SET GLOBAL {name} = {value}")


def outages(running: Running) -> list[str]:
    """The warnings of outages, so far."""
    return [line for line in running.err.splitlines() if OUTAGE in line]
