"""Every store keeps the same promise: MariaDB by LOAD DATA, MariaDB by INSERT where the server forbids that, SQLite."""

import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pymysql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection as SQLAlchemyConnection
from sqlalchemy import create_engine, event, make_url, select
from sqlalchemy.pool import Pool

from consumer.stores import engine as engine_module
from consumer.stores.engine import make_engine
from consumer.stores.opening import open_store
from consumer.stores.sqlite import SQLiteStore
from consumer.stores.store import NeedsCare, Store, Stored
from ops.database import upgrade
from schemas.errors import DatabaseDown, Stop
from schemas.message import Row
from schemas.table import ChatMessage
from tests.services.mariadb import MariaDB

LOAD, INSERT, SQLITE = "mariadb-load", "mariadb-insert", "sqlite"
SECONDS = 30
POLL_SECONDS = 0.15  # InnoDB renews innodb_trx only where nobody read it for 0.1 s
LEAST = "least"


@dataclass
class Place:
    """A database with our table in it. `server` is None for SQLite."""

    kind: str
    url: str
    server: MariaDB | None

    @property
    def maria(self) -> MariaDB:
        assert self.server is not None
        return self.server

    @property
    def name(self) -> str:
        return make_url(self.url).database or ""

    def connect(self) -> Any:
        """A connection past SQLAlchemy and past the store's own class."""
        if self.server is None:
            return sqlite3.connect(self.name)
        return pymysql.connect(host="127.0.0.1", port=self.server.port, user="root", database=self.name)

    def execute(self, *statements: str) -> None:
        with closing(self.connect()) as connection:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            connection.commit()

    def rows(self) -> list[Row]:
        """The table, in the order of its ids' bytes."""
        moment = "timestamp" if self.server is None else "CAST(timestamp AS CHAR)"
        sender = '"from"' if self.server is None else "`from`"
        with closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(f"SELECT id, {sender}, type, site_id, {moment}, data FROM chat_messages")  # noqa: S608
            return sorted(tuple(found) for found in cursor.fetchall())


@contextmanager
def own_server(*options: str) -> Iterator[MariaDB]:
    with (
        tempfile.TemporaryDirectory(prefix="chatferry-tests-") as directory,
        MariaDB(Path(directory), options=options) as server,
    ):
        yield server


@pytest.fixture(scope="module")
def loading_server() -> Iterator[MariaDB]:
    """Of this module's own, since its tests change the server's variables."""
    with own_server("--net-read-timeout=5", "--net-write-timeout=5") as server:  # a killed session waits
        yield server


@pytest.fixture(scope="module")
def inserting_server() -> Iterator[MariaDB]:
    """A server that forbids LOAD DATA LOCAL, as MySQL 8 does by default."""
    with own_server("--local-infile=0", "--net-read-timeout=5", "--net-write-timeout=5") as server:
        yield server


@pytest.fixture(params=[LOAD, INSERT, SQLITE])
def place(request: pytest.FixtureRequest, tmp_path: Path, topic: str) -> Iterator[Place]:
    """A fresh table of each kind; `topic` only lends its name to the database."""
    if request.param == SQLITE:
        place = Place(SQLITE, f"sqlite:///{tmp_path / 'chat.db'}", None)
    else:
        server = request.getfixturevalue("loading_server" if request.param == LOAD else "inserting_server")
        place = Place(request.param, server.create_database(topic), server)
    engine = make_engine(place.url)
    upgrade(engine)
    engine.dispose()
    yield place
    if place.server is not None:
        place.server.drop_database(topic)


maria_only = pytest.mark.parametrize("place", [LOAD, INSERT], indirect=True)
load_only = pytest.mark.parametrize("place", [LOAD], indirect=True)
insert_only = pytest.mark.parametrize("place", [INSERT], indirect=True)
sqlite_only = pytest.mark.parametrize("place", [SQLITE], indirect=True)


@contextmanager
def opened(place: Place, *, replace: bool = False, url: str | None = None) -> Iterator[Store]:
    store = open_store(url or place.url, None, replace=replace)
    try:
        yield store
    finally:
        store.close()


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    with opened(place) as store:
        yield store


@pytest.fixture
def replacing(place: Place) -> Iterator[Store]:
    with opened(place, replace=True) as store:
        yield store


def save(store: Store, rows: Sequence[Row]) -> Stored:
    """As the worker does it: the fast way, and carefully where that cannot tell."""
    if not store.careful:
        with suppress(NeedsCare):
            return store.save(store.prepare(rows, [json.dumps(row).encode() for row in rows]))
    return store.save_carefully(rows)


def row(name: str, data: str | None = "text", *, timestamp: str = "2024-05-01 12:00:00.000000") -> Row:
    return (name, "ann", "message", "lobby", timestamp, data)


# -- rows and repeats --------------------------------------------------------------------------------------------------


def test_new_rows_are_stored_and_counted(place: Place, store: Store) -> None:
    rows = [
        ("1", "ann", "message", "lobby", "2024-05-01 12:00:00.000000", "hello"),
        ("2", "", "status", "", "2024-05-01 12:00:00.000001", None),
    ]
    assert save(store, rows) == Stored(2, 0, [])
    assert place.rows() == rows


@maria_only
def test_each_maria_kind_takes_the_way_it_is_named_after(place: Place, store: Store) -> None:
    count = "SHOW GLOBAL STATUS WHERE variable_name IN ('Com_load', 'Com_insert')"
    save(store, [row("0")])  # finds out what the server allows
    before = dict(place.maria.execute(count))
    assert save(store, [row("1"), row("2")]) == Stored(2, 0, [])
    after = dict(place.maria.execute(count))
    grown = {name.lower() for name in after if int(after[name]) > int(before[name])}
    assert grown == {"com_load" if place.kind == LOAD else "com_insert"}


def test_repeats_within_a_batch_are_counted_and_the_first_wins(place: Place, store: Store) -> None:
    batch = [row("b", "1st"), row("a", "1st"), row("b", "2nd"), row("c"), row("b", "3rd"), row("a", "2nd")]
    assert save(store, batch) == Stored(3, 3, [])
    assert place.rows() == [row("a", "1st"), row("b", "1st"), row("c")]


def test_repeats_across_batches_are_counted_and_the_first_wins(place: Place, store: Store) -> None:
    save(store, [row("a", "1st"), row("b", "1st")])
    assert save(store, [row("b", "2nd"), row("c", "1st"), row("a", "1st")]) == Stored(1, 2, [])
    assert place.rows() == [row("a", "1st"), row("b", "1st"), row("c", "1st")]


def test_a_batch_of_repeats_alone_adds_nothing(place: Place, store: Store) -> None:
    batch = [row(str(i)) for i in range(100)]
    assert save(store, batch) == Stored(100, 0, [])
    assert save(store, batch) == Stored(0, 100, [])
    assert len(place.rows()) == 100


def test_with_replace_the_last_within_a_batch_wins(place: Place, replacing: Store) -> None:
    batch = [row("b", "1st"), row("a", "1st"), row("b", "2nd"), row("c"), row("b", None), row("a", "2nd")]
    assert save(replacing, batch) == Stored(3, 3, [])
    assert place.rows() == [row("a", "2nd"), row("b", None), row("c")]


def test_with_replace_a_later_batch_wins_in_every_column(place: Place, replacing: Store) -> None:
    save(replacing, [row("a"), row("b", "1st")])
    later = ("a", "bob", "status", "garden", "2025-01-01 00:00:00.000000", None)
    assert save(replacing, [row("c"), later]) == Stored(1, 1, [])
    assert place.rows() == [later, row("b", "1st"), row("c")]


def test_with_replace_an_identical_row_is_a_repeat(place: Place, replacing: Store) -> None:
    batch = [row(str(i)) for i in range(10)]
    assert save(replacing, batch) == Stored(10, 0, [])
    assert save(replacing, batch) == Stored(0, 10, [])
    assert save(replacing, [*batch[:5], row("5", "changed"), row("new")]) == Stored(1, 6, [])
    assert len(place.rows()) == 11


@pytest.mark.parametrize("replace", [False, True], ids=["skip", "replace"])
def test_more_repeats_in_a_batch_than_the_server_keeps_warnings_for_are_counted(place: Place, *, replace: bool) -> None:
    many = [row(f"{i:06}", "t") for i in range(70_000)]
    with opened(place, replace=replace) as store:
        assert save(store, many) == Stored(70_000, 0, [])
        assert save(store, [*many, row("new")]) == Stored(1, 70_000, [])
        assert save(store, [row("same", str(i)) for i in range(70_000)]) == Stored(1, 69_999, [])
    found = {name: data for name, *_rest, data in place.rows()}
    assert len(found) == 70_002
    assert found["same"] == ("69999" if replace else "0")


def test_a_batch_of_refused_rows_alone_is_told_and_stores_nothing(place: Place, store: Store) -> None:
    refuse_spam(place, "trigger")
    stored = save(store, [row("1", "spam")])
    assert (stored.rows, stored.repeats, [i for i, _ in stored.refused]) == (0, 0, [0])
    assert place.rows() == []


# -- values ------------------------------------------------------------------------------------------------------------


def test_ids_are_compared_byte_by_byte(place: Place, store: Store) -> None:
    ids = [
        "a",
        "A",
        "á",
        "a\u0301",
        "ä",
        "a ",
        " a",
        "a  ",
        "a\t",
        "ß",
        "ss",
        "\u0131",
        "i",
        "I",
        "\u0130",
        "ﬁ",
        "fi",
        "é",
        "É",
    ]
    ids += ["\U0001f600", "\U0001f601", "a\u200b", "a\0", "a\\", "a\\t", "a\n", "\x01a", "a\x01", "0", "00", "0.0"]
    assert save(store, [row(name, name) for name in ids]) == Stored(len(ids), 0, [])
    assert place.rows() == sorted(row(name, name) for name in ids)
    assert save(store, [row(name) for name in ids]) == Stored(0, len(ids), [])


TEXTS = {
    "tabs": "\tone\t\ttwo\t",
    "newlines": "\none\n\ntwo\r\nthree\r\n",
    "carriage returns": "\rone\r\rtwo\r",
    "backslashes": "\\ \\\\ \\n \\t \\N \\0 ends in one: \\",
    "only a backslash": "\\",
    "quotes": "'one' \"two\" `three` '' \"\" \\' \\\"",
    "null by LOAD DATA's spelling": "\\N",
    "null by name": "NULL",
    "NUL": "a\0b\0\0",
    "control-Z": "a\x1ab",
    "every control character": "".join(map(chr, range(32))) + "\x7f" + "".join(map(chr, range(0x80, 0xA0))),
    "emoji": "😀👩‍👩‍👧‍👦🏳️‍🌈",
    "right to left": "שלום עולם \u202eabc\u202c مرحبا",
    "four bytes": "𝄞𠜎\U0010ffff",
    "separators": "a\u2028b\u2029c\x85d",
    "noncharacters": "\ufffe\uffff\ufeff",
    "SQL": "'); DROP TABLE chat_messages; -- %s %(a)s ? :name {x}",
    "spaces": "  a  ",
    "long ASCII": "x" * 300_000,
    "long escapes": "\\\n\t'\0" * 60_000,
    "long emoji": "😀" * 75_000,
}


def test_text_of_every_kind_is_exact(place: Place, store: Store) -> None:
    rows = [row(f"{i:03}", text) for i, text in enumerate(TEXTS.values())]
    assert save(store, rows) == Stored(len(rows), 0, [])
    assert dict(zip(TEXTS, place.rows(), strict=True)) == dict(zip(TEXTS, rows, strict=True))


def test_text_of_every_kind_is_exact_in_every_other_column(place: Place, store: Store) -> None:
    short = [text for text in TEXTS.values() if len(text) <= 255]
    rows: list[Row] = [
        (text, text, "message", text, "2024-05-01 12:00:00.000000", None if i % 2 else text)
        for i, text in enumerate(short)
    ]
    assert save(store, rows) == Stored(len(rows), 0, [])
    assert place.rows() == sorted(rows, key=lambda stored: stored[0])


def test_no_data_is_null_and_empty_data_is_empty(place: Place, store: Store) -> None:
    rows = [row("1", None), row("2", ""), row("3", " "), row("4", "\\N")]
    assert save(store, rows) == Stored(4, 0, [])
    assert place.rows() == rows


def test_longest_names_fit_in_characters_not_in_bytes(place: Place, store: Store) -> None:
    long = "😀" * 255
    rows: list[Row] = [(long, long, "message", long, "2024-05-01 12:00:00.000000", "")]
    assert save(store, rows) == Stored(1, 0, [])
    assert place.rows() == rows


def test_timestamps_are_exact_from_year_1_to_9999(place: Place, store: Store) -> None:
    moments = [
        "0001-01-01 00:00:00.000000",
        "0001-01-01 00:00:00.000001",
        "1582-10-10 12:00:00.500000",
        "1969-12-31 23:59:59.999999",
        "1970-01-01 00:00:00.000000",
        "2016-12-31 23:59:59.999999",
        "2024-02-29 23:59:59.123456",
        "2024-03-31 02:30:00.000000",  # no such time in Berlin: nothing here may think of a zone
        "2038-01-19 03:14:08.000000",
        "9999-12-31 23:59:59.999999",
    ]
    rows = [row(f"{i:02}", timestamp=moment) for i, moment in enumerate(moments)]
    assert save(store, rows) == Stored(len(rows), 0, [])
    assert place.rows() == rows
    engine = create_engine(place.url)
    with engine.connect() as connection:
        read = list(connection.scalars(select(ChatMessage.timestamp).order_by(ChatMessage.id)))
    engine.dispose()
    assert read == [datetime.fromisoformat(moment) for moment in moments]


character = st.one_of(
    st.sampled_from("\t\n\r\0\x1a\b\\N0ntbZ'\"%s: \x7f\u2028\ufeff\uffff\U0010ffff\N{GRINNING FACE}aAáÁßs\u0301"),
    st.characters(exclude_categories=["Cs"]),
)
any_text = st.text(character, max_size=12)
any_rows = st.lists(
    st.tuples(
        st.text(character, min_size=1, max_size=12),
        any_text,
        st.sampled_from(["message", "status"]),
        any_text,
        st.just("2024-05-01 12:00:00.000000"),
        st.one_of(st.none(), any_text),
    ),
    min_size=20,
    max_size=80,
    unique_by=lambda made: made[0],
)


def hold_exactly(place: Place, rows: list[Row]) -> None:
    """The store takes the rows as new ones, knows them again, and the table holds them to the last character."""
    place.execute("DELETE FROM chat_messages")
    with opened(place) as store:
        assert save(store, rows) == Stored(len(rows), 0, [])
        assert save(store, rows) == Stored(0, len(rows), [])
    assert place.rows() == sorted(rows)


ONE_TABLE = [HealthCheck.function_scoped_fixture]  # emptied by each example


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=ONE_TABLE)
@given(rows=any_rows)
def test_any_text_and_any_id_are_exact_in_the_table(place: Place, rows: list[Row]) -> None:
    hold_exactly(place, rows)


@pytest.mark.long
@settings(max_examples=500, deadline=None, suppress_health_check=ONE_TABLE)
@given(rows=any_rows)
def test_hundreds_of_batches_of_any_text_are_exact_in_the_table(place: Place, rows: list[Row]) -> None:
    hold_exactly(place, rows)


# -- rows that the database refuses ------------------------------------------------------------------------------------


def refuse_spam(place: Place, how: str) -> None:
    """Make the table refuse rows whose data is 'spam', by a CHECK constraint or by a trigger."""
    if how == "check" and place.server is not None:
        place.execute("ALTER TABLE chat_messages ADD CONSTRAINT no_spam CHECK (data <> 'spam')")
    elif how == "check":
        with closing(place.connect()) as connection:
            (made_by,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'chat_messages'").fetchone()
        place.execute("DROP TABLE chat_messages", made_by.rstrip()[:-1] + ", CHECK (data <> 'spam'))")
    elif place.server is not None:
        place.execute(
            "CREATE TRIGGER no_spam BEFORE INSERT ON chat_messages FOR EACH ROW "
            "IF NEW.data = 'spam' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no_spam'; END IF"
        )
    else:
        place.execute(
            "CREATE TRIGGER no_spam BEFORE INSERT ON chat_messages WHEN NEW.data = 'spam' "
            "BEGIN SELECT RAISE(ABORT, 'no_spam'); END"
        )


@pytest.mark.parametrize("replace", [False, True], ids=["skip", "replace"])
@pytest.mark.parametrize("how", ["check", "trigger"])
def test_a_refused_row_is_isolated_and_its_neighbours_are_stored(place: Place, how: str, *, replace: bool) -> None:
    refuse_spam(place, how)
    batch = [row(f"{i:04}", "spam" if i in (0, 777, 778, 1999) else f"text {i}") for i in range(2000)]
    batch.reverse()  # an index is one of the batch as it was given, not as it was sorted
    with opened(place, replace=replace) as store:
        stored = save(store, [*batch, row("0001", "text 1")])
        assert (stored.rows, stored.repeats) == (1996, 1)
        assert [i for i, _ in sorted(stored.refused)] == [0, 1221, 1222, 1999]
        assert all("spam" in text for _, text in stored.refused)
        assert place.rows() == sorted(good for good in batch if good[5] != "spam")
        again = save(store, batch)
        assert (again.rows, again.repeats, len(again.refused)) == (0, 1996, 4)


def test_a_later_good_row_takes_the_id_of_a_refused_one(place: Place, store: Store) -> None:
    refuse_spam(place, "trigger")
    stored = save(store, [row("a", "spam"), row("a", "good"), row("a", "late")])
    assert (stored.rows, stored.repeats, [i for i, _ in stored.refused]) == (1, 1, [0])
    assert place.rows() == [row("a", "good")]


@maria_only
def test_values_that_a_narrower_table_would_cut_are_refused_not_cut(place: Place, store: Store) -> None:
    place.execute(
        "ALTER TABLE chat_messages MODIFY data VARCHAR(5) CHARACTER SET ascii NULL, MODIFY site_id VARCHAR(5) NOT NULL"
    )
    stored = save(store, [row("1", "12345"), row("2", "123456"), row("3", "é"), row("4", None)])
    assert (stored.rows, stored.repeats, [i for i, _ in sorted(stored.refused)]) == (2, 0, [1, 2])
    assert place.rows() == [row("1", "12345"), row("4", None)]


# -- sizes -------------------------------------------------------------------------------------------------------------


@contextmanager
def server_variable(server: MariaDB, name: str, value: int) -> Iterator[None]:
    """A global variable of the server, as connections made from now on see it."""
    ((before,),) = server.execute(f"SELECT @@GLOBAL.{name}")
    server.execute(f"SET GLOBAL {name} = {value}")
    try:
        yield
    finally:
        server.execute(f"SET GLOBAL {name} = {before}")


@maria_only
def test_a_batch_larger_than_max_allowed_packet_is_stored(place: Place) -> None:
    rows = [row(f"{i:02}", "'" * 300_000) for i in range(12)]
    rows += [row(f"small {i:05}", "x" * 100) for i in range(30_000)]
    with server_variable(place.maria, "max_allowed_packet", 1 << 20), opened(place) as store:
        assert save(store, rows) == Stored(len(rows), 0, [])
    assert place.rows() == rows


@insert_only
@pytest.mark.parametrize("size", [1 << 20, 2 << 20, 12 << 20])
def test_a_row_larger_than_max_allowed_packet_is_refused_and_its_neighbours_are_stored(place: Place, size: int) -> None:
    rows = [row("1"), row("2", "x" * size), row("3"), row("4", "'" * (size // 2)), row("5")]
    with server_variable(place.maria, "max_allowed_packet", 1 << 20), opened(place) as store:
        stored = save(store, rows)
    assert (stored.rows, stored.repeats, [i for i, _ in sorted(stored.refused)]) == (3, 0, [1, 3])
    assert place.rows() == [row("1"), row("3"), row("5")]


@load_only
def test_a_row_larger_than_max_allowed_packet_is_loaded(place: Place) -> None:
    rows = [row("1"), row("2", "x" * (2 << 20)), row("3")]
    with server_variable(place.maria, "max_allowed_packet", 1 << 20), opened(place) as store:
        assert save(store, rows) == Stored(3, 0, [])
        ((length,),) = place.maria.execute("SELECT LENGTH(data) FROM chat_messages WHERE id = '2'", place.name)
    assert length == 2 << 20


# -- a database that is busy, locked, killed or read-only --------------------------------------------------------------


@contextmanager
def holding(place: Place, *statements: str) -> Iterator[Any]:
    """The cursor of a side connection, inside a transaction in which it ran these."""
    with closing(place.connect()) as connection:
        cursor = connection.cursor()
        cursor.execute("BEGIN")
        for statement in statements:
            cursor.execute(statement)
        yield cursor
        connection.rollback()


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {SECONDS} s: {what}"
        time.sleep(POLL_SECONDS)


def waiting_for_a_lock(place: Place) -> bool:
    query = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
    return bool(place.maria.execute(query)[0][0])


def sessions_at_work(place: Place) -> list[int]:
    """The ids of the sessions that run a statement on our table."""
    query = (
        "SELECT id FROM information_schema.processlist WHERE db = '{}' AND command = 'Query' AND LOCATE('INTO', info)"
    )
    return [number for (number,) in place.maria.execute(query.format(place.name))]


@maria_only
def test_a_lock_wait_timeout_is_an_outage_that_stores_nothing_and_the_retry_succeeds(place: Place) -> None:
    batch = [row("a"), row("b"), row("c")]
    with server_variable(place.maria, "innodb_lock_wait_timeout", 1), opened(place) as store:
        save(store, [row("b", "first")])
        with holding(place, "SELECT id FROM chat_messages WHERE id = 'b' FOR UPDATE"):
            with pytest.raises(DatabaseDown, match="1205"):
                save(store, batch)
            assert place.rows() == [row("b", "first")]
        assert save(store, batch) == Stored(2, 1, [])


@maria_only
def test_a_deadlock_is_an_outage_that_stores_nothing_and_the_retry_succeeds(place: Place, store: Store) -> None:
    batch = [row("a"), row("m"), row("n")]
    save(store, [row("m", "first")])
    weight = ", ".join(f"('z{i}', '', 'message', '', '2024-01-01')" for i in range(500))  # so that it is not the victim
    with (
        ThreadPoolExecutor(1) as thread,
        holding(
            place,
            f"INSERT INTO chat_messages (id, `from`, type, site_id, timestamp) VALUES {weight}",  # noqa: S608
            "SELECT id FROM chat_messages WHERE id = 'm' FOR UPDATE",
        ) as side,
    ):
        saving = thread.submit(save, store, batch)
        until(lambda: waiting_for_a_lock(place), "the store waits for the side's lock")
        side.execute("SELECT id FROM chat_messages WHERE id = 'a' FOR UPDATE")
        with pytest.raises(DatabaseDown, match="1213"):
            saving.result(SECONDS)
    assert place.rows() == [row("m", "first")]
    assert save(store, batch) == Stored(2, 1, [])


def kill_in_mid_statement(place: Place, store: Store, batch: list[Row], how: str) -> None:
    """Let the store run into a row lock on 'b', end its statement or its session there, and have it say so."""
    save(store, [row("b", "first")])
    with (
        ThreadPoolExecutor(1) as thread,
        holding(place, "SELECT id FROM chat_messages WHERE id = 'b' FOR UPDATE"),
    ):
        saving = thread.submit(save, store, batch)
        until(lambda: waiting_for_a_lock(place), "the store waits for the side's lock")
        (session,) = sessions_at_work(place)
        place.maria.execute(f"{how} {session}")
        with pytest.raises(DatabaseDown):
            saving.result(SECONDS)


@maria_only
@pytest.mark.parametrize("how", ["KILL", "KILL QUERY"])
def test_a_session_killed_in_mid_statement_is_an_outage_and_the_retry_succeeds(
    place: Place, store: Store, how: str
) -> None:
    batch = [row("a"), row("b"), row("c")]
    kill_in_mid_statement(place, store, batch, how)
    assert place.rows() == [row("b", "first")]
    assert save(store, batch) == Stored(2, 1, [])


@load_only
def test_a_load_killed_while_its_buffer_is_being_sent_is_an_outage_and_the_retry_succeeds(
    place: Place, store: Store
) -> None:
    """KILL QUERY only: after a KILL the server's kernel may hold the half-sent connection for two minutes."""
    more_than_sockets_hold = [row(f"d{i}", "x" * 300_000) for i in range(100)]
    batch = [row("a"), row("b"), *more_than_sockets_hold]
    kill_in_mid_statement(place, store, batch, "KILL QUERY")
    assert place.rows() == [row("b", "first")]
    assert save(store, batch) == Stored(101, 1, [])


@maria_only
def test_a_session_killed_between_two_batches_does_no_harm(place: Place, store: Store) -> None:
    save(store, [row("a")])
    query = "SELECT id FROM information_schema.processlist WHERE db = '{}' AND id <> CONNECTION_ID()"
    idle = place.maria.execute(query.format(place.name))
    assert idle
    for (session,) in idle:
        place.maria.execute(f"KILL {session}")
    assert save(store, [row("a"), row("b")]) == Stored(1, 1, [])


@maria_only
def test_a_session_killed_after_its_commit_is_no_trouble_of_ours(
    place: Place, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """The pool would ask it for a ROLLBACK before it takes it back, and log the traceback."""
    killed = []

    def kill(session: Any, _record: object, _state: object) -> None:
        killed.append(session.thread_id())
        place.execute(f"KILL {killed[-1]}")

    event.listen(Pool, "reset", kill)
    try:
        assert save(store, [row("a")]) == Stored(1, 0, [])
    finally:
        event.remove(Pool, "reset", kill)
    assert killed
    assert save(store, [row("a"), row("b")]) == Stored(1, 1, [])
    assert not caplog.records


def least_user(place: Place) -> str:
    """The URL of an account that may SELECT, INSERT and UPDATE this one table."""
    user = f"{LEAST}_{place.name[-12:]}"
    place.execute(
        f"CREATE USER '{user}'@'%' IDENTIFIED BY 'secret'",
        f"GRANT SELECT, INSERT, UPDATE ON `{place.name}`.chat_messages TO '{user}'@'%'",
    )
    return make_url(place.url).set(username=user, password="secret").render_as_string(hide_password=False)


@maria_only
def test_the_right_to_select_insert_and_update_one_table_is_enough(place: Place) -> None:
    with opened(place, url=least_user(place)) as store:
        assert save(store, [row("a"), row("b", "\\")]) == Stored(2, 0, [])
        assert save(store, [row("a", "2nd"), row("c")]) == Stored(1, 1, [])
    assert place.rows() == [row("a"), row("b", "\\"), row("c")]


@maria_only
def test_replacing_needs_no_right_to_delete(place: Place) -> None:
    with opened(place, replace=True, url=least_user(place)) as store:
        assert save(store, [row("a"), row("b")]) == Stored(2, 0, [])
        assert save(store, [row("a", "2nd"), row("c")]) == Stored(1, 1, [])
    assert place.rows() == [row("a", "2nd"), row("b"), row("c")]


@maria_only
def test_a_read_only_server_is_an_outage_and_the_retry_succeeds(place: Place) -> None:
    with opened(place, url=least_user(place)) as store:
        with server_variable(place.maria, "read_only", 1), pytest.raises(DatabaseDown, match="read-only"):
            save(store, [row("a")])
        assert place.rows() == []
        assert save(store, [row("a")]) == Stored(1, 0, [])


@maria_only
def test_a_table_that_was_dropped_stops_and_names_the_command(place: Place, store: Store) -> None:
    place.execute("DROP TABLE chat_messages")
    with pytest.raises(Stop, match="chatferry db upgrade"):
        save(store, [row("a")])


@sqlite_only
def test_a_sqlite_file_locked_by_another_writer_is_an_outage_and_the_retry_succeeds(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "SQLITE_BUSY_SECONDS", 0.2)
    with opened(place) as store:
        with holding(place, "DELETE FROM chat_messages"), pytest.raises(DatabaseDown, match="locked"):
            save(store, [row("a")])
        assert place.rows() == []
        assert save(store, [row("a")]) == Stored(1, 0, [])


@sqlite_only
def test_a_sqlite_file_without_room_to_grow_is_an_outage_and_the_retry_succeeds(place: Place) -> None:
    engine = make_engine(place.url)
    pages = 20

    @event.listens_for(engine, "begin")
    def _limit(connection: SQLAlchemyConnection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    store = SQLiteStore(engine, replace=False)
    batch = [row(str(i), "x" * 1000) for i in range(1000)]
    with pytest.raises(DatabaseDown, match="full"):
        save(store, batch)
    assert place.rows() == []
    pages = 100_000
    assert save(store, batch) == Stored(1000, 0, [])
    store.close()
