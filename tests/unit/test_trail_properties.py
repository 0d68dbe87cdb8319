"""Any sequence of writes, rotations, kills and restarts, against a model that knows what was written where."""

import gzip
import os
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.following import Run

WORDS = ["", "x", "a longer text " * 8]


@dataclass
class File:
    """What was written to one file, between two truncations."""

    lines: list[bytes] = field(default_factory=list)
    half: bytes = b""
    excused: bool = False
    """Whether what was not acknowledged may be lost: it was removed or truncated."""


class RotatedLog(RuleBasedStateMachine):
    """A log, its writer, who rotates it, and a producer that is killed and started again."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = TemporaryDirectory(prefix="chatferry-trail-")
        self.folder = Path(self._directory.name)
        (self.folder / "logs").mkdir()
        self.log = self.folder / "logs" / "chat.log"
        self.written: list[File] = []
        self.sent: set[bytes] = set()
        self.number = 0
        self.run: Run | None = None

    @initialize()
    def begin(self) -> None:
        """The writer opens its log, and the first producer starts."""
        self.reopen()
        self.start()
        assert self.run
        self.run.turn()  # before the first look nobody knows of the log

    # -- the writer --

    def reopen(self) -> None:
        self.handle: BinaryIO = self.log.open("ab", buffering=0)
        self.now = File()
        self.written.append(self.now)

    def _line(self, word: str) -> bytes:
        self.number += 1
        return b"%d %s" % (self.number, word.encode())

    @rule(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=5))
    def write(self, words: list[str]) -> None:
        for word in words:
            line = self._line(word)
            self.handle.write((b"" if self.now.half else line) + b"\n")
            self.now.lines.append(self.now.half or line)
            self.now.half = b""

    @rule(word=st.sampled_from(WORDS[1:]))
    def write_half_a_line(self, word: str) -> None:
        half = self._line(word) if not self.now.half else b" and more"
        self.handle.write(half)
        self.now.half += half

    # -- who rotates --

    def _shift(self) -> Path:
        """Make room for NAME.1, as logrotate does."""
        files = [file for file in self.log.parent.iterdir() if file.name != self.log.name]
        for file in sorted(files, key=lambda file: int(file.name.split(".")[2]), reverse=True):
            parts = file.name.split(".")
            file.rename(file.with_name(".".join([*parts[:2], str(int(parts[2]) + 1), *parts[3:]])))
        return self.log.with_name("chat.log.1")

    @rule(late=st.booleans(), words=st.lists(st.sampled_from(WORDS), max_size=2))
    def rotate(self, late: bool, words: list[str]) -> None:
        self.log.rename(self._shift())
        if late:
            self.log.touch()
            self.write(words)
        self.handle.close()
        self.reopen()

    @rule()
    def copy_and_truncate(self) -> None:
        sent = self.sent | set(self.run.sent if self.run else ())
        self.now.excused = not sent & set(self.now.lines)  # where nothing was read, nobody sees that anything is gone
        self._shift().write_bytes(self.log.read_bytes())
        self._truncate()

    @rule()
    def truncate(self) -> None:
        self.now.excused = True
        self._truncate()

    def _truncate(self) -> None:
        os.truncate(self.log, 0)
        self.now = File()
        self.written.append(self.now)

    @rule()
    def remove_and_make_anew(self) -> None:
        self.now.excused = True
        self.log.unlink()
        self.handle.close()
        self.reopen()

    @rule(pick=st.integers(0, 9))
    def compress(self, pick: int) -> None:
        files = sorted(file for file in self.log.parent.iterdir() if file.name[-1].isdigit())
        if files:
            file = files[pick % len(files)]
            times = file.stat()
            packed = file.with_name(f"{file.name}.gz")
            packed.write_bytes(gzip.compress(file.read_bytes(), 1))
            os.utime(packed, ns=(times.st_atime_ns, times.st_mtime_ns))
            file.unlink()

    # -- the producer --

    def start(self) -> None:
        self.run = Run(self.folder / "state", [self.log])

    @precondition(lambda self: self.run)
    @rule(turns=st.integers(1, 6), acknowledge=st.booleans())
    def produce(self, turns: int, acknowledge: bool) -> None:
        assert self.run
        self.run.turn(turns, acknowledge=acknowledge)

    @precondition(lambda self: self.run)
    @rule()
    def save(self) -> None:
        assert self.run
        self.run.save()

    @precondition(lambda self: self.run)
    @rule()
    def a_minute_goes_by(self) -> None:
        assert self.run
        self.run.wait(62)

    @precondition(lambda self: self.run)
    @rule(kill=st.booleans())
    def end(self, kill: bool) -> None:
        assert self.run
        self._judge(self.run)
        if kill:
            self.run.kill()
        else:
            self.run.end()
        self.run = None

    @precondition(lambda self: not self.run)
    @rule()
    def start_again(self) -> None:
        self.start()

    # -- the judge --

    @invariant()
    def only_whole_lines_are_sent(self) -> None:
        if self.run:
            assert {*self.run.sent} <= {line for file in self.written for line in file.lines}

    def _judge(self, run: Run) -> None:
        """What a run sent of a file stands in the order of the file."""
        firsts = {line: place for place, line in reversed(list(enumerate(run.sent)))}
        for file in self.written:
            places = [firsts[line] for line in file.lines if line in firsts]
            assert places == sorted(places)
        self.sent |= set(run.sent)

    def teardown(self) -> None:
        """A last run sends what is left; then nothing may be missing."""
        try:
            if self.run is None:
                self.start()
            assert self.run
            self.run.settle()
            self.run.wait(62)  # so long an empty file at the name is waited with
            self.run.turn(200)  # and then each of those that came in between has its turns
            self.run.settle()
            self._judge(self.run)
            owed = [line for file in self.written if not file.excused for line in file.lines]
            assert [line for line in owed if line not in self.sent] == []
        finally:
            if self.run:
                self.run.kill()
            self.handle.close()
            self._directory.cleanup()


RotatedLog.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestAnythingThatHappensToALogLosesNothing = RotatedLog.TestCase
