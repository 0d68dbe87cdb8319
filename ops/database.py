"""`chatferry db`: the table's migrations, and the check that they are done."""

import logging
from typing import Any

import click
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from consumer.stores.engine import DENIED, errno_of, explain, make_engine, shown
from consumer.stores.indexes import build
from consumer.stores.opening import check, first_contact
from schemas.errors import NeedsUpgrade, Stop
from schemas.settings import secret
from schemas.table import REVISION
from terminal.command import FerryCommand, emit_json, environment, required, say, settings_options

log = logging.getLogger(__name__)

_ALREADY = "already exists"


@click.group()
def db() -> None:
    """Create the table, bring it up to date, check it."""


@db.command(cls=FerryCommand, name="upgrade")
@settings_options(["database", "database_password_file"])
def upgrade_command(**given: Any) -> int:
    """Create the table, or bring it to this version's revision."""
    engine, database = _engine(given)
    first_contact(engine, may_create=True)
    revision = upgrade(engine)
    _answer(given, revision, f"{shown(database)}: the table is at revision {revision}")
    return 0


@db.command(cls=FerryCommand, name="check")
@settings_options(["database", "database_password_file"])
def check_command(**given: Any) -> int:
    """See whether the table is as this version needs it."""
    engine, database = _engine(given)
    first_contact(engine)
    revision = check(engine, indexes=True)
    _answer(given, revision, f"{shown(database)}: the table is as it should be, at revision {revision}")
    return 0


def _engine(given: dict[str, Any]) -> tuple[Engine, str]:
    database = required("database", given["database"])
    password = secret("CHATFERRY_DATABASE_PASSWORD", given["database_password_file"], environment())
    return make_engine(database, password), database


def _answer(given: dict[str, Any], revision: str, sentence: str) -> None:
    if given["json"]:
        emit_json({"revision": revision})
    else:
        say(sentence)


def upgrade(engine: Engine, *, again: bool = True) -> str:
    """Run the migrations that are missing, build the indexes that a load left out; returns the table's revision then.

    Where another process does the same at the same time, one of them finds things made already: it tries `again`.

    Raises `Stop` where the database refuses, `DatabaseDown` where it went away.
    """
    from alembic import command  # noqa: PLC0415 -- a fifth of a second, and not needed where the table is there
    from alembic.config import Config  # noqa: PLC0415

    try:
        check(engine)
    except NeedsUpgrade:
        log.debug("the table needs an upgrade")
    config = Config()
    config.set_main_option("script_location", "schemas:migrations")
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DBAPIError as error:
        if again and _ALREADY in str(error.orig):
            log.debug("another process makes the table as well: %s", error.orig)
            return upgrade(engine, again=False)
        said = explain(error)
        if isinstance(said, Stop) and errno_of(error) in DENIED:
            said = Stop(said.text, "Use an account that may create and alter tables; workers need no such right")
        raise said or error from error
    check(engine)
    build(engine)
    return REVISION


def upgrade_where_needed(engine: Engine) -> None:
    """The same, without loading Alembic where the table is up to date already."""
    try:
        check(engine)
    except NeedsUpgrade:
        upgrade(engine)
