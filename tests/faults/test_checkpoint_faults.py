"""What may befall a checkpoint between two runs of `produce`: lines are sent again, or nothing is; none is passed over.

(A disk without room, and a kill around the write, are in test_producer_faults.py and test_failpoint_faults.py.)
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.ferry import Ferry, count_rows, ends, lines_of, message, values

LINES = 500
FRESH = 100


@dataclass
class Produced:
    """A log that was sent once, with the checkpoint of that run, and has grown since."""

    ferry: Ferry
    brokers: str
    topic: str
    log: Path
    state: Path

    @property
    def command(self) -> list[str]:
        return ["produce", str(self.log), "--brokers", self.brokers, "--topic", self.topic, "--state", str(self.state)]

    @property
    def checkpoint(self) -> Path:
        (file,) = self.state.glob("*.json")
        return file

    def append(self, lines: int) -> None:
        """Let the log grow."""
        start = len(lines_of(self.log))
        with self.log.open("ab") as log:
            log.writelines(message(number) + b"\n" for number in range(start, start + lines))

    def assert_sent_again(self, said: str) -> None:
        """The next run says why it begins at the start, and sends every line."""
        result = self.ferry.run(*self.command, "--json")
        lines = lines_of(self.log)
        assert said in result.err
        assert result.json["resumed_from"] == {str(self.log): 0}
        assert result.json["acknowledged"] == len(lines)
        arrived = Counter(values(self.brokers, self.topic))
        assert set(arrived) >= set(lines), "lines were passed over"
        assert arrived[lines[0]] == 2, "nothing was sent again: the checkpoint was believed"
        assert self.ferry.run(*self.command, "--json").json["lines"] == 0, "the new checkpoint is not believed"

    def assert_refused(self, said: str) -> None:
        """The next run sends nothing, and says what to do."""
        before = ends(self.brokers, self.topic)
        assert said in self.ferry.run(*self.command, check=1).error
        assert ends(self.brokers, self.topic) == before

    def assert_goes_on(self) -> None:
        """The next run sends what is new and nothing else."""
        self.ferry.run(*self.command)
        assert Counter(values(self.brokers, self.topic)) == Counter(lines_of(self.log))


@pytest.fixture
def produced(brokers: str, topic: str, ferry: Ferry, tmp_path: Path) -> Produced:
    log = tmp_path / "chat.jsonl"
    log.touch()
    produced = Produced(ferry, brokers, topic, log, tmp_path / "state")
    produced.append(LINES)
    ferry.run(*produced.command)
    produced.append(FRESH)
    return produced


def digit_changed(content: bytes) -> bytes:
    """Another offset, which is the end of a line, too: nothing but the seal tells."""
    offset = content.partition(b'"offset":')[2].partition(b",")[0]
    later = sum(len(message(number)) + 1 for number in range(LINES + FRESH - 1))
    assert int(offset) < later
    return content.replace(offset, str(later).encode(), 1)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda content: content[: len(content) // 2], id="torn"),
        pytest.param(lambda content: content[:-1], id="torn at its last byte", marks=pytest.mark.long),
        pytest.param(lambda content: bytes(len(content)), id="zeros", marks=pytest.mark.long),
        pytest.param(lambda content: content + content, id="twice", marks=pytest.mark.long),
        pytest.param(digit_changed, id="another offset"),
    ],
)
def test_damaged_checkpoint_has_every_line_sent_again(produced: Produced, damage: Callable[[bytes], bytes]) -> None:
    produced.checkpoint.write_bytes(damage(produced.checkpoint.read_bytes()))
    produced.assert_sent_again("damaged")


def test_checkpoint_past_the_end_of_a_log_that_was_cut_has_what_is_left_sent_again(produced: Produced) -> None:
    lines = lines_of(produced.log)
    produced.log.write_bytes(b"".join(line + b"\n" for line in lines[: LINES // 2]))
    produced.assert_sent_again("truncated")


@pytest.mark.long
def test_checkpoint_of_another_log_has_every_line_sent_again(produced: Produced, tmp_path: Path) -> None:
    ours = produced.checkpoint
    other = tmp_path / "other.jsonl"
    other.write_bytes(b"".join(message(number, "of another log") + b"\n" for number in range(LINES // 2)))
    before = set(produced.state.glob("*.json"))
    produced.ferry.run("produce", other, *produced.command[2:])
    (foreign,) = set(produced.state.glob("*.json")) - before
    foreign.rename(ours)
    produced.assert_sent_again("damaged")


def test_checkpoint_of_a_log_with_the_same_first_lines_has_every_line_sent_again(
    produced: Produced, tmp_path: Path
) -> None:
    """The first bytes are the same, and the offset is the end of a line in both: only whose it is tells."""
    ours = produced.checkpoint
    other = Path(shutil.copy(produced.log, tmp_path / "other.jsonl"))
    before = set(produced.state.glob("*.json"))
    produced.ferry.run("produce", other, *produced.command[2:], "--until", str(1_700_000_000))  # reads it to its end
    (foreign,) = set(produced.state.glob("*.json")) - before
    foreign.rename(ours)
    produced.assert_sent_again("damaged")


def test_removed_checkpoint_has_every_line_sent_again(produced: Produced) -> None:
    produced.checkpoint.unlink()
    produced.assert_sent_again("")


@pytest.mark.parametrize("kind", ["folder", "link", "pipe"])
def test_no_file_in_the_place_of_the_checkpoint_is_refused_until_it_is_gone(
    produced: Produced, tmp_path: Path, kind: str
) -> None:
    place = produced.checkpoint
    kept = place.rename(tmp_path / "kept")
    make: dict[str, Callable[[], None]] = {
        "folder": place.mkdir,
        "link": lambda: place.symlink_to(kept),
        "pipe": lambda: os.mkfifo(place),
    }
    make[kind]()
    produced.assert_refused("Remove it")
    if kind == "folder":
        place.rmdir()
    kept.rename(place)
    produced.assert_goes_on()


def test_folder_in_the_place_of_the_lock_is_refused_until_it_is_gone(produced: Produced) -> None:
    lock = produced.checkpoint.with_suffix(".lock")
    lock.unlink()
    lock.mkdir()
    produced.assert_refused("Cannot use the state folder")
    lock.rmdir()
    produced.assert_goes_on()


# -- two producers on one file -----------------------------------------------------------------------------------------


def test_second_producer_is_refused_under_every_name_of_the_log_and_of_the_state_folder(
    produced: Produced, tmp_path: Path
) -> None:
    first = produced.ferry.start(*produced.command, "--follow")
    first.wait_until(lambda: sum(ends(produced.brokers, produced.topic).values()) == LINES + FRESH, "the whole log")
    hard, soft, folder = tmp_path / "hard.jsonl", tmp_path / "soft.jsonl", tmp_path / "folder"
    hard.hardlink_to(produced.log)
    soft.symlink_to(produced.log)
    folder.symlink_to(tmp_path)
    names = [produced.log, hard, soft, folder / produced.log.name, Path(produced.log.name)]
    place = produced.command[2:-1]
    states = [produced.state, folder / "state", Path("state"), tmp_path / "state" / ".." / "state", produced.state]
    for name, state in zip(names, states, strict=True):
        second = produced.ferry.run("produce", name, *place, state, check=1)
        assert "Another producer is sending" in second.error, (name, state)
    produced.append(FRESH)  # and the first works on
    first.wait_until(lambda: sum(ends(produced.brokers, produced.topic).values()) == LINES + 2 * FRESH, "fresh lines")
    assert Counter(values(produced.brokers, produced.topic)) == Counter(lines_of(produced.log))


@pytest.mark.long
def test_two_producers_with_state_folders_of_their_own_send_all_twice_and_the_table_takes_it_once(
    produced: Produced, database: str, group: str, tmp_path: Path
) -> None:
    """They cannot know of each other: whose folders these are may be on two machines."""
    place = produced.command[2:-1]
    running = [
        produced.ferry.start("produce", produced.log, *place, tmp_path / name, "--json", "--rate", "300")
        for name in ("one", "two")
    ]
    assert [run.wait().json["acknowledged"] for run in running] == [LINES + FRESH] * 2
    named = ["--brokers", produced.brokers, "--topic", produced.topic, "--group", group, "--database", database]
    account = produced.ferry.run("consume", *named, "--until-end", "--json").json
    assert (account["rows"], account["repeats"]) == (LINES + FRESH, 2 * LINES + FRESH)
    assert count_rows(database) == LINES + FRESH
