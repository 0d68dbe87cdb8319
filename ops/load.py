"""`chatferry load`: from file to table in one command."""

from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from consumer.command import BATCH_SETTINGS
from consumer.stores.engine import make_engine
from consumer.supervisor import prepare_workers
from ops.account import sentences
from ops.broker import embedded_broker
from ops.dead_letter_file import keep_dead_letters
from ops.loading import Load
from producer.exports.conversion import conversion_of
from producer.exports.opening import check_input
from terminal.command import FerryCommand, emit_json, required, say, settings_options
from terminal.signals import Interruption

DEFAULT_DATABASE = "sqlite:///chat.db"


@click.command(cls=FerryCommand, name="load")
@click.argument("files", nargs=-1, required=True, metavar="FILE|-...")
@settings_options(
    ["database", "database_password_file", "brokers", "topic", "dead_letter_topic", "partitions", "replication_factor",
     "workers", "on_duplicate", "defer_indexes", "key", "format", "as", "timezone", "date_order", *BATCH_SETTINGS,
     "librdkafka", "kafka_password_file"],
    database=DEFAULT_DATABASE,
)  # fmt: skip
def load(files: tuple[str, ...], **given: Any) -> int:
    """Load log FILEs (or exports of chat systems, or standard input: -) into a table, and print the account.

    Without --brokers an embedded broker is started for the while. Topic and table are created where they are not there.
    Killed at any moment and run again, the table ends exact: the files are read anew, and what the table has is a
    repeat. With --brokers, the topic should have no other producer meanwhile: the account counts what passes on it.
    """
    interruption = Interruption().listen()
    how = conversion_of(given)
    for file in files:
        check_input(file, how)
    prepare_workers()
    embedded = not given["brokers"] or not required("brokers", given["brokers"])
    with embedded_broker() if embedded else nullcontext(given["brokers"]) as brokers:
        run = Load(files, brokers, given, interruption)
        run.prepare()
        run.go()
        values = run.account()
        if embedded and values["dead_letters"]:
            kept = keep_dead_letters(run.producer_settings, run.dead, dead_letters_path(given), run.manifest)
            values["dead_letters_file"] = str(kept)
        elif values["dead_letters"]:
            values["dead_letter_topic"] = run.dead
    problems = [problem for problem in (run.failure, run.indexes.problem) if problem]
    for problem in problems:
        values["error"] = str(problem)
        say(f"chatferry: {problem}", err=True)
    _print(values, as_json=given["json"], interrupted=bool(interruption))
    if not given["json"]:
        for line in run.insight.sentences(run.circumstances):
            say(line)
    return interruption.exit_status or (1 if values["missing"] or problems else 0)


def dead_letters_path(given: dict[str, Any]) -> Path:
    """Where the dead letters are kept when their broker is about to go: beside the SQLite file, else in the working
    folder."""
    url = make_engine(given["database"]).url
    suffix = datetime.now(UTC).strftime(".dead-letters.%Y%m%dT%H%M%S.jsonl")  # no run overwrites another's
    if url.get_backend_name() == "sqlite" and url.database:
        return Path(url.database).with_suffix(suffix)
    return Path(f"{url.database or 'chat'}{suffix}")


def _print(values: dict[str, Any], *, as_json: bool, interrupted: bool) -> None:
    if as_json:
        emit_json(values)
        return
    for line in sentences(values, interrupted=interrupted):
        say(line)
    if "dead_letters_file" in values:
        say(f"The dead letters, with what is wrong with each: {values['dead_letters_file']}")
    if "dead_letter_topic" in values:
        say(f"The dead letters, with what is wrong with each, are on the topic {values['dead_letter_topic']}")
