"""A planted password turns up nowhere: not in argv, logs, metrics, state files, JSON, a repr or a crash."""

import base64
import socket
import struct
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import make_url

from consumer.stores.engine import make_engine
from schemas.reports import WorkerOrder
from tests.acceptance.ferry import Ferry, children, command_line, create_topic, message, publish, query
from tests.security.secured import PASSWORD, SECURE, client_flags
from tests.services.kafka import Kafka
from tests.services.mysql_wire import greeting, read, write
from tests.services.process import free_port
from tests.services.tls import Authority

DATABASE_PASSWORD = "db-plant-9Rv2"
PLANTED = (PASSWORD, DATABASE_PASSWORD)
WORDS = "words-of-a-message-6Yc8"
TALKATIVE = ["-v", "-X", "debug=all", "-X", "log_level=7"]


def planted_in(*texts: str | bytes) -> list[str]:
    """The planted passwords that stand in one of the texts, as they are or in base64."""
    everything = b"\n".join(text.encode() if isinstance(text, str) else text for text in texts)
    forms = {password: (password.encode(), base64.b64encode(password.encode()).rstrip(b"=")) for password in PLANTED}
    return [password for password, looks in forms.items() if any(look in everything for look in looks)]


def descendants(pid: int) -> list[int]:
    """The process ids of children, their children and so on."""
    found = children(pid)
    return found + [below for child in found for below in descendants(child)]


@pytest.fixture
def passwords(tmp_path: Path) -> dict[str, str]:
    """The environment that brings both passwords: one as such, one as a file."""
    (tmp_path / "password").write_text(PASSWORD)
    return {"CHATFERRY_DATABASE_PASSWORD": DATABASE_PASSWORD, "CHATFERRY_KAFKA_PASSWORD_FILE": "password"}


@pytest.fixture
def database(mysql_url: str) -> Iterator[str]:
    """The URL, without a password, of an account that has one."""
    user = f"secret_{uuid.uuid4().hex[:8]}"
    query(mysql_url, f"CREATE USER '{user}'@'%%' IDENTIFIED BY '{DATABASE_PASSWORD}'")
    url = make_url(mysql_url)
    query(mysql_url, f"GRANT ALL ON `{url.database}`.* TO '{user}'@'%%'")
    yield url.set(username=user, password=None).render_as_string()
    query(mysql_url, f"DROP USER '{user}'@'%%'")


@pytest.fixture
def place(secured: Kafka, authority: Authority, topic: str) -> list[str]:
    """Where an empty topic is, and how to be let in."""
    create_topic(secured.brokers, topic, 2)
    return ["--brokers", secured.listeners[SECURE], *client_flags(authority.certificate), "--topic", topic]


def test_planted_passwords_are_in_no_command_line_log_or_metric_of_a_talkative_consumer(
    ferry: Ferry, secured: Kafka, place: list[str], topic: str, group: str, database: str, passwords: dict[str, str]
) -> None:
    ferry.run("db", "upgrade", "-v", "--database", database, env=passwords)
    port = free_port()
    flags = [*place, *TALKATIVE, "--group", group, "--database", database, "--metrics-port", str(port)]
    running = ferry.start("consume", *flags, "--workers", "2", "--json", env=passwords)
    running.wait_until(lambda: len(running.workers()) == 2, "two workers")
    publish(secured.brokers, topic, [message(1, data=WORDS), b"no JSON, " + WORDS.encode()], (0, 1))
    page = partial(_page, port)
    running.wait_until(lambda: b"chatferry_messages_total 2.0" in page(), "both lines accounted for")
    processes = [running.pid, *descendants(running.pid)]
    metrics, lines = page(), [command_line(pid) for pid in processes]
    running.process.terminate()
    ended = running.wait()
    assert ended.status == 143
    assert ended.json["rows"] == 1
    assert len(processes) >= 4
    assert all(lines)
    assert "sasl.password" in ended.err, "librdkafka listed its settings"
    assert planted_in(*lines, metrics, ended.out, ended.err) == []
    assert WORDS not in ended.err


def _page(port: int) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        content: bytes = answer.read()
        return content


def test_planted_password_and_messages_are_in_no_state_file_or_log_of_a_talkative_producer(
    ferry: Ferry, place: list[str], passwords: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "chat.jsonl").write_bytes(message(1, data=WORDS) + b"\n")
    ended = ferry.run("produce", "chat.jsonl", *place, *TALKATIVE, "--state", "state", "--json", env=passwords)
    files = [path.read_bytes() for path in (tmp_path / "state").iterdir()]
    assert len(files) == 2
    assert planted_in(*files, ended.out, ended.err) == []
    assert WORDS.encode() not in b"".join([*files, ended.out, ended.err.encode()])


@pytest.mark.parametrize("query_part", ["", "?password=db-plant-9Rv2", "?passwd=db-plant-9Rv2"])
def test_password_in_the_url_is_in_no_error_and_no_list_of_settings(ferry: Ferry, query_part: str) -> None:
    env = {"CHATFERRY_DATABASE": f"mysql+pymysql://ann:{DATABASE_PASSWORD}@127.0.0.1:9/chat{query_part}"}
    for command, status in ((["db", "check"], 1), (["config", "show"], 0)):
        ended = ferry.run(*command, "-v", env=env, check=status)
        assert planted_in(ended.out, ended.err) == []


def test_repr_of_a_worker_s_order_and_of_an_engine_hold_no_password() -> None:
    url = f"mysql+pymysql://ann:{DATABASE_PASSWORD}@127.0.0.1:9/chat"
    kafka: dict[str, str | int | float | bool] = {"sasl.password": PASSWORD}
    order = WorkerOrder(0, "t", "t.dlq", url, kafka, kafka, database_password=DATABASE_PASSWORD)
    assert planted_in(repr(order), str(order), repr(make_engine(url)), repr(make_engine(url).url)) == []


def test_crash_keeps_its_traceback_and_not_the_password(ferry: Ferry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_refuse_oddly, args=(listener,), daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        url = f"mysql+pymysql://ann:{DATABASE_PASSWORD}@127.0.0.1:{port}/chat"
        ended = ferry.run("db", "check", "-v", env={"CHATFERRY_DATABASE": url}, check=1)
        thread.join(10)
    assert not thread.is_alive()
    assert "Traceback" in ended.err
    assert "an error that nobody knows" in ended.err
    assert planted_in(ended.out, ended.err) == []


def _refuse_oddly(listener: socket.socket) -> None:
    client, _ = listener.accept()
    with client:
        client.settimeout(10)
        write(client, 0, greeting())
        sequence, _login = read(client)
        write(client, sequence + 1, b"\xff" + struct.pack("<H", 9999) + b"#HY000an error that nobody knows")
