"""The doors of a session's channels: which are open to us, and when to knock at the others again. Pure."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from producer.live.irc.wire import Line, compose
from schemas.errors import ConnectionLost, Stop

log = logging.getLogger(__name__)

ANSWER_SECONDS = 60.0
AFTER_KICK_SECONDS = 5.0
AFTER_REFUSAL_SECONDS = 60.0
NAMES_BYTES = 400
"""So many bytes of channels' names are asked for with one line, or one name."""

FOR_NOW = frozenset({"437", "471", "480", "495", "500"})
"""Unavailable just now, full, too many who come (480, 500: how some servers say it), too soon after a kick."""

FOR_GOOD = {
    "403": "Name a channel that there is",
    "405": "Name fewer channels in one URL",
    "470": "Name the channel that it forwards to",
    "473": "Have the nick invited, or the channel opened",
    "474": "Ask the channel's operators",
    "475": "Ask the channel's operators to let it in without a key, for chatferry gives none",
    "476": "Name a channel that the server takes",
    "477": "Log in: an account's password in CHATFERRY_IRC_PASSWORD or by --secret-file",
    "479": "Name a channel that the server takes",
    "489": "Use ircs://",
    "520": "Name a channel that is not for operators only",
}
"""Why a channel cannot be joined until a person acts, by the numeric that says so; and how."""

TWITCH_REFUSALS = frozenset({"msg_channel_suspended", "msg_banned", "tos_ban"})


@dataclass
class _Door:
    knock_at: float
    asked_at: float | None = None
    is_open: bool = False
    told: str = ""


class Doors:
    """Which of the channels were joined."""

    def __init__(self, url: str, names: Sequence[str], now: float, *, ever: bool) -> None:
        """`ever`: whether this listener was in its channels before; then a refusal is told, and tried again."""
        self._url = url
        self._doors = {name: _Door(now) for name in names}
        self._ever = ever

    @property
    def ready(self) -> bool:
        """Whether each was answered, and one is open."""
        doors = self._doors.values()
        return all(door.is_open or door.told for door in doors) and any(door.is_open for door in doors)

    def knock(self, now: float) -> list[bytes]:
        """The lines that ask for what is due. Raises `ConnectionLost` where the server does not answer."""
        if any(door.asked_at is not None and now - door.asked_at > ANSWER_SECONDS for door in self._doors.values()):
            raise ConnectionLost(f"The server did not answer a JOIN for {ANSWER_SECONDS:.0f} s")
        due = [name for name, door in self._doors.items() if _is_due(door, now)]
        for name in due:
            self._doors[name].asked_at = now
        return [compose("JOIN", names) for names in _joined(due)]

    def opened(self, name: str) -> None:
        """We are in."""
        door = self._doors[name]
        if door.told:
            log.warning("%s: %s was joined after all", self._url, name)
        self._doors[name] = _Door(door.knock_at, is_open=True)

    def left(self, name: str, now: float) -> None:
        """We were sent out of it: it is tried again soon."""
        log.warning("%s: sent out of %s; it is joined again", self._url, name)
        self._doors[name] = _Door(now + AFTER_KICK_SECONDS, told="sent out")

    def refused(self, line: Line, name: str, now: float) -> None:
        """The server does not let us in. Raises `Stop` where a person must act, and we never were in."""
        door, why = self._doors[name], f"{self._url}: {name} cannot be joined: {line.text}"
        if door.asked_at is None:
            return  # about something else
        if not self._ever and line.command not in FOR_NOW:
            raise Stop(why, FOR_GOOD.get(line.command, "Name another channel"))
        if door.told != line.text:
            log.warning("%s; it is tried again", why)
        self._doors[name] = _Door(now + AFTER_REFUSAL_SECONDS, told=line.text or line.command)


def is_refusal(line: Line) -> bool:
    """Whether the line says that a channel cannot be joined."""
    return line.command in FOR_NOW or line.command in FOR_GOOD or line.tags.get("msg-id") in TWITCH_REFUSALS


def _is_due(door: _Door, now: float) -> bool:
    return not door.is_open and door.asked_at is None and door.knock_at <= now


def _joined(names: Sequence[str]) -> Iterator[str]:
    """The names with commas between them, in pieces that fit into a line."""
    piece = ""
    for name in names:
        if piece and len(f"{piece},{name}".encode()) > NAMES_BYTES:
            yield piece
            piece = ""
        piece = f"{piece},{name}" if piece else name
    if piece:
        yield piece
