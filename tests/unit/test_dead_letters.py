"""How long the dead-letter topic is waited for: as long as it takes something."""

from types import SimpleNamespace
from typing import cast

import pytest
from confluent_kafka import Producer

from consumer import dead_letters
from consumer.dead_letters import DeadLetters
from schemas.errors import BrokerDown


class Slow:
    """A client that has so many records left after each second, by a clock of its own."""

    def __init__(self, *left: int) -> None:
        self.seconds = 0.0
        self._left = list(left)

    def __len__(self) -> int:
        return self._left[0]

    def flush(self, seconds: float) -> int:
        self.seconds += seconds
        if len(self._left) > 1:
            self._left.pop(0)
        return self._left[0]

    def purge(self) -> None:
        self._left = [0]


def wait(client: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for it."""
    monkeypatch.setattr("consumer.dead_letters.time", SimpleNamespace(monotonic=lambda: client.seconds))
    DeadLetters({}, "chat.dlq", "chat")._wait(cast("Producer", client), lambda: None)


def test_topic_that_takes_a_record_now_and_then_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(*(left for left in range(10, -1, -1) for _ in range(20)))
    wait(slow, monkeypatch)
    assert slow.seconds > 3 * dead_letters.ACKNOWLEDGE_SECONDS


def test_topic_that_takes_nothing_any_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = Slow(3, 2, 1)
    with pytest.raises(BrokerDown, match="acknowledged nothing for 30 s"):
        wait(silent, monkeypatch)
    assert silent.seconds < 2 * dead_letters.ACKNOWLEDGE_SECONDS
