"""The migrations make the table that the model says, on every database."""

from collections.abc import Iterator
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from consumer.stores.engine import make_engine
from consumer.stores.opening import check
from ops.database import upgrade
from schemas.errors import NeedsUpgrade, Stop
from schemas.table import REVISION, REVISION_TABLE, TABLE, Base


@pytest.fixture(params=["sqlite_url", "mysql_url"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An empty database of each kind."""
    engine = make_engine(request.getfixturevalue(request.param))
    yield engine
    engine.dispose()


def config(connection: Any) -> Config:
    """Alembic's settings, as `db upgrade` makes them."""
    made = Config()
    made.set_main_option("script_location", "schemas:migrations")
    made.attributes["connection"] = connection
    return made


def test_the_migrated_table_equals_the_model(engine: Engine) -> None:
    assert upgrade(engine) == REVISION
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": REVISION_TABLE})
        assert compare_metadata(context, Base.metadata) == []


def test_the_newest_script_is_the_revision_that_workers_need() -> None:
    assert ScriptDirectory.from_config(config(None)).get_current_head() == REVISION


def test_a_second_upgrade_changes_nothing_and_check_is_content(engine: Engine) -> None:
    upgrade(engine)
    upgrade(engine)
    assert check(engine, indexes=True) == REVISION


def test_downgrade_removes_the_table_and_upgrade_makes_it_again(engine: Engine) -> None:
    upgrade(engine)
    with engine.begin() as connection:
        command.downgrade(config(connection), "base")
    with engine.connect() as connection:
        assert not inspect(connection).has_table(TABLE)
    upgrade(engine)
    assert check(engine, indexes=True) == REVISION


def test_an_upgrade_that_died_before_its_revision_was_written_is_finished_by_the_next(engine: Engine) -> None:
    upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DELETE FROM {REVISION_TABLE}")  # noqa: S608 -- a constant
        drop = "DROP INDEX ix_chat_messages_timestamp"
        connection.exec_driver_sql(drop if engine.dialect.name == "sqlite" else f"{drop} ON {TABLE}")
    with pytest.raises(NeedsUpgrade):
        check(engine)
    upgrade(engine)
    assert check(engine, indexes=True) == REVISION


def test_a_table_of_somebody_else_is_refused_and_kept(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE {TABLE} (id INTEGER PRIMARY KEY, note VARCHAR(20))")
    with pytest.raises(Stop, match="has no column from"):
        upgrade(engine)
    with engine.connect() as connection:
        assert [column["name"] for column in inspect(connection).get_columns(TABLE)] == ["id", "note"]


def test_a_table_of_a_newer_chatferry_is_refused(engine: Engine) -> None:
    upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE {REVISION_TABLE} SET version_num = '9999'")  # noqa: S608 -- a constant
    with pytest.raises(Stop, match="newer than this chatferry"):
        upgrade(engine)
