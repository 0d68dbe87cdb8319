"""Locks that others hold: a batch that runs into one is undone in whole and tried again, and none of it is bad."""

import time

import pymysql
import pytest

from tests.acceptance.ferry import wait_until
from tests.faults.place import Place, outages
from tests.faults.runs import moves

LINES = 2_000
CONTESTED = 1_500
BEFORE_IT = "SELECT id FROM chat_messages WHERE id < 'id-1500' FOR UPDATE"
HEAVIER = range(100_000, 103_000)
"""So many rows a side transaction has changed: the server ends the lighter one of two that wait for each other."""

WAYS = [pytest.param(1, id="load"), pytest.param(0, id="insert", marks=pytest.mark.long)]
"""Of local_infile: how a server takes rows."""

CLASSIC = ["-Xgroup.protocol=classic", "-Xsession.timeout.ms=6000", "-Xmax.poll.interval.ms=7000"]
KIP_848 = ["-Xmax.poll.interval.ms=46000"]
"""The client takes nothing below its session timeout, and with the new protocol that is 45 s."""


@pytest.mark.long
@pytest.mark.parametrize("local_infile", WAYS)
def test_lock_wait_timeout_undoes_the_whole_batch_which_is_tried_again_until_the_lock_is_gone(
    place: Place, local_infile: int
) -> None:
    place.set("local_infile", local_infile)
    place.set("innodb_lock_wait_timeout", 1)
    place.fill(LINES)
    with place.holding(CONTESTED):
        running = place.consume()
        running.wait_until(lambda: any("(1205)" in line for line in outages(running)), "a lock wait timeout")
        running.wait_until(place.half_done, "the batch is tried again, from its beginning")
        place.assert_nothing_runs_ahead()
        assert place.committed() < place.sent
    place.end_well(running)


@pytest.mark.parametrize("local_infile", WAYS)
def test_deadlock_undoes_the_whole_batch_which_is_tried_again(place: Place, local_infile: int) -> None:
    place.set("local_infile", local_infile)
    deadlocks = place.status("Innodb_deadlocks")
    place.fill(LINES)
    with place.holding(CONTESTED, *HEAVIER) as side:
        running = place.consume()
        running.wait_until(place.half_done, "the batch waits for the side's row")
        side.execute(BEFORE_IT)  # and now each for the other
        running.wait_until(lambda: any("(1213)" in line for line in outages(running)), "a deadlock")
        place.assert_nothing_runs_ahead()
        assert place.committed() < place.sent
    assert place.status("Innodb_deadlocks") == deadlocks + 1
    place.end_well(running)


@pytest.mark.long
@pytest.mark.parametrize("local_infile", WAYS)
def test_deadlock_that_ends_the_other_one_is_not_noticed(place: Place, local_infile: int) -> None:
    place.set("local_infile", local_infile)
    place.fill(LINES)
    with place.holding(CONTESTED) as side:
        running = place.consume()
        running.wait_until(place.half_done, "the batch waits for the side's row")
        with pytest.raises(pymysql.err.OperationalError, match="1213"):
            side.execute(BEFORE_IT)
    place.end_well(running)
    assert outages(running) == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("settings", "seconds"), [pytest.param(CLASSIC, 9, id="classic"), pytest.param(KIP_848, 48, id="consumer")]
)
def test_row_locked_for_longer_than_max_poll_interval_causes_no_rebalance_and_no_repeat(
    place: Place, settings: list[str], seconds: float
) -> None:
    place.set("innodb_lock_wait_timeout", 300)  # else it is 50 s, and the worker hears of it
    running = place.consume("-v", *settings)
    place.fill(100)
    place.wait_until_committed(running)
    moved = moves(running.err)
    with place.holding(CONTESTED):
        place.fill(LINES)
        wait_until(place.waits_for_a_row, "the batch waits for the row")
        since = time.monotonic()
        running.wait_until(lambda: time.monotonic() - since > seconds, "the interval and more went by", seconds + 10)
        assert place.waits_for_a_row()
        place.assert_nothing_runs_ahead()
    place.wait_until_committed(running)
    assert moves(running.err) == moved, "the group was rebalanced"
    place.end_well(running)
    assert outages(running) == []
