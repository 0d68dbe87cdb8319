"""What worker processes run in the supervisor's tests: a module of its own, with little to import, for they are to say
their first word well within a second."""

import os
import signal
import sys
import time
from multiprocessing.connection import Connection

from consumer.process import BEGIN_ANEW
from schemas.reports import Alive, Committed, WorkerOrder


def work_on(order: WorkerOrder, supervisor: Connection) -> None:
    """Say who it is, then that it is alive, until told to end."""
    supervisor.send(Committed(order.number, {0: os.getpid()}))
    while not supervisor.poll(0.05):
        supervisor.send(Alive(order.number))


def fall_silent(order: WorkerOrder, supervisor: Connection) -> None:
    """Say who it is, and then nothing; its loop is stuck, its process lives."""
    supervisor.send(Committed(order.number, {0: os.getpid()}))
    while True:
        time.sleep(60)


def begin_anew(order: WorkerOrder, supervisor: Connection) -> None:
    """Say who it is, and that it waited long enough for a broker."""
    supervisor.send(Committed(order.number, {0: os.getpid()}))
    sys.exit(BEGIN_ANEW)


def die(order: WorkerOrder, supervisor: Connection) -> None:
    """Say who it is, and be killed."""
    supervisor.send(Committed(order.number, {0: os.getpid()}))
    os.kill(os.getpid(), signal.SIGKILL)
