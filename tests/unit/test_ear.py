"""What listeners speak into: what is too long for the topic is refused, and never lost in silence."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from producer.live.carrier import Carrier
from producer.live.ear import NO_ROOM_SECONDS, Desk, PrintingEar, SpoolEar
from producer.live.spool import Spool
from producer.live.station import Account
from producer.private import private_folder
from schemas.errors import SpoolFull

LONGEST = 100
LONG = json.dumps({"id": "irc/net/\x1b[2J", "data": "x" * LONGEST}).encode()


class Idle:
    """A carrier that carries nothing."""

    longest_line = LONGEST

    def look(self) -> None:
        """There is more."""


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(private_folder(tmp_path / "state"), 1 << 20)


def told(lines: Sequence[bytes], spool: Spool) -> tuple[Desk, int]:
    desk = Desk(spool, cast("Carrier", Idle()))
    return desk, asyncio.run(SpoolEar("here", desk).take_lines(lines))


def test_line_too_long_for_the_topic_is_refused_told_and_not_on_the_spool(
    spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    desk, mark = told([b"one", LONG, b"x" * LONGEST, b"y" * (LONGEST + 1)], spool)
    assert spool.read(0, 1000) == b"one\n" + b"x" * LONGEST + b"\n"
    assert mark == spool.written
    assert (desk.heard, desk.refused) == ({"here": 2}, {"here": 2})
    first, second = caplog.messages
    assert (
        first
        == f"here: the message 'irc/net/\\x1b[2J' has {len(LONG)} bytes, more than the topic takes, and is not taken"
    )
    assert "a line has 101 bytes" in second


def test_place_of_a_line_that_was_refused_is_remembered_with_what_was_taken_before(spool: Spool) -> None:
    told([b"before"], spool)
    assert told([LONG], spool)[1] == 7


def test_dry_run_refuses_the_same_lines() -> None:
    shown: list[bytes] = []
    account = Account()
    asyncio.run(PrintingEar("here", account, shown.append, LONGEST).take_lines([b"one", LONG]))
    assert (shown, account.heard, account.refused) == ([b"one"], {"here": 1}, {"here": 1})


def test_spool_whose_disk_has_no_room_counts_as_full_until_something_is_taken(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    desk = Desk(spool, cast("Carrier", Idle()), clock=lambda: now)
    room = spool.append

    def none(_lines: Sequence[bytes]) -> int:
        raise SpoolFull("No space left on device")

    def full() -> bool:
        return desk.full

    async def take() -> None:
        async with asyncio.timeout(0.01):
            await desk.take("here", [b"one"])

    monkeypatch.setattr(spool, "append", none)
    with pytest.raises(TimeoutError):
        asyncio.run(take())
    assert full()
    now = NO_ROOM_SECONDS
    assert not full()  # somebody may try
    with pytest.raises(TimeoutError):
        asyncio.run(take())
    monkeypatch.setattr(spool, "append", room)
    asyncio.run(take())
    assert not full()
