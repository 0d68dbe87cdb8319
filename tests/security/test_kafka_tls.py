"""Kafka over TLS with a password: the whole way, and everything that must be refused, quickly and in one line."""

from pathlib import Path

import pytest

from schemas.errors import Stop
from schemas.kafka import translate
from tests.acceptance.ferry import Ferry, message, table_rows, values
from tests.security.secured import MISNAMED, PASSWORD, SECURE, client_flags
from tests.services.kafka import Kafka
from tests.services.tls import Authority

LINES = [message(number) for number in range(200)]
RIGHT = {"CHATFERRY_KAFKA_PASSWORD": PASSWORD}
PATIENCE_SECONDS = 30.0
"""A refusal takes a second or six; on a busy machine more. It is told, not waited for."""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of good lines and a bad one."""
    path = tmp_path / "chat.jsonl"
    path.write_bytes(b"\n".join([*LINES, b"no JSON", b""]))
    return path


@pytest.fixture
def commands(ferry: Ferry, log: Path, topic: str, group: str, sqlite_url: str) -> list[list[str]]:
    """Every command that speaks with Kafka, less --brokers and what it needs to be let in."""
    ferry.run("db", "upgrade", "--database", sqlite_url)
    return [
        ["topics", "create", "--topic", topic],
        ["produce", str(log), "--topic", topic],
        ["consume", "--until-end", "--topic", topic, "--group", group, "--database", sqlite_url],
        ["load", str(log), "--topic", f"{topic}_load", "--database", sqlite_url],
    ]


def test_every_command_works_over_tls_with_a_password_from_the_environment(
    ferry: Ferry, secured: Kafka, authority: Authority, commands: list[list[str]], topic: str, sqlite_url: str
) -> None:
    for command in commands:
        flags = ["--brokers", secured.listeners[SECURE], *client_flags(authority.certificate)]
        ferry.run(*command, *flags, env=RIGHT)
    assert sorted(values(secured.brokers, topic)) == sorted([*LINES, b"no JSON"])
    assert values(secured.brokers, f"{topic}.dlq") == [b"no JSON"]
    assert len(table_rows(sqlite_url)) == len(LINES)


def test_password_file_and_settings_file_do_instead(
    ferry: Ferry, secured: Kafka, authority: Authority, log: Path, topic: str, tmp_path: Path
) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "chatferry.toml").write_text(
        f'brokers = "{secured.listeners[SECURE]}"\ntopic = "{topic}"\nkafka_password_file = "password"\n'
        '[librdkafka]\n"security.protocol" = "SASL_SSL"\n"sasl.mechanism" = "SCRAM-SHA-512"\n'
        f'"sasl.username" = "ferry"\n"ssl.ca.location" = "{authority.certificate}"\n'
    )
    ferry.run("topics", "create")
    ferry.run("produce", log)
    assert len(values(secured.brokers, topic)) == len(LINES) + 1


def refusals(ferry: Ferry, commands: list[list[str]], flags: list[str], password: str | None, status: int) -> list[str]:
    """The one line with which each command, all started together, refuses."""
    env = {} if password is None else {"CHATFERRY_KAFKA_PASSWORD": password}
    started = [ferry.start(*command, *flags, env=env) for command in commands]
    ended = [running.wait(PATIENCE_SECONDS) for running in started]
    assert [result.status for result in ended] == [status] * len(commands)
    return [result.error for result in ended]


def test_kafka_certificate_of_an_unknown_authority_is_refused(
    ferry: Ferry, secured: Kafka, stranger: Authority, commands: list[list[str]]
) -> None:
    address = secured.listeners[SECURE]
    for told in refusals(ferry, commands, ["--brokers", address, *client_flags(stranger.certificate)], PASSWORD, 1):
        assert f"Cannot use the brokers at {address}" in told
        assert "certificate verify failed" in told
        assert "Check -X security.protocol and ssl.ca.location" in told
        assert PASSWORD not in told


def test_kafka_certificate_for_another_host_is_refused(
    ferry: Ferry, secured: Kafka, authority: Authority, commands: list[list[str]]
) -> None:
    address = secured.listeners[MISNAMED]
    flags = ["--brokers", address, *client_flags(authority.certificate)]
    for told in refusals(ferry, commands[1:3], flags, PASSWORD, 1):
        assert f"Cannot use the brokers at {address}" in told
        assert "the host name in the certificate" in told


def test_failed_certificate_is_no_outage_under_whatever_code_the_client_reports_it() -> None:
    text = "sasl_ssl://h:9093/bootstrap: error:0A000086:SSL routines::certificate verify failed"
    for name in ("_SSL", "_TRANSPORT"):
        said = translate(name, text, "Cannot use the brokers at h:9093")
        assert isinstance(said, Stop)
        assert "the host name in the certificate" in said.next_step


def test_kafka_wrong_password_is_told_and_not_tried_for_ever(
    ferry: Ferry, secured: Kafka, authority: Authority, commands: list[list[str]]
) -> None:
    address = secured.listeners[SECURE]
    for told in refusals(ferry, commands, ["--brokers", address, *client_flags(authority.certificate)], "wrong-one", 1):
        assert f"Cannot use the brokers at {address}" in told
        assert "invalid credentials" in told
        assert "CHATFERRY_KAFKA_PASSWORD" in told
        assert "wrong-one" not in told


def test_kafka_missing_password_names_where_to_put_it(
    ferry: Ferry, secured: Kafka, authority: Authority, commands: list[list[str]]
) -> None:
    flags = ["--brokers", secured.listeners[SECURE], *client_flags(authority.certificate)]
    for told in refusals(ferry, commands[1:3], flags, None, 2):
        assert "Set CHATFERRY_KAFKA_PASSWORD" in told


def test_plain_client_at_a_tls_port_is_told_to_look_at_the_protocol(
    ferry: Ferry, secured: Kafka, commands: list[list[str]]
) -> None:
    address = secured.listeners[SECURE]
    for told in refusals(ferry, commands[1:3], ["--brokers", address], None, 1):
        assert f"No broker answers at {address}" in told
        assert "-X security.protocol" in told


def test_tls_client_at_a_plain_port_is_told_so(
    ferry: Ferry, secured: Kafka, authority: Authority, commands: list[list[str]]
) -> None:
    flags = ["--brokers", secured.brokers, *client_flags(authority.certificate)]
    for told in refusals(ferry, commands[1:3], flags, PASSWORD, 1):
        assert f"No broker answers at {secured.brokers}" in told
        assert "SSL connection closed" in told
        assert "-X security.protocol" in told
