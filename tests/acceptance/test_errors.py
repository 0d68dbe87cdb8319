"""What a user can cause is one line that names the place and the next step, and the right exit status; no traceback."""

import os
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from tests.acceptance.ferry import Ferry, message, query

NOWHERE = "127.0.0.1:9"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of one good line."""
    path = tmp_path / "chat.jsonl"
    path.write_bytes(message(1) + b"\n")
    return path


def refusal(ferry: Ferry, *args: str | Path, status: int = 1, env: dict[str, str] | None = None) -> str:
    """The one line with which the command refuses, and the same as a JSON object."""
    result = ferry.run(*args, "--json", check=status, env=env)
    assert result.json["error"] in result.error
    return result.error


def test_error_without_json_is_the_line_alone(ferry: Ferry, log: Path) -> None:
    plain = ferry.run("produce", log, check=2)
    assert (plain.error, plain.out) == (refusal(ferry, "produce", log, status=2), b"")


def test_no_broker_at_the_address(ferry: Ferry, log: Path, topic: str) -> None:
    for command in (["produce", log], ["topics", "create"]):
        told = refusal(ferry, *command, "--brokers", NOWHERE, "--topic", topic)
        assert f"No broker answers at {NOWHERE}" in told
        assert "Check --brokers" in told


def test_no_broker_for_a_consumer(ferry: Ferry, sqlite_url: str, topic: str) -> None:
    ferry.run("db", "upgrade", "--database", sqlite_url)
    told = refusal(ferry, "consume", "--brokers", NOWHERE, "--topic", topic, "--database", sqlite_url)
    assert f"No broker answers at {NOWHERE}" in told


@pytest.mark.parametrize(
    ("broker", "said"),
    [("no-such-host.invalid:9092", "Failed to resolve 'no-such-host.invalid:9092'"), (NOWHERE, "Connection refused")],
)
def test_why_no_broker_answers_is_told(ferry: Ferry, log: Path, sqlite_url: str, broker: str, said: str) -> None:
    ferry.run("db", "upgrade", "--database", sqlite_url)
    for command in (["produce", log], ["consume", "--database", sqlite_url]):
        told = ferry.run(*command, "--brokers", broker, check=1).error
        assert f"No broker answers at {broker}" in told
        assert said in told


def test_usage_error_is_told_in_json_too(ferry: Ferry, log: Path) -> None:
    usages: list[tuple[list[str | Path], str]] = [
        (["produce", log, "--no-such-flag"], "--no-such-flag"),
        (["load", log, "--batch-rows", "0"], "--batch-rows"),
        (["consume", "--on-duplicate", "explode"], "--on-duplicate"),
        (["produce"], "FILE"),
    ]
    for arguments, said in usages:
        ended = ferry.run(*arguments, "--json", check=2)
        assert said in ended.json["error"]
        assert "--help" in ended.json["next_step"]
        assert "Traceback" not in ended.err


def test_load_refuses_what_the_others_refuse(ferry: Ferry, mysql_url: str, log: Path) -> None:
    assert "guarantee needs acks=all" in refusal(ferry, "load", log, "-X", "acks=1", status=2)
    assert "enable.auto.commit" in refusal(ferry, "load", log, "-X", "enable.auto.commit=true", status=2)
    assert "neither auto nor a number" in refusal(ferry, "load", log, "--workers", "many", status=2)
    assert "No broker answers" in refusal(ferry, "load", log, "--brokers", NOWHERE)
    assert "No database answers" in refusal(ferry, "load", log, "--database", str(make_url(mysql_url).set(port=9)))
    assert "unable to open database file" in refusal(ferry, "load", log, "--database", "sqlite:////no/folder/chat.db")


def test_no_brokers_given_and_brokers_without_a_port(ferry: Ferry, log: Path) -> None:
    assert "CHATFERRY_BROKERS" in refusal(ferry, "produce", log, status=2)
    assert "HOST:PORT" in refusal(ferry, "produce", log, "--brokers", "localhost", status=2)


def test_no_such_topic(ferry: Ferry, kafka: Any, log: Path, topic: str, sqlite_url: str) -> None:
    ferry.run("db", "upgrade", "--database", sqlite_url)
    place = ["--brokers", kafka.brokers, "--topic", topic]
    for command in (["produce", log, *place], ["consume", *place, "--database", sqlite_url]):
        told = refusal(ferry, *command)
        assert topic in told
        assert "chatferry topics create" in told


def test_wrong_database_password(ferry: Ferry, mysql_url: str) -> None:
    url = make_url(mysql_url)
    user = f"u{os.getpid()}"
    query(mysql_url, f"CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'right'")
    query(mysql_url, f"GRANT ALL ON `{url.database}`.* TO '{user}'@'127.0.0.1'")
    login = url.set(username=user, password=None).render_as_string()
    try:
        told = refusal(ferry, "db", "upgrade", "--database", login, env={"CHATFERRY_DATABASE_PASSWORD": "wrong-secret"})
        assert "CHATFERRY_DATABASE_PASSWORD" in told
        assert "wrong-secret" not in told
        ferry.run("db", "upgrade", "--database", login, env={"CHATFERRY_DATABASE_PASSWORD": "right"})
    finally:
        query(mysql_url, f"DROP USER '{user}'@'127.0.0.1'")


def test_no_database_server_and_no_such_database(ferry: Ferry, mysql_url: str) -> None:
    url = make_url(mysql_url)
    assert "No database answers" in refusal(ferry, "db", "check", "--database", str(url.set(port=9)))
    assert "CREATE DATABASE" in refusal(ferry, "db", "check", "--database", str(url.set(database="no_such_base")))


def test_no_database_url_and_one_of_another_kind(ferry: Ferry) -> None:
    assert "database URL" in refusal(ferry, "db", "check", "--database", "nonsense", status=2)
    assert "postgresql" in refusal(ferry, "db", "check", "--database", "postgresql://x/y", status=2)
    assert "SQLite needs a file" in refusal(ferry, "db", "check", "--database", "sqlite://", status=2)


def test_no_table_yet(ferry: Ferry, kafka: Any, sqlite_url: str, mysql_url: str, topic: str) -> None:
    for database in (sqlite_url, mysql_url):
        for command in (["db", "check"], ["consume", "--brokers", kafka.brokers, "--topic", topic]):
            assert "chatferry db upgrade" in refusal(ferry, *command, "--database", database)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP COLUMN `site_id`", "no column site_id"),
        ("MODIFY `id` VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL", "utf8mb4_general_ci"),
        ("ADD UNIQUE KEY `twice` (`timestamp`)", "second unique key, twice"),
        ("DROP PRIMARY KEY", "another primary key"),
    ],
)
def test_table_that_is_not_as_it_should_be(ferry: Ferry, mysql_url: str, change: str, said: str) -> None:
    ferry.run("db", "upgrade", "--database", mysql_url)
    query(mysql_url, f"ALTER TABLE chat_messages {change}")
    assert said in refusal(ferry, "db", "check", "--database", mysql_url)


def test_table_without_its_indexes_is_told_by_check_and_mended_by_upgrade(ferry: Ferry, mysql_url: str) -> None:
    ferry.run("db", "upgrade", "--database", mysql_url)
    query(mysql_url, "ALTER TABLE chat_messages DROP INDEX ix_chat_messages_site_id")
    told = refusal(ferry, "db", "check", "--database", mysql_url)
    assert "ix_chat_messages_site_id" in told
    assert "chatferry db upgrade" in told
    ferry.run("db", "upgrade", "--database", mysql_url)
    ferry.run("db", "check", "--database", mysql_url)


def test_files_that_are_no_logs(ferry: Ferry, kafka: Any, topic: str, tmp_path: Path) -> None:
    place = ["--brokers", kafka.brokers, "--topic", topic]
    ferry.run("topics", "create", *place)
    os.mkfifo(tmp_path / "fifo")
    for name, said in [
        ("missing", "No such file"),
        (".", "is a directory"),
        ("fifo", "Pipe it in"),
        ("/dev/null", "device"),
        ("/proc/self/mem", "Input/output error"),  # a file that nobody can read, root neither
    ]:
        assert said in refusal(ferry, "produce", name, *place)
        assert said in refusal(ferry, "load", name)


def test_settings_file_with_an_unknown_name_or_no_toml(ferry: Ferry, log: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    for content, said in [
        ('tpic = "x"', "unknown setting 'tpic'"),
        ("topic =", "not TOML"),
        ("[topic]\na=1", "not a table"),
    ]:
        file.write_text(content)
        assert said in refusal(ferry, "produce", log, "--config", file, status=2)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("acks=1", "guarantee needs acks=all"),
        ("request.required.acks=1", "guarantee needs acks=all"),
        ("delivery.timeout.ms=1000", "guarantee needs message.timeout.ms=0"),
        ("enable.idempotence=false", "guarantee needs enable.idempotence=true"),
        ("no.such.setting=1", "no.such.setting"),
        ("nonsense", "key=value"),
    ],
)
def test_producer_settings_that_cannot_be(ferry: Ferry, log: Path, setting: str, said: str) -> None:
    assert said in refusal(ferry, "produce", log, "--brokers", NOWHERE, "-X", setting, status=2)


@pytest.mark.parametrize("setting", ["enable.auto.commit=true", "auto.offset.reset=latest", "no.such.setting=1"])
def test_consumer_settings_that_cannot_be(ferry: Ferry, sqlite_url: str, setting: str) -> None:
    ferry.run("db", "upgrade", "--database", sqlite_url)
    told = refusal(ferry, "consume", "--brokers", NOWHERE, "--database", sqlite_url, "-X", setting, status=2)
    assert setting.partition("=")[0] in told


def test_workers_that_are_no_number(ferry: Ferry, kafka: Any, topic: str, sqlite_url: str) -> None:
    place = ["--brokers", kafka.brokers, "--topic", topic]
    ferry.run("topics", "create", *place)
    ferry.run("db", "upgrade", "--database", sqlite_url)
    for number in ("many", "0", "-1", "1.5"):
        told = refusal(ferry, "consume", *place, "--database", sqlite_url, f"--workers={number}", status=2)
        assert "neither auto nor a number" in told


def test_config_show_hides_every_secret(ferry: Ferry, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[librdkafka]\n"ssl.key.password" = "secret-of-the-file"\n')
    env = {"CHATFERRY_DATABASE": "mysql+pymysql://u:secret-of-the-env@h/d", "CHATFERRY_DATABASE_PASSWORD": "secret-too"}
    for flags in ([], ["-X", "sasl.password=secret-of-the-flag"]):
        for form in ([], ["--json"]):
            shown = ferry.run("config", "show", "--config", file, *flags, *form, env=env)
            assert b"secret-" not in shown.out
            assert b"***" in shown.out
