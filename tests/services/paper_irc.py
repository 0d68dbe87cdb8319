"""IRC as its papers have it, for what no server that can be had here does: CHATHISTORY, and Twitch's dialect.

Written after ircv3.net's specifications (capability negotiation, batch, message-tags, chathistory) and dev.twitch.tv's
documentation of its IRC.
"""

import socketserver
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

CHATHISTORY = "message-tags server-time batch draft/chathistory standard-replies"
TWITCH = "twitch.tv/commands twitch.tv/membership twitch.tv/tags"
CHANNEL = "#paper"


@dataclass
class Said:
    """A message that the server keeps."""

    msgid: str
    time: str
    nick: str
    text: str

    def line(self, batch: str = "") -> str:
        """As it is told, within a batch or live."""
        more = f"batch={batch};" if batch else ""
        return f"@{more}time={self.time};msgid={self.msgid} :{self.nick}!u@h PRIVMSG {CHANNEL} :{self.text}"


@dataclass
class PaperIrc:
    """A server with one channel that keeps what is said there, and tells at most `page` messages of it at once.

    `forgets` msgids: it then knows what was said by its time alone.
    """

    capabilities: str = CHATHISTORY
    page: int = 10
    forgets: bool = False
    log: list[Said] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    """Every line that clients sent."""
    asked: int = 0
    """CHATHISTORY commands."""

    def __post_init__(self) -> None:
        self.members: list[_Client] = []
        self.lock = threading.RLock()
        self._server = _Server(("127.0.0.1", 0), _Client)
        self._server.paper = self
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def say(self, *texts: str, nick: str = "ann") -> None:
        """Somebody says something: it is kept, and whoever is there hears it."""
        with self.lock:
            for text in texts:
                number = len(self.log)
                moment = datetime(2026, 1, 2, tzinfo=UTC) + timedelta(milliseconds=number)
                time = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
                self.log.append(Said(f"id{number}", time, nick, text))
                self.tell(self.log[-1].line())

    def tell(self, *lines: str) -> None:
        """Send lines to everybody in the channel."""
        with self.lock:
            for member in self.members:
                member.send(*lines)

    def after(self, reference: str, limit: int) -> Sequence[Said] | None:
        """What was said after a message; None where that is not known."""
        kind, _, value = reference.partition("=")
        if kind == "timestamp":
            return [said for said in self.log if said.time > value][:limit]
        known = [number for number, said in enumerate(self.log) if said.msgid == value]
        return None if self.forgets or not known else self.log[known[0] + 1 :][:limit]


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    paper: PaperIrc


class _Client(socketserver.StreamRequestHandler):
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.nick = "*"
        self.batches = 0

    def send(self, *lines: str) -> None:
        try:
            self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())
        except OSError:  # it left
            return

    def handle(self) -> None:
        try:
            for raw in self.rfile:
                line = raw.decode().rstrip("\r\n")
                with self.server.paper.lock:
                    self.server.paper.heard.append(line)
                    command, *params = line.split(" ")
                    answer: Any = getattr(self, f"on_{command.lower()}", None)
                    if answer:
                        answer(*params)
        except OSError:
            return

    def finish(self) -> None:
        with self.server.paper.lock:
            if self in self.server.paper.members:
                self.server.paper.members.remove(self)

    # -- commands ----------------------------------------------------------------------------------------------------

    def on_cap(self, command: str, *more: str) -> None:
        if command == "LS":
            first, _, rest = self.server.paper.capabilities.partition(" ")
            self.send(f":paper CAP * LS * :{first}", f":paper CAP * LS :{rest}")
        elif command == "REQ":
            self.send(f":paper CAP {self.nick} ACK {' '.join(more)}")
        elif command == "END":
            self.send(
                f":paper 001 {self.nick} :Welcome",
                f":paper 005 {self.nick} CHATHISTORY={self.server.paper.page} CASEMAPPING=ascii :are supported",
                f":paper 376 {self.nick} :>",
            )

    def on_nick(self, nick: str) -> None:
        self.nick = nick

    def on_ping(self, *token: str) -> None:
        self.send(f":paper PONG paper {' '.join(token)}")

    def on_quit(self, *_reason: str) -> None:
        self.send("ERROR :Bye")
        self.request.shutdown(2)

    def on_join(self, channel: str) -> None:
        self.send(
            f":{self.nick}!u@h JOIN {channel}",
            f":paper 353 {self.nick} = {channel} :{self.nick}",
            f":paper 366 {self.nick} {channel} :End",
        )
        self.server.paper.members.append(self)

    def on_chathistory(self, command: str, channel: str, reference: str, limit: str) -> None:
        paper = self.server.paper
        paper.asked += 1
        found = paper.after(reference, min(int(limit), paper.page)) if command == "AFTER" else None
        if found is None:
            self.send(f"FAIL CHATHISTORY MESSAGE_ERROR {command} {channel} :Messages could not be retrieved")
            return
        self.batches += 1
        batch = f"b{self.batches}"
        told = [said.line(batch) for said in found]
        self.send(f":paper BATCH +{batch} chathistory {channel}", *told, f":paper BATCH -{batch}")
