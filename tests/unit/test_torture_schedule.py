"""The schedule of `make torture`: out of a seed, the same each time, and all of the faults in the end."""

import pytest

from tests.services.kafka import DEFAULTS
from tests.torture.schedule import (
    AT_ONCE,
    BROKER_FAULTS,
    CONSUMERS,
    FLOW_SECONDS,
    LONGEST,
    SESSION_SECONDS,
    Fault,
    plan,
)

ROUNDS = range(1, 301)


def test_same_seed_and_number_give_the_same_round() -> None:
    assert [plan("a", number) for number in ROUNDS] == [plan("a", number) for number in ROUNDS]


def test_other_seeds_and_other_numbers_give_other_rounds() -> None:
    rounds = [plan(seed, number) for seed in ("a", "b") for number in ROUNDS]
    assert len({(round_.rate, round_.options, round_.events) for round_ in rounds}) == len(rounds)


def test_every_fault_and_every_way_to_consume_has_its_turn() -> None:
    rounds = [plan("a", number) for number in ROUNDS]
    assert {event.fault for round_ in rounds for event in round_.events} == set(Fault)
    assert {round_.options for round_ in rounds} == set(CONSUMERS)


def test_round_disturbs_one_broker_at_most_by_itself() -> None:
    for number in ROUNDS:
        events = plan("a", number).events
        assert sum(event.fault in BROKER_FAULTS for event in events) <= 1
        assert events


def test_faults_fall_into_the_flow_in_their_order_and_have_a_length_where_they_need_one() -> None:
    for number in ROUNDS:
        events = plan("a", number).events
        assert list(events) == sorted(events, key=lambda event: event.at)
        for event in events:
            assert 0 < event.at < FLOW_SECONDS
            assert (event.seconds == 0) == (event.fault in AT_ONCE)


def test_every_group_has_the_session_that_the_longest_freezes_outlast() -> None:
    assert DEFAULTS["group.consumer.session.timeout.ms"] == SESSION_SECONDS * 1000
    for options in CONSUMERS:
        assert ("group.protocol=classic" in options) == (f"session.timeout.ms={SESSION_SECONDS * 1000:.0f}" in options)
    assert min(LONGEST.values()) > SESSION_SECONDS


@pytest.mark.parametrize("classic", [False, True])
def test_some_rounds_of_either_protocol_freeze_a_worker_for_longer_than_its_session(classic: bool) -> None:
    rounds = [plan("a", number) for number in ROUNDS]
    frozen = [
        event.seconds
        for round_ in rounds
        for event in round_.events
        if event.fault is Fault.WORKER_FROZEN and ("group.protocol=classic" in round_.options) == classic
    ]
    assert max(frozen) > SESSION_SECONDS + 1
