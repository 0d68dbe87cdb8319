"""A few rounds of `make torture`, as the whole of it; and that a fault which hit nothing does not count."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.ferry import Ferry, wait_until
from tests.services.cluster import Cluster
from tests.services.mariadb import MariaDB
from tests.services.process import free_port
from tests.services.proxy import Proxy
from tests.torture.faults import Faults
from tests.torture.fleet import Service
from tests.torture.schedule import Event, Fault
from tests.torture.site import Site
from tests.torture.writer import Writer


@pytest.mark.long
@pytest.mark.timeout(900)
def test_rounds_of_mixed_faults_lose_and_double_nothing() -> None:
    command = [sys.executable, "-m", "tests.torture", "--seed", "every run", "--rounds", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 rounds" in done.stdout
    assert done.stdout.count("passed in") == 5


@pytest.fixture
def faults(server_directory: Path, tmp_path: Path) -> Iterator[Faults]:
    """Faults of a site where nothing but the database runs, and no command."""
    kafka = server_directory / "kafka"
    kafka.mkdir()
    with MariaDB(server_directory) as maria, Proxy(maria.port) as way, Proxy(free_port()) as broker_way:
        idle = Service(Ferry(tmp_path), ["--version"])
        writer = Writer(tmp_path / "logs" / "live.jsonl", [], 1.0)
        yield Faults(Site(Cluster(kafka), maria, [broker_way], way), "topic", writer, [idle], (idle, idle))
        writer.close()


def at_once(fault: Fault) -> Event:
    """The fault, now."""
    return Event(0.0, fault, 0.0, 0.99)


def test_sessions_killed_while_the_database_is_frozen_hit_nothing_and_hold_up_nobody(faults: Faults) -> None:
    with closing(socket.create_connection(("127.0.0.1", faults._site.database_way.port))):
        thaw = faults.strike(at_once(Fault.DATABASE_FROZEN))
        faults.strike(at_once(Fault.SESSIONS_KILLED))
        thaw()
    assert [event.fault for event in faults.did] == [Fault.DATABASE_FROZEN]
    assert faults._site.maria.execute("SELECT 1") == [(1,)]


@pytest.mark.parametrize("fault", [Fault.DATABASE_CUT, Fault.DATABASE_UNHEARD])
def test_cut_and_silence_count_where_a_connection_was_open_and_only_there(faults: Faults, fault: Fault) -> None:
    way = faults._site.database_way
    faults.strike(at_once(fault))()
    assert faults.did == []
    with closing(socket.create_connection(("127.0.0.1", way.port))):
        wait_until(lambda: way.links == 1, "the proxy carries it")
        faults.strike(at_once(fault))()
        assert len(faults.did) == 1


def test_faults_that_find_nothing_to_disturb_do_not_count(faults: Faults) -> None:
    asked_alike = {Fault.LEADER_ENDED}  # as the killed one, and waits as long for an answer
    for fault in set(Fault) - {Fault.DATABASE_KILLED, Fault.DATABASE_FROZEN} - asked_alike:
        faults.strike(at_once(fault))()
    assert faults.did == []
