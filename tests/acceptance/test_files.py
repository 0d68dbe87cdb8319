"""What happens to a file while it is read, or was wrong with it before: through the real commands."""

import gzip
import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.ferry import Ferry, Running, create_topic, message, table_rows, values
from tests.services.kafka import GivenKafka, Kafka


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


def follow(ferry: Ferry, place: list[str], logs: list[Path], *numbers: int) -> Running:
    """A producer that follows the logs, and has sent these lines of them."""
    run = ferry.start("produce", *logs, *place, "--follow", "--json")
    run.wait_until(lambda: sent(place) == list(numbers), "what was there at the start")
    return run


# --- while it is followed -------------------------------------------------------------------------------------------


def test_file_deleted_while_it_is_followed_is_sent_to_its_last_line_and_it_is_said(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    log = tmp_path / "chat.jsonl"
    log.write_bytes(lines(1, 2))
    run = follow(ferry, place, [log], 1, 2)
    with log.open("ab") as writer:
        log.unlink()
        writer.write(lines(3))
    run.wait_until(
        lambda: sent(place) == [1, 2, 3] and "was renamed or removed" in run.err, "the last line, and a word"
    )
    ended = run.end(signal.SIGTERM, seconds=10)
    assert (ended.status, ended.json["acknowledged"]) == (143, 3)


def test_file_renamed_and_made_anew_while_it_is_followed_is_sent_to_its_end_and_then_the_new_one(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    log, rotated = tmp_path / "chat.jsonl", tmp_path / "chat.jsonl.1"
    log.write_bytes(lines(1, 2))
    run = follow(ferry, place, [log], 1, 2)
    log.rename(rotated)
    log.write_bytes(lines(4, 5))
    append(rotated, lines(3))
    run.wait_until(lambda: sent(place) == [1, 2, 3, 4, 5], "all of both files")
    assert "another file stands there now" in run.err
    append(rotated, lines(6))  # its writer did not know yet
    run.wait_until(lambda: sent(place) == [1, 2, 3, 4, 5, 6], "a late line of the old file")
    ended = run.end(signal.SIGTERM, seconds=10)
    assert ended.json["acknowledged"] == 6
    assert f"{log}: run the same command again; it goes on at byte {len(lines(4, 5)):,}" in ended.err
    again = ferry.run("produce", rotated, log, *place, "--json").json
    assert again["resumed_from"] == {str(rotated): len(lines(1, 2, 3, 6)), str(log): len(lines(4, 5))}
    assert again["lines"] == 0


@pytest.mark.parametrize("new", [[7], [7, 8], [7, 8, 9, 10, 11]], ids=["shorter", "as long", "longer"])
def test_file_copied_and_truncated_while_it_is_followed_is_read_from_its_start_and_it_is_said(
    ferry: Ferry, place: list[str], tmp_path: Path, new: list[int]
) -> None:
    log = tmp_path / "chat.jsonl"
    log.write_bytes(lines(1, 2))
    run = follow(ferry, place, [log], 1, 2)
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


def test_character_cut_by_a_restart_at_each_of_its_bytes_arrives_whole(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    line = message(1).replace(b"hello", "é😀".encode())
    first = message(0) + b"\n"
    at = line.index("😀".encode())
    logs = {cut: tmp_path / f"{cut}.jsonl" for cut in (-1, 1, 2, 3)}
    for cut, log in logs.items():
        log.write_bytes(first + line[: at + cut])
    run = follow(ferry, place, [*logs.values()], 0, 0, 0, 0)
    run.end(signal.SIGTERM, seconds=10)
    for cut, log in logs.items():
        append(log, line[at + cut :])
    again = ferry.run("produce", *logs.values(), *place, "--json").json
    assert again["resumed_from"] == {str(log): len(first) for log in logs.values()}
    assert Counter(values(place[1], place[3])) == Counter([first[:-1], line] * 4)


# --- as it is -------------------------------------------------------------------------------------------------------


def test_files_without_a_line_are_sent_as_nothing_and_end_well(ferry: Ferry, place: list[str], tmp_path: Path) -> None:
    contents = {"empty": b"", "bom": b"\xef\xbb\xbf", "blank": b"\n\r\n", "gzip": gzip.compress(b"")}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    account = ferry.run("produce", *(tmp_path / name for name in contents), *place, "--json").json
    assert (account["acknowledged"], account["lines"], account["blank"]) == (0, 2, 2)
    assert sent(place) == []


def test_names_of_any_bytes_are_read_resumed_and_told_without_harm(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    names = [b"new\nline.jsonl", b"no\xff-utf8\xe9.jsonl", b"esc\x1b[31m.jsonl", b"-", "ü😀".encode(), b" ", b"a'\"\\b"]
    logs = [tmp_path / os.fsdecode(name) for name in names]
    for log in logs:
        log.write_bytes(lines(1, 2))
    first = ferry.run("produce", *logs, *place, "-v")
    assert "\x1b" not in first.err + first.out.decode()
    for log in logs:
        append(log, lines(3))
    second = ferry.run("produce", *logs, *place, "--json", "-v").json
    assert list(second["resumed_from"].values()) == [len(lines(1, 2))] * len(logs)
    assert sent(place) == sorted([1, 2, 3] * len(logs))
    told = ferry.run("produce", f"{logs[2]}\udcff\n", *place, check=1)
    assert told.error.endswith("No such file or directory. Check the path and its permissions")
    assert "\x1b" not in told.err


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
