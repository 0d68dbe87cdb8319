"""The supervisor on real processes, whose work is a test's: no Kafka, no database."""

import os
import signal
import time

import pytest

from consumer.supervisor import FIRST_DELAY_SECONDS, KILLED_TOO_OFTEN, Supervisor
from schemas.errors import Stop
from schemas.reports import BatchDone, Committed, WorkerOrder
from tests.acceptance.ferry import SECONDS
from tests.integration.works import begin_anew, die, fall_silent, work_on

SILENT_SECONDS = 3.0
"""Longer than a process takes to say its first word, also on a busy machine: one killed before it would look stuck."""


class Scene:
    """One worker's place, who took it, and when."""

    def __init__(self) -> None:
        self.pids: list[int] = []
        self.times: list[float] = []
        self.began = time.monotonic()

    def heard(self, report: BatchDone | Committed) -> None:
        assert isinstance(report, Committed)
        self.pids.append(report.offsets[0])
        self.times.append(time.monotonic())

    def late(self) -> bool:
        return time.monotonic() - self.began > SECONDS


def order() -> WorkerOrder:
    return WorkerOrder(number=0, topic="t", dead_letter_topic="d", database="", kafka={}, dead_letter_kafka={})


def test_worker_whose_loop_is_stuck_is_killed_and_another_takes_its_place(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    supervisor = Supervisor([order()], scene.heard, work=fall_silent, silent_seconds=SILENT_SECONDS)
    supervisor.start()
    supervisor.run(lambda: len(scene.pids) == 2, scene.late)
    assert len(set(scene.pids)) == 2
    assert scene.times[1] - scene.times[0] >= SILENT_SECONDS
    assert "Worker 0 has said nothing" in caplog.text


def test_frozen_worker_is_killed_and_another_takes_its_place() -> None:
    scene = Scene()
    supervisor = Supervisor([order()], scene.heard, work=work_on, silent_seconds=SILENT_SECONDS)
    supervisor.start()
    frozen = False

    def finished() -> bool:
        nonlocal frozen
        if scene.pids and not frozen:
            os.kill(scene.pids[0], signal.SIGSTOP)
            frozen = True
        return len(scene.pids) == 2

    supervisor.run(finished, scene.late)
    assert len(set(scene.pids)) == 2


def test_worker_that_says_that_it_is_alive_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    supervisor = Supervisor([order()], scene.heard, work=work_on, silent_seconds=SILENT_SECONDS)
    supervisor.start()
    supervisor.run(lambda: time.monotonic() - scene.began > 2 * SILENT_SECONDS, scene.late)
    assert len(scene.pids) == 1
    assert "said nothing" not in caplog.text


def test_workers_that_die_again_and_again_are_replaced_ever_later_and_at_last_not_at_all() -> None:
    scene = Scene()
    supervisor = Supervisor([order()], scene.heard, work=die)
    supervisor.start()
    with pytest.raises(Stop, match=f"{KILLED_TOO_OFTEN} workers were killed within 60 s"):
        supervisor.run(lambda: False, scene.late)
    assert len(scene.pids) == KILLED_TOO_OFTEN
    waits = [after - before for before, after in zip(scene.times, scene.times[1:], strict=False)]
    for wait, least in zip(waits, [0.0, FIRST_DELAY_SECONDS, 2 * FIRST_DELAY_SECONDS], strict=False):
        assert wait >= least


def test_workers_that_begin_anew_again_and_again_leave_nothing_open() -> None:
    scene = Scene()
    supervisor = Supervisor([order()], scene.heard, work=begin_anew)
    supervisor.start()
    opened: dict[int, int] = {}

    def finished() -> bool:
        opened[len(scene.pids)] = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- names alone
        return len(scene.pids) == 5

    supervisor.run(finished, scene.late)
    assert opened[4] == opened[2]
