"""`chatferry produce --speed`: files merged by time, on the clock that their timestamps give."""

import json
import os
import pty
import select
import signal
import subprocess
import termios
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.ferry import PROGRAM, SECONDS, Ferry, create_topic, ends, message, records, values, wait_until
from tests.services.kafka import GivenKafka, Kafka

START = 1_700_000_000


@pytest.fixture
def place(kafka: Kafka | GivenKafka, topic: str) -> list[str]:
    """The flags that name a topic of one partition, which so has one order."""
    create_topic(kafka.brokers, topic, 1)
    return ["--brokers", kafka.brokers, "--topic", topic]


def sent(place: list[str]) -> list[bytes]:
    """What is on the topic, in its order."""
    return values(place[1], place[3])


def count_sent(place: list[str]) -> int:
    """How many records are on the topic."""
    return sum(ends(place[1], place[3]).values())


def span(place: list[str]) -> float:
    """Seconds between the first and the last record's sending, by the time that Kafka has of them."""
    moments = [record.milliseconds for record in records(place[1], place[3])]
    return (max(moments) - min(moments)) / 1e3


def on_schedule(seconds: float, account: dict[str, Any]) -> object:
    """A span of so many seconds, give or take what the run itself says that a line was late: a busy machine's doing."""
    return pytest.approx(seconds, rel=0.01, abs=0.1 + account["drift_ms"]["max"] / 1e3)


def lines(name: str, seconds: float, step: float, first: float = 0.0) -> list[bytes]:
    """A line each `step` seconds, with ids of their own."""
    count = round(seconds / step) + 1
    return [message(n, id=f"{name}-{n}", timestamp=round(START + first + n * step, 6)) for n in range(count)]


def write(path: Path, content: list[bytes]) -> Path:
    """A log of these lines."""
    path.write_bytes(b"".join(line + b"\n" for line in content))
    return path


def moment(line: bytes) -> float:
    """The line's timestamp."""
    return float(json.loads(line)["timestamp"])


def offsets(folder: Path) -> dict[str, int]:
    """The byte offset of each checkpoint in a state folder."""
    return {file.name: int(json.loads(file.read_bytes())["offset"]) for file in folder.glob("*.json")}


def all_moved(before: dict[str, int], now: dict[str, int]) -> bool:
    """Whether three files' checkpoints lie behind where they lay."""
    return len(now) == 3 and all(offset > before.get(name, 0) for name, offset in now.items())


def checkpoints(folder: Path) -> int:
    """The sum of the byte offsets in a state folder."""
    return sum(offsets(folder).values())


# --- merged by time -------------------------------------------------------------------------------------------------


def test_files_are_on_the_topic_in_the_order_of_their_timestamps_each_line_once(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    parts = [lines("a", 600, 0.6), lines("b", 300, 0.5, first=50), lines("c", 100, 0.25, first=200.1)]
    logs = [write(tmp_path / f"{n}.jsonl", part) for n, part in enumerate(parts)]
    account = ferry.run("produce", *logs, *place, "--speed", "300", "--json").json
    everything = [line for part in parts for line in part]
    assert sent(place) == sorted(everything, key=moment)  # stable: of equal moments the first file's comes first
    assert account["lines"] == account["acknowledged"] == len(everything)
    assert set(account["resumed_from"]) == {str(log) for log in logs}
    assert 0 <= account["drift_ms"]["p50"] <= account["drift_ms"]["p99"] <= account["drift_ms"]["max"]


def test_six_minutes_sixty_times_as_fast_end_after_six_seconds(ferry: Ferry, place: list[str], tmp_path: Path) -> None:
    logs = [write(tmp_path / f"{n}.jsonl", lines(str(n), 360, 1.0, first=n / 3)) for n in range(3)]
    account = ferry.run("produce", *logs, *place, "--speed", "60", "--json").json
    assert span(place) == on_schedule(360.67 / 60, account)
    assert account["paused_seconds"] == 0


def test_window_is_merged_and_what_lies_before_it_takes_no_time(ferry: Ferry, place: list[str], tmp_path: Path) -> None:
    logs = [write(tmp_path / f"{n}.jsonl", lines(str(n), 1_000, 1.0, first=n / 2)) for n in range(2)]
    window = ["--from", str(START + 800), "--until", str(START + 830)]
    account = ferry.run("produce", *logs, *place, *window, "--speed", "30", "--json").json
    assert (account["acknowledged"], account["outside_window"]) == (60, 2_002 - 60)
    assert [moment(line) - START for line in sent(place)] == [800 + n / 2 for n in range(60)]
    assert span(place) == on_schedule(29.5 / 30, account)


def test_standard_input_is_merged_with_a_file(ferry: Ferry, place: list[str], tmp_path: Path) -> None:
    ours, theirs = lines("a", 20, 1.0), lines("b", 20, 1.0, first=0.5)
    log = write(tmp_path / "a.jsonl", ours)
    spoken = b"".join(line + b"\n" for line in theirs)
    result = ferry.run("produce", log, "-", *place, "--speed", "100", stdin=spoken)
    assert sent(place) == sorted(ours + theirs, key=moment)
    assert "drift p50" in result.out.decode()
    assert "paused" not in result.out.decode()


# --- ended and started again ----------------------------------------------------------------------------------------


def three_logs(folder: Path) -> list[Path]:
    """30 s of 200 lines a second in three files, one of them a second behind."""
    firsts = {"a": 0.0, "b": 0.007, "c": 1.0}
    return [write(folder / f"{name}.jsonl", lines(name, 30, 0.015, first=first)) for name, first in firsts.items()]


def content(logs: list[Path]) -> list[bytes]:
    """The lines of all logs."""
    return [line for log in logs for line in log.read_bytes().splitlines()]


def test_killed_again_and_again_in_a_merged_replay_it_leaves_no_gap(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    logs, state = three_logs(tmp_path), tmp_path / "state"
    command = ["produce", *map(str, logs), *place, "--state", str(state), "--speed", "10", "--json"]
    for _ in range(3):
        stood = offsets(state)
        running = ferry.start(*command)
        running.wait_until(lambda stood=stood: all_moved(stood, offsets(state)), "each checkpoint moves")  # type: ignore[misc]
        assert running.end(signal.SIGKILL).status == -signal.SIGKILL
    last = ferry.run(*command).json
    assert len(last["resumed_from"]) == 3
    assert all(last["resumed_from"].values())
    assert last["lines"] < len(content(logs))
    assert set(sent(place)) == set(content(logs))
    assert checkpoints(state) == sum(log.stat().st_size for log in logs)


def test_ended_by_a_signal_the_next_run_sends_the_rest_and_nothing_twice(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    logs, state = three_logs(tmp_path), tmp_path / "state"
    command = ["produce", *map(str, logs), *place, "--state", str(state), "--speed", "10", "--json"]
    running = ferry.start(*command)
    running.wait_until(lambda: count_sent(place) > 500, "lines arrive")
    first = running.end(signal.SIGTERM, seconds=10)
    assert first.status == 143
    assert 500 < first.json["acknowledged"] == count_sent(place) < len(content(logs))
    second = ferry.run(*command).json
    assert first.json["acknowledged"] + second["acknowledged"] == len(content(logs))
    assert Counter(sent(place)) == Counter(content(logs))


@pytest.mark.parametrize("pace", [["--speed", "1"], ["--rate", "2"]], ids=["speed", "rate"])
def test_ended_by_a_signal_what_is_not_due_stays_for_the_next_run(
    ferry: Ferry, place: list[str], tmp_path: Path, pace: list[str]
) -> None:
    """Lines of tomorrow in the same few bytes as those of now, also while it is paused."""
    log = write(tmp_path / "a.jsonl", lines("a", 20, 0.5))
    command = ["produce", str(log), *place, *pace, "--state", str(tmp_path / "state"), "--json"]
    running = ferry.start(*command)
    running.wait_until(lambda: count_sent(place) > 2, "lines arrive")
    running.send(signal.SIGUSR1)
    running.wait_until(lambda: "Paused" in running.err, "the word that it is paused")
    first = running.end(signal.SIGTERM, seconds=10).json["acknowledged"]
    assert 2 < first == count_sent(place) < 30
    rest = ferry.run("produce", log, *place, "--speed", "1e6", "--state", tmp_path / "state", "--json").json
    assert first + rest["acknowledged"] == len(content([log]))
    assert Counter(sent(place)) == Counter(content([log]))


# --- pauses and stalls ----------------------------------------------------------------------------------------------


def test_sigusr1_pauses_and_lets_go_on_and_what_is_acknowledged_is_written_down_meanwhile(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    log, state = write(tmp_path / "a.jsonl", lines("a", 40, 0.02)), tmp_path / "state"
    running = ferry.start("produce", log, *place, "--speed", "10", "--state", state, "--json")
    running.wait_until(lambda: count_sent(place) > 300, "lines arrive")
    running.send(signal.SIGUSR1)
    running.wait_until(lambda: "Paused" in running.err, "the word that it is paused")
    paused = time.monotonic()
    reached = 0

    def stands_still() -> bool:
        nonlocal reached
        before, reached = reached, count_sent(place)
        return before == reached and time.monotonic() > paused + 2

    running.wait_until(stands_still, "nothing more arrives")
    block = 8 << 10
    due = log.stat().st_size * reached / 2_001 - block - 1_000
    running.wait_until(lambda: checkpoints(state) >= due, "a checkpoint of all but the block that is begun")
    assert reached < 2_001
    running.send(signal.SIGUSR1)
    account = running.wait().json
    assert account["acknowledged"] == count_sent(place) == 2_001
    assert account["paused_seconds"] >= 1.8
    assert span(place) == on_schedule(4 + account["paused_seconds"], account)
    assert "Going on after a pause" in running.err


@pytest.mark.parametrize(("flag", "skipped"), [("--catch-up", False), ("--no-catch-up", True)])
def test_stall_is_caught_up_with_or_skipped_as_asked(
    ferry: Ferry, place: list[str], tmp_path: Path, flag: str, skipped: bool
) -> None:
    log = write(tmp_path / "a.jsonl", lines("a", 60, 0.1))
    running = ferry.start("produce", log, *place, "--speed", "10", "--state", tmp_path / "s", "--json", flag)
    running.wait_until(lambda: count_sent(place) > 50, "lines arrive")
    running.send(signal.SIGSTOP)
    stopped = time.monotonic()
    running.wait_until(lambda: time.monotonic() > stopped + 3, "three seconds are over")
    running.send(signal.SIGCONT)
    account = running.wait().json
    assert Counter(sent(place)) == Counter(content([log]))
    assert bool(account["skipped_seconds"]) == skipped
    if skipped:
        assert account["skipped_seconds"] >= 1.9
    else:
        assert account["drift_ms"]["max"] >= 2_000
    assert span(place) == pytest.approx(6 + account["skipped_seconds"], abs=1)


# --- the keyboard ---------------------------------------------------------------------------------------------------

ONCE = """trap : INT; "$@"; echo "ended with $?"; stty -a"""
STOPPED_AND_GOING_ON = """"$@"; echo "stopped with $?"; stty -a; echo seen; fg; echo "ended with $?"; stty -a"""


class Terminal:
    """A command with a terminal of its own, started by a shell that says afterwards how the terminal was left."""

    def __init__(self, ferry: Ferry, script: str, *args: str | Path) -> None:
        self._ours, theirs = pty.openpty()
        self.seen = b""
        shell = ["setsid", "--ctty", "sh", "-mc", script, "sh", PROGRAM, *map(str, args)]
        self._process = subprocess.Popen(
            shell, stdin=theirs, stdout=theirs, stderr=theirs, env=ferry.environment({"TERM": "xterm"})
        )
        os.close(theirs)

    def read_until(self, text: str) -> str:
        """Read until the text is shown; what was shown up to it since the last call. Raises TimeoutError where it is
        not."""
        deadline = time.monotonic() + SECONDS
        while text.encode() not in self.seen:
            if time.monotonic() > deadline:
                raise TimeoutError(f"not shown: {text!r} in {self.seen!r}")
            if select.select([self._ours], [], [], 0.1)[0]:
                self.seen += os.read(self._ours, 4096)
        before, _, self.seen = self.seen.partition(text.encode())
        return before.decode(errors="replace")

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._ours, keys)

    @property
    def takes_keys(self) -> bool:
        """Whether keys come without Enter, and unseen."""
        return not termios.tcgetattr(self._ours)[3] & (termios.ICANON | termios.ECHO)

    def close(self) -> None:
        """Hang up."""
        os.close(self._ours)
        self._process.wait(SECONDS)


@pytest.fixture
def terminal(ferry: Ferry) -> Iterator[Callable[..., Terminal]]:
    """Makes terminals, which are closed when the test ends."""
    with ExitStack() as resources:

        def start(script: str, *args: str | Path) -> Terminal:
            made = Terminal(ferry, script, *args)
            resources.callback(made.close)
            return made

        yield start


def left_as_it_was(shown: str) -> bool:
    """Whether `stty -a` shows a terminal that echoes and waits for Enter."""
    words = shown.replace(";", " ").split()
    return {"icanon", "echo"} <= set(words)


@pytest.mark.parametrize("key", [b" ", b"p"])
def test_key_pauses_and_lets_go_on_and_the_terminal_is_left_as_it_was(
    place: list[str], terminal: Callable[..., Terminal], tmp_path: Path, key: bytes
) -> None:
    log = write(tmp_path / "a.jsonl", lines("a", 20, 0.02))
    screen = terminal(ONCE, "produce", log, *place, "--speed", "10")
    screen.read_until("drift p50")
    assert screen.takes_keys
    screen.type(b"x" + key)  # other keys do nothing
    screen.read_until("Paused")
    screen.read_until("paused")  # beside the bar
    stood = count_sent(place)
    assert stood < 1_001
    screen.type(key)
    screen.read_until("Going on")
    screen.read_until("ended with 0")
    assert left_as_it_was(screen.read_until("echoke"))
    assert count_sent(place) == 1_001


@pytest.mark.parametrize("interrupts", [1, 2])
def test_ctrl_c_while_keys_are_taken_leaves_the_terminal_as_it_was(
    place: list[str], terminal: Callable[..., Terminal], tmp_path: Path, interrupts: int
) -> None:
    log = write(tmp_path / "a.jsonl", lines("a", 1_000, 0.02))
    screen = terminal(ONCE, "produce", log, *place, "--speed", "10")
    screen.read_until("drift p50")
    for _ in range(interrupts):
        screen.type(b"\x03")
    screen.read_until("ended with 130")
    assert left_as_it_was(screen.read_until("echoke"))


def test_ctrl_z_gives_the_terminal_back_and_fg_takes_it_again(
    place: list[str], terminal: Callable[..., Terminal], tmp_path: Path
) -> None:
    log = write(tmp_path / "a.jsonl", lines("a", 20, 0.02))
    screen = terminal(STOPPED_AND_GOING_ON, "produce", log, *place, "--speed", "10")
    screen.read_until("drift p50")
    screen.type(b"\x1a")
    screen.read_until("stopped with")
    assert left_as_it_was(screen.read_until("seen"))
    screen.read_until("drift p50")
    screen.type(b"p")
    screen.read_until("Paused")
    assert screen.takes_keys
    screen.type(b"p")
    screen.read_until("ended with 0")
    assert left_as_it_was(screen.read_until("echoke"))


def test_standard_input_that_is_the_log_is_no_keyboard(place: list[str], terminal: Callable[..., Terminal]) -> None:
    screen = terminal(ONCE, "produce", "-", *place, "--speed", "10")
    screen.type(message(1) + b"\n" + b"\x04")  # a line, and the end: the terminal's own line editing
    screen.read_until("ended with 0")
    assert sent(place) == [message(1)]


# --- loops ----------------------------------------------------------------------------------------------------------


def test_rounds_send_the_files_so_often_with_other_ids_and_a_second_run_has_other_ids_again(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    logs = [write(tmp_path / f"{name}.jsonl", lines(name, 5, 0.5)) for name in "ab"]
    plain = sorted(content(logs), key=moment)
    command = ["produce", *map(str, logs), *place, "--rounds", "3", "--speed", "20", "--json"]
    account = ferry.run(*command).json
    assert (account["lines"], account["rounds"], account["resumed_from"]) == (66, 3, {})
    arrived = sent(place)
    assert [moment(line) for line in arrived] == [moment(line) for line in plain] * 3
    assert len({json.loads(line)["id"] for line in arrived}) == 66
    assert [json.loads(line)["id"].partition("~")[0] for line in arrived] == [
        json.loads(line)["id"] for line in plain
    ] * 3
    assert span(place) > 0.7  # and what is waited for between two rounds
    wait_until(lambda: int(time.time()) > int(json.loads(arrived[0])["id"].split("~")[1].split(".")[0]), "a second")
    ferry.run(*command)
    assert len({json.loads(line)["id"] for line in sent(place)}) == 132
    assert not list((ferry.folder / "state-home").rglob("*.json")), "a loop wrote a checkpoint"


def test_loop_goes_on_until_a_signal_and_leaves_the_next_plain_run_all_to_send(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    log = write(tmp_path / "a.jsonl", lines("a", 100, 1.0))
    running = ferry.start("produce", log, *place, "--loop", "--rate", "2000", "--json")
    running.wait_until(lambda: count_sent(place) > 500, "the fifth round")
    ended = running.end(signal.SIGTERM)
    assert (ended.status, ended.json["acknowledged"]) == (143, count_sent(place))
    assert ended.json["rounds"] >= 5
    assert "started again it begins anew" in ended.err
    assert ferry.run("produce", log, *place, "--json").json["acknowledged"] == 101


@pytest.mark.parametrize(("more", "said"), [(["-"], "cannot be read again"), (["--follow"], "has no end")])
def test_loop_over_what_has_no_end_or_no_second_reading_is_a_usage_problem(
    ferry: Ferry, place: list[str], tmp_path: Path, more: list[str], said: str
) -> None:
    log = write(tmp_path / "a.jsonl", lines("a", 1, 1.0))
    assert said in ferry.run("produce", log, *place, "--loop", *more, check=2).error


def test_loop_over_nothing_ends_and_says_so(ferry: Ferry, place: list[str], tmp_path: Path) -> None:
    log = write(tmp_path / "a.jsonl", [b"", b" "])
    result = ferry.run("produce", log, *place, "--loop", "--json")
    assert (result.json["lines"], result.json["rounds"]) == (2, 1)
    assert "A round without a line to send" in result.err


# --- the hour -------------------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.timeout(900)
def test_an_hour_ten_times_as_fast_ends_within_one_per_cent_of_six_minutes(
    ferry: Ferry, place: list[str], tmp_path: Path
) -> None:
    logs = [write(tmp_path / f"{n}.jsonl", lines(str(n), 3_600, 0.5, first=n / 7)) for n in range(3)]
    account = ferry.run("produce", *logs, *place, "--speed", "10", "--json", seconds=600).json
    assert account["acknowledged"] == 3 * 7_201
    assert account["seconds"] == pytest.approx(360, rel=0.01)
    assert span(place) == pytest.approx(360, rel=0.01)
