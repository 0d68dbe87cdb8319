"""Offsets that are gone, records that are gone, a topic that is another one of the same name: no silent skip."""

from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, TopicPartition

from tests.acceptance.ferry import Ferry, committed, count_rows, ends, wait_until
from tests.faults.rig import LINES, PARTITIONS, connect, create_topic, delete_records, delete_topic, fill, forget, ids
from tests.faults.runs import assert_exact, consume

SMALL_STEPS = ["--batch-rows", "50", *(f"-X{s}" for s in ("queued.min.messages=1", "fetch.message.max.bytes=5000"))]
"""So that a worker has fetched but little of what it has not stored."""


def recreate(brokers: str, topic: str) -> None:
    """Delete the topic and make another of its name."""
    delete_topic(brokers, topic)
    create_topic(brokers, topic, PARTITIONS)

    def there() -> bool:
        try:
            return ends(brokers, topic) == {0: 0, 1: 0}
        except KafkaException:  # its leaders are not chosen yet
            return False

    wait_until(there, "the new topic is there")


def test_expired_offsets_repeat_everything_and_skip_nothing(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    fill(brokers, topic)
    consume(ferry, brokers, topic, group, database, "--until-end").wait()
    assert sum(committed(brokers, group).values()) == LINES
    forget(brokers, group)
    assert committed(brokers, group) == {}
    fill(brokers, topic, 100, start=LINES)
    result = consume(ferry, brokers, topic, group, database, "--until-end").wait()
    assert (result.status, result.json["rows"], result.json["repeats"]) == (0, 100, LINES), result.err
    assert_exact(database, LINES + 100)


def test_records_deleted_under_a_working_consumer_stop_it_with_a_clear_error(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    lines = 40_000
    fill(brokers, topic, lines)
    running = consume(ferry, brokers, topic, group, database, *SMALL_STEPS)
    running.wait_until(lambda: count_rows(database) > 0, "the first rows are there")
    delete_records(brokers, topic, {0: lines // 2, 1: lines // 2})
    fill(brokers, topic, 100, start=lines)
    result = running.wait()
    assert result.status == 1
    assert "Records were deleted before they were read" in result.error
    stored = ids(database)
    assert len(stored) < lines, "the consumer was done before"
    assert not {f"id-{number}" for number in range(lines, lines + 100)} & set(stored), "the gap was skipped"
    assert sum(committed(brokers, group).values()) <= len(stored)


def test_topic_recreated_while_the_consumer_is_away_is_read_from_its_beginning(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    fill(brokers, topic)
    consume(ferry, brokers, topic, group, database, "--until-end").wait()
    assert sum(committed(brokers, group).values()) == LINES
    recreate(brokers, topic)
    fill(brokers, topic, 2 * LINES, start=LINES)
    result = consume(ferry, brokers, topic, group, database, "--until-end").wait()
    assert (result.status, result.json["rows"]) == (0, 2 * LINES), result.err
    assert_exact(database, 3 * LINES)


@pytest.mark.parametrize("longer", [False, True], ids=["shorter", "longer"])
@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_topic_recreated_under_a_working_consumer_is_told_and_nothing_of_it_is_skipped(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry, protocol: str, *, longer: bool
) -> None:
    fill(brokers, topic)
    running = consume(ferry, brokers, topic, group, database, f"-Xgroup.protocol={protocol}")
    running.wait_until(lambda: sum(committed(brokers, group).values()) == LINES, "everything is committed")
    recreate(brokers, topic)
    more = 2 * LINES if longer else 100
    fill(brokers, topic, more, start=LINES)
    result = running.wait()
    assert result.status == 1
    assert "made anew" in result.error
    assert "--reset-offsets" in result.error
    assert "Traceback" not in result.err
    forget(brokers, group)  # what the error names
    again = consume(ferry, brokers, topic, group, database, "--until-end").wait()
    assert again.status == 0, again.err
    assert_exact(database, LINES + more)


@pytest.mark.long
def test_topic_recreated_while_a_lock_is_in_the_database_s_way_is_told_all_the_same(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    fill(brokers, topic)
    running = consume(ferry, brokers, topic, group, database)
    running.wait_until(lambda: sum(committed(brokers, group).values()) == LINES, "everything is committed")
    waiting = "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE 'Waiting for table%'"
    with closing(connect(database)) as connection, connection.cursor() as cursor:
        cursor.execute("LOCK TABLES chat_messages WRITE")
        fill(brokers, topic, 100, start=LINES)
        running.wait_until(lambda: cursor.execute(waiting) and cursor.fetchone() != (0,), "the database has a batch")
        recreate(brokers, topic)
        result = running.wait(60)  # the one that says so, and the grace period of the one that waits for the lock
    assert result.status == 1
    assert "made anew" in result.error


def test_offset_committed_for_a_topic_that_was_made_anew_is_not_believed(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    """As where a worker committed once more between the new topic's first record and its next look at the topic's id.
    The broker drops a deleted topic's offsets, so they are put back here as the worker wrote them."""
    fill(brokers, topic)
    consume(ferry, brokers, topic, group, database, "--until-end").wait()
    client = Consumer({"bootstrap.servers": brokers, "group.id": group, "enable.auto.commit": False})
    written = client.committed([TopicPartition(topic, partition) for partition in range(PARTITIONS)], timeout=30)
    assert sum(place.offset for place in written) == LINES
    recreate(brokers, topic)
    fill(brokers, topic, 2 * LINES, start=LINES)
    client.commit(offsets=written, asynchronous=False)
    client.close()
    result = consume(ferry, brokers, topic, group, database, "--until-end").wait()
    assert result.status == 1, result.err
    assert "made anew since it was read" in result.error
    assert len(ids(database)) == LINES
    forget(brokers, group)
    again = consume(ferry, brokers, topic, group, database, "--until-end").wait()
    assert (again.status, again.json["rows"]) == (0, 2 * LINES), again.err
    assert_exact(database, 3 * LINES)


def test_group_that_has_read_all_into_another_table_is_told_of_the_empty_one(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry, tmp_path: Path
) -> None:
    fill(brokers, topic)
    consume(ferry, brokers, topic, group, database, "--until-end").wait()
    other = f"sqlite:///{tmp_path}/other.db"
    ferry.run("db", "upgrade", "--database", other)
    result = consume(ferry, brokers, topic, group, other, "--until-end").wait()
    assert (result.status, result.json["messages"]) == (0, 0)
    assert f"The table is empty, but the group {group} has read up to 2,000 records before" in result.err


def test_new_group_on_a_topic_whose_first_records_are_gone_is_told_from_where_it_reads(
    brokers: str, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    fill(brokers, topic)
    delete_records(brokers, topic, {0: 300, 1: 0})
    result = consume(ferry, brokers, topic, group, database, "--until-end").wait()
    assert (result.status, result.json["rows"]) == (0, LINES - 300)
    assert "Partition 0 begins at record 300" in result.err
    assert "Partition 1 begins" not in result.err
