"""What may befall a producer, and that no line is lost by it."""

import hashlib
import json
import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.ferry import Ferry, ends, lines_of, message, values
from tests.faults.disk import small_disk
from tests.faults.rig import create_topic, set_topic_config
from tests.services.kafka import Kafka


def offset_of(state: Path) -> int:
    """The byte that the only checkpoint in the folder stands at; 0 where there is none yet."""
    for file in state.glob("*.json"):
        return int(json.loads(file.read_bytes())["offset"])
    return 0


@pytest.mark.parametrize("records_a_batch", [1, 7, 10_000])
def test_a_record_refused_within_a_slice_stops_the_producer_before_the_checkpoint_passes_it(
    kafka: Any, topic: str, tmp_path: Path, records_a_batch: int
) -> None:
    """One report a slice is enough only because a refused record stops the client: this is where that is held.

    In batches of their own the records before it are taken, and those after it would be, were they not held back.
    """
    ferry = Ferry(tmp_path)
    place = ["--brokers", kafka.brokers, "--topic", topic]
    ferry.run("topics", "create", *place, "--partitions", "1")
    rng = random.Random(1)
    small = [message(number) for number in range(300)]
    large = message(300, data=rng.randbytes(30_000).hex())  # no compression makes it fit
    after = [message(number) for number in range(301, 600)]
    log = tmp_path / "chat.jsonl"
    log.write_bytes(b"\n".join([*small, large, *after]) + b"\n")
    set_topic_config(kafka.brokers, topic, "max.message.bytes", 20_000)
    # The client is told that larger records fit, as it believes when the limit is lowered under its hands.
    believed = ["-X", "message.max.bytes=1000000", "-X", f"batch.num.messages={records_a_batch}"]
    result = ferry.run("produce", log, *place, "--state", tmp_path / "s", *believed, check=1)
    assert "Start again: it goes on from the checkpoint" in result.err
    assert "Traceback" not in result.err
    assert offset_of(tmp_path / "s") <= len(b"\n".join(small)) + 1
    arrived = Counter(values(kafka.brokers, topic))
    assert large not in arrived
    assert bool(arrived) == (records_a_batch < len(small))  # the neighbours were taken, where they went by themselves
    # Told of the limit it sends all the others, and a reference to the one that does not fit.
    account = ferry.run("produce", log, *place, "--state", tmp_path / "s", "--json").json
    assert account["oversize"] == 1
    assert set(values(kafka.brokers, topic)) == {*small, *after}


def log_with_one_long_line(path: Path) -> tuple[list[bytes], bytes]:
    """12,000 lines and a large one amid them, which fits as long as the topic's limit is Kafka's default."""
    lines = [message(number) for number in range(12_000)]
    lines[8_000] = large = message(8_000, data=random.Random(2).randbytes(100_000).hex())
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return lines, large


def test_a_limit_lowered_while_lines_are_sent_ends_the_client_and_a_new_one_goes_on(
    kafka: Any, topic: str, tmp_path: Path
) -> None:
    ferry = Ferry(tmp_path)
    create_topic(kafka.brokers, topic, 2)
    create_topic(kafka.brokers, f"{topic}.dlq", 1)
    log = tmp_path / "chat.jsonl"
    lines, large = log_with_one_long_line(log)
    place = ["--brokers", kafka.brokers, "--topic", topic]
    running = ferry.start("produce", log, *place, "--state", tmp_path / "s", "--json", "--rate", "4000")
    running.wait_until(lambda: sum(ends(kafka.brokers, topic).values()) > 500, "lines arrive")
    set_topic_config(kafka.brokers, topic, "max.message.bytes", 50_000)
    result = running.wait()
    assert result.status == 0, result.err
    assert "going on from the checkpoint with a new client" in result.err
    account = result.json
    assert (account["lines"], account["oversize"], account["resumed_from"]) == (12_000, 1, {str(log): 0})
    assert account["acknowledged"] >= 12_000  # and what was in flight, once more
    assert offset_of(tmp_path / "s") == log.stat().st_size
    assert set(values(kafka.brokers, topic)) == set(lines) - {large}
    (reference,) = (json.loads(value) for value in values(kafka.brokers, f"{topic}.dlq"))
    assert reference["sha256"] == hashlib.sha256(large).hexdigest()


def test_a_limit_lowered_while_standard_input_is_sent_stops_and_says_that_it_cannot_go_on(
    kafka: Any, topic: str, tmp_path: Path
) -> None:
    ferry = Ferry(tmp_path)
    create_topic(kafka.brokers, topic, 2)
    create_topic(kafka.brokers, f"{topic}.dlq", 1)
    log = tmp_path / "chat.jsonl"
    log_with_one_long_line(log)
    place = ["--brokers", kafka.brokers, "--topic", topic]
    with log.open("rb") as lines:
        running = ferry.start("produce", "-", *place, "--state", tmp_path / "s", "--rate", "4000", stdin=lines.fileno())
        running.wait_until(lambda: sum(ends(kafka.brokers, topic).values()) > 500, "lines arrive")
        set_topic_config(kafka.brokers, topic, "max.message.bytes", 50_000)
        result = running.wait()
    assert result.status == 1, result.err
    assert "standard input is gone once it is read" in result.err
    assert "Traceback" not in result.err


def test_a_limit_raised_while_a_log_is_followed_has_the_next_long_line_sent_whole(
    kafka: Any, topic: str, tmp_path: Path
) -> None:
    ferry = Ferry(tmp_path)
    create_topic(kafka.brokers, topic, 1)
    create_topic(kafka.brokers, f"{topic}.dlq", 1)
    set_topic_config(kafka.brokers, topic, "max.message.bytes", 10_000)
    long = [message(number, data=random.Random(number).randbytes(10_000).hex()) for number in range(2)]
    log = tmp_path / "chat.jsonl"
    log.write_bytes(message(2) + b"\n" + long[0] + b"\n")
    place = ["--brokers", kafka.brokers, "--topic", topic, "--state", tmp_path / "s"]
    running = ferry.start("produce", "--follow", log, *place, "--json")
    running.wait_until(lambda: values(kafka.brokers, f"{topic}.dlq"), "a reference to the first long line")
    set_topic_config(kafka.brokers, topic, "max.message.bytes", 1_000_000)
    with log.open("ab") as more:
        more.write(long[1] + b"\n")
    running.wait_until(lambda: long[1] in values(kafka.brokers, topic), "the second long line, whole")
    account = running.end(signal.SIGTERM).json
    assert (account["lines"], account["oversize"]) == (3, 1)
    assert values(kafka.brokers, topic) == [message(2), long[1]]
    assert len(values(kafka.brokers, f"{topic}.dlq")) == 1


def test_what_a_time_window_kept_out_is_sent_by_a_run_with_another_window_or_none(
    kafka: Any, topic: str, tmp_path: Path
) -> None:
    ferry = Ferry(tmp_path)
    create_topic(kafka.brokers, topic, 1)
    log = tmp_path / "chat.jsonl"
    log.write_bytes(b"".join(message(number) + b"\n" for number in range(100)))
    command = ["produce", log, "--brokers", kafka.brokers, "--topic", topic, "--state", tmp_path / "s", "--json"]
    noon = "1700000050"
    assert ferry.run(*command, "--until", noon).json["outside_window"] == 50
    assert values(kafka.brokers, topic) == [message(number) for number in range(50)]
    assert ferry.run(*command, "--until", noon).json["lines"] == 0
    assert ferry.run(*command, "--from", noon).json["outside_window"] == 50
    assert sorted(values(kafka.brokers, topic)) == sorted(lines_of(log))
    assert ferry.run(*command).json["lines"] == 100
    assert ferry.run(*command).json["lines"] == 0


def test_a_compacted_topic_is_refused_and_one_for_dead_letters_too(kafka: Any, topic: str, tmp_path: Path) -> None:
    ferry = Ferry(tmp_path)
    create_topic(kafka.brokers, topic, 1)
    create_topic(kafka.brokers, f"{topic}.dlq", 1)
    log = tmp_path / "chat.jsonl"
    log.write_bytes(message(1) + b"\n")
    place = ["--brokers", kafka.brokers, "--topic", topic]
    database = f"sqlite:///{tmp_path}/chat.db"
    ferry.run("db", "upgrade", "--database", database)
    set_topic_config(kafka.brokers, topic, "cleanup.policy", "compact")
    result = ferry.run("produce", log, *place, "--state", tmp_path / "s", check=1)
    assert f"The topic {topic} is compacted" in result.error
    consumed = ferry.run("consume", *place, "--database", database, "--until-end")
    assert "Kafka deletes lines whose key comes again" in consumed.err
    set_topic_config(kafka.brokers, topic, "cleanup.policy", "delete")
    set_topic_config(kafka.brokers, f"{topic}.dlq", "cleanup.policy", "compact")
    refused = ferry.run("consume", *place, "--database", database, "--until-end", check=1)
    assert f"The dead-letter topic {topic}.dlq is compacted" in refused.error


@pytest.mark.long
def test_a_broker_killed_and_started_again_loses_and_doubles_nothing(server_directory: Path, tmp_path: Path) -> None:
    ferry = Ferry(tmp_path)
    log = tmp_path / "chat.jsonl"
    log.write_bytes(b"".join(message(number) + b"\n" for number in range(40_000)))
    with Kafka(server_directory) as kafka:
        place = ["--brokers", kafka.brokers, "--topic", "t"]
        ferry.run("topics", "create", *place)
        running = ferry.start("produce", log, *place, "--state", tmp_path / "s", "--rate", "8000", "--json")
        running.wait_until(lambda: offset_of(tmp_path / "s") > 0, "the first checkpoint")
        kafka.kill()
        before = offset_of(tmp_path / "s")
        kafka.start()
        result = running.wait()
        assert result.status == 0, result.err
        assert 0 < before < log.stat().st_size  # it was killed in the middle
        assert result.json["acknowledged"] == 40_000
        assert Counter(values(kafka.brokers, "t")) == Counter(lines_of(log))


@pytest.mark.long
def test_a_broker_that_stops_answering_for_a_while_costs_time_only(server_directory: Path, tmp_path: Path) -> None:
    ferry = Ferry(tmp_path)
    log = tmp_path / "chat.jsonl"
    log.write_bytes(b"".join(message(number) + b"\n" for number in range(20_000)))
    with Kafka(server_directory) as kafka:
        place = ["--brokers", kafka.brokers, "--topic", "t"]
        ferry.run("topics", "create", *place)
        running = ferry.start("produce", log, *place, "--state", tmp_path / "s", "--rate", "8000", "--json")
        running.wait_until(lambda: offset_of(tmp_path / "s") > 0, "the first checkpoint")
        kafka.pause()
        stood = offset_of(tmp_path / "s")
        try:
            running.wait_until(lambda: "Nothing acknowledged" in running.err, "the word that it waits")
            assert offset_of(tmp_path / "s") - stood < 1 << 20  # what was acknowledged before, and no more
        finally:
            kafka.resume()
        assert running.wait().json["acknowledged"] == 20_000
        assert Counter(values(kafka.brokers, "t")) == Counter(lines_of(log))


def test_a_producer_killed_five_times_sends_every_line_and_leaves_no_gap(
    kafka: Any, topic: str, tmp_path: Path
) -> None:
    ferry = Ferry(tmp_path)
    log = tmp_path / "chat.jsonl"
    log.write_bytes(b"".join(message(number) + b"\n" for number in range(30_000)))
    place = ["--brokers", kafka.brokers, "--topic", topic]
    state = tmp_path / "s"
    ferry.run("topics", "create", *place)
    for _ in range(5):
        stood = offset_of(state)
        running = ferry.start("produce", log, *place, "--state", state, "--rate", "5000")
        running.wait_until(lambda stood=stood: offset_of(state) > stood, "the checkpoint moves")  # type: ignore[misc]
        assert running.end(signal.SIGKILL).status == -signal.SIGKILL
    ferry.run("produce", log, *place, "--state", state)
    assert offset_of(state) == log.stat().st_size
    arrived = Counter(values(kafka.brokers, topic))
    assert set(arrived) == set(lines_of(log))
    assert sum(arrived.values()) > 30_000  # something was in flight, and sent again


def test_a_full_disk_under_the_state_folder_stops_the_producer_and_keeps_the_old_checkpoint(
    kafka: Any, topic: str, tmp_path: Path
) -> None:
    log = tmp_path / "chat.jsonl"
    log.write_bytes(message(1) + b"\n")
    create_topic(kafka.brokers, topic, 2)
    with small_disk(tmp_path / "s", "64k") as disk:
        ferry = Ferry(tmp_path, within=disk.within)
        sent = [log, "--brokers", kafka.brokers, "--topic", topic, "--state", disk.folder]
        ferry.run("produce", *sent)
        (kept,) = disk.outside.glob("*.json")
        before = kept.read_bytes()
        with log.open("ab") as more:
            more.write(message(2) + b"\n")
        with disk.filled():
            assert "Cannot write the checkpoint" in ferry.run("produce", *sent, check=1).error
            assert kept.read_bytes() == before
            assert not kept.with_suffix(".new").exists()
        assert ferry.run("produce", *sent, "--json").json["lines"] == 1
        assert offset_of(disk.outside) == log.stat().st_size
    assert Counter(values(kafka.brokers, topic)) == {message(1): 1, message(2): 2}  # what was not written comes again
