"""Exports through the whole way: `produce`, `consume`, and the table holds each message once."""

import json
import signal
from itertools import chain
from pathlib import Path

import pytest

from tests.acceptance.ferry import Ferry, create_topic, ends, message, records, table_rows, values
from tests.acceptance.test_memory import within_limits
from tests.exports.samples import BAD, ROWS, SAMPLES, irssi_log, same_json, slack_folder, telegram_chat, zipped
from tests.services.kafka import GivenKafka, Kafka


@pytest.fixture
def place(kafka: Kafka | GivenKafka, topic: str) -> list[str]:
    """The flags that name a topic of four partitions that is there."""
    create_topic(kafka.brokers, topic)
    return ["--brokers", kafka.brokers, "--topic", topic]


def large_telegram(path: Path, messages: int) -> Path:
    """A chat of so many messages in one document, as Telegram indents it: 300 bytes a message."""
    with path.open("w") as file:
        file.write('{\n "name": "Ann",\n "type": "personal_chat",\n "id": 42,\n "messages": [')
        for number in range(messages):
            said = {"id": number, "type": "message", "date": "2021-01-01T12:00:00", "from": "Ann", "from_id": "user1",
                    "date_unixtime": str(1_609_495_200 + number), "text": f'hello "{number}" ' + "x" * 60,
                    "text_entities": []}  # fmt: skip
            file.write(("," if number else "") + "\n  " + json.dumps(said, indent=1))
        file.write("\n ]\n}\n")
    return path


# --- every format -----------------------------------------------------------------------------------------------


def test_exports_of_every_kind_end_as_their_rows_and_a_second_run_adds_nothing(
    ferry: Ferry, place: list[str], group: str, mysql_url: str, tmp_path: Path
) -> None:
    folders = {name: tmp_path / name for name in SAMPLES}
    for folder in folders.values():
        folder.mkdir()
    exports = [make(folders[name]) for name, make in SAMPLES.items()]
    account = ferry.run("produce", "--format", "auto", *exports, *place, "--json").json
    rows, bad = sum(map(len, ROWS.values())), sum(map(len, BAD.values()))
    assert account["acknowledged"] == account["lines"] - account["blank"] == rows + bad
    ferry.run("db", "upgrade", "--database", mysql_url)
    consume = ["consume", *place, "--group", group, "--database", mysql_url, "--until-end", "--dead-letter-run", "0"]
    first = ferry.run(*consume, "--json").json
    assert (first["rows"], first["repeats"], first["dead_letters"]) == (rows, 0, bad)
    assert sorted(row[1:] for row in table_rows(mysql_url)) == sorted(chain.from_iterable(ROWS.values()))
    letters = values(place[1], f"{place[3]}.dlq")
    assert sorted(map(same_json, letters)) == sorted(chain.from_iterable(BAD.values()))

    again = ferry.run("produce", *exports, *place, "--json").json
    assert again["lines"] == 0
    ferry.run("produce", *exports, *place, "--restart")
    second = ferry.run(*consume, "--json").json
    assert (second["rows"], second["repeats"]) == (0, rows)


def test_load_takes_a_zip_and_accounts_for_every_line(ferry: Ferry, sqlite_url: str, tmp_path: Path) -> None:
    path = zipped(slack_folder(tmp_path))
    account = ferry.run("load", path, "--as", "acme", "--database", sqlite_url, "--json").json
    assert (account["rows"], account["dead_letters"], account["missing"]) == (len(ROWS["slack"]), 1, 0)
    assert {row[3] for row in table_rows(sqlite_url)} == {"acme/general", "acme/D1"}


# --- resumed ----------------------------------------------------------------------------------------------------


def test_produce_killed_in_the_middle_of_an_export_goes_on_without_a_gap(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    path = large_telegram(tmp_path / "result.json", 3_000)
    running = ferry.start("produce", path, *place, "--rate", "500")
    states = tmp_path / "state-home" / "chatferry"

    def some_are_written_down() -> bool:
        return any(json.loads(state.read_bytes())["offset"] for state in states.glob("*.json"))

    running.wait_until(some_are_written_down, "a checkpoint in the middle")
    running.end(signal.SIGKILL)
    account = ferry.run("produce", path, *place, "--json").json
    assert account["resumed_from"][str(path)] > 0
    assert 0 < account["lines"] < 3_000
    sent = {json.loads(value)["id"] for value in values(place[1], place[3])}
    assert sent == {f"telegram/42/{number}" for number in range(3_000)}


# --- dry run ----------------------------------------------------------------------------------------------------


def test_dry_run_prints_what_a_run_sends_and_sends_nothing(ferry: Ferry, place: list[str], tmp_path: Path) -> None:
    path = telegram_chat(tmp_path)
    dry = ferry.run("produce", "--dry-run", path, *place)
    assert "5 of 5 lines would be sent, 1 of them bad; nothing was sent" in dry.err
    assert sum(ends(place[1], place[3]).values()) == 0
    ferry.run("produce", path, *place)
    assert sorted(dry.out.splitlines()) == sorted(record.value for record in records(place[1], place[3]))


def test_dry_run_needs_no_broker_and_counts_with_json(ferry: Ferry, tmp_path: Path) -> None:
    log = tmp_path / "chat.jsonl"
    log.write_bytes(message(1) + b"\n\nbad\n" + message(2) + b"\n" + b"x" * 2_000_000 + b"\n")
    account = ferry.run("produce", "--dry-run", log, "--json", "--until", "1700000002").json
    del account["seconds"]
    assert account == {"dry_run": True, "lines": 5, "blank": 1, "messages": 2, "bad": 1, "oversize": 1,
                       "outside_window": 1}  # fmt: skip
    assert ferry.run("produce", "--dry-run", "-", stdin=message(3) + b"\n").out == message(3) + b"\n"


# --- what a person can get wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "irssi", "--follow"], "--format irssi cannot be followed"),
        (["--dry-run", "--follow"], "--dry-run looks at what is there"),
        (["--format", "telegram", "-"], "--format telegram cannot be read from standard input"),
        (["--timezone", "Berlin"], "--timezone 'Berlin' is no time zone. For example Europe/Berlin"),
        (["--format", "whatsapp"], "--date-order: dmy for 31/12/2024"),
    ],
)
def test_wrong_use_is_one_line_that_names_the_next_step(
    ferry: Ferry, tmp_path: Path, arguments: list[str], said: str
) -> None:
    chat = tmp_path / "chat.txt"
    chat.write_text("01/02/2024, 10:00 - Ann: a\n")
    dry = [] if "--follow" in arguments else ["--dry-run"]
    files = [] if "-" in arguments else [chat]
    ended = ferry.run("produce", *arguments, *dry, *files, "--brokers", "localhost:1", check=2)
    assert said in ended.error


def test_folder_without_an_export_is_one_line(ferry: Ferry, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = ferry.run("produce", "--dry-run", tmp_path / "empty", check=1)
    assert "empty is a directory that holds no known export. Name the files in it" in ended.error


def test_zone_tells_when_an_irc_log_was_written(ferry: Ferry, tmp_path: Path) -> None:
    log = irssi_log(tmp_path)
    ended = ferry.run("produce", "--dry-run", log, "--timezone", "Europe/Berlin", env={"CHATFERRY_AS": "lab"})
    first = json.loads(ended.out.splitlines()[0])
    assert (first["site_id"], first["timestamp"]) == ("lab/#lab", 1714514280)


# --- memory -----------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_telegram_of_200_megabytes_is_produced_in_constant_memory(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    path = large_telegram(tmp_path / "result.json", 800_000)
    assert path.stat().st_size > 200_000_000
    run = ferry.start("produce", path, *place, "--json")
    assert within_limits(run, seconds=280).json["lines"] == 800_000
