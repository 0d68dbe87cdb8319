"""Whatever a file grows to, no process of ours grows with it: bombs and endless lines, measured by the kernel."""

import gzip
import hashlib
import json
from pathlib import Path

import pytest
import zstandard

from tests.acceptance.ferry import (
    Ferry,
    Result,
    Running,
    children,
    create_topic,
    message,
    table_rows,
    values,
    wait_until,
)
from tests.services.kafka import GivenKafka, Kafka

MOST_MEGABYTES = 256
"""What README allows a worker; a producer takes less."""

MEGABYTE = bytes(1 << 20)


def high_water(pid: int) -> int:
    """The most memory that a process has had so far, in megabytes; 0 where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) >> 10 for line in status.splitlines() if line.startswith("VmHWM")), 0)


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    return [pid, *(one for child in children(pid) for one in family(child))]


def within_limits(run: Running, seconds: float) -> Result:
    """How the command ended; fails where one of its processes had more memory than it may."""
    peaks: dict[int, int] = {}

    def ended() -> bool:
        for pid in family(run.pid):
            peaks[pid] = max(peaks.get(pid, 0), high_water(pid))
        return run.process.poll() is not None

    wait_until(ended, "the end of the command", seconds)
    assert 0 < max(peaks.values()) < MOST_MEGABYTES, peaks
    result = run.wait()
    assert result.status == 0, result.err
    return result


def gzip_bomb(path: Path, megabytes: int) -> Path:
    """Zeros without a newline, between two good lines; a thousandth of that on the disk."""
    with gzip.open(path, "wb", compresslevel=1 if megabytes < 1_000 else 9) as file:
        file.write(message(1) + b"\n")
        for _ in range(megabytes):
            file.write(MEGABYTE)
        file.write(b"\n" + message(2) + b"\n")
    return path


def zstd_bomb(path: Path, megabytes: int) -> Path:
    """The same in zstd: a thirty-thousandth, and one read of it grows to gigabytes."""
    with path.open("wb") as file, zstandard.ZstdCompressor(level=1).stream_writer(file) as writer:
        writer.write(message(1) + b"\n")
        for _ in range(megabytes):
            writer.write(MEGABYTE)
        writer.write(b"\n" + message(2) + b"\n")
    return path


def many_lines(path: Path, blocks: int) -> Path:
    """Two hundred bad lines of two bytes and a megabyte of blank ones, so many times."""
    block = b"{}\n" * 200 + b"\n" * (1 << 20)
    with gzip.open(path, "wb", compresslevel=6) as file:
        for _ in range(blocks):
            file.write(block)
    return path


def long_line(path: Path, megabytes: int) -> Path:
    """One line of so many megabytes between two good ones."""
    with path.open("wb") as file:
        file.write(message(1) + b"\n")
        for _ in range(megabytes):
            file.write(b"x" * (1 << 20))
        file.write(b"\n" + message(2) + b"\n")
    return path


def assert_one_reference(ended: Result, run: Running, url: str, length: int, digest: str | None = None) -> None:
    """The line is a reference among the dead letters of a load, and both its neighbours are rows."""
    account = ended.json
    assert (account["rows"], account["dead_letters"], account["missing"]) == (2, 1, 0), run.err
    assert {row[0] for row in table_rows(url)} == {"id-1", "id-2"}
    entry = json.loads(Path(account["dead_letters_file"]).read_bytes())
    assert entry["reference"]["length"] == length
    assert digest is None or entry["reference"]["sha256"] == digest


@pytest.mark.parametrize(
    ("make", "megabytes"),
    [
        pytest.param(gzip_bomb, 300, id="gzip"),
        pytest.param(zstd_bomb, 1_500, id="zstd"),
        pytest.param(gzip_bomb, 2_000, id="gzip of 2 GB", marks=pytest.mark.long),
        pytest.param(zstd_bomb, 8_000, id="zstd of 8 GB", marks=pytest.mark.long),
        pytest.param(long_line, 100, id="line of 100 MB"),
    ],
)
def test_line_larger_than_memory_is_loaded_as_a_reference_in_constant_memory(
    ferry: Ferry, sqlite_url: str, tmp_path: Path, make: object, megabytes: int
) -> None:
    assert callable(make)
    log = make(tmp_path / "bomb", megabytes)
    assert log.stat().st_size <= megabytes << 20 | 1 << 10
    run = ferry.start("load", log, "--database", sqlite_url, "--json")
    ended = within_limits(run, seconds=200)
    digest = hashlib.sha256(b"x" * (megabytes << 20)).hexdigest() if make is long_line else None
    assert_one_reference(ended, run, sqlite_url, megabytes << 20, digest)


@pytest.mark.parametrize("make", [gzip_bomb, long_line])
def test_line_larger_than_memory_is_produced_as_a_reference_in_constant_memory(
    ferry: Ferry, kafka: Kafka | GivenKafka, topic: str, tmp_path: Path, make: object
) -> None:
    assert callable(make)
    create_topic(kafka.brokers, topic)
    log = make(tmp_path / "bomb", 300)
    run = ferry.start("produce", log, "--brokers", kafka.brokers, "--topic", topic, "--json")
    account = within_limits(run, seconds=100).json
    assert (account["lines"], account["oversize"], account["acknowledged"]) == (3, 1, 3)
    assert sorted(values(kafka.brokers, topic)) == [message(1), message(2)]
    (letter,) = values(kafka.brokers, f"{topic}.dlq")
    assert json.loads(letter)["length"] == 300 << 20


@pytest.mark.parametrize("blocks", [24, pytest.param(500, marks=pytest.mark.long)])
def test_millions_of_tiny_lines_out_of_kilobytes_are_accounted_for_in_constant_memory(
    ferry: Ferry, sqlite_url: str, tmp_path: Path, blocks: int
) -> None:
    log = many_lines(tmp_path / "lines.gz", blocks)
    run = ferry.start("load", log, "--database", sqlite_url, "--dead-letter-run", "0", "--dead-letter-ratio", "1",
                      "--json")  # fmt: skip
    account = within_limits(run, seconds=250).json
    assert (account["dead_letters"], account["blank"], account["missing"]) == (200 * blocks, blocks << 20, 0)


@pytest.mark.long
def test_long_files_are_merged_by_time_in_constant_memory(
    ferry: Ferry, kafka: Kafka | GivenKafka, topic: str, tmp_path: Path
) -> None:
    create_topic(kafka.brokers, topic)
    logs = [tmp_path / f"{place}.jsonl" for place in range(3)]
    for place, log in enumerate(logs):
        with log.open("wb") as out:
            out.writelines(message(3 * n + place, "x" * 1_000) + b"\n" for n in range(120_000))
    assert sum(log.stat().st_size for log in logs) > 1.5 * MOST_MEGABYTES * 1e6
    run = ferry.start("produce", *logs, "--brokers", kafka.brokers, "--topic", topic, "--speed", "1e9", "--json")
    account = within_limits(run, seconds=200).json
    assert account["acknowledged"] == 360_000
