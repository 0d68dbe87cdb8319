"""What others wrote (names, messages, servers) never moves the cursor, paints or turns text on somebody's terminal."""

import json
import os
import pty
import socket
import struct
import subprocess
import threading
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.ferry import PROGRAM, Ferry, create_topic, message, publish
from tests.services.kafka import GivenKafka, Kafka
from tests.services.mysql_wire import greeting, read, write

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\u202egnp.exe\u2066\u200b"
"""A title, a cleared screen, a colour by C1, a deletion, and directions turned around."""

SHOWN = r"\x1b]0;owned\x07\x1b[2J"
HARMLESS = "\n\r\t"


def on_a_terminal(ferry: Ferry, *args: str | Path, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run a command whose stdin, stdout and stderr are a terminal; its status and what the terminal got."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [PROGRAM, *map(str, args)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=ferry.environment(env),
            cwd=ferry.folder,
        )
    finally:
        os.close(theirs)
    got = b"".join(iter(lambda: _some(ours), b""))
    os.close(ours)
    return process.wait(60), got.decode()


def _some(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # how Linux says that nobody has the other end open any more
        return b""


def obeyed(text: str) -> list[str]:
    """The characters that a terminal would obey instead of showing them."""
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cf") and c not in HARMLESS]


def assert_shown(text: str, shown: str = SHOWN) -> None:
    """The evil text is there, and harmless."""
    assert obeyed(text) == []
    assert shown in text.replace("\r\n", "\n")


@pytest.fixture
def evil_log(tmp_path: Path) -> Path:
    """A log whose name and lines are evil, with a bad line at its end."""
    path = tmp_path / f"{EVIL.replace('/', '')}.jsonl"
    path.write_bytes(message(1, data=EVIL) + b"\n" + b'{"id": "' + EVIL.encode() + b'", "type": 7}\n')
    return path


def test_file_name_in_an_error_and_in_a_log_line_is_escaped(
    ferry: Ferry, evil_log: Path, kafka: Kafka | GivenKafka, topic: str
) -> None:
    status, text = on_a_terminal(ferry, "produce", f"{evil_log}.missing", "--brokers", kafka.brokers, "--topic", topic)
    assert status == 1
    create_topic(kafka.brokers, topic, 1)
    place = ["--brokers", kafka.brokers, "--topic", topic, "-q"]
    evil_log.write_bytes(evil_log.read_bytes() * 2)
    assert on_a_terminal(ferry, "produce", evil_log, *place)[0] == 0
    evil_log.write_bytes(b"rewritten\n")
    status, text = on_a_terminal(ferry, "produce", evil_log, *place)
    assert status == 0
    assert_shown(text)
    assert "it is not the file that its checkpoint speaks of" in text


def test_setting_that_is_evil_is_escaped_wherever_it_is_named(ferry: Ferry, evil_log: Path, tmp_path: Path) -> None:
    (tmp_path / "evil.toml").write_text(json.dumps(EVIL).replace("\x7f", r"\u007f") + " = 1\n")
    for arguments in (
        ["produce", evil_log, "--brokers", f"{EVIL}:1"],
        ["db", "check", "--database", f"sqlite:////{EVIL}/chat.db"],
        ["db", "check", "--config", "evil.toml"],
        ["db", "check", EVIL],
        ["consume", "--workers", EVIL, "--brokers", "h:1", "--database", "sqlite:///x.db"],
        ["config", "show", "--brokers", f"{EVIL}:1", "--topic", EVIL],
        ["config", "show", "--topic", EVIL, "--json"],
        [EVIL],
    ):
        _status, text = on_a_terminal(ferry, *arguments)
        assert obeyed(text) == [], arguments


def test_topic_s_name_and_a_bad_line_s_content_are_escaped(
    ferry: Ferry, evil_log: Path, kafka: Kafka | GivenKafka, topic: str, group: str, sqlite_url: str
) -> None:
    ferry.run("db", "upgrade", "--database", sqlite_url)
    place = ["--brokers", kafka.brokers, "--group", group, "--database", sqlite_url, "--until-end", "-q"]
    status, text = on_a_terminal(ferry, "consume", *place, "--topic", EVIL)
    assert status == 1
    assert_shown(text)
    create_topic(kafka.brokers, topic, 1)
    publish(kafka.brokers, topic, evil_log.read_bytes().split(b"\n")[1:2] * 5, [0])
    status, text = on_a_terminal(ferry, "consume", *place, "--topic", topic, "--dead-letter-run", "1")
    assert status == 1
    assert "bad lines in a row" in text
    assert obeyed(text) == []


@pytest.fixture
def evil_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database server that refuses each login with an error number and evil words, for 20 clients."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_refuse, args=(listener, request.param), daemon=True)
        thread.start()
        yield f"mysql+pymysql://ann:secret@127.0.0.1:{listener.getsockname()[1]}/chat"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        assert not thread.is_alive()


def _refuse(listener: socket.socket, number: int) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client:
            client.settimeout(10)
            write(client, 0, greeting())
            sequence, _login = read(client)
            write(client, sequence + 1, b"\xff" + struct.pack("<H", number) + b"#HY000" + EVIL.encode())


@pytest.mark.parametrize("evil_server", [1045, 2003, 9999], indirect=True)
def test_server_s_error_is_escaped_in_one_line_in_json_and_in_a_crash(ferry: Ferry, evil_server: str) -> None:
    status, text = on_a_terminal(ferry, "db", "check", "--database", evil_server, "--json")
    assert status == 1
    assert_shown(text, "owned")
    piped = ferry.run("db", "check", "--database", evil_server, "-v", check=1)
    assert obeyed(piped.err + piped.out.decode()) == []
    assert "secret" not in piped.err + text
