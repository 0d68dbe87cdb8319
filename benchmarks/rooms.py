"""The chat systems that the soak listens to: real servers, somebody who talks on each, and wires that are cut."""

import itertools
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.services.friend import Friend
from tests.services.inspircd import InspIrcd
from tests.services.process import free_port
from tests.services.prosody import ROOMS, Prosody
from tests.services.proxy import Proxy
from tests.services.synapse import Synapse
from tests.services.talker import Talker
from tests.services.tls import Authority

PASSWORD = "soaked-through"  # noqa: S105 -- of servers that live for the run
IRC_CHANNEL = "#soak"
XMPP_ROOM = f"soak@{ROOMS}"
WEBHOOK_SITE = "soak/webhook"
POST_MESSAGES = 10
IRC_HISTORY = 2000
"""What the channel keeps: more than is said while a cut lasts."""


class Room(NamedTuple):
    """One chat system with a listener's URL, and a way to say something there."""

    name: str
    url: str
    site: str
    """What its messages have as `site_id`."""
    seconds: float
    """From one `say` to the next."""
    say: Callable[[int], int]
    """Says something that bears the number; returns how many messages that was."""
    wire: Proxy | None
    """What the listener connects through; None where it is the server."""


class Talk(threading.Thread):
    """Says things in a room at its pace, until told to stop."""

    def __init__(self, room: Room) -> None:
        super().__init__(name=f"talk-{room.name}", daemon=True)
        self.room = room
        self.said = 0
        self.problem: Exception | None = None
        self._over = threading.Event()

    def run(self) -> None:
        """Until `finish`, or the first thing that could not be said: that one is in `problem`."""
        began = time.monotonic()
        try:
            for number in itertools.count():
                if self._over.wait(max(began + number * self.room.seconds - time.monotonic(), 0.0)):
                    return
                self.said += self.room.say(number)
        except Exception as problem:  # noqa: BLE001 -- the main thread looks at it
            self.problem = problem

    def finish(self) -> None:
        """Say no more. Raises what kept it from talking."""
        self._over.set()
        self.join()
        if self.problem:
            raise self.problem


class Rooms(NamedTuple):
    """All of them, and what the listener's process needs to know."""

    rooms: list[Room]
    environment: Mapping[str, str]

    def cut(self) -> None:
        """Reset the connections of all listeners at once: each dials again."""
        for room in self.rooms:
            if room.wire:
                room.wire.reset()


@contextmanager
def open_rooms(folder: Path) -> Iterator[Rooms]:
    """The four systems, in an empty folder, with somebody in each; they end with the block."""
    with ExitStack() as stack:
        authority = Authority(folder)
        rooms = [
            _irc(stack, _made(folder / "irc")),
            _xmpp(stack, _made(folder / "xmpp"), authority),
            _matrix(stack, _made(folder / "matrix")),
            _webhook(),
        ]
        secrets = dict.fromkeys(
            ("CHATFERRY_XMPP_PASSWORD", "CHATFERRY_MATRIX_PASSWORD", "CHATFERRY_HTTP_TOKEN"), PASSWORD
        )
        yield Rooms(rooms, {**secrets, "SSL_CERT_FILE": str(authority.certificate)})


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _irc(stack: ExitStack, folder: Path) -> Room:
    server = stack.enter_context(InspIrcd(folder, history=IRC_HISTORY))
    wire = stack.enter_context(Proxy(server.port))
    ann = stack.enter_context(Talker(server.port, "ann"))
    ann.join(IRC_CHANNEL)

    def say(number: int) -> int:
        ann.say(IRC_CHANNEL, f"thing {number}")
        return 1

    url = f"irc://ferry@{wire.address}/%23{IRC_CHANNEL[1:]}"
    return Room("IRC", url, f"127.0.0.1/{IRC_CHANNEL}", 0.05, say, wire)


def _xmpp(stack: ExitStack, folder: Path, authority: Authority) -> Room:
    accounts = {"ann": PASSWORD, "ferry": PASSWORD}
    server = stack.enter_context(Prosody(folder, accounts, authority.issue("localhost")))
    wire = stack.enter_context(Proxy(server.port))
    ann = stack.enter_context(Friend("ann@localhost", PASSWORD, server.port, authority.certificate))
    ann.enter(XMPP_ROOM, "ann")

    def say(number: int) -> int:
        ann.say(XMPP_ROOM, f"thing {number}", f"say-{number}")
        ann.heard_back(f"say-{number}")
        return 1

    return Room("XMPP", f"xmpp://ferry@localhost:{wire.port}/{XMPP_ROOM}", f"localhost/{XMPP_ROOM}", 0.1, say, wire)


def _matrix(stack: ExitStack, folder: Path) -> Room:
    server = stack.enter_context(Synapse(folder))
    wire = stack.enter_context(Proxy(server.port))
    server.register("ferry", PASSWORD)
    ann = server.register("ann", PASSWORD)
    room = ann.make_room("soak")

    def say(number: int) -> int:
        ann.say(room, f"thing {number}")
        return 1

    return Room("Matrix", f"matrix+http://ferry@{wire.address}/{room}", f"127.0.0.1/{room}", 0.5, say, wire)


def _webhook() -> Room:
    url = f"http://127.0.0.1:{free_port()}"

    def say(number: int) -> int:
        messages = [
            {"id": f"{number}-{i}", "from": "ann", "type": "message", "site_id": WEBHOOK_SITE,
             "timestamp": time.time(), "data": f"thing {number}"}
            for i in range(POST_MESSAGES)
        ]  # fmt: skip
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {PASSWORD}"}
        request = urllib.request.Request(f"{url}/messages", json.dumps(messages).encode(), headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 -- the URL is ours
            answer.read()
        return POST_MESSAGES

    return Room("webhook", url, WEBHOOK_SITE, 0.2, say, None)
