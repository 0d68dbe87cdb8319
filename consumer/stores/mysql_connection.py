"""A PyMySQL connection whose LOAD DATA LOCAL reads from memory, and from nothing else.

The server names the file that the client should send, and may name any, in answer to any statement. This connection
never opens a file: it sends the buffer that was laid out for the statement in hand, whatever name is asked for, and
nothing at all when none was. Nor does it send the password in clear text to a server that did not prove who it is.
"""

import re
import socket
import ssl
from typing import Any, Self

from pymysql.connections import Connection, MySQLResult
from pymysql.constants import CLIENT
from pymysql.protocol import LoadLocalPacketWrapper

from schemas.errors import Stop

PACKET_BYTES = 256 << 10
LOGIN_SECONDS = 10

PATIENCE = {
    socket.TCP_KEEPIDLE: 30,
    socket.TCP_KEEPINTVL: 10,
    socket.TCP_KEEPCNT: 6,
    socket.TCP_USER_TIMEOUT: 120_000,  # ms that sent data may wait: more than innodb_lock_wait_timeout, 50 s
}
"""After 30 s of silence ask each 10 s, and give up after the sixth (PyMySQL leaves it at the kernel's 2 h)."""

_CLEAR_TEXT = (b"mysql_clear_password", b"dialog")

_INFO = re.compile(r"([A-Z][a-z]+): (\d+)")  # a length byte, which may look like a letter, stands before the first


class _BufferResult(MySQLResult):  # type: ignore[misc] # PyMySQL is untyped
    def _read_load_local_packet(self, first_packet: Any) -> None:
        connection: BufferConnection = self.connection
        asked_for = LoadLocalPacketWrapper(first_packet).filename.decode("utf-8", "backslashreplace")
        buffer, connection.buffer = connection.buffer, None
        if buffer is not None:
            for start in range(0, len(buffer), PACKET_BYTES):
                connection.write_packet(bytes(buffer[start : start + PACKET_BYTES]))
        connection.write_packet(b"")
        answer = connection._read_packet()  # noqa: SLF001 -- there is no public way to the protocol
        if buffer is None:
            connection._force_close()  # noqa: SLF001
            raise Stop(
                f"The database asked for the file {asked_for!r}, which no statement of ours mentioned; it got nothing",
                "Do not trust this server, or what stands between it and you",
            )
        self._read_ok_packet(answer)


class BufferConnection(Connection):  # type: ignore[misc] # as above
    """The connection; `buffer` is what the next LOAD DATA LOCAL sends."""

    buffer: memoryview | None = None
    info: str = ""

    @classmethod
    def dial(cls, arguments: list[Any], options: dict[str, Any]) -> Self:
        """Connect, counting as affected only rows that changed (SQLAlchemy asks for those that matched).

        The login has as long for each answer as the connecting (PyMySQL would wait for ever for a server that accepts
        and then says nothing); a statement later has as long as it takes.
        """
        flags = options.pop("client_flag", 0) & ~CLIENT.FOUND_ROWS
        patience = {name: options.pop(name, None) for name in ("read_timeout", "write_timeout")}
        login = dict.fromkeys(patience, options.get("connect_timeout", LOGIN_SECONDS))
        connection = cls(*arguments, **options, **login, client_flag=flags)
        connection._read_timeout, connection._write_timeout = patience.values()
        connection._notice_a_dead_peer()
        return connection

    def _process_auth(self, plugin_name: bytes, auth_packet: Any, handler: Any = None) -> Any:
        """Log in as the server asks; but in clear text only to a server that proved who it is.

        (PyMySQL would send it to anybody. MySQL's own client sends none without --enable-cleartext-plugin.)
        """
        if plugin_name in _CLEAR_TEXT and not self._peer_is_proved():
            raise Stop(
                f"The database asked for the password in clear text ({plugin_name.decode()}); it was not sent",
                "Give ssl_ca in the URL of --database, so that only your server can read it",
            )
        return super()._process_auth(plugin_name, auth_packet, handler)

    def _peer_is_proved(self) -> bool:
        return isinstance(self._sock, ssl.SSLSocket) and self._sock.context.verify_mode == ssl.CERT_REQUIRED

    def _notice_a_dead_peer(self) -> None:
        """Have the kernel ask whether a silent server is still there: else a cut cable holds a batch for hours."""
        if self._sock.family in (socket.AF_INET, socket.AF_INET6):
            for option, value in PATIENCE.items():
                self._sock.setsockopt(socket.IPPROTO_TCP, option, value)

    def _read_query_result(self, unbuffered: bool = False) -> int | None:
        self._result = None
        result = _BufferResult(self)
        if unbuffered:
            result.init_unbuffered_query()
        else:
            result.read()
        self._result = result
        self.info = (result.message or b"").decode("utf-8", "replace")
        if result.server_status is not None:
            self.server_status = result.server_status
        affected: int | None = result.affected_rows
        return affected

    def counts(self) -> dict[str, int]:
        """The server's account of the last statement: Records, Deleted, Skipped, Duplicates, Warnings."""
        return {name: int(number) for name, number in _INFO.findall(self.info)}
