"""Logs that live: rotated, copied and truncated, removed, made anew, in folders; by the real command and Kafka."""

import gzip
import json
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.ferry import Ferry, Running, create_topic, ends, message, records, values
from tests.services.kafka import GivenKafka, Kafka
from tests.services.proxy import Proxy


@pytest.fixture
def place(kafka: Kafka | GivenKafka, topic: str) -> list[str]:
    """The flags that name a topic of four partitions that is there."""
    create_topic(kafka.brokers, topic)
    return ["--brokers", kafka.brokers, "--topic", topic]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a log is to be, in a folder of its own."""
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "chat.jsonl"


def lines(*numbers: int) -> bytes:
    """Good lines with these numbers, each with its newline."""
    return b"".join(message(number) + b"\n" for number in numbers)


def append(path: Path, *numbers: int) -> None:
    """Write lines to the end of a file, as the system that fills it does."""
    with path.open("ab") as file:
        file.write(lines(*numbers))


def number_of(value: bytes) -> int:
    """The number of a line; fails where it is not a whole one."""
    return int(json.loads(value)["id"].removeprefix("id-"))


def sent(place: list[str]) -> list[int]:
    """The numbers of the lines on the topic, sorted."""
    return sorted(map(number_of, values(place[1], place[3])))


def count_sent(place: list[str]) -> int:
    return sum(ends(place[1], place[3]).values())


def more_than(place: list[str], count: int) -> bool:
    return count_sent(place) > count


def has(place: list[str], *numbers: int) -> Callable[[], bool]:
    """Whether these lines are on the topic, once each, and no other."""
    return lambda: count_sent(place) >= len(numbers) and sent(place) == sorted(numbers)


def is_open(log: Path, pid: int) -> bool:
    """Whether a process has the file open."""
    return any(entry.samefile(log) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.exists())


def rotate(log: Path) -> Path:
    """What logrotate does: NAME.1 becomes NAME.2 and so on, NAME becomes NAME.1."""
    rotated = [file for file in log.parent.iterdir() if file.name.startswith(f"{log.name}.")]
    for file in sorted(rotated, key=lambda file: int(file.name.split(".")[2]), reverse=True):
        _, ending, number, *packed = file.name.split(".")
        file.rename(file.with_name(".".join([log.stem, ending, str(int(number) + 1), *packed])))
    return log.rename(log.with_name(f"{log.name}.1"))


def test_five_rotations_under_load_lose_and_double_nothing_and_the_files_go_in_order(
    ferry: Ferry, place: list[str], log: Path
) -> None:
    total, at_once = 12_000, 40
    append(log, 0)
    run = ferry.start("produce", "--follow", log, *place, "--json")
    run.wait_until(has(place, 0), "the first line")
    writer, late = log.open("ab", buffering=0), None
    for first in range(1, total, at_once):
        numbers = range(first, min(first + at_once, total))
        if first % 2_001 < at_once and first > 1_000:
            late = rotate(log)
            log.touch()
            writer.write(lines(*numbers))  # the writer opens the new file only after this
            writer.close()
            writer = log.open("ab", buffering=0)
        else:
            half = lines(*numbers)
            writer.write(half[: len(half) // 2])
            writer.write(half[len(half) // 2 :])
        time.sleep(0.004)  # the load: some 10,000 lines a second
    writer.close()
    assert late is not None
    assert len(list(log.parent.iterdir())) == 6
    run.wait_until(lambda: count_sent(place) >= total, "every line")
    ended = run.end(signal.SIGTERM, seconds=10)
    assert sent(place) == list(range(total))
    assert (ended.json["lines"], ended.json["acknowledged"]) == (total, total)
    for partition in range(4):
        seen = [number_of(record.value) for record in records(place[1], place[3]) if record.partition == partition]
        assert seen == sorted(seen), "a file was begun before the one before it was read to its end"
    assert "WARNING" not in ended.err


def test_copied_and_truncated_twice_the_rest_of_each_copy_is_sent_too(
    ferry: Ferry, place: list[str], log: Path
) -> None:
    append(log, 1, 2)
    run = ferry.start("produce", "--follow", log, *place, "--json")
    run.wait_until(has(place, 1, 2), "the first lines")
    for first in (3, 6):
        run.send(signal.SIGSTOP)  # so that nothing of what follows is read before it is truncated
        append(log, first)
        copy = log.with_name(f"chat.jsonl.{first}")
        copy.write_bytes(log.read_bytes())
        os.truncate(log, 0)
        append(log, first + 1, first + 2)
        run.send(signal.SIGCONT)
        run.wait_until(has(place, *range(1, first + 3)), "the copy's last line and the new ones")
    assert run.end(signal.SIGTERM, seconds=10).json["acknowledged"] == 8
    assert ferry.run("produce", log, *place, "--json").json["lines"] == 0


def test_removed_and_made_anew_again_and_again_every_line_is_sent(ferry: Ferry, place: list[str], log: Path) -> None:
    append(log, 0)
    run = ferry.start("produce", "--follow", log, *place, "--json")
    run.wait_until(has(place, 0), "the first line")
    for number in range(1, 6):
        with log.open("ab", buffering=0) as writer:
            log.unlink()
            writer.write(lines(10 * number))
        append(log, 10 * number + 1)
        seen = [0, *(n for i in range(1, number + 1) for n in (10 * i, 10 * i + 1))]
        run.wait_until(has(place, *seen), "the last line of the removed file and the first of the new one")
    assert run.end(signal.SIGTERM, seconds=10).json["acknowledged"] == 11


def test_two_rotations_while_no_producer_runs_the_first_gzipped_are_made_up_for_in_order(
    ferry: Ferry, place: list[str], log: Path
) -> None:
    append(log, *range(100))
    run = ferry.start("produce", "--follow", log, *place, "--json")
    run.wait_until(has(place, *range(100)), "the first lines")
    run.end(signal.SIGTERM, seconds=10)
    append(log, *range(100, 200))
    first = rotate(log)
    packed = first.with_name(f"{first.name}.gz")
    times = first.stat()
    packed.write_bytes(gzip.compress(first.read_bytes()))
    os.utime(packed, ns=(times.st_atime_ns, times.st_mtime_ns))
    first.unlink()
    append(log, *range(200, 300))
    rotate(log)
    append(log, *range(300, 400))
    again = ferry.start("produce", "--follow", log, *place, "--json")
    again.wait_until(has(place, *range(400)), "every line once")
    ended = again.end(signal.SIGTERM, seconds=10)
    assert "chat.jsonl.2.gz is sent first" in ended.err
    assert ended.json["acknowledged"] == 300
    assert ended.json["resumed_from"][str(log.with_name("chat.jsonl.2.gz"))] == len(lines(*range(100)))


def test_rotated_twice_before_kafka_first_answers_all_is_sent_in_order(
    ferry: Ferry, kafka: Kafka | GivenKafka, place: list[str], log: Path
) -> None:
    append(log, *range(50))
    with Proxy(int(kafka.brokers.rpartition(":")[2])) as proxy:
        proxy.cut()
        run = ferry.start("produce", "--follow", log, "--brokers", proxy.address, *place[2:])
        run.wait_until(lambda: is_open(log, run.pid), "the first look at the log")
        for first in (50, 100):
            rotate(log)
            append(log, *range(first, first + 50))
        assert count_sent(place) == 0
        proxy.heal()
        run.wait_until(has(place, *range(150)), "every line once")
        ended = run.end(signal.SIGTERM, seconds=10)
    assert "chat.jsonl.2 is sent first" in ended.err
    assert "chat.jsonl.1 is sent first" in ended.err


def test_predecessor_that_is_gone_is_told_with_its_offset(ferry: Ferry, place: list[str], log: Path) -> None:
    append(log, 1, 2)
    run = ferry.start("produce", "--follow", log, *place)
    run.wait_until(has(place, 1, 2), "the first lines")
    run.end(signal.SIGTERM, seconds=10)
    log.rename(log.parents[1] / "elsewhere")
    append(log, 3)
    again = ferry.start("produce", "--follow", log, *place)
    again.wait_until(has(place, 1, 2, 3), "the new file")
    assert f"was sent up to byte {len(lines(1, 2))}, and is not found beside it" in again.err


def test_folder_and_glob_are_followed_and_new_files_are_sent_from_their_start(
    ferry: Ferry, place: list[str], log: Path
) -> None:
    folder = log.parent
    append(folder / "a", 1)
    (folder / "b.gz").write_bytes(gzip.compress(lines(90)))
    (folder / ".hidden").write_bytes(lines(91))
    other = folder.parent / "others"
    other.mkdir()
    run = ferry.start("produce", "--follow", folder, other / "*.log", other / "later", *place, "--json")
    run.wait_until(has(place, 1), "the first file")
    append(folder / "c", 2)
    append(other / "x.log", 3)
    append(other / "x.txt", 92)
    run.wait_until(has(place, 1, 2, 3), "new files")
    (folder / "a").rename(folder / "a.1")
    append(folder / "a.1", 4)
    append(folder / "a", 5)
    append(other / "later", 6)
    run.wait_until(has(place, *range(1, 7)), "a rotated file, its new one, and a name that was waited for")
    ended = run.end(signal.SIGTERM, seconds=10)
    assert f"{folder}: hidden and compressed files are left out (2 now)" in ended.err
    assert f"{other / 'later'} does not exist: waiting for a file of that name" in ended.err
    assert ended.json["acknowledged"] == 6
    again = ferry.start("produce", "--follow", folder, other / "*.log", other / "later", *place, "--json")
    append(folder / "c", 7)
    again.wait_until(has(place, *range(1, 8)), "what is new")
    assert again.end(signal.SIGTERM, seconds=10).json["acknowledged"] == 1


@pytest.mark.long
def test_producer_killed_in_the_middle_of_rotations_loses_nothing(ferry: Ferry, place: list[str], log: Path) -> None:
    count = 0
    append(log, 0)
    run: Running = ferry.start("produce", "--follow", log, *place)
    run.wait_until(has(place, 0), "the first line")
    for _ in range(8):
        reached = count_sent(place)
        for _ in range(3):
            append(log, *range(count + 1, count + 501))
            count += 500
            rotate(log)
            append(log, *range(count + 1, count + 11))
            count += 10
        run.wait_until(partial(more_than, place, reached), "any line")
        run.kill()
        packed = log.with_name("chat.jsonl.2")
        packed.with_name(f"{packed.name}.gz").write_bytes(gzip.compress(packed.read_bytes()))
        packed.unlink()
        run = ferry.start("produce", "--follow", log, *place)
    run.wait_until(lambda: set(sent(place)) == set(range(count + 1)), "every line")
    run.end(signal.SIGTERM, seconds=10)
