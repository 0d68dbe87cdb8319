"""Named places at which a process can be made to die or freeze, so that tests meet the one moment they mean.

CHATFERRY_FAILPOINT=PLACE:ACTION[:COUNT[:FILE]] makes the process do ACTION (`kill` or `stop`, the signals) when it
comes to PLACE for the COUNTth time (1 unless given). With a FILE it does so once in all, whatever process: whoever
makes the file does it. Without the variable, which is to say always but in tests, a place is a call that does nothing.
"""

import os
import signal
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

VARIABLE = "CHATFERRY_FAILPOINT"

_ACTIONS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Place(StrEnum):
    """Where it can happen."""

    PRODUCER_ACKNOWLEDGED = "producer.acknowledged"  # Kafka has lines of which no checkpoint knows
    CHECKPOINT_WRITTEN = "checkpoint.written"  # the new checkpoint is on the disk, the old one still has its name
    CHECKPOINT_RENAMED = "checkpoint.renamed"
    WORKER_STORED = "worker.stored"  # the database has committed, and nobody has heard of it
    WORKER_DEAD_LETTERS = "worker.dead_letters"  # the dead letters are acknowledged, the batch is not reported
    WORKER_REPORTED = "worker.reported"  # the supervisor has counted the batch, its offsets are not committed
    WORKER_COMMITTED = "worker.committed"
    SPOOL_ACKNOWLEDGED = "spool.acknowledged"  # Kafka has lines that the mark does not know of
    INDEXES_DROPPED = "indexes.dropped"  # no row is there yet
    INDEXES_DUE = "indexes.due"  # every row is there, and no index


def armed(text: str) -> Callable[[Place], None]:
    """The function that does what the variable's text says.

    Raises `ValueError` for a text that is not of its form.
    """
    name, action, count, file = [*text.split(":", 3), "", "", ""][:4]
    if action not in _ACTIONS:
        raise ValueError(f"{VARIABLE}: {action!r} is neither kill nor stop")
    place, number, left = Place(name), _ACTIONS[action], int(count or 1)

    def reached(here: Place) -> None:
        nonlocal left
        if here is not place:
            return
        left -= 1
        if left == 0 and (not file or _first(Path(file))):
            os.kill(os.getpid(), number)

    return reached


def _first(file: Path) -> bool:
    try:
        file.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _nothing(_here: Place) -> None:
    """What a place is without the variable."""


reached: Callable[[Place], None] = armed(os.environ[VARIABLE]) if VARIABLE in os.environ else _nothing
"""To be called at a place."""
