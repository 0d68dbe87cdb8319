"""Somebody on IRC who talks: a client as small as can be, that shares no code with the listener."""

import socket
import time
from types import TracebackType
from typing import Self

SECONDS = 20.0


class Talker:
    """A client with a nick, registered when it is made. What the server says is read only when something is awaited."""

    def __init__(self, port: int, nick: str, password: str = "") -> None:
        self.nick = nick
        self._socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self._said = b""
        self.send(*([f"PASS {password}"] if password else []), f"NICK {nick}", f"USER {nick} 0 * :{nick}")
        self.wait_for(f" 001 {nick} ")

    def send(self, *lines: str | bytes) -> None:
        """Send lines, without their ends."""
        self._socket.sendall(b"".join((line if isinstance(line, bytes) else line.encode()) + b"\r\n" for line in lines))

    def join(self, channel: str) -> None:
        """Join a channel, and wait until that is so."""
        self.send(f"JOIN {channel}")
        self.wait_for(f" 366 {self.nick} {channel} ")

    def say(self, channel: str, *texts: str) -> None:
        """Say something, and wait until the server has taken it."""
        self.send(*(f"PRIVMSG {channel} :{text}" for text in texts))
        self.settle()

    def settle(self) -> None:
        """Wait until the server has taken everything that was sent."""
        token = f"settled-{time.monotonic_ns()}"
        self.send(f"PING :{token}")
        self.wait_for(token)

    def wait_for(self, text: str) -> None:
        """Read until the server says that; raises TimeoutError where it does not, EOFError where it closes."""
        deadline = time.monotonic() + SECONDS
        while text.encode() not in self._said:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            if not (data := self._socket.recv(65536)):
                raise EOFError(f"{self.nick} waited for {text!r}; the server closed: {self._said[-500:]!r}")
            for line in data.split(b"\n"):
                if line.startswith(b"PING"):
                    self.send(b"PONG" + line[4:].rstrip())
            self._said += data
        self._said = self._said.partition(text.encode())[2]

    def close(self) -> None:
        """Leave without a word."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
