"""Bad input through the real commands: the whole matrix in one log, and lines of every size."""

import base64
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.generate import Row
from tests.acceptance.ferry import Ferry, kept_dead_letters, message, query, records, table_rows, values
from tests.bad_lines import BOM, LINES, Outcome, line, row
from tests.services.kafka import GivenKafka, Kafka
from tests.services.mariadb import MariaDB

LIMIT = 20_000
LONGEST = LIMIT - 128  # what chatferry takes to be sure to fit


class Log(NamedTuple):
    """A log that holds the matrix, and what must become of it."""

    path: Path
    rows: list[Row]
    dead: list[bytes]
    blank: int


@pytest.fixture
def matrix(tmp_path: Path) -> Log:
    """Every line of the matrix, each between two good ones; a BOM at the start, and no newline at the end."""
    content, rows = BOM, []
    for number, one in enumerate(LINES):
        between = row(f"between-{number}")
        content += between.content + b"\n" + one.content + b"\n"
        rows += [found for found in (between.row, one.row) if found]
    last = row("last-without-newline")
    path = tmp_path / "matrix.jsonl"
    path.write_bytes(content + last.content)
    rows += [last.row] if last.row else []
    dead = [one.sent for one in LINES if one.outcome is Outcome.DEAD]
    return Log(path, rows, dead, len(LINES) * 2 + 1 - len(rows) - len(dead))


def test_matrix_becomes_rows_in_mariadb_and_dead_letters_byte_for_byte(
    ferry: Ferry, kafka: Kafka | GivenKafka, topic: str, mysql_url: str, matrix: Log
) -> None:
    place, database = ["--brokers", kafka.brokers, "--topic", topic], ["--database", mysql_url]
    ferry.run("topics", "create", *place)
    ferry.run("db", "upgrade", *database)
    sent = ferry.run("produce", matrix.path, *place, "--json").json
    assert (sent["blank"], sent["acknowledged"]) == (matrix.blank, len(matrix.rows) + len(matrix.dead))
    assert Counter(values(kafka.brokers, topic)) >= Counter(matrix.dead)

    account = ferry.run("consume", *place, *database, "--until-end", "--json").json
    assert (account["rows"], account["repeats"], account["dead_letters"]) == (len(matrix.rows), 0, len(matrix.dead))
    assert sorted(table_rows(mysql_url)) == sorted(matrix.rows)
    letters = records(kafka.brokers, f"{topic}.dlq")
    assert Counter(letter.value for letter in letters) == Counter(matrix.dead)
    assert {letter.headers["chatferry.content"] for letter in letters} == {"line"}
    assert all(letter.headers["chatferry.error.text"] for letter in letters)


def test_matrix_becomes_rows_in_sqlite_and_dead_letters_byte_for_byte(
    ferry: Ferry, sqlite_url: str, matrix: Log
) -> None:
    ended = ferry.run("load", matrix.path, "--database", sqlite_url)
    (kept,) = ferry.folder.glob("*.dead-letters.*")
    assert sorted(table_rows(sqlite_url), key=str) == sorted(matrix.rows, key=str)
    assert Counter(kept_dead_letters(kept)) == Counter(matrix.dead)
    assert kept.read_bytes().isascii() or kept.read_text("utf-8")
    assert b"\x1b" not in ended.out + ended.err.encode() + kept.read_bytes(), "an escape sequence of a line is shown"


# --- sizes ----------------------------------------------------------------------------------------------------------


def sized(name: str, size: int) -> bytes:
    """A good line of exactly so many bytes, none of which compresses well."""
    base = line(name, data=b'""')
    filling = base64.b64encode(b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(size // 32 + 1)))
    return line(name, data=b'"%b"' % filling[: size - len(base)])


def create(kafka: Kafka | GivenKafka, topic: str, limit: int, dead_letter_limit: int) -> list[str]:
    """Topics that take records of these sizes; the flags that name them."""
    admin = AdminClient({"bootstrap.servers": kafka.brokers})
    new = [
        NewTopic(topic, 2, 1, config={"max.message.bytes": str(limit)}),
        NewTopic(f"{topic}.dlq", 1, 1, config={"max.message.bytes": str(dead_letter_limit)}),
    ]
    for created in admin.create_topics(new).values():
        created.result(timeout=30)
    return ["--brokers", kafka.brokers, "--topic", topic]


def reference(value: bytes) -> dict[str, Any]:
    """A reference, its head as bytes."""
    found = json.loads(value)
    return {**found, "head": base64.b64decode(found["head"], validate=True)}


def refers_to(content: bytes) -> dict[str, Any]:
    """What a reference to this line holds beside its place."""
    return {"length": len(content), "sha256": hashlib.sha256(content).hexdigest(), "head": content[:1024]}


def test_lines_about_the_topics_limit_are_rows_dead_letters_or_references_and_none_is_dropped(
    ferry: Ferry, kafka: Kafka | GivenKafka, topic: str, sqlite_url: str, tmp_path: Path
) -> None:
    place, database = create(kafka, topic, LIMIT, LIMIT), ["--database", sqlite_url]
    good = [sized(f"good{size}", LONGEST + size) for size in (-1, 0)]
    over = [sized(f"over{size}", LONGEST + size) for size in (1, 2, 200)]
    bad_that_fits, bad_that_does_not = sized("bad", LONGEST - 600)[:-1], sized("bad", LONGEST + 1)[:-1]
    ends = [message(1), message(2)]
    log = tmp_path / "sizes.jsonl"
    lines = [ends[0], *good, *over, bad_that_fits, bad_that_does_not, ends[1]]
    log.write_bytes(b"".join(one + b"\n" for one in lines))
    ferry.run("db", "upgrade", *database)
    sent = ferry.run("produce", log, *place, "--json").json
    assert (sent["lines"], sent["acknowledged"], sent["oversize"]) == (9, 9, 3)
    account = ferry.run("consume", *place, *database, "--until-end", "--json").json
    assert (account["rows"], account["dead_letters"]) == (4, 2)
    assert {stored[5] for stored in table_rows(sqlite_url)} == {json.loads(one)["data"] for one in [*ends, *good]}

    letters = records(kafka.brokers, f"{topic}.dlq")
    assert [one.value for one in letters if one.headers["chatferry.content"] == "line"] == [bad_that_fits]
    found = [reference(one.value) for one in letters if one.headers["chatferry.content"] == "reference"]
    places = {one.pop("sha256"): (one.pop("source"), one.pop("offset")) for one in [dict(one) for one in found]}
    assert len(found) == 4
    for one in over:
        assert places[hashlib.sha256(one).hexdigest()] == (str(log), log.read_bytes().index(one))
    kept = places[hashlib.sha256(bad_that_does_not).hexdigest()]
    assert values(kafka.brokers, topic).count(bad_that_does_not) == 1
    assert kept[0].startswith(f"{topic}/")
    assert [
        {name: value for name, value in one.items() if name not in ("source", "offset")}
        for one in sorted(found, key=lambda one: one["length"])
    ] == [refers_to(one) for one in sorted([*over, bad_that_does_not], key=len)]


def test_line_that_fits_the_topic_but_not_with_its_key_is_sent_without_and_stops_nothing(
    ferry: Ferry, kafka: Kafka | GivenKafka, topic: str, tmp_path: Path
) -> None:
    place = create(kafka, topic, LIMIT, LIMIT + 65_536)
    keys = [b"k" * 9_800, b"k" * 12_000]
    fits, does_not = (line(f"key-of-{len(key)}", from_=b'"%b"' % key) for key in keys)
    log = tmp_path / "keys.jsonl"
    log.write_bytes(b"\n".join([message(1), fits, does_not, message(2), b""]))
    sent = ferry.run("produce", log, *place, "--key", "from", "--json").json
    assert (sent["lines"], sent["acknowledged"], sent["oversize"]) == (4, 4, 0)
    found = {record.value: record.key for record in records(kafka.brokers, topic)}
    assert found == {message(1): b"ann", fits: keys[0], does_not: None, message(2): b"ann"}


def test_row_over_max_allowed_packet_becomes_a_dead_letter_byte_for_byte(
    ferry: Ferry, kafka: Kafka | GivenKafka, topic: str, server_directory: Path, tmp_path: Path
) -> None:
    place = create(kafka, topic, 4 << 20, 5 << 20)
    large = sized("large", 3 << 20)
    log = tmp_path / "packets.jsonl"
    log.write_bytes(b"\n".join([message(1), large, message(2), b""]))
    ferry.run("produce", log, *place)
    with MariaDB(server_directory, options=("--local-infile=0", "--max-allowed-packet=2M")) as server:
        url = server.create_database("packets")
        ferry.run("db", "upgrade", "--database", url)
        account = ferry.run("consume", *place, "--database", url, "--until-end", "--json").json
        assert (account["rows"], account["dead_letters"]) == (2, 1)
        assert query(url, "SELECT id FROM chat_messages ORDER BY id") == [("id-1",), ("id-2",)]
    (letter,) = records(kafka.brokers, f"{topic}.dlq")
    assert letter.value == large
    assert (letter.headers["chatferry.stage"], letter.headers["chatferry.error.class"]) == ("store", "refused")
