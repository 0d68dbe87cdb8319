"""Standard input as a live system: it cannot be dialed again, so nothing of it may be dropped on the way."""

import asyncio
import gzip
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from producer.live.ear import PrintingEar
from producer.live.listener import Patience, keep_listening
from producer.live.memory import Memory
from producer.live.secrets import Secrets
from producer.live.spool import Mark
from producer.live.standard_input import READ_BYTES, InputListener
from producer.live.station import Account
from producer.live.urls import InputPlace
from schemas.errors import InputBroken, Stop

LINES = [b'{"number": %07d}' % number for number in range(2 * READ_BYTES // 18)]
TEXT = b"\n".join(LINES)

Give = Callable[[bytes], None]


@pytest.fixture
def give(tmp_path: Path) -> Iterator[Give]:
    """Makes standard input of these bytes."""
    ours = os.dup(0)

    def be(content: bytes) -> None:
        file = tmp_path / "input"
        file.write_bytes(content)
        use(file)

    yield be
    os.dup2(ours, 0)
    os.close(ours)


def use(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.dup2(descriptor, 0)
    os.close(descriptor)


class Desk(PrintingEar):
    """Its disk fails at these calls; at `stuck` there is no room for ever."""

    def __init__(self, failing: Sequence[int] = (), stuck: int = -1) -> None:
        self.account = Account()
        self.taken: list[bytes] = []
        super().__init__("-", self.account, self.taken.append, 1000)
        self.calls = 0
        self.waits = asyncio.Event()
        self.begun = asyncio.Event()
        self._failing = failing
        self._stuck = stuck

    async def take_lines(self, lines: Sequence[bytes]) -> Mark:
        """Fail, wait for ever, or take them."""
        self.calls += 1
        if self.calls == self._stuck:
            self.waits.set()
            await asyncio.Event().wait()
        if self.calls in self._failing:
            raise Stop("Cannot write the spool")
        if lines:
            self.begun.set()
        return await super().take_lines(lines)


async def listen(desk: Desk) -> None:
    async def sleep(_seconds: float) -> None:
        """Not at all."""

    place = InputPlace("-", "standard-input")
    await keep_listening(InputListener(place, Secrets((), [place], {}), Memory(None)), desk, Patience(sleep=sleep))


@pytest.mark.parametrize("failing", [[1], [2, 3], [4], [1, 2, 3, 4, 5]])
@pytest.mark.parametrize("packed", [False, True])
def test_what_the_disk_did_not_take_is_taken_when_it_works_again(
    give: Give, failing: list[int], packed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    give(gzip.compress(TEXT) if packed else TEXT)
    desk = Desk(failing)
    asyncio.run(listen(desk))
    assert desk.taken == LINES
    assert desk.account.refused.total() == 0
    assert ("Cannot write the spool" in caplog.text) is ("Back after" in caplog.text) is True


@pytest.mark.parametrize("failing", [[], [1, 2]])
def test_damaged_input_ends_the_command_when_all_before_it_was_taken(give: Give, failing: list[int]) -> None:
    packed = gzip.compress(TEXT + b"\n")
    give(packed[:-8] + b"\0" * 8)  # the sum of all of it is wrong
    desk = Desk(failing)
    with pytest.raises(InputBroken, match="is damaged or cut short"):
        asyncio.run(listen(desk))
    assert desk.taken == LINES


def test_input_cut_short_ends_the_command_when_its_whole_lines_were_taken(give: Give) -> None:
    packed = gzip.compress(TEXT)
    give(packed[: len(packed) // 2])
    desk = Desk()
    with pytest.raises(InputBroken, match="is damaged or cut short"):
        asyncio.run(listen(desk))
    assert 0 < len(desk.taken) < len(LINES)
    assert desk.taken == LINES[: len(desk.taken)]


def test_input_that_is_a_folder_is_told(give: Give, tmp_path: Path) -> None:
    give(b"")
    use(tmp_path)
    with pytest.raises(InputBroken, match="standard input: cannot be read: Is a directory"):
        asyncio.run(listen(Desk()))


def test_signal_while_it_is_read_loses_nothing_of_what_was_read(give: Give, caplog: pytest.LogCaptureFixture) -> None:
    """It is taken, or still there for whoever reads on."""

    async def work(write: int, wait_seconds: float) -> list[bytes]:
        desk = Desk()
        task = asyncio.create_task(listen(desk))
        os.write(write, b"line 0\n")
        await asyncio.wait_for(desk.begun.wait(), 30)
        os.write(write, b"line 1\nline 2\n3")
        await asyncio.sleep(wait_seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return desk.taken

    give(b"")
    for tenths in range(10):
        read, write = os.pipe()
        os.dup2(read, 0)
        os.close(read)
        taken = asyncio.run(work(write, tenths / 10_000))
        os.close(write)
        left = os.read(0, 100)
        assert b"".join(line + b"\n" for line in taken) + left in (
            b"line 0\nline 1\nline 2\n3",
            b"line 0\nline 1\nline 2\n",
        )
        assert left or "the last 1 bytes that were read are not a whole line" in caplog.text
        caplog.clear()


def test_lines_that_were_read_and_not_taken_before_a_signal_are_counted(
    give: Give, caplog: pytest.LogCaptureFixture
) -> None:
    give(b"the first\nthe second\nthe third\n")

    async def work() -> Desk:
        desk = Desk(stuck=1)
        task = asyncio.create_task(listen(desk))
        await asyncio.wait_for(desk.waits.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return desk

    assert asyncio.run(work()).account.refused == {"-": 3}
    assert "3 lines that were heard could not be put on the spool" in caplog.text
