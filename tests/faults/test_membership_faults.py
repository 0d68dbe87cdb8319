"""Members that come and go, with and without a name of their own (static membership), by both group protocols."""

import logging
import os
import signal
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from confluent_kafka import KafkaException

from consumer.batch import Batch
from consumer.intake import Intake
from tests.acceptance.ferry import (
    Ferry,
    Running,
    children,
    committed,
    count_rows,
    message,
    publish,
    records,
    table_rows,
    wait_until,
)
from tests.faults.rig import PARTITIONS, WorkerProcess, be_patient, fill, owners, second, worker_order
from tests.faults.runs import assert_exact, consume, moves

PROTOCOLS = pytest.mark.parametrize("protocol", ["consumer", "classic"])
ONE_AT_FIRST = pytest.mark.parametrize("protocol", ["consumer", pytest.param("classic", marks=pytest.mark.long)])


class Pair:
    """Two commands of one group, each with one worker; a partition has never two owners, and nothing committed is not
    stored."""

    def __init__(self, ferry: Ferry, place: tuple[str, str, str, str], protocol: str, names: tuple[str, ...]) -> None:
        self._ferry = ferry
        self._place = place
        self._more = [f"-Xgroup.protocol={protocol}"]
        self._names = names
        self.lines = 0
        self.runs = [self._start(number) for number in range(2)]
        self._wait_for_balance()

    def _start(self, number: int) -> Running:
        name = [f"-Xgroup.instance.id={self._names[number]}"] if self._names else []
        return consume(self._ferry, *self._place, *self._more, *name)

    def check(self) -> None:
        """What holds at all times."""
        brokers, _, group, database = self._place
        owned = [partition for theirs in owners(brokers, group).values() for partition in theirs]
        assert len(owned) == len(set(owned)), f"a partition with two owners: {owned}"
        assert sum(committed(brokers, group).values()) <= count_rows(database)

    def feed(self, lines: int = 1_000) -> None:
        """More lines on the topic."""
        fill(*self._place[:2], lines, start=self.lines)
        self.lines += lines

    def settled(self) -> bool:
        """Whether everything is committed."""
        self.check()
        brokers, _, group, _ = self._place
        return sum(committed(brokers, group).values()) == self.lines

    def restart(self, number: int) -> None:
        """End one of the two in its orderly way, and start it again, with lines before, between and after."""
        self.feed()
        assert self.runs[number].end(signal.SIGTERM).status == 143
        self.feed()
        self.runs[number] = self._start(number)
        self._wait_for_balance()
        self.feed()

    def _wait_for_balance(self) -> None:
        def balanced() -> bool:
            self.check()
            return sorted(map(len, owners(*self._place[0:3:2]).values())) == [1] * PARTITIONS

        self.runs[0].wait_until(balanced, "each has a partition")


@pytest.mark.long
@PROTOCOLS
@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
def test_rolling_restart_loses_and_doubles_nothing_and_a_partition_has_one_owner_at_all_times(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry, protocol: str, *, static: bool
) -> None:
    be_patient(brokers, group)  # with a member that is away for as long as a restart takes
    pair = Pair(ferry, (brokers, topic, group, database), protocol, ("a", "b") if static else ())
    pair.feed()
    pair.runs[0].wait_until(pair.settled, "both are at work")
    for number in (0, 1, 0, 1):
        other = pair.runs[1 - number]
        before = moves(other.err)
        pair.restart(number)
        other.wait_until(pair.settled, "everything is committed")
        moved = moves(other.err) - before
        assert moved == 0 if static else moved > 0, f"the other's partitions moved {moved} times"
    for run in pair.runs:
        result = run.end(signal.SIGTERM)
        assert result.status == 143, result.err
    assert_exact(database, pair.lines)
    assert records(brokers, f"{topic}.dlq") == []


@pytest.mark.parametrize("protocol", [pytest.param("consumer", marks=pytest.mark.long), "classic"])
def test_second_member_of_one_static_name_or_the_first_leaves_loudly_and_the_other_works_on(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry, protocol: str
) -> None:
    more = [f"-Xgroup.protocol={protocol}", "-Xgroup.instance.id=twin"]
    runs = [consume(ferry, brokers, topic, group, database, *more)]
    fill(brokers, topic, 100)
    runs[0].wait_until(lambda: sum(committed(brokers, group).values()) == 100, "everything is committed")
    runs.append(consume(ferry, brokers, topic, group, database, *more))
    ended = 0 if protocol == "classic" else 1  # the classic protocol lets the newcomer in, the new one the elder stay
    result = runs[ended].wait(90)
    assert result.status == 1
    assert "Another live member has this group.instance.id: give each its own" in result.err
    assert "Traceback" not in result.err
    fill(brokers, topic, 100, start=100)
    runs[1 - ended].wait_until(lambda: sum(committed(brokers, group).values()) == 200, "the other works on")
    assert runs[1 - ended].end(signal.SIGTERM).status == 143
    assert_exact(database, 200)


def test_client_that_ended_before_its_first_records_still_says_why(
    brokers: str, topic: str, group: str, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    order = worker_order(brokers, topic, group, database, group_instance_id="twin")
    order = replace(order, fair_share=(PARTITIONS, PARTITIONS))
    with closing(Intake(order)) as elder, closing(Intake(order)) as newcomer:
        elder.open()
        wait_until(lambda: not elder.take(Batch(), 10, 0.1) and elder.owned, "the elder has partitions")
        newcomer.open()
        wait_until(lambda: has_ended(newcomer), "the broker refused the newcomer")
        newcomer.take(Batch(), 10, 1.0)
    assert "Another member of the group has the name twin-0" in caplog.text


def test_partition_that_went_while_it_was_paused_is_read_on_when_it_comes_back(
    brokers: str, topic: str, group: str, database: str
) -> None:
    order = worker_order(brokers, topic, group, database)
    with closing(Intake(order)) as elder:
        elder.open()
        wait_until(lambda: not elder.take(Batch(), 10, 0.1) and len(elder.owned) == PARTITIONS, "it has all")
        with closing(Intake(order)) as newcomer:
            newcomer.open()

            def shared() -> bool:
                elder.keep_alive(0.1)
                newcomer.take(Batch(), 10, 0.1)
                return len(elder.owned) == len(newcomer.owned) == 1

            wait_until(shared, "a partition goes, while it is paused")
            elder.take(Batch(), 10, 0.1)
        wait_until(lambda: not elder.take(Batch(), 10, 0.1) and len(elder.owned) == PARTITIONS, "it comes back")
        fill(brokers, topic, 100)
        batch = Batch()

        def read() -> int:
            elder.take(batch, 100, 0.1)
            return len(batch)

        wait_until(lambda: read() == 100, "all is read")


def has_ended(intake: Intake) -> bool:
    """Whether its client takes no more calls."""
    try:
        intake._subscribe()
    except KafkaException as error:
        return bool(error.args[0].name() == "_FATAL")
    return False


@pytest.mark.long
@PROTOCOLS
def test_worker_that_did_not_ask_for_records_for_longer_than_it_may_joins_again(
    brokers: str, topic: str, group: str, database: str, protocol: str
) -> None:
    """As where it was frozen between two questions; one that is frozen in the middle of one is not put out."""
    patience = {"max_poll_interval_ms": "6000", "session_timeout_ms": "6000"}
    if protocol == "consumer":
        del patience["session_timeout_ms"]  # the broker's to say
    with closing(Intake(worker_order(brokers, topic, group, database, group_protocol=protocol, **patience))) as intake:
        intake.open()
        wait_until(lambda: not intake.take(Batch(), 10, 0.1) and intake.owned, "it has partitions")
        time.sleep(8)  # that is the fault
        fill(brokers, topic, 100)
        gone: set[int] = set()

        def away() -> bool:
            gone.update(intake.take(Batch(), 10, 0.1))
            return bool(gone)

        wait_until(away, "it notices")
        wait_until(lambda: not intake.take(Batch(), 0, 0.1) and len(intake.owned) == PARTITIONS, "it has them again")


@PROTOCOLS
def test_workers_of_one_command_with_a_static_name_do_not_put_each_other_out(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry, protocol: str
) -> None:
    more = [f"-Xgroup.protocol={protocol}", "-Xgroup.instance.id=host"]
    running = consume(ferry, brokers, topic, group, database, *more, workers=2)
    running.wait_until(lambda: sorted(map(len, owners(brokers, group).values())) == [1, 1], "each has a partition")
    fill(brokers, topic, 100)
    running.wait_until(lambda: sum(committed(brokers, group).values()) == 100, "everything is committed")
    assert running.end(signal.SIGTERM).status == 143
    assert_exact(database, 100)


@PROTOCOLS
def test_static_worker_killed_is_followed_by_one_of_its_name(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry, protocol: str
) -> None:
    more = [f"-Xgroup.protocol={protocol}", "-Xgroup.instance.id=host"]
    running = consume(ferry, brokers, topic, group, database, *more)
    fill(brokers, topic, 100)
    running.wait_until(lambda: sum(committed(brokers, group).values()) == 100, "everything is committed")
    (worker,) = running.workers()
    os.kill(worker, signal.SIGKILL)
    fill(brokers, topic, 100, start=100)
    running.wait_until(lambda: sum(committed(brokers, group).values()) == 200, "its heir works on")
    result = running.end(signal.SIGTERM)
    assert result.status == 143, result.err
    assert "was ended by signal 9: another takes its place" in result.err
    assert_exact(database, 200)


@PROTOCOLS
def test_frozen_worker_that_wakes_up_with_older_lines_in_hand_replaces_no_newer_row(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry, protocol: str
) -> None:
    ids, versions = 100, 40
    lines = [message(n, data=str(version)) for version in range(versions) for n in range(ids)]
    publish(brokers, topic, lines, partitions=[0])
    more = ["--on-duplicate", "update", f"-Xgroup.protocol={protocol}"]
    more += ["--batch-rows", str(ids), "--batch-seconds", "5"]  # each batch one version, however slow the broker
    more += ["-Xsession.timeout.ms=6000"] if protocol == "classic" else []
    place = ["--brokers", brokers, "--topic", topic, "--group", group, "--database", database, "--workers", "1"]
    frozen = ferry.start("consume", *place, "-v", *more, env={"CHATFERRY_FAILPOINT": "worker.committed:stop"})
    wait_until(lambda: stopped_below(frozen.process.pid), "its worker is frozen, with the second batch in hand")
    assert count_rows(database) == ids
    heir = ferry.start("consume", *place, "-v", *more)
    heir.wait_until(lambda: committed(brokers, group).get(0) == len(lines), "the heir has committed everything")
    (worker,) = stopped_below(frozen.process.pid)
    os.kill(worker, signal.SIGCONT)
    frozen.wait_until(lambda: "partitions [0] went" in frozen.err or "not stored" in frozen.err, "it knows its place")
    assert frozen.end(signal.SIGTERM).status == 143
    assert heir.end(signal.SIGTERM).status == 143
    assert {row[5] for row in table_rows(database)} == {str(versions - 1)}


@ONE_AT_FIRST
def test_frozen_worker_that_noticed_that_it_was_put_out_while_the_database_has_its_batch_replaces_no_newer_row(
    brokers: str, topic: str, group: str, database: str, tmp_path: Path, protocol: str
) -> None:
    ids = 100
    publish(brokers, topic, [message(n, data="older") for n in range(ids)], partitions=[0])
    impatient = {"session_timeout_ms": "6000"} if protocol == "classic" else {}
    order = worker_order(brokers, topic, group, database, group_protocol=protocol, **impatient)
    order = replace(order, replace=True, batch_rows=ids, log_level=logging.DEBUG)
    with WorkerProcess(order, tmp_path / "frozen.log", hold=True) as frozen:
        wait_until(lambda: frozen.holds, "its batch is before the database")
        frozen.signal(signal.SIGSTOP)
        publish(brokers, topic, [message(n, data="newer") for n in range(ids)], partitions=[0])
        with WorkerProcess(second(order), tmp_path / "heir.log") as heir:
            wait_until(lambda: committed(brokers, group).get(0) == 2 * ids, "its heir has committed everything")
            frozen.signal(signal.SIGCONT)
            wait_until(lambda: "went" in frozen.log, "it has noticed")
            frozen.release()
            wait_until(lambda: "it was not stored" in frozen.log, "it was kept from committing")
            assert (frozen.end(), heir.end()) == (0, 0)
    assert {row[5] for row in table_rows(database)} == {"newer"}


@ONE_AT_FIRST
def test_worker_that_comes_while_lines_replace_each_other_brings_back_no_older_row(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry, protocol: str
) -> None:
    """Both partitions have all ids, each its own; a batch is in the database's hands at most rebalances."""
    ids, versions = 100, 200
    lines = [message(n, data=str(version)) for version in range(versions) for n in range(ids)]
    publish(brokers, topic, lines, partitions=[0, 1])  # line by line: even ids on one, odd ids on the other
    more = ["--on-duplicate", "update", "--batch-rows", "50", f"-Xgroup.protocol={protocol}"]
    place = brokers, topic, group, database
    first = consume(ferry, *place, *more)
    first.wait_until(lambda: count_rows(database) > 0, "the first rows are there")
    second = consume(ferry, *place, *more)
    second.wait_until(lambda: moves(second.err) > 0, "a partition moved")
    second.wait_until(lambda: sum(committed(brokers, group).values()) == len(lines), "everything is committed")
    assert [run.end(signal.SIGTERM).status for run in (first, second)] == [143, 143]
    assert {row[5] for row in table_rows(database)} == {str(versions - 1)}


def stopped_below(pid: int) -> list[int]:
    """The processes below this one that are stopped."""
    below = [grandchild for child in children(pid) for grandchild in [child, *children(child)]]
    return [process for process in below if psutil.Process(process).status() == psutil.STATUS_STOPPED]
