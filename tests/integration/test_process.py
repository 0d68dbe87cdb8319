"""A worker's process with a bug in it."""

import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from consumer.process import work
from consumer.stores.store import Store
from consumer.supervisor import Supervisor
from schemas.errors import Stop
from schemas.reports import WorkerOrder


def store_with_a_bug(_order: WorkerOrder) -> Store:
    raise RuntimeError("evil \x1b[2J text")


def work_with_a_bug(order: WorkerOrder, supervisor: Connection) -> None:
    """The real work; stderr goes to the file that stands where the database's URL would."""
    os.dup2(os.open(order.database, os.O_WRONLY | os.O_CREAT, 0o600), sys.stderr.fileno())
    work(order, supervisor, open_store=store_with_a_bug)


def test_bug_in_a_worker_ends_the_run_with_its_traceback_and_no_terminal_is_moved(tmp_path: Path) -> None:
    said = tmp_path / "stderr"
    order = WorkerOrder(0, "topic", "letters", database=str(said), kafka={}, dead_letter_kafka={})
    supervisor = Supervisor([order], lambda _: None, work=work_with_a_bug)
    supervisor.start()
    with pytest.raises(Stop, match="Worker 0 crashed"):
        supervisor.run(lambda: False, lambda: False)
    text = said.read_text()
    assert "Traceback" in text
    assert r"RuntimeError: evil \x1b[2J text" in text
    assert "\x1b" not in text
