"""`chatferry produce`: what is in the files is on the topic, byte for byte, and not twice."""

import base64
import bz2
import gzip
import hashlib
import json
import lzma
import os
import pty
import signal
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import zstandard

from benchmarks.generate import generate
from tests.acceptance.ferry import (
    PROGRAM,
    Ferry,
    Running,
    create_topic,
    ends,
    lines_of,
    message,
    records,
    values,
)
from tests.services.kafka import GivenKafka, Kafka

LINES = 3_000


@pytest.fixture
def place(kafka: Kafka | GivenKafka, topic: str) -> list[str]:
    """The flags that name a topic of four partitions that is there."""
    create_topic(kafka.brokers, topic)
    return ["--brokers", kafka.brokers, "--topic", topic]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of 3,000 lines, some of them bad: that is not for the producer to judge."""
    generate(tmp_path / "chat.jsonl", LINES, bad=0.01, blank=0.01)
    return tmp_path / "chat.jsonl"


def sent(place: list[str]) -> list[bytes]:
    """What is on the topic."""
    return values(place[1], place[3])


def count_sent(place: list[str]) -> int:
    """How many records are on the topic."""
    return sum(ends(place[1], place[3]).values())


def write(path: Path, *lines: bytes) -> Path:
    """A log of these lines, each with its newline."""
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


# --- sources --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("chat.jsonl", bytes),
        ("chat.jsonl.gz", gzip.compress),
        ("chat.jsonl.zst", zstandard.ZstdCompressor().compress),
        ("chat.jsonl.xz", lzma.compress),
        ("chat.log.bz2", bz2.compress),
        ("no-ending-that-says-gzip", gzip.compress),
        ("rotated-parts-in-one.gz", lambda data: gzip.compress(data[:1000]) + gzip.compress(data[1000:])),
    ],
)
def test_file_is_sent_byte_for_byte_however_it_is_compressed(
    ferry: Ferry, place: list[str], log: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    lines = lines_of(log)
    path = log.with_name(name)
    path.write_bytes(compress(log.read_bytes()))
    account = ferry.run("produce", path, *place, "--json").json
    assert (account["lines"], account["acknowledged"]) == (LINES, len(lines))
    assert account["resumed_from"] == {str(path): 0}
    assert Counter(sent(place)) == Counter(lines)


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_standard_input_is_sent_byte_for_byte(
    ferry: Ferry, place: list[str], log: Path, compress: Callable[[bytes], bytes]
) -> None:
    account = ferry.run("produce", "-", *place, "--json", stdin=compress(log.read_bytes())).json
    assert (account["lines"], account["resumed_from"]) == (LINES, {})
    assert Counter(sent(place)) == Counter(lines_of(log))


def test_bom_crlf_blank_and_unterminated_lines(ferry: Ferry, place: list[str], tmp_path: Path) -> None:
    log = tmp_path / "windows.jsonl"
    one, two, three = message(1), message(2, "a lone \r stays") + b" \r ", message(3)
    log.write_bytes(b"\xef\xbb\xbf" + one + b"\r\n\r\n \t \n" + two + b"\n\n\xef\xbb\xbf" + three + b"\r\n" + three)
    account = ferry.run("produce", log, *place, "--json").json
    assert (account["lines"], account["blank"], account["acknowledged"]) == (7, 3, 4)
    assert sorted(sent(place)) == sorted([one, two, b"\xef\xbb\xbf" + three, three])


def test_lines_of_one_file_stay_in_order_within_a_partition(ferry: Ferry, place: list[str], log: Path) -> None:
    ferry.run("produce", log, *place)
    number = {line: n for n, line in reversed(list(enumerate(lines_of(log))))}
    for partition in range(4):
        seen = [r.value for r in records(place[1], place[3]) if r.partition == partition]
        firsts = [number[value] for value in dict.fromkeys(seen)]
        assert len(firsts) > LINES // 8
        assert sum(a > b for a, b in pairwise(firsts)) <= 0.03 * LINES  # but for the repeats


# --- keys and partitions --------------------------------------------------------------------------------------------


def murmur2(data: bytes) -> int:
    """Kafka's Utils.murmur2 for Java, as its source gives it: 32 bits, seed 0x9747b28c."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(data)
    for at in range(0, len(data) - len(data) % 4, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = h * m & mask ^ k
    if tail := data[len(data) - len(data) % 4 :]:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def test_murmur2_of_this_test_gives_the_values_of_kafkas_own_test() -> None:
    # clients/src/test/java/org/apache/kafka/common/utils/UtilsTest.java
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536, b"abc": 479470107}
    assert {text: (murmur2(text) ^ 1 << 31) - (1 << 31) for text in known} == known


def test_key_goes_where_javas_partitioner_sends_it_and_a_line_without_it_has_no_key(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    names = ["ann", "bob", "Zoë", "みどり", "😀" * 50, *(f"user-{n}" for n in range(200))]
    keyed = [message(n, **{"from": name}) for n, name in enumerate(names)]
    unkeyed = [b"no JSON", b'{"id":"without the field"}', b'{"from":null}', b"[1]"]
    log = write(tmp_path / "chat.jsonl", *keyed, *unkeyed)
    account = ferry.run("produce", log, *place, "--key", "from", "--json").json
    assert account["acknowledged"] == len(keyed) + len(unkeyed)
    found = records(place[1], place[3])
    assert {r.value: r.key for r in found} == {
        **{line: name.encode() for line, name in zip(keyed, names, strict=True)},
        **dict.fromkeys(unkeyed),
    }
    for record in found:
        if record.key is not None:
            assert record.partition == (murmur2(record.key) & 0x7FFFFFFF) % 4, record.key


def test_lines_without_a_key_are_spread_evenly(ferry: Ferry, place: list[str], tmp_path: Path) -> None:
    log = tmp_path / "chat.jsonl"
    held = generate(log, 20_000)
    account = ferry.run("produce", log, *place, "--json").json
    counts = ends(place[1], place[3])
    assert sum(counts.values()) == held.lines
    assert max(counts.values()) - min(counts.values()) <= 0.02 * held.lines
    assert {int(partition): count for partition, count in account["partitions"].items()} == counts


# --- ended and started again ----------------------------------------------------------------------------------------


def checkpoint(folder: Path) -> int:
    """The byte offset in the one checkpoint of a state folder; 0 where there is none yet."""
    files = list(folder.glob("*.json"))
    return int(json.loads(files[0].read_bytes())["offset"]) if files else 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_ended_by_a_signal_it_says_how_to_resume_and_the_next_run_sends_the_rest_and_nothing_twice(
    ferry: Ferry, place: list[str], log: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    state = tmp_path / "state"
    command = ["produce", str(log), *place, "--state", str(state), "--json"]
    run = ferry.start(*command, "--rate", "1000")
    run.wait_until(lambda: checkpoint(state) > 0, "a checkpoint")
    first = run.end(number, seconds=10)
    assert first.status == status
    reached = checkpoint(state)
    assert f"{log}: run the same command again; it goes on at byte {reached:,}" in first.err
    assert 0 < first.json["acknowledged"] == count_sent(place) < LINES

    second = ferry.run(*command).json
    assert second["resumed_from"] == {str(log): reached}
    assert first.json["acknowledged"] + second["acknowledged"] == count_sent(place)
    assert Counter(sent(place)) == Counter(lines_of(log)), "a line is lost, or was sent twice"


def test_second_run_sends_nothing_and_says_so_and_restart_sends_all_again(
    ferry: Ferry, place: list[str], log: Path
) -> None:
    lines = len(lines_of(log))
    ferry.run("produce", log, *place)
    assert list((ferry.folder / "state-home" / "chatferry").glob("*.json")), "no checkpoint in the user's state folder"
    second = ferry.run("produce", log, *place)
    assert "0 lines, 0 acknowledged" in second.out.decode()
    assert "everything was sent before (--restart sends it again)" in second.out.decode()
    assert count_sent(place) == lines
    third = ferry.run("produce", log, *place, "--restart", "--json").json
    assert (third["acknowledged"], count_sent(place)) == (lines, 2 * lines)


def test_second_producer_on_the_same_file_is_refused(ferry: Ferry, place: list[str], log: Path) -> None:
    first = ferry.start("produce", log, *place, "--follow")
    first.wait_until(lambda: count_sent(place) == len(lines_of(log)), "the whole log on the topic")
    link = log.with_name("another-name.jsonl")
    link.symlink_to(log)
    for name in (log, link):
        second = ferry.run("produce", name, *place, check=1)
        assert "Another producer is sending" in second.error
    assert count_sent(place) == len(lines_of(log))


@pytest.mark.parametrize(
    ("kind", "compress", "decompress"),
    [
        ("gzip", gzip.compress, zlib.decompressobj(zlib.MAX_WBITS | 16).decompress),
        ("zstd", zstandard.ZstdCompressor().compress, zstandard.ZstdDecompressor().decompressobj().decompress),
        ("xz", lzma.compress, lzma.LZMADecompressor().decompress),
        ("bzip2", lambda data: bz2.compress(data, 1), bz2.BZ2Decompressor().decompress),
    ],
)
def test_compressed_file_that_is_cut_short_is_sent_up_to_there_once_and_it_is_said(
    ferry: Ferry,
    place: list[str],
    log: Path,
    kind: str,
    compress: Callable[[bytes], bytes],
    decompress: Callable[[bytes], bytes],
) -> None:
    whole = compress(log.read_bytes())
    path = log.with_name("cut")
    path.write_bytes(whole[: len(whole) * 2 // 3])
    prefix = decompress(path.read_bytes())
    good = [line for line in prefix[: prefix.rindex(b"\n")].split(b"\n") if line.strip()]
    assert LINES // 3 < len(good) < LINES

    first = ferry.run("produce", path, *place, check=1)
    assert f"{path}: the {kind} data is damaged or cut short" in first.error
    assert "fetch the file anew and run again" in first.error
    assert Counter(sent(place)) == Counter(good)
    ferry.run("produce", path, *place, check=1)
    assert count_sent(place) == len(good), "the second run sent something again"

    path.write_bytes(whole)
    ferry.run("produce", path, *place)
    assert Counter(sent(place)) == Counter(lines_of(log)), "the file that was fetched anew is not there exactly once"


# --- lines that are too long ----------------------------------------------------------------------------------------


def test_line_that_the_topic_does_not_take_becomes_a_reference_in_the_dead_letters(
    ferry: Ferry, kafka: Kafka | GivenKafka, topic: str, tmp_path: Path
) -> None:
    place = ["--brokers", kafka.brokers, "--topic", topic]
    ferry.run("topics", "create", *place, "--max-message-bytes", "20000")
    before, long, after = message(1), message(2, "x" * 50_000 + "é"), message(3)
    log = write(tmp_path / "chat.jsonl", before, long, after)
    account = ferry.run("produce", log, *place, "--json").json
    assert (account["lines"], account["acknowledged"], account["oversize"]) == (3, 3, 1)
    assert sorted(sent(place)) == [before, after]

    (letter,) = records(kafka.brokers, f"{topic}.dlq")
    reference = json.loads(letter.value)
    head = base64.b64decode(reference.pop("head"), validate=True)
    assert reference == {
        "source": str(log),
        "offset": len(before) + 1,
        "length": len(long),
        "sha256": hashlib.sha256(long).hexdigest(),
    }
    assert head == long[: len(head)]
    assert len(head) >= 100
    assert letter.headers["chatferry.content"] == "reference"
    assert letter.headers["chatferry.origin.topic"] == topic
    assert letter.headers["chatferry.stage"] == "read"


# --- following ------------------------------------------------------------------------------------------------------


def append(path: Path, data: bytes) -> None:
    """Write to the end of a log, as the system that fills it does."""
    with path.open("ab") as log:
        log.write(data)


def test_followed_file_is_sent_as_it_grows_and_an_unterminated_line_when_its_newline_comes(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    log, other = write(tmp_path / "a.jsonl", message(1), message(2)), write(tmp_path / "b.jsonl", message(3))
    run = ferry.start("produce", log, other, *place, "--follow", "--json")

    def arrived(*numbers: int) -> Callable[[], bool]:
        return lambda: sorted(sent(place)) == [message(number) for number in numbers]

    run.wait_until(arrived(1, 2, 3), "what was there at the start")
    append(log, message(4) + b"\n")
    run.wait_until(arrived(1, 2, 3, 4), "an appended line")
    append(log, message(5)[:30])
    append(other, message(6) + b"\n")  # both files are read in turns: when this has come, the half of a line was read
    run.wait_until(arrived(1, 2, 3, 4, 6), "a line of the other file")
    append(other, message(7) + b"\n")
    run.wait_until(arrived(1, 2, 3, 4, 6, 7), "one more")
    append(log, message(5)[30:] + b"\n")
    run.wait_until(arrived(1, 2, 3, 4, 5, 6, 7), "the line that is whole now")
    append(log, message(8))
    ended = run.end(signal.SIGTERM, seconds=10)
    assert (ended.status, ended.json["acknowledged"]) == (143, 7)

    append(log, b"\n")
    again = ferry.run("produce", log, other, *place, "--json").json
    assert again["acknowledged"] == 1
    assert arrived(1, 2, 3, 4, 5, 6, 7, 8)()


# --- pace and window ------------------------------------------------------------------------------------------------


def test_rate_is_never_exceeded_and_nearly_reached(ferry: Ferry, place: list[str], tmp_path: Path) -> None:
    rate, count = 400, 1_000
    log = write(tmp_path / "chat.jsonl", *map(message, range(count)))
    account = ferry.run("produce", log, *place, "--rate", str(rate), "--json").json
    moments = sorted(record.milliseconds for record in records(place[1], place[3]))
    assert len(moments) == count
    ahead = max(n / rate * 1000 - (moment - moments[0]) for n, moment in enumerate(moments))
    assert ahead < 20, f"a line went {ahead} ms before its time"
    assert count / rate * 0.99 < account["seconds"] < count / rate * 3


def test_speed_replays_the_gaps_between_timestamps(ferry: Ferry, place: list[str], tmp_path: Path) -> None:
    log = write(tmp_path / "chat.jsonl", message(0), message(100), message(200))  # 100 s between two of them
    account = ferry.run("produce", log, *place, "--speed", "200", "--json").json
    late = 50 + account["drift_ms"]["max"]  # by its own word: a busy machine's doing
    moments = {record.value: record.milliseconds for record in records(place[1], place[3])}
    first, second, third = (moments[message(number)] for number in (0, 100, 200))
    assert second - first == pytest.approx(500, abs=late)
    assert third - first == pytest.approx(1_000, abs=late)


def test_window_lets_through_what_is_in_it_and_what_has_no_timestamp(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    lines = [message(number) for number in range(100)]  # from 2023-11-14T22:13:20Z on, one a second
    log = write(tmp_path / "chat.jsonl", *lines, b"no line of JSON")
    window = ["--from", "2023-11-14T22:13:30Z", "--until", "1700000050"]
    account = ferry.run("produce", log, *place, *window, "--json").json
    assert (account["lines"], account["acknowledged"], account["outside_window"]) == (101, 41, 60)
    assert Counter(sent(place)) == Counter([*lines[10:50], b"no line of JSON"])


# --- what is said ---------------------------------------------------------------------------------------------------


def on_a_terminal(ferry: Ferry, *args: str | Path) -> bytes:
    """Run a command whose stderr is a terminal; returns what it wrote there."""
    ours, theirs = pty.openpty()
    try:
        environment = ferry.environment({"TERM": "xterm", "COLUMNS": "100"})
        command = [PROGRAM, *map(str, args)]
        subprocess.run(command, stderr=theirs, stdout=subprocess.DEVNULL, env=environment, timeout=60, check=True)
        os.set_blocking(ours, False)
        try:
            return os.read(ours, 1 << 20)
        except BlockingIOError:
            return b""
    finally:
        os.close(ours)
        os.close(theirs)


def test_progress_is_drawn_on_a_terminal_and_quiet_draws_none(ferry: Ferry, place: list[str], log: Path) -> None:
    command = ["produce", str(log), *place, "--restart", "--rate", "10000"]
    assert b"lines/s" in on_a_terminal(ferry, *command)
    assert on_a_terminal(ferry, *command, "-q") == b""


def test_account_goes_to_stdout_and_no_message_content_to_stderr(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    log = write(tmp_path / "chat.jsonl", message(1, "a very private word"))
    done = ferry.run("produce", log, *place, "-v")
    assert done.out.startswith(b"1 line, 1 acknowledged")
    assert "private" not in done.err
    assert ferry.run("produce", log, *place, "--restart", "--json", "-v").json["lines"] == 1


def test_python_m_producer_is_the_same_command(ferry: Ferry, place: list[str], log: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "producer", str(log), *place, "--json"],
        env=ferry.environment(), cwd=ferry.folder, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["lines"] == LINES


def test_second_signal_ends_at_once_and_loses_nothing(ferry: Ferry, place: list[str], log: Path) -> None:
    run: Running = ferry.start("produce", log, *place, "--rate", "500")
    run.wait_until(lambda: count_sent(place) > 0, "the first lines")
    run.send(signal.SIGINT)
    run.send(signal.SIGINT)
    assert run.wait(10).status == 130
    ferry.run("produce", log, *place)
    assert set(sent(place)) == set(lines_of(log))
