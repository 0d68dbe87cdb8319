"""What the tests of followed files share: a dispatch with a publisher that is a list, a clock that is set, and what
becomes of logs."""

import bz2
import gzip
import lzma
import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import zstandard

from producer.dispatch import Dispatch
from producer.following import Following
from producer.hold import CheckpointPlace
from producer.ledger import Pending
from producer.publisher import Publisher
from producer.shipment import Manner
from producer.sources.names import Names
from producer.topic import TopicFacts
from schemas.topics import Oversize

FACTS = TopicFacts("chat", 4, 1 << 20, "cluster/topic-id")


class Shelf:
    """A publisher that keeps lines in a list, and acknowledges them when it is told to."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self._waiting: list[Pending] = []

    def publish(self, lines: list[bytes], pending: Pending) -> None:
        """Take the lines of a block."""
        pending.parts += 1
        self.lines += lines
        self._waiting.append(pending)

    def refer(self, line: Oversize, source: str, pending: Pending) -> None:
        """There are no oversize lines in these tests."""
        raise AssertionError((line, source, pending))

    def serve(self, _seconds: float) -> None:
        """Take what was acknowledged meanwhile: all."""
        self.acknowledge()

    def flush(self, **_patience: object) -> int:
        """Wait for the rest."""
        self.acknowledge()
        return 0

    def acknowledge(self, blocks: int | None = None) -> None:
        """The oldest blocks, or all, are durable."""
        count = len(self._waiting) if blocks is None else blocks
        for pending in self._waiting[:count]:
            pending.acknowledged()
        del self._waiting[:count]


class Run:
    """A producer from its start until it is ended or killed, turn by turn."""

    def __init__(self, state: Path, names: Sequence[Path | str], *, restart: bool = False, begin: bool = True) -> None:
        self.seconds = 0.0
        self.shelf = Shelf()
        place = CheckpointPlace(state, restart)
        self.dispatch = Dispatch(cast("Publisher", self.shelf), FACTS, Manner(), place)
        self._names = [str(name) for name in names]
        self.restart = restart
        if begin:
            self.begin()

    def begin(self, rotated: Collection[str] = ()) -> None:
        """Look at the names for the first time; a file at those of `rotated` was moved away since the start."""
        self.following = Following(
            Names(self._names),
            self.dispatch.hold,
            self.dispatch._history,
            afresh=lambda path: self.restart and path not in rotated,
            clock=lambda: self.seconds,
        )

    @property
    def sent(self) -> list[bytes]:
        """What was sent so far."""
        return self.shelf.lines

    def turn(self, times: int = 1, *, acknowledge: bool = True) -> list[bytes]:
        """So many turns, a twentieth of a second each; returns what was sent in them."""
        before = len(self.sent)
        for _ in range(times):
            self.following.turn()
            if acknowledge:
                self.shelf.acknowledge()
            self.seconds += 0.05
        return self.sent[before:]

    def settle(self) -> list[bytes]:
        """Turns until nothing comes for more than a second; returns what was sent in them."""
        before, quiet = len(self.sent), 0
        while quiet < 30:
            quiet = 0 if self.turn() else quiet + 1
        return self.sent[before:]

    def wait(self, seconds: float) -> list[bytes]:
        """Let time pass, with a turn every second of it."""
        before = len(self.sent)
        until = self.seconds + seconds
        while self.seconds < until:
            self.turn()
            self.seconds += 0.95
        return self.sent[before:]

    def save(self) -> None:
        """Write the checkpoints, as each second does."""
        for shipment in self.dispatch.hold.shipments:
            shipment.save()

    def end(self) -> None:
        """End as after a signal."""
        self.shelf.acknowledge()
        self.dispatch.hold.close()

    def kill(self) -> None:
        """Be gone, and write nothing."""
        for stack in self.dispatch.hold._resources.values():
            with suppress(OSError):
                stack.close()
        self.dispatch.hold._resources.clear()


def text(*numbers: int) -> bytes:
    """Numbered lines as they stand in a log."""
    return b"".join(b"line %d\n" % number for number in numbers)


def lines(*numbers: int) -> list[bytes]:
    """The same as they are sent."""
    return [b"line %d" % number for number in numbers]


def append(path: Path, *numbers: int) -> None:
    """Write numbered lines to the end of a log."""
    with path.open("ab") as file:
        file.write(text(*numbers))


def rotated(log: Path, number: int = 1) -> Path:
    """Rename the log, and what was renamed before, as logrotate does."""
    target = log.with_name(f"{log.name}.{number}")
    if target.exists():
        rotated_further = log.with_name(f"{log.name}.{number + 1}")
        if rotated_further.exists():
            rotated(log, number + 1)
        else:
            target.rename(rotated_further)
    source = log if number == 1 else log.with_name(f"{log.name}.{number - 1}")
    return source.rename(target)


COMPRESS = {
    "gz": gzip.compress,
    "zst": zstandard.ZstdCompressor().compress,
    "xz": lzma.compress,
    "bz2": bz2.compress,
}


def compressed(path: Path, kind: str = "gz") -> Path:
    """Compress a file as gzip does: the copy has its time, and the original is gone."""
    packed = path.with_name(f"{path.name}.{kind}")
    times = path.stat()
    packed.write_bytes(COMPRESS[kind](path.read_bytes()))
    os.utime(packed, ns=(times.st_atime_ns, times.st_mtime_ns))
    path.unlink()
    return packed


def copied_and_truncated(log: Path, *numbers: int, number: int = 1) -> Path:
    """Copy the log and begin it again with these lines, as logrotate's copytruncate does; returns the copy."""
    copy = log.with_name(f"{log.name}.{number}")
    copy.write_bytes(log.read_bytes())
    log.write_bytes(text(*numbers))
    return copy


def sent_once(log: Path, start: Callable[..., Run], *numbers: int) -> None:
    """A first run that sends these lines, and ends."""
    append(log, *numbers)
    run = start(log)
    assert run.settle() == lines(*numbers)
    run.end()
