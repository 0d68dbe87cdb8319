"""The least rights: a worker needs SELECT, INSERT and UPDATE on one table, and says so where one is missing."""

import uuid
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import make_url

from tests.acceptance.ferry import Ferry, create_topic, message, publish, query, table_rows, values
from tests.services.kafka import GivenKafka, Kafka

PASSWORD = "grants-pass-5Tz1"
LINES = [message(number) for number in range(300)]

Account = Callable[[str], str]


@pytest.fixture
def account(mysql_url: str, ferry: Ferry) -> Iterator[Account]:
    """A function: the URL of an account with these rights on the table, which is there, and none beside them."""
    ferry.run("db", "upgrade", "--database", mysql_url)
    user = f"least_{uuid.uuid4().hex[:8]}"
    query(mysql_url, f"CREATE USER '{user}'@'%%' IDENTIFIED BY '{PASSWORD}'")
    url = make_url(mysql_url)

    def granted(rights: str) -> str:
        query(mysql_url, f"GRANT {rights} ON `{url.database}`.chat_messages TO '{user}'@'%%'")
        return url.set(username=user, password=PASSWORD).render_as_string(hide_password=False)

    yield granted
    query(mysql_url, f"DROP USER '{user}'@'%%'")


@pytest.fixture
def place(kafka: Kafka | GivenKafka, topic: str, group: str) -> list[str]:
    """Where a consumer finds 300 good lines, one of them twice, and a bad one."""
    create_topic(kafka.brokers, topic)
    publish(kafka.brokers, topic, [*LINES, LINES[0], b"no JSON"])
    return ["--brokers", kafka.brokers, "--topic", topic, "--group", group, "--until-end"]


def test_select_insert_and_update_on_the_table_are_enough_and_indexes_stay(
    ferry: Ferry, account: Account, place: list[str], mysql_url: str, kafka: Kafka | GivenKafka, topic: str
) -> None:
    least = account("SELECT, INSERT, UPDATE")
    ended = ferry.run("consume", *place, "--workers", "2", "--database", least, "--json")
    assert (ended.json["rows"], ended.json["repeats"], ended.json["dead_letters"]) == (300, 1, 1)
    assert "The indexes of chat_messages stay while rows go in" in ended.err
    assert "ALTER command denied" in ended.err
    assert len(table_rows(mysql_url)) == 300
    assert values(kafka.brokers, f"{topic}.dlq") == [b"no JSON"]
    ferry.run("db", "check", "--database", least)


def test_select_insert_and_update_replace_rows_on_duplicate_update(
    ferry: Ferry, account: Account, place: list[str], mysql_url: str, kafka: Kafka | GivenKafka, topic: str
) -> None:
    least = account("SELECT, INSERT, UPDATE")
    ferry.run("consume", *place, "--database", least)
    publish(kafka.brokers, topic, [message(number, data="anew") for number in range(10)])
    ended = ferry.run("consume", *place, "--on-duplicate", "update", "--database", least, "--json")
    assert (ended.json["rows"], ended.json["repeats"]) == (0, 10)
    assert sum(row[5] == "anew" for row in table_rows(mysql_url)) == 10


def test_indexes_that_must_be_deferred_stay_all_the_same_where_alter_is_not_granted(
    ferry: Ferry, account: Account, place: list[str]
) -> None:
    least = account("SELECT, INSERT, UPDATE")
    ended = ferry.run("consume", *place, "--defer-indexes", "always", "--database", least)
    assert "The indexes of chat_messages stay while rows go in" in ended.err
    ferry.run("db", "check", "--database", least)


def test_account_that_may_only_read_stops_and_names_the_grants(
    ferry: Ferry, account: Account, place: list[str], mysql_url: str
) -> None:
    told = ferry.run("consume", *place, "--database", account("SELECT"), check=1).error
    assert "INSERT, UPDATE command denied" in told
    assert "Grant the user SELECT, INSERT and UPDATE on the table" in told
    assert PASSWORD not in told
    assert table_rows(mysql_url) == []


def test_account_without_the_right_to_create_cannot_upgrade_and_is_told(
    ferry: Ferry, account: Account, mysql_url: str
) -> None:
    least = account("SELECT, INSERT, UPDATE")
    query(mysql_url, "DROP TABLE chat_messages, chatferry_revision")
    told = ferry.run("db", "upgrade", "--database", least, check=1).error
    assert "command denied" in told
    assert "Use an account that may create and alter tables" in told
    assert PASSWORD not in told
