"""What happens to a file while it is read, or was wrong with it before: through the real commands."""

import gzip
import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.ferry import Ferry, Running, create_topic, message, table_rows, values
from tests.services.kafka import GivenKafka, Kafka

Follow = Callable[[Path], Running]


@pytest.fixture
def place(kafka: Kafka | GivenKafka, topic: str) -> list[str]:
    """The flags that name a topic of four partitions that is there."""
    create_topic(kafka.brokers, topic)
    return ["--brokers", kafka.brokers, "--topic", topic]


def lines(*numbers: int) -> bytes:
    """Good lines with these numbers, each with its newline."""
    return b"".join(message(number, f"text {number} 😀") + b"\n" for number in numbers)


def sent(place: list[str]) -> list[int]:
    """The numbers of the lines on the topic, in order; fails where something else than a whole line is there."""
    found = [int(json.loads(value)["id"].removeprefix("id-")) for value in values(place[1], place[3])]
    return sorted(found)


def append(path: Path, data: bytes) -> None:
    """Write to the end of a file, as the system that fills it does."""
    with path.open("ab") as log:
        log.write(data)


def follow(ferry: Ferry, place: list[str], log: Path, *numbers: int) -> Running:
    """A producer that follows the log, and has sent these lines of it."""
    run = ferry.start("produce", log, *place, "--follow", "--json")
    run.wait_until(lambda: sent(place) == list(numbers), "what was there at the start")
    return run


# --- while it is followed -------------------------------------------------------------------------------------------


def test_file_deleted_while_it_is_followed_is_sent_to_its_last_line_and_it_is_said(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    log = tmp_path / "chat.jsonl"
    log.write_bytes(lines(1, 2))
    run = follow(ferry, place, log, 1, 2)
    with log.open("ab") as writer:
        log.unlink()
        writer.write(lines(3))
    run.wait_until(
        lambda: sent(place) == [1, 2, 3] and "was renamed or removed" in run.err, "the last line, and a word"
    )
    ended = run.end(signal.SIGTERM, seconds=10)
    assert (ended.status, ended.json["acknowledged"]) == (143, 3)


def test_file_renamed_and_made_anew_while_it_is_followed_is_told_and_the_next_start_sends_both(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    log, rotated = tmp_path / "chat.jsonl", tmp_path / "chat.jsonl.1"
    log.write_bytes(lines(1, 2))
    run = follow(ferry, place, log, 1, 2)
    log.rename(rotated)
    log.write_bytes(lines(4, 5))
    append(rotated, lines(3))
    run.wait_until(lambda: sent(place) == [1, 2, 3] and "was renamed or removed" in run.err, "line 3, and a word")
    assert "start again for it" in run.err
    run.end(signal.SIGTERM, seconds=10)
    again = ferry.run("produce", rotated, log, *place, "--json").json
    assert again["resumed_from"] == {str(rotated): len(lines(1, 2, 3)), str(log): 0}
    assert sent(place) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("new", [[7], [7, 8], [7, 8, 9, 10, 11]], ids=["shorter", "as long", "longer"])
def test_file_copied_and_truncated_while_it_is_followed_is_read_from_its_start_and_it_is_said(
    ferry: Ferry, place: list[str], tmp_path: Path, new: list[int]
) -> None:
    log = tmp_path / "chat.jsonl"
    log.write_bytes(lines(1, 2))
    run = follow(ferry, place, log, 1, 2)
    (tmp_path / "chat.jsonl.1").write_bytes(log.read_bytes())
    log.write_bytes(lines(*new))  # truncates the same inode; what is new may be longer at once than what was there
    run.wait_until(lambda: sent(place) == [1, 2, *new], "all of the new content, and no part of a line")
    assert "read again from its start" in run.err
    append(log, lines(20))
    run.wait_until(lambda: sent(place) == [1, 2, *new, 20], "what follows it")
    assert run.end(signal.SIGTERM, seconds=10).json["acknowledged"] == 3 + len(new)
    assert ferry.run("produce", log, *place, "--json").json["lines"] == 0, "the checkpoint speaks of the old content"


# --- between two runs -----------------------------------------------------------------------------------------------


def test_inode_that_another_file_got_is_read_from_its_start(ferry: Ferry, place: list[str], tmp_path: Path) -> None:
    log = tmp_path / "chat.jsonl"
    log.write_bytes(lines(1, 2, 3))
    inode = log.stat().st_ino
    ferry.run("produce", log, *place)
    log.write_bytes(lines(4, 5, 6, 7))
    other = log.rename(tmp_path / "other.jsonl")
    assert other.stat().st_ino == inode
    second = ferry.run("produce", other, *place, "--json")
    assert "not the file that its checkpoint speaks of" in second.err
    assert second.json["resumed_from"] == {str(other): 0}
    assert sent(place) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("cut", range(1, 5))
def test_character_cut_by_a_restart_arrives_whole_and_places_are_bytes(
    ferry: Ferry, place: list[str], tmp_path: Path, cut: int
) -> None:
    log = tmp_path / "chat.jsonl"
    first, second = lines(1), lines(2)
    at = second.index(b"\\ud83d") if b"\\ud83d" in second else second.index("😀".encode())
    second = second.replace(b"\\ud83d\\ude00", "😀".encode())
    log.write_bytes(first + second[: at + cut])
    run = follow(ferry, place, log, 1)
    run.end(signal.SIGTERM, seconds=10)
    append(log, second[at + cut :])
    again = ferry.run("produce", log, *place, "--json").json
    assert again["resumed_from"] == {str(log): len(first)}
    assert Counter(values(place[1], place[3])) == Counter([first[:-1], second[:-1]])


# --- as it is -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n\n", gzip.compress(b"")],
                         ids=["empty", "bom", "blank", "gzip of nothing"])  # fmt: skip
def test_file_without_a_line_is_sent_as_nothing_and_ends_well(
    ferry: Ferry, place: list[str], tmp_path: Path, content: bytes
) -> None:
    log = tmp_path / "nothing"
    log.write_bytes(content)
    account = ferry.run("produce", log, *place, "--json").json
    assert (account["acknowledged"], account["lines"]) == (0, account["blank"])
    assert sent(place) == []


@pytest.mark.parametrize(
    "name", [b"new\nline.jsonl", b"no\xff-utf8\xe9.jsonl", b"esc\x1b[31m.jsonl", b"-", "ü😀".encode()]
)
def test_name_of_any_bytes_is_read_resumed_and_told_without_harm(
    ferry: Ferry, place: list[str], tmp_path: Path, name: bytes
) -> None:
    log = tmp_path / os.fsdecode(name)
    log.write_bytes(lines(1, 2))
    command = ["produce", str(log), *place]
    first = ferry.run(*command, "-v")
    assert "\x1b" not in first.err + first.out.decode()
    append(log, lines(3))
    second = ferry.run(*command, "--json", "-v")
    assert list(second.json["resumed_from"].values()) == [len(lines(1, 2))]
    assert sent(place) == [1, 2, 3]
    told = ferry.run("produce", f"{log}.gone", *place, check=1)
    assert "\x1b" not in told.err
    assert told.error.endswith("No such file or directory. Check the path and its permissions")


def test_gzip_cut_short_is_loaded_up_to_there_and_it_is_said(ferry: Ferry, sqlite_url: str, tmp_path: Path) -> None:
    log = tmp_path / "cut.jsonl.gz"
    log.write_bytes(gzip.compress(lines(*range(3_000)))[:-20])
    ended = ferry.run("load", log, "--database", sqlite_url, "--json", check=1)
    account = ended.json
    assert "the gzip data is damaged or cut short" in account["error"]
    assert account["missing"] == 0
    ids = {int(row[0].removeprefix("id-")) for row in table_rows(sqlite_url)}
    assert account["rows"] == len(ids) > 2_000
    assert ids == set(range(len(ids))), "there is a gap before the cut"
