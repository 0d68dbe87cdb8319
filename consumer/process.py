"""A worker's process, from its first breath to its exit status. Clients and engine are made here, in the child."""

import contextlib
import gc
import logging
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from consumer.stores.store import Store

from schemas.errors import BrokerDown, DatabaseDown, Stop
from schemas.reports import Alive, BatchDone, Committed, WorkerOrder, WorkerStopped
from terminal.logs import set_up_logs
from terminal.outage import Outage

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0

BEGIN_ANEW = 75
"""The exit status of a worker whose broker was away for too long: sysexits.h's "try again later"."""

ALIVE_SECONDS = 2.0
"""How often a worker says that its loop turns."""

PRELOAD = [
    "consumer.fork_server",
    "consumer.process",
    "consumer.dead_letters",
    "consumer.intake",
    "consumer.stores.opening",
    "consumer.worker",
]
"""What the process that workers are forked from imports: all that a worker needs. (The supervisor imports this module
too, and does without the rest.)"""


class SupervisorGone(Exception):
    """Nobody is there any more to report to."""


OpenStore = Callable[[WorkerOrder], "Store"]


def open_its_store(order: WorkerOrder) -> "Store":
    """The store that the order names. Raises `DatabaseDown` or `Stop`."""
    from consumer.stores.opening import open_store  # noqa: PLC0415 -- see PRELOAD

    return open_store(order.database, order.database_password, replace=order.replace)


def work(order: WorkerOrder, supervisor: Connection, open_store: OpenStore = open_its_store) -> None:
    """Run one worker until the supervisor says so, goes away, or a person must act."""
    set_up_logs(order.log_level, f"worker-{order.number}")
    gc.disable()  # a batch is a million objects without a cycle: looking for one takes a fifth of a worker's time
    stopping = _listen(supervisor, order.number)
    try:
        _run(order, supervisor, stopping, open_store)
    except Stop as problem:
        _tell(supervisor, WorkerStopped(order.number, problem.text, problem.next_step))
        sys.exit(problem.exit_status)
    except BrokerDown as outage:  # what was waited for as long as is sensible, by a client that may have lost its way
        log.warning("%s: the worker begins anew", outage)
        sys.exit(BEGIN_ANEW)
    except SupervisorGone:
        log.warning("the supervisor is gone: ending")
    except Exception:  # noqa: BLE001 -- a bug: shown as everywhere, since multiprocessing would show it unescaped
        sys.excepthook(*sys.exc_info())
        sys.exit(1)


def _tell(supervisor: Connection, word: WorkerStopped | Alive) -> None:
    with contextlib.suppress(BrokenPipeError):  # a supervisor that is gone needs no words
        supervisor.send(word)


def _listen(supervisor: Connection, number: int) -> Callable[[], bool]:
    """A function that says whether to end: SIGTERM, a word of the supervisor, or its death.

    It is asked wherever the worker's loop turns, so it also tells the supervisor now and then that the loop does.
    SIGINT is not heard: at a terminal it reaches the supervisor too, which tells us.
    """
    heard = False
    told = time.monotonic()

    def on_signal(_number: int, _frame: object) -> None:
        nonlocal heard
        heard = True

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, on_signal)

    def stopping() -> bool:
        nonlocal told
        if (now := time.monotonic()) - told > ALIVE_SECONDS:
            told = now
            _tell(supervisor, Alive(number))
        return heard or supervisor.poll()  # a message and the end of the pipe both mean: end

    return stopping


def _run(order: WorkerOrder, supervisor: Connection, stopping: Callable[[], bool], open_store: OpenStore) -> None:
    from consumer.dead_letters import DeadLetters  # noqa: PLC0415 -- see PRELOAD
    from consumer.intake import Intake  # noqa: PLC0415
    from consumer.worker import Worker  # noqa: PLC0415

    outage = Outage("the worker waits")
    while not stopping():
        try:
            store = open_store(order)
        except DatabaseDown as problem:
            outage.goes_on(problem)
            gc.collect()  # an exception's traceback makes a cycle
            time.sleep(RETRY_SECONDS)
        else:
            outage.is_over()
            break
    else:
        return
    dead_letters = DeadLetters(order.dead_letter_kafka, order.dead_letter_topic, order.topic)

    def report(word: BatchDone | Committed) -> None:
        try:
            supervisor.send(word)
        except BrokenPipeError:
            raise SupervisorGone from None

    Worker(order, Intake(order), store, dead_letters, report, stopping).run()
