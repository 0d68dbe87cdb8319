"""Where a topic's partitions begin and end, asked of a broker that has just come back."""

import time
from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumer.positions import watermarks
from schemas.errors import Stop

NO_PARTITION = KafkaError(KafkaError._UNKNOWN_PARTITION)
NO_RIGHT = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)


class Broker:
    """A consumer whose broker answers with these errors first."""

    def __init__(self, *errors: KafkaError) -> None:
        self.errors = list(errors)

    def get_watermark_offsets(self, _place: TopicPartition, timeout: float) -> tuple[int, int]:
        assert timeout > 0
        if self.errors:
            raise KafkaException(self.errors.pop(0))
        return 3, 7


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that went by, of a clock of our own."""
    passed: list[float] = []
    monkeypatch.setattr(time, "sleep", passed.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(passed))
    return passed


def test_partition_without_a_leader_for_a_moment_is_asked_for_again(waits: list[float]) -> None:
    broker = Broker(NO_PARTITION, KafkaError(KafkaError.LEADER_NOT_AVAILABLE), NO_PARTITION)
    assert watermarks(cast("Consumer", broker), "t", 0) == (3, 7)
    assert len(waits) == 3


def test_partition_that_stays_away_is_told() -> None:
    broker = Broker(*[NO_PARTITION] * 10_000)
    with pytest.raises(Stop, match="t partition 0") as stopped:
        watermarks(cast("Consumer", broker), "t", 0)
    assert "made anew with fewer partitions" in stopped.value.next_step
    assert broker.errors


def test_refusal_is_told_at_once(waits: list[float]) -> None:
    with pytest.raises(Stop, match="t partition 0"):
        watermarks(cast("Consumer", Broker(NO_RIGHT)), "t", 0)
    assert waits == []
