"""When a line is due, by a clock that the test moves, and which lines are wanted."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from producer.moments import FUTURE_SECONDS, Window, create_time, moment_of, parse_moment
from producer.pacing import AHEAD_SECONDS, GRAIN_SECONDS, GROUP_BYTES, LOOK_SECONDS, Pace
from producer.shipment import Manner
from producer.telling import warn_where_nothing_was_paced
from schemas.errors import UsageProblem


def line(timestamp: object = None) -> bytes:
    return b'{"id":"a"}' if timestamp is None else f'{{"id":"a","timestamp":{timestamp}}}'.encode()


@dataclass
class Time:
    """A clock, and a wait that moves it: by `late` more than was asked."""

    now: float = 1_000.0
    late: float = 0.0
    waits: list[float] = field(default_factory=list)
    allowed_waits: int = 1_000_000
    pauses: list[tuple[float, float]] = field(default_factory=list)
    """From when until when it is paused, in seconds from 1,000."""

    def paused(self) -> bool:
        return any(start <= round(self.now - 1_000, 6) < end for start, end in self.pauses)

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.waits.append(round(seconds, 6))
        self.now += seconds + self.late
        return len(self.waits) <= self.allowed_waits


def sent(pace: Pace, time: Time, lines: list[bytes]) -> list[tuple[float, int]]:
    """When each group goes, in seconds from 1,000, and how many lines it has."""
    return [(round(time.now - 1_000, 6), len(group)) for group in pace.groups(lines)]


def pace(time: Time, *, rate: float | None = None, speed: float | None = None, catch_up: bool = True) -> Pace:
    return Pace(rate=rate, speed=speed, catch_up=catch_up, wait=time.wait, paused=time.paused, clock=time.clock)


# --- rate and speed -----------------------------------------------------------------------------------------


def test_without_a_limit_all_lines_go_at_once() -> None:
    time = Time()
    free = pace(time)
    assert free.free
    lines = [line(0), line(1_000), line()]
    assert list(free.groups(lines)) == [lines]
    assert time.waits == []


def test_rate_spaces_the_lines_from_the_first_on() -> None:
    time = Time()
    limited = pace(time, rate=2)
    assert not limited.free
    assert sent(limited, time, [line()] * 4) == [(0, 1), (0.5, 1), (1, 1), (1.5, 1)]


def test_rate_goes_on_over_blocks() -> None:
    time = Time()
    limited = pace(time, rate=2)
    assert sent(limited, time, [line()] * 2) == [(0, 1), (0.5, 1)]
    assert sent(limited, time, [line()] * 2) == [(1, 1), (1.5, 1)]


def test_lines_due_within_two_milliseconds_go_together() -> None:
    time = Time()
    groups = sent(pace(time, rate=7_000), time, [line()] * 80)
    assert [count for _, count in groups] == [15, 15, 15, 15, 15, 5]  # 14 in 2 ms, and the one that is due
    assert [moment for moment, _ in groups] == [round(number * 15 / 7_000, 6) for number in range(6)]


def test_rate_holds_again_after_a_pause() -> None:
    time = Time()
    limited = pace(time, rate=2)
    assert sent(limited, time, [line()] * 2) == [(0, 1), (0.5, 1)]
    time.now += 100
    moments = [moment for moment, _ in sent(limited, time, [line()] * 4)]
    assert moments == pytest.approx([100.5, 101, 101.5, 102], abs=2 * AHEAD_SECONDS)


def test_wait_that_is_a_little_late_does_not_lower_the_rate() -> None:
    time = Time(late=0.001)
    moments = [moment for moment, _ in sent(pace(time, rate=100), time, [line()] * 100)]
    assert moments == pytest.approx([number / 100 for number in range(100)], abs=AHEAD_SECONDS)


def test_late_wait_does_not_delay_the_lines_after_it() -> None:
    time = Time(late=0.7)
    lines = [line(second) for second in (0, 0.5, 1, 1.5, 2)]
    assert sent(pace(time, speed=1), time, lines) == [(0, 1), (0.8, 1), (1.6, 2), (2.4, 1)]


def test_speed_keeps_the_distances_of_the_timestamps() -> None:
    time = Time()
    lines = [line(500), line(510), line('"510"'), line(535.5)]
    assert sent(pace(time, speed=10), time, lines) == [(0, 1), (1, 2), (3.55, 1)]


def test_speed_below_one_stretches_the_distances() -> None:
    time = Time()
    assert sent(pace(time, speed=0.5), time, [line(0), line(3)]) == [(0, 1), (6, 1)]


def test_timestamp_that_goes_back_is_due_at_once() -> None:
    time = Time()
    assert sent(pace(time, speed=1), time, [line(100), line(103), line(50), line(104)]) == [(0, 1), (3, 2), (4, 1)]


def test_line_without_a_timestamp_is_due_at_once() -> None:
    time = Time()
    lines = [line(), line(100), b"not json", line(102), line('"soon"'), line()]
    assert sent(pace(time, speed=1), time, lines) == [(0, 3), (2, 3)]


def test_rate_and_speed_together_keep_to_the_slower() -> None:
    time = Time()
    lines = [line(0), line(0), line(10), line(10)]
    assert sent(pace(time, rate=1, speed=1), time, lines) == [(0, 1), (1, 1), (10, 2)]


def test_told_to_stop_while_waiting_sends_what_was_read_and_waits_no_more() -> None:
    time = Time(allowed_waits=1)
    groups = [len(group) for group in pace(time, rate=10).groups([line()] * 6)]
    assert groups == [1, 1, 4]
    assert time.waits == [0.1, 0.1]


def test_no_lines_are_no_group() -> None:
    time = Time()
    assert sent(pace(time, rate=1), time, []) == []


def test_with_a_speed_no_line_goes_before_its_time_and_no_wait_is_shorter_than_a_grain() -> None:
    time = Time()
    lines = [line(number / 1_000) for number in range(1_000)]
    groups = sent(pace(time, speed=1), time, lines)
    due = 0
    for moment, count in groups:
        due += count
        assert (due - 1) / 1_000 <= moment + 1e-6
    assert min(time.waits) >= GRAIN_SECONDS
    assert len(groups) <= 1 + 1_000 / (GRAIN_SECONDS * 1_000)


def test_what_is_left_of_a_longer_wait_is_waited_for_exactly() -> None:
    time = Time(late=-0.0005)  # a wait that comes back before its time, as one that counts whole milliseconds does
    timed = pace(time, speed=1)
    sent(timed, time, [line(second / 10) for second in range(20)])
    assert timed.drift.max_ms < 0.6


def test_rate_beside_a_speed_is_reached_although_waits_have_a_grain() -> None:
    time = Time(late=0.001)
    groups = sent(pace(time, rate=1_000, speed=1), time, [line(0)] * 2_000)
    assert groups[-1][0] == pytest.approx(2, abs=0.03)


def test_a_wait_is_cut_so_that_a_pause_is_heard() -> None:
    time = Time()
    sent(pace(time, speed=1), time, [line(0), line(100)])
    assert max(time.waits) <= LOOK_SECONDS


# --- pause, stalls and drift --------------------------------------------------------------------------------


def test_pause_moves_all_that_is_to_come_and_is_no_drift() -> None:
    time = Time(pauses=[(2.5, 12.5)])
    timed = pace(time, speed=1)
    assert sent(timed, time, [line(second) for second in range(5)]) == [(0, 1), (1, 1), (2, 1), (13, 1), (14, 1)]
    assert timed.paused_seconds == pytest.approx(10)
    assert timed.drift.max_ms == pytest.approx(0, abs=0.01)
    assert timed.skipped_seconds == 0


def test_two_pauses_add_up() -> None:
    time = Time(pauses=[(0.5, 1.5), (3.2, 7.2)])
    timed = pace(time, speed=1)
    assert [moment for moment, _ in sent(timed, time, [line(second) for second in range(4)])] == [0, 2, 3, 8]
    assert timed.paused_seconds == pytest.approx(5)


def test_pause_before_the_first_line_moves_nothing() -> None:
    time = Time(pauses=[(0, 3)])
    timed = pace(time, speed=1)
    assert sent(timed, time, [line(0), line(1)]) == [(3, 1), (4, 1)]
    assert timed.drift.max_ms == pytest.approx(0, abs=0.01)


def test_nothing_is_sent_while_paused_even_where_it_is_late() -> None:
    time = Time(pauses=[(50, 60)])
    timed = pace(time, speed=1)
    groups = timed.groups([line(0), line(1), line(2)])
    next(groups)
    time.now += 50  # a stall, and then the pause: nothing of what is late goes before its end
    next(groups)
    assert time.now == pytest.approx(1_060)


@pytest.mark.parametrize("rate", [1.0, None])
def test_pause_holds_lines_up_without_a_speed_too(rate: float | None) -> None:
    time = Time(pauses=[(0, 5)])
    assert sent(pace(time, rate=rate), time, [line()])[0][0] == 5


@pytest.mark.parametrize("how", [{"rate": 2}, {"speed": 1}])
def test_told_to_stop_a_line_of_its_own_that_is_not_due_stays(how: dict[str, Any]) -> None:
    time = Time(allowed_waits=0)
    slow = pace(time, **how)
    assert sent(slow, time, [line(5)]) == [(0, 1)]
    assert sent(slow, time, [line(9)]) == []
    assert time.now < 1_001


def test_told_to_stop_lines_as_they_come_stay_from_the_first_that_is_not_due_on() -> None:
    time = Time(allowed_waits=0)
    groups = pace(time, speed=1).timed([line(5), line(5), line(6), line(7)], moment_of)
    assert [len(group) for group in groups] == [2]


def test_lines_that_are_all_due_go_in_groups_of_a_size() -> None:
    time = Time()
    groups = pace(time, speed=1e12).timed([line(5)] * 10, moment_of, size=lambda _: GROUP_BYTES // 4)
    assert [len(group) for group in groups] == [4, 4, 2]


def test_lines_wait_each_for_themselves_where_a_block_of_them_would_last() -> None:
    assert pace(Time(), speed=1).by_line
    assert pace(Time(), rate=999).by_line
    assert not pace(Time(), rate=1_000).by_line
    assert not pace(Time()).by_line


def test_told_to_stop_while_paused_sends_the_rest_at_once_and_counts_the_pause() -> None:
    time = Time(pauses=[(0.2, 1_000)], allowed_waits=10)
    timed = pace(time, speed=1)
    assert sent(timed, time, [line(0), line(10), line(20)]) == [(0, 1), (1.1, 2)]
    assert timed.paused_seconds == pytest.approx(0.9)
    assert timed.drift.lines == 1  # what was sent before its time is not measured


def sent_with_a_stall(timed: Pace, time: Time) -> list[tuple[float, int]]:
    """The same for a line every four seconds, where the first wait lasts 19 s: the machine stood still."""
    time.late = 18.9
    found = []
    for group in timed.groups([line(second) for second in range(0, 32, 4)]):
        found.append((round(time.now - 1_000, 1), len(group)))
        time.late = 18.9 if len(found) == 1 else 0.0
    return found


def test_after_a_stall_what_is_late_goes_at_once_and_the_rest_when_it_is_due() -> None:
    time = Time()
    timed = pace(time, speed=1)
    assert sent_with_a_stall(timed, time) == [(0, 1), (19, 4), (20, 1), (24, 1), (28, 1)]
    assert timed.drift.max_ms == pytest.approx(15_000)
    assert timed.skipped_seconds == 0


def test_stall_that_is_skipped_moves_the_rest() -> None:
    time = Time()
    timed = pace(time, speed=1, catch_up=False)
    assert sent_with_a_stall(timed, time) == [(0, 1), *((at, 1) for at in range(19, 47, 4))]
    assert timed.skipped_seconds == pytest.approx(15)
    assert timed.drift.max_ms == pytest.approx(0, abs=5)


def test_drift_is_taken_when_the_lines_were_handed_over() -> None:
    time = Time()
    timed = pace(time, speed=1)
    for _ in timed.groups([line(0), line(1)]):
        time.now += 0.25  # the queue was full
    assert timed.drift.max_ms == pytest.approx(250)
    assert timed.drift.lines == 2


def test_begun_anew_the_first_line_is_due_at_once() -> None:
    time = Time()
    timed = pace(time, speed=1)
    assert sent(timed, time, [line(0), line(2)]) == [(0, 1), (2, 1)]
    timed.begin()
    assert sent(timed, time, [line(0), line(2)]) == [(2, 1), (4, 1)]


@pytest.mark.parametrize(
    ("speed", "left"),
    [
        (2.4e7, "100 s"),
        (1e6, "40 minutes"),
        (1e5, "7 hours"),
        (1, "27,806 days"),
    ],
)
def test_a_long_wait_is_told_once_with_its_moment(caplog: pytest.LogCaptureFixture, speed: float, left: str) -> None:
    caplog.set_level("INFO")
    time = Time(allowed_waits=2)
    sent(pace(time, speed=speed), time, [line(1_700_000_000), line(4_102_444_800)])  # the year 2100, by mistake?
    (told,) = caplog.messages
    assert told.startswith(f"The next line, of 2100-01-01T00:00:00+00:00, is due in {left}; ")


@pytest.mark.parametrize(
    ("speed", "lines", "acknowledged", "said"),
    [
        (10, [line(), b"not json"], 2, True),
        (10, [line(), line(5)], 2, False),
        (10, [], 0, False),
        (None, [line()], 1, False),
    ],
)
def test_a_speed_that_met_no_timestamp_is_told(
    caplog: pytest.LogCaptureFixture, speed: float | None, lines: list[bytes], acknowledged: int, said: bool
) -> None:
    time = Time()
    manner = Manner(pace(time, speed=speed))
    sent(manner.pace, time, lines)
    warn_where_nothing_was_paced({"acknowledged": acknowledged}, manner)
    assert ("No line had a timestamp" in caplog.text) == said


def test_a_round_that_just_began_does_not_hide_the_timestamps_before_it() -> None:
    time = Time()
    timed = pace(time, speed=10)
    sent(timed, time, [line(5)])
    timed.begin()
    assert not timed.timeless


# --- the window ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (line(1), 1.0),
        (line(-1.5), -1.5),
        (line('"1741652468.315"'), 1741652468.315),
        (line(), None),
        (line("null"), None),
        (line("true"), None),
        (line('"soon"'), None),
        (line("1741651200000"), None),  # milliseconds
        (line("1e400"), None),
        (b"[" * 100_000, None),
        (b'{"x":' * 100_000, None),
        (b"", None),
        (b'{"timestamp":1,"x":"\xe9"', None),
    ],
)
def test_moment_of_a_line_or_none(text: bytes, moment: float | None) -> None:
    assert moment_of(text) == moment


@pytest.mark.parametrize(
    ("window", "wanted"),
    [
        (Window(), [9, 10, 15, 20, 21]),
        (Window(start=10), [10, 15, 20, 21]),
        (Window(end=20), [9, 10, 15]),
        (Window(10, 20), [10, 15]),
        (Window(20, 10), []),
        (Window(0, 0), []),
    ],
)
def test_window_holds_its_start_and_not_its_end(window: Window, wanted: list[int]) -> None:
    assert [second for second in (9, 10, 15, 20, 21) if window.wanted(line(second))] == wanted


@pytest.mark.parametrize("text", [line(), b"not json", line('"soon"'), line("1e15")])
def test_line_without_a_moment_passes_every_window(text: bytes) -> None:
    assert Window(10, 20).wanted(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        (None, None),
        ("0", 0.0),
        ("-1.5", -1.5),
        ("1741651200", 1741651200.0),
        ("2025-03-11", 1741651200.0),
        ("2025-03-11T00:00:00", 1741651200.0),
        ("2025-03-11 00:00", 1741651200.0),
        ("2025-03-11T00:00:00Z", 1741651200.0),
        ("2025-03-11T01:00:00+01:00", 1741651200.0),
        ("2025-03-11T00:00:00.25Z", 1741651200.25),
        ("0001-01-01", -62135596800.0),
    ],
)
def test_moment_that_a_person_types_is_utc_unless_it_says_otherwise(text: str | None, moment: float | None) -> None:
    assert parse_moment(text, "--from") == moment


@pytest.mark.parametrize("text", ["", " ", "yesterday", "2025-02-30", "25:00", "2025-03-11T00:00:00 CET", "1,5"])
def test_what_is_no_moment_is_a_usage_problem(text: str) -> None:
    with pytest.raises(UsageProblem, match=r"--until .* is no moment") as caught:
        parse_moment(text, "--until")
    assert caught.value.exit_status == 2


@pytest.mark.parametrize("choose", [lambda: pace(Time(), rate=1), lambda: pace(Time(), speed=1)])
def test_pace_with_a_limit_is_not_free(choose: Callable[[], Pace]) -> None:
    assert not choose().free


# --- a record's CreateTime ----------------------------------------------------------------------------------

DAY = 86_400.0
NOON = 1_700_000_000.0


@pytest.mark.parametrize(
    ("timestamp", "milliseconds"),
    [
        (NOON - 0.25, 1_699_999_999_750),
        (f'"{NOON:.0f}"', 1_700_000_000_000),
        (NOON + FUTURE_SECONDS, 1_700_000_060_000),
        (NOON + FUTURE_SECONDS + 1, 0),
        (NOON - 3 * DAY, 1_699_740_800_000),
        (NOON - 4 * DAY, 0),
        (-5, 0),
        (None, 0),
        ('"noon"', 0),
        (1e300, 0),
    ],
)
def test_record_has_its_lines_moment_where_the_topic_takes_and_keeps_it(timestamp: object, milliseconds: int) -> None:
    assert create_time(7 * DAY, lambda: NOON)(line(timestamp)) == milliseconds


def test_topic_that_keeps_records_for_ever_takes_any_moment_of_the_past() -> None:
    assert create_time(float("inf"), lambda: NOON)(line(1.5)) == 1_500


def test_a_year_alone_is_no_moment() -> None:
    with pytest.raises(UsageProblem, match="--until 2100 is a second of 1970"):
        parse_moment("2100", "--until")
    assert parse_moment("2100.0", "--until") == 2100
