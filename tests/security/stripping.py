"""Somebody between client and database who takes the offer of TLS out of the server's greeting."""

import socket
import threading

CLIENT_SSL = 0x0800
"""The capability flag (MySQL's protocol, capability flags)."""

_SECONDS = 10.0


class StrippingProxy(threading.Thread):
    """Forwards connections to a port of the loopback address; `heard` is all that clients sent."""

    def __init__(self, port: int) -> None:
        super().__init__(name="stripping proxy", daemon=True)
        self._server = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.heard = b""
        self.stripped = 0

    def run(self) -> None:
        """Serve one client after the other until the listener is closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, socket.create_connection(self._server, _SECONDS) as server:
                client.settimeout(_SECONDS)
                client.sendall(self._without_tls(server.recv(1 << 16)))
                back = threading.Thread(target=_forward, args=(server, client), daemon=True)
                back.start()
                self._listen(client, server)
                back.join()

    def _without_tls(self, greeting: bytes) -> bytes:
        # Length and number (4), protocol version (1), server version (up to its zero byte), thread (4), salt (8),
        # filler (1), then the lower two bytes of the capabilities.
        place = greeting.index(b"\0", 5) + 1 + 4 + 8 + 1
        flags = int.from_bytes(greeting[place : place + 2], "little")
        assert flags & CLIENT_SSL, "this server offers no TLS"
        self.stripped += 1
        return greeting[:place] + (flags & ~CLIENT_SSL).to_bytes(2, "little") + greeting[place + 2 :]

    def _listen(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while data := client.recv(1 << 16):
                self.heard += data
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
        except OSError:  # either end is gone: so is the connection
            return

    def close(self) -> None:
        """End it."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.join(2 * _SECONDS)
        assert not self.is_alive()


def _forward(server: socket.socket, client: socket.socket) -> None:
    try:
        while data := server.recv(1 << 16):
            client.sendall(data)
        client.shutdown(socket.SHUT_WR)
    except OSError:  # as above
        return
