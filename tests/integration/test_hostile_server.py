"""A database server, or what stands in between, that asks for files of ours: it gets none.

In MySQL's protocol the server names the file that LOAD DATA LOCAL sends, and may do so in answer to any statement.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from consumer.stores.engine import CONNECT_SECONDS, make_engine
from consumer.stores.mysql_connection import PACKET_BYTES, BufferConnection
from consumer.stores.opening import first_contact, open_store
from schemas.errors import Stop
from tests.acceptance.ferry import Ferry
from tests.services.mysql_wire import greeting, read, write

FILE = "/etc/passwd"
SECONDS = 10

OK = b"\0\0\0\2\0\0\0"
LOAD_REQUEST = b"\xfb" + FILE.encode()
COM_QUIT = 1


@pytest.mark.long
def test_server_that_takes_a_connection_and_says_nothing_is_told_at_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"mysql+pymysql://ann:secret@127.0.0.1:{silent.getsockname()[1]}/chat"
        began = time.monotonic()
        with pytest.raises(Stop, match="No database answers at"):
            first_contact(make_engine(url))
        assert time.monotonic() - began < 3 * CONNECT_SECONDS


class HostileServer(threading.Thread):
    """Speaks just enough of the protocol to be logged in to, then answers statements with a request for /etc/passwd.

    The first `honest` statements are answered as they should be: by default the driver's own SET NAMES, which it sends
    by itself and whose answer it does not look at. With `at_login` the request comes in place of the login's answer.
    `received` holds the packets that came in answer to requests, the empty one that ends a file too.
    """

    def __init__(self, *, honest: int = 1, at_login: bool = False) -> None:
        super().__init__(name="hostile server", daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(SECONDS)
        self._honest = honest
        self._at_login = at_login
        self.port: int = self._listener.getsockname()[1]
        self.url = f"mysql+pymysql://ann:secret@127.0.0.1:{self.port}/chat"
        self.statements: list[bytes] = []
        self.received: list[bytes] = []
        self.requests = 0

    def run(self) -> None:
        """Serve one client after the other until the listener is closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                client.settimeout(SECONDS)
                try:
                    self._serve(client)
                except (OSError, EOFError):
                    continue

    def _serve(self, client: socket.socket) -> None:
        write(client, 0, greeting())
        sequence, _response = read(client)
        if self._at_login:
            self._ask(client, sequence)
            return
        write(client, sequence + 1, OK)
        while True:
            sequence, packet = read(client)
            if packet[0] == COM_QUIT:
                return
            self.statements.append(packet[1:])
            if len(self.statements) <= self._honest:
                write(client, sequence + 1, OK)
            else:
                self._ask(client, sequence)

    def _ask(self, client: socket.socket, sequence: int) -> None:
        self.requests += 1
        write(client, sequence + 1, LOAD_REQUEST)
        while True:
            sequence, packet = read(client)
            if sequence == 0:  # the request was not heard: this is the next statement
                self.statements.append(packet[1:])
                raise EOFError
            self.received.append(packet)
            if not packet:
                break
        write(client, sequence + 1, OK)

    def close(self) -> None:
        """End it, and wait until what came before has been read."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join(2 * SECONDS)
        assert not self.is_alive()


@contextmanager
def hostile(*, honest: int = 1, at_login: bool = False) -> Iterator[HostileServer]:
    server = HostileServer(honest=honest, at_login=at_login)
    server.start()
    try:
        yield server
    finally:
        server.close()


@contextmanager
def connected(server: HostileServer) -> Iterator[BufferConnection]:
    options = {"host": "127.0.0.1", "port": server.port, "user": "ann", "password": "secret", "local_infile": True}
    connection = BufferConnection.dial([], {**options, "autocommit": None})
    try:
        yield connection
    finally:
        if connection._sock:
            connection.close()


def test_the_first_statement_answered_by_a_request_for_a_file_gets_nothing_and_stops() -> None:
    with hostile() as server, pytest.raises(Stop) as stopped:
        first_contact(make_engine(server.url))
    assert server.requests == 1
    assert server.received == [b""]
    assert FILE in stopped.value.text
    assert "Do not trust this server" in stopped.value.next_step


@pytest.mark.parametrize("honest", [1, 3])
def test_a_worker_s_store_stops_at_a_request_for_a_file(honest: int) -> None:
    with hostile(honest=honest) as server, pytest.raises(Stop, match=FILE):
        open_store(server.url, None, replace=False)
    assert server.requests == 1
    assert server.received == [b""]


def test_the_command_says_it_in_one_line_and_ends_with_status_1(tmp_path: Path) -> None:
    with hostile() as server:
        result = Ferry(tmp_path).run("db", "check", "--database", server.url, check=1)
    assert server.requests == 1
    assert server.received == [b""]
    assert f"asked for the file '{FILE}'" in result.error
    assert "secret" not in result.err


@pytest.mark.parametrize(
    "statement", ["SELECT 1", "INSERT INTO t VALUES (1)", "COMMIT", "ROLLBACK", "SHOW WARNINGS", "LOAD DATA LOCAL ..."]
)
def test_a_statement_without_a_buffer_sends_nothing_whatever_it_is(statement: str) -> None:
    with hostile() as server, connected(server) as connection:
        with pytest.raises(Stop, match=FILE):
            connection.query(statement)
        assert connection._sock is None, "the connection is left"
    assert server.statements[1:] == [statement.encode()]
    assert server.received == [b""]


@pytest.mark.parametrize("size", [0, 1, PACKET_BYTES - 1, PACKET_BYTES, PACKET_BYTES + 1, 3 * PACKET_BYTES + 7])
def test_a_pending_buffer_is_all_that_is_sent_whatever_file_is_asked_for(size: int) -> None:
    buffer = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    with hostile() as server, connected(server) as connection:
        connection.buffer = memoryview(buffer)
        connection.query("LOAD DATA LOCAL INFILE 'chatferry' INTO TABLE t")
    assert server.requests == 1
    assert b"".join(server.received) == buffer
    assert server.received.count(b"") == 1
    assert server.received[-1] == b""


def test_a_buffer_is_sent_once_and_the_next_request_gets_nothing() -> None:
    with hostile() as server, connected(server) as connection:
        connection.buffer = memoryview(b"a row\n")
        connection.query("LOAD DATA LOCAL INFILE 'chatferry' INTO TABLE t")
        with pytest.raises(Stop, match=FILE):
            connection.query("COMMIT")
    assert server.requests == 2
    assert server.received == [b"a row\n", b"", b""]


def test_a_request_for_a_file_that_the_driver_does_not_hear_gets_nothing() -> None:
    with hostile(honest=0) as server, pytest.raises(Stop, match="No database answers"):
        first_contact(make_engine(server.url))
    assert server.requests >= 1
    assert server.received == []


def test_a_request_for_a_file_in_answer_to_the_driver_s_set_autocommit_gets_nothing() -> None:
    with hostile(honest=2) as server, pytest.raises(OperationalError, match="Command Out of Sync"):
        first_contact(make_engine(server.url))
    assert server.statements[-1].startswith(b"SET AUTOCOMMIT")
    assert server.requests == 1
    assert server.received == []


def test_a_request_for_a_file_in_place_of_the_login_s_answer_gets_nothing() -> None:
    with hostile(at_login=True) as server, pytest.raises(Exception):  # noqa: B017, PT011 -- whatever the driver says
        first_contact(make_engine(server.url))
    assert server.requests >= 1
    assert b"".join(server.received) == b""
