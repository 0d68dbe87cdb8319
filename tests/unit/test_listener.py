"""Listeners are kept at it: backoff with jitter, outages told once, and which failures end the command."""

import asyncio
import logging
from collections.abc import Callable, Sequence

import pytest

from producer.live.listener import Ear, Patience, keep_listening
from schemas.errors import ConnectionLost, InputBroken, Stop


class DeafEar(Ear):
    """Takes nothing: only what a session says of itself matters here."""

    async def take_lines(self, lines: Sequence[bytes]) -> int:
        raise AssertionError(lines)

    async def durable(self, mark: int) -> None:
        raise AssertionError(mark)

    def refuse(self, what: str, lines: int = 1) -> None:
        raise AssertionError(what, lines)

    @property
    def last(self) -> int:
        return 0

    @property
    def full(self) -> bool:
        return False

    @property
    def delay(self) -> float:
        return 0.0

    @property
    def longest(self) -> int:
        return 0


class Time:
    """A clock that only sleeps move."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


Step = Callable[[Ear], None]


class Scripted:
    """A listener whose sessions are given; the last one returns."""

    name = "irc://host/%23a"

    def __init__(self, *steps: Step) -> None:
        self._steps = list(steps)

    async def session(self, ear: Ear) -> None:
        if self._steps:
            self._steps.pop(0)(ear)


def lost(_ear: Ear) -> None:
    raise ConnectionLost("the connection was refused")


def wrong_password(_ear: Ear) -> None:
    raise Stop("wrong password", "Give another")


def run(*steps: Step, random: float = 1.0) -> Time:
    time = Time()
    patience = Patience(random=lambda: random, clock=time.clock, sleep=time.sleep)
    asyncio.run(keep_listening(Scripted(*steps), DeafEar(), patience))
    return time


def joined_for(time: Time, seconds: float) -> Step:
    def step(ear: Ear) -> None:
        ear.listening("#a")
        time.now += seconds
        raise ConnectionLost("the server closed the connection")

    return step


def test_pauses_double_up_to_a_minute_and_stay_there() -> None:
    assert run(*[lost] * 9).slept == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_pauses_are_random_as_a_whole() -> None:
    assert run(*[lost] * 3, random=0.25).slept == [0.25, 0.5, 1.0]


@pytest.mark.parametrize(("seconds", "pause"), [(61.0, 1.0), (5.0, 8.0)])
def test_session_that_lasted_makes_the_next_pause_short_and_a_brief_one_does_not(seconds: float, pause: float) -> None:
    time = Time()
    steps = [lost, lost, lost, joined_for(time, seconds)]
    patience = Patience(random=lambda: 1.0, clock=time.clock, sleep=time.sleep)
    asyncio.run(keep_listening(Scripted(*steps), DeafEar(), patience))
    assert time.slept == [1, 2, 4, pause]


def test_outage_is_told_once_and_its_length_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    run(lost, lost, lost, lambda ear: ear.listening("#a"))
    first, joined, back = caplog.messages
    assert first == "irc://host/%23a: the connection was refused; it is tried again until it is back"
    assert joined == "#a: listening"
    assert back == "irc://host/%23a: Back after 7.0 s and 3 tries: the work goes on"


def test_stop_of_a_listener_that_never_listened_ends_it() -> None:
    with pytest.raises(Stop, match="wrong password"):
        run(lost, wrong_password)


def test_stop_of_a_listener_that_has_listened_is_told_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    time = run(joined_for(Time(), 1.0), wrong_password, wrong_password)
    assert len(time.slept) == 3
    assert any("wrong password. Give another" in told for told in caplog.messages)


def test_input_that_broke_is_not_tried_again_though_it_was_listened_to() -> None:
    def broken(ear: Ear) -> None:
        ear.listening("-")
        raise InputBroken("damaged")

    with pytest.raises(InputBroken):
        run(broken)


def test_bug_in_a_listener_is_not_tried_again() -> None:
    def bug(_ear: Ear) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(bug)
