"""Indexes built at the end, on a real MariaDB that others use meanwhile."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pymysql
import pytest
from sqlalchemy import Engine, make_url

from consumer.stores import indexes
from consumer.stores.engine import make_engine
from consumer.stores.indexes import AUTO, Deferral, build, deferred, missing
from ops.database import upgrade
from tests.acceptance.ferry import wait_until


@pytest.fixture
def engine(mysql_url: str) -> Iterator[Engine]:
    """The engine of a database with an empty table."""
    engine = make_engine(mysql_url)
    upgrade(engine)
    yield engine
    engine.dispose()


def left_out(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return missing(connection)


class Reader:
    """A session whose transaction has read the table: an ALTER TABLE waits for its end."""

    def __init__(self, database: str) -> None:
        url = make_url(database)
        self._session = pymysql.connect(host=url.host, port=url.port or 0, user=url.username, database=url.database)

    def begin(self) -> None:
        self._session.begin()
        self._session.cursor().execute("SELECT 1 FROM chat_messages LIMIT 1")

    def end(self) -> None:
        self._session.rollback()

    def close(self) -> None:
        self._session.close()


@pytest.fixture
def reader(mysql_url: str) -> Iterator[Reader]:
    """A reader that has not begun."""
    with closing(Reader(mysql_url)) as reader:
        yield reader


def fill(engine: Engine, in_the_end: Callable[[], None] = lambda: None, *, go_on: Callable[[], bool]) -> Deferral:
    """A run that begins with the table as it is."""
    with deferred(engine, AUTO, go_on) as deferral:
        in_the_end()
    return deferral


def test_index_build_waits_for_a_reader_however_long_it_takes_and_says_so_once(
    engine: Engine, reader: Reader, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(indexes, "BUILD_LOCK_SECONDS", 1)
    monkeypatch.setattr(indexes, "RETRY_SECONDS", 0.01)
    caplog.set_level(logging.DEBUG)
    with ThreadPoolExecutor(1) as thread:
        run = thread.submit(fill, engine, reader.begin, go_on=lambda: True)
        wait_until(lambda: "try 3" in caplog.text or run.done(), "the build was tried three times")
        assert not run.done(), run.result()
        assert len(left_out(engine)) == 2
        reader.end()
        deferral = run.result(30)
    assert deferral.off
    assert deferral.problem is None
    assert deferral.building_seconds > 2
    assert left_out(engine) == []
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert ["1205" in warning for warning in warnings] == [True, False]
    assert "Back after" in warnings[1]


def test_index_build_that_waits_is_given_up_when_the_run_is_to_end_and_it_says_what_is_left_to_do(
    engine: Engine, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexes, "BUILD_LOCK_SECONDS", 1)
    answers = iter([True, False])  # the rows are complete; then somebody wants the run to end
    deferral = fill(engine, reader.begin, go_on=lambda: next(answers))
    assert deferral.problem is not None
    assert "db upgrade" in deferral.problem.next_step
    assert len(left_out(engine)) == 2
    reader.end()
    build(engine)
    assert left_out(engine) == []


def test_run_that_finds_the_indexes_dropped_by_another_just_now_goes_on_without_them(engine: Engine) -> None:
    with engine.connect() as connection:
        first = indexes._drop(connection)
        assert indexes._drop(connection) == first == left_out(engine)
    assert len(build(engine)) == 2
