"""`chatferry consume` as it is typed: to the end, for ever, and shared by hand."""

import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from benchmarks.generate import digest, digest_rows, generate
from tests.acceptance.ferry import Ferry, count_rows, message, publish, query, table_rows
from tests.services.process import free_port


@pytest.fixture
def place(ferry: Ferry, kafka: Any, topic: str, mysql_url: str, group: str) -> list[str]:
    """Flags for a fresh topic of four partitions, a fresh table and a fresh group."""
    ferry.run("topics", "create", "--brokers", kafka.brokers, "--topic", topic)
    ferry.run("db", "upgrade", "--database", mysql_url)
    return ["--brokers", kafka.brokers, "--topic", topic, "--database", mysql_url, "--group", group]


def test_empty_topic_ends_at_once_with_an_account_of_nothing(ferry: Ferry, place: list[str]) -> None:
    account = ferry.run("consume", *place, "--until-end", "--json").json
    assert [account[name] for name in ("messages", "rows", "repeats", "dead_letters")] == [0, 0, 0, 0]


def test_repeats_are_no_ops_by_default_and_replace_where_asked(
    ferry: Ferry, kafka: Any, topic: str, mysql_url: str, place: list[str]
) -> None:
    publish(kafka.brokers, topic, [message(1, data="first"), message(1, data="second"), message(2)], partitions=[0])
    account = ferry.run("consume", *place, "--until-end", "--json").json
    assert (account["rows"], account["repeats"]) == (2, 1)
    publish(kafka.brokers, topic, [message(1, data="third"), message(3)], partitions=[0])
    account = ferry.run("consume", *place, "--until-end", "--on-duplicate", "update", "--json").json
    assert (account["rows"], account["repeats"]) == (1, 1)
    assert query(mysql_url, "SELECT data FROM chat_messages WHERE id = 'id-1'") == [("third",)]


def test_ended_by_sigterm_it_left_nothing_to_do_again(
    ferry: Ferry, kafka: Any, topic: str, mysql_url: str, place: list[str]
) -> None:
    publish(kafka.brokers, topic, map(message, range(5000)))
    running = ferry.start("consume", *place, "--workers", "2", "--json")
    running.wait_until(lambda: count_rows(mysql_url) == 5000, "all rows")
    result = running.end(signal.SIGTERM)
    assert result.status == 143
    assert result.json["rows"] == 5000
    again = ferry.run("consume", *place, "--until-end", "--json").json
    assert again["messages"] == 0


def test_metrics_tell_the_account(ferry: Ferry, kafka: Any, topic: str, place: list[str]) -> None:
    publish(kafka.brokers, topic, [message(1), message(1), b"bad"])
    port = free_port()
    running = ferry.start("consume", *place, "--workers", "1", "--metrics-port", str(port))

    def served() -> dict[str, float]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return {}
        return {line.split()[0]: float(line.split()[1]) for line in lines if not line.startswith("#")}

    running.wait_until(lambda: served().get("chatferry_messages_total") == 3, "three messages counted")
    found = served()
    assert found["chatferry_rows_total"] == 1
    assert found["chatferry_repeats_total"] == 1
    assert found["chatferry_dead_letters_total"] == 1
    assert found["chatferry_workers"] == 1


def test_second_consumer_shares_the_partitions_and_gives_them_back_and_nothing_is_lost_or_doubled(
    ferry: Ferry, mysql_url: str, place: list[str], tmp_path: Path
) -> None:
    log = tmp_path / "chat.jsonl"
    expected = generate(log, 40_000)
    first = ferry.start("consume", *place, "--workers", "1", "--json")
    producer = ferry.start("produce", log, *place[:4], "--state", tmp_path / "s", "--rate", "4000")
    first.wait_until(lambda: count_rows(mysql_url) > 1000, "the first consumer's rows")
    second = ferry.start("consume", *place, "--workers", "1", "--json", "-v")
    second.wait_until(lambda: "partitions" in second.err and "came" in second.err, "the second's partitions")
    before = count_rows(mysql_url)
    first.wait_until(lambda: count_rows(mysql_url) > before + 8000, "rows of both")
    gone = second.end(signal.SIGTERM)
    assert producer.wait().status == 0
    first.wait_until(lambda: count_rows(mysql_url) == expected.rows, "all rows")
    ferry.run("consume", *place, "--until-end", "--json")  # returns when every partition's offset stands at its end
    ended = first.end(signal.SIGTERM)
    assert (gone.status, ended.status) == (143, 143)
    assert gone.json["messages"] > 1000  # it really took part
    shares = [gone.json, ended.json]
    assert sum(share["rows"] for share in shares) == expected.rows
    assert sum(share["messages"] for share in shares) == expected.lines
    assert sum(share["repeats"] for share in shares) == expected.repeats
    assert digest_rows(table_rows(mysql_url)) == digest(log)
