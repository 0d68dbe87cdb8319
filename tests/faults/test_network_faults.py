"""A network that is cut, silent or slow, or that loses an answer, between each two parts."""

import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.acceptance.ferry import committed, ends, lines_of, publish, values, wait_until
from tests.faults.rig import fill, ids
from tests.faults.runs import Net, write_log
from tests.services.proxy import kafka_request

PRODUCE, OFFSET_COMMIT = 0, 8
COMMIT = rb"\x07\x00\x00\x00\x03COMMIT"
"""MySQL's packet (COM_QUERY); a chunk of the lines themselves would not have it."""


# -- producer and broker -------------------------------------------------------------------------------------------


def test_cut_between_producer_and_broker_loses_and_doubles_nothing(net: Net, tmp_path: Path) -> None:
    log = write_log(tmp_path / "chat.jsonl", 20_000)
    running = net.produce(log, tmp_path / "s", "--rate", "8000")
    running.wait_until(lambda: sum(ends(net.brokers, net.topic).values()) > 0, "lines arrive")
    refused = net.kafka.refused
    net.kafka.cut()
    running.wait_until(lambda: net.kafka.refused >= refused + 3, "the producer tries again and again")
    arrived = sum(ends(net.brokers, net.topic).values())
    assert 0 < arrived < 20_000, "the run was over before the cut"
    net.kafka.heal()
    result = running.wait()
    assert (result.status, result.json["acknowledged"]) == (0, 20_000), result.err
    assert Counter(values(net.brokers, net.topic)) == Counter(lines_of(log))


def test_answers_lost_after_append_repeat_nothing_within_a_session(net: Net, tmp_path: Path) -> None:
    log = write_log(tmp_path / "chat.jsonl", 12_000)
    running = net.produce(log, tmp_path / "s", "--rate", "4000", "-X", "debug=msg")
    running.wait_until(lambda: sum(ends(net.brokers, net.topic).values()) > 0, "lines arrive")
    lost = net.kafka.lost
    net.kafka.lose(kafka_request(PRODUCE, "chatferry-producer"), times=5)
    result = running.wait()
    assert (result.status, result.json["acknowledged"]) == (0, 12_000), result.err
    assert net.kafka.lost == lost + 5
    assert result.err.count("MsgPossiblyPersisted") >= 5, "the client did not send again what may be there"
    assert Counter(values(net.brokers, net.topic)) == Counter(lines_of(log))


@pytest.mark.long
def test_slow_link_costs_time_only(net: Net, tmp_path: Path) -> None:
    lines = 2_000
    log = write_log(tmp_path / "chat.jsonl", lines)
    net.kafka.delay = net.mariadb.delay = 0.1
    net.kafka.rate, net.mariadb.rate = 100_000.0, 200_000.0
    account = net.produce(log, tmp_path / "s", "-X", "compression.type=none").wait().json
    assert account["acknowledged"] == lines
    assert account["seconds"] > log.stat().st_size / net.kafka.rate, "the link was not slow"
    assert Counter(values(net.brokers, net.topic)) == Counter(lines_of(log))
    _, account = net.see_through(net.consume(workers=2), lines)
    assert (account["rows"], account["repeats"]) == (lines + 100, 0)


# -- consumer and broker -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_cut_between_consumer_and_broker_loses_and_doubles_nothing(net: Net, protocol: str) -> None:
    lines = 40_000
    fill(net.brokers, net.topic, lines)
    running = net.consume("--batch-rows", "500", f"-Xgroup.protocol={protocol}", workers=2)
    running.wait_until(lambda: net.stored > 0, "the first rows are there")
    refused = net.kafka.refused
    net.kafka.cut()
    running.wait_until(lambda: net.kafka.refused >= refused + 6, "the workers try again and again")
    assert net.committed < lines, "the run was over before the cut"
    net.kafka.heal()
    net.see_through(running, lines)


@pytest.mark.long
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_broker_silent_for_longer_than_the_session_is_joined_again(net: Net, protocol: str) -> None:
    lines = 40_000
    fill(net.brokers, net.topic, lines)
    hasty = ["-Xsession.timeout.ms=6000"] if protocol == "classic" else []
    running = net.consume("--batch-rows", "500", f"-Xgroup.protocol={protocol}", *hasty)
    running.wait_until(lambda: net.stored > 0, "the first rows are there")
    net.kafka.black_hole()
    before = net.committed
    assert before < lines, "the run was over before the silence"
    wait_until(lambda: not net.members(), "the group put the silent worker out")
    net.kafka.heal()
    result, _ = net.see_through(running, lines)
    assert result.err.count("partitions [0, 1] came") >= 2, "the worker did not lose its place"


def test_lost_answers_to_offset_commits_repeat_no_batch(net: Net) -> None:
    lines = 20_000
    fill(net.brokers, net.topic, lines)
    lost = net.kafka.lost
    net.kafka.lose(kafka_request(OFFSET_COMMIT, "chatferry-consumer"), times=3)
    _, account = net.see_through(net.consume("--batch-rows", "500"), lines)
    assert net.kafka.lost == lost + 3
    assert (account["rows"], account["repeats"]) == (lines + 100, 0)


@pytest.mark.long
def test_offset_commit_that_no_broker_took_is_made_up_for_without_another_line(net: Net) -> None:
    fill(net.brokers, net.topic, 100)
    net.kafka.lose(kafka_request(OFFSET_COMMIT, "chatferry-consumer"), answers=False, times=100_000)
    running = net.consume()
    running.wait_until(lambda: "it is tried again" in running.err, "the worker gives up for now")
    assert (net.stored, net.committed) == (100, 0)
    net.kafka.heal()
    net.see_through(running, 100)


@pytest.mark.long
def test_dead_letters_that_no_broker_takes_for_a_while_have_the_worker_begin_anew_until_it_does(net: Net) -> None:
    good = fill(net.brokers, net.topic, 100)
    publish(net.brokers, net.topic, [b"{}"])
    net.kafka.lose(kafka_request(PRODUCE, "chatferry-dead-letters"), answers=False, times=1_000_000)
    running = net.consume("--dead-letter-run", "0")
    running.wait_until(lambda: running.err.count("the worker begins anew") == 2, "it begins anew", 120)
    assert net.stored == 100
    assert sum(committed(net.brokers, net.group).values()) < 101
    net.kafka.heal()
    running.wait_until(lambda: sum(committed(net.brokers, net.group).values()) == 101, "all is committed")
    result = running.end(signal.SIGTERM)
    assert result.status == 128 + signal.SIGTERM, result.err
    assert values(net.brokers, f"{net.topic}.dlq") == [b"{}"]
    assert sorted(ids(net.database)) == sorted(f"id-{number}" for number in range(len(good)))


# -- worker and database -------------------------------------------------------------------------------------------


def test_cut_between_worker_and_database_loses_and_doubles_nothing(net: Net) -> None:
    lines = 40_000
    fill(net.brokers, net.topic, lines)
    running = net.consume("--batch-rows", "500", workers=2)
    running.wait_until(lambda: net.stored > 0, "the first rows are there")
    net.mariadb.cut()
    running.wait_until(lambda: "the batch of" in running.err, "a batch waits for the database")
    assert net.committed < lines, "the run was over before the cut"
    net.mariadb.heal()
    net.see_through(running, lines)


@pytest.mark.parametrize("arrives", [True, False], ids=["answer lost", "request lost"])
def test_cut_in_the_middle_of_commit_repeats_the_batch_and_doubles_no_row(net: Net, arrives: bool) -> None:
    lines = 20_000
    fill(net.brokers, net.topic, lines)
    running = net.consume("--batch-rows", "500")
    running.wait_until(lambda: net.stored > 0, "the first rows are there")
    net.mariadb.lose(COMMIT, answers=arrives, times=3)
    _, account = net.see_through(running, lines)
    assert net.mariadb.lost == 3
    assert account["repeats"] > 0 if arrives else account["repeats"] == 0
    assert account["rows"] + account["repeats"] == lines + 100
