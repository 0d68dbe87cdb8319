"""The progress of long work where nobody looks at a terminal: log lines."""

import pytest

from producer.live.command import _shower
from producer.live.station import Account
from terminal.progress import Meter


@pytest.fixture
def meter(caplog: pytest.LogCaptureFixture, clock: list[float]) -> Meter:
    caplog.set_level("INFO")
    return Meter("listen", total=None, in_bytes=False, quiet=False, clock=lambda: clock[0])


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


def test_what_did_not_change_is_told_once_a_minute(
    meter: Meter, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(1, 181):
        clock[0] = float(second) + 1
        meter.show(6, 6)
    assert len(caplog.messages) in (3, 4)


def test_what_changed_is_told_every_five_seconds(
    meter: Meter, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(1, 61):
        clock[0] = float(second) + 1
        meter.show(second, second)
    assert len(caplog.messages) == 12
    caplog.clear()
    clock[0] += 6
    meter.show(60, 60, "paused")
    assert caplog.messages == ["listen: 60 lines, 1 lines/s, paused"]


def test_one_line_is_one(meter: Meter, clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    clock[0] = 10.0
    meter.show(1, 1, "108 bytes on the spool")
    assert caplog.messages == ["listen: 1 line, 0 lines/s, 108 bytes on the spool"]


def test_listener_tells_its_spool_behind_one_comma(
    meter: Meter, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    clock[0] = 10.0
    account = Account()
    account.heard["irc://h/%23a"] = 1
    account.spooled_bytes = 108
    _shower(meter)(account, 0.0)
    assert caplog.messages == ["listen: 1 line, 0 lines/s, 108 bytes on the spool, 0.0 s behind"]
