"""The end of `listen`: nothing that goes wrong in leaving is lost, and nobody is waited for without end."""

import asyncio

import pytest

from producer.live import station
from producer.live.ear import PrintingEar
from producer.live.listener import Ear
from producer.live.station import Account
from schemas.errors import ConnectionLost, Stop


class Guest:
    """Listens until it is cancelled, and then leaves as it is told to."""

    def __init__(self, name: str, goodbye: BaseException | None = None, *, at_once: bool = False) -> None:
        self.name = name
        self._goodbye = goodbye
        self._at_once = at_once

    async def session(self, ear: Ear) -> None:
        """See the class."""
        ear.listening(self.name)
        try:
            if not self._at_once:
                await asyncio.Event().wait()
        finally:
            if self._goodbye:
                raise self._goodbye


class Sitting(Guest):
    """Does not leave, whoever asks how often."""

    async def session(self, ear: Ear) -> None:
        """See the class."""
        ear.listening(self.name)
        over = asyncio.get_running_loop().time() + 5 * station.GOODBYE_SECONDS
        while (left := over - asyncio.get_running_loop().time()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue


def listen(*guests: Guest) -> None:
    async def work() -> None:
        ears = [PrintingEar(guest.name, Account(), lambda _line: None, 1000) for guest in guests]
        signal = asyncio.create_task(asyncio.sleep(0.01))
        await station._listened(guests, ears, {signal})

    asyncio.run(work())


def test_bug_and_stop_in_leaving_are_raised() -> None:
    for problem in (KeyError("a bug"), Stop("the disk fails")):
        with pytest.raises(type(problem)):
            listen(Guest("a"), Guest("b", problem))


def test_system_that_is_away_while_it_is_left_is_nothing() -> None:
    listen(Guest("a"), Guest("b", ConnectionLost("gone")))


def test_what_ended_the_work_is_raised_and_what_follows_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ZeroDivisionError):
        listen(Guest("a", KeyError("a bug")), Guest("b", ZeroDivisionError(), at_once=True))
    assert "a: 'a bug'" in caplog.text
    assert "Traceback" in caplog.text
    assert "b:" not in caplog.text.replace("b: listening", "")


def test_listener_that_does_not_leave_is_left_behind_and_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(station, "GOODBYE_SECONDS", 0.05)
    listen(Sitting("a"))
    assert "a: did not leave" in caplog.text
