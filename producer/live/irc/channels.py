"""What a session on IRC knows of the server and of its channels: who is in them. Pure."""

import logging
from collections.abc import Iterable, Sequence

from producer.live.irc.wire import Line, fold

log = logging.getLogger(__name__)

MEMBERS_KEPT = 100_000
"""In a channel: more than any network has, and some 10 MB."""

DIGITS = 9
"""More of a number than anybody means; Python reads none of thousands of digits."""


class Server:
    """What the server said of itself (005, RPL_ISUPPORT)."""

    def __init__(self) -> None:
        self._told: dict[str, str] = {}

    def note(self, line: Line) -> None:
        """Take a 005 line in."""
        for word in line.params[1:-1]:
            name, _, value = word.partition("=")
            self._told[name.upper()] = value

    def fold(self, name: str) -> str:
        """A nick or a channel for comparing."""
        return fold(name, self._told.get("CASEMAPPING", "rfc1459").lower())

    @property
    def prefixes(self) -> str:
        """What may stand before a nick in a list of members: `@` for operators, and so on."""
        return self._told.get("PREFIX", "(ov)@+").partition(")")[2]

    @property
    def longest_history(self) -> int:
        """How many messages may be asked for at once; 0 where the server does not say."""
        told = self._told.get("CHATHISTORY", "")[:DIGITS]
        return int(told) if told.isdecimal() else 0

    @property
    def knows_msgids(self) -> bool:
        """Whether its history can be asked for by msgid."""
        return "msgid" in self._told.get("MSGREFTYPES", "msgid").lower().split(",")


class Channels:
    """The channels that are listened to, under the names they have in the URL."""

    def __init__(self, names: Sequence[str], server: Server) -> None:
        self._names = names
        self._server = server
        self._members: dict[str, set[str]] = {}
        self._told: set[str] = set()

    def name(self, target: str) -> str | None:
        """The channel that a line speaks of; None where it is none of ours.

        What goes to a channel's operators alone (`@#channel`) is in the channel.
        """
        folded = self._server.fold(target)
        for name in self._names:
            if folded == (ours := self._server.fold(name)):
                return name
            if folded.endswith(ours) and not folded[: -len(ours)].strip(self._server.prefixes):
                return name
        return None

    def of(self, nick: str) -> list[str]:
        """The channels that somebody is in, as far as we were told."""
        folded = self._server.fold(nick)
        return [name for name in self._names if folded in self._members.get(name, ())]

    def begin(self, name: str) -> None:
        """We joined: its members are told next."""
        self._members[name] = set()

    def add(self, name: str, nicks: Iterable[str]) -> None:
        """They are in it; each may have prefixes before it, and `!user@host` behind it."""
        members = self._members.setdefault(name, set())
        for nick in nicks:
            if len(members) >= MEMBERS_KEPT:
                self._tell_too_many(name)
                return
            members.add(self._server.fold(nick.lstrip(self._server.prefixes).partition("!")[0]))

    def _tell_too_many(self, name: str) -> None:
        if name not in self._told:
            self._told.add(name)
            log.warning("%s: the server names more than %s members; when the others quit or change their nick is not "
                        "told", name, f"{MEMBERS_KEPT:,}")  # fmt: skip

    def remove(self, name: str, nick: str) -> None:
        """Somebody left it."""
        self._members.get(name, set()).discard(self._server.fold(nick))

    def note(self, line: Line) -> None:
        """Keep the members as a line says; after what the line says was heard, for it asks who was there."""
        name = self.name(line.param(2 if line.command == "353" else 0))
        match line.command:
            case "353" if name:
                self.add(name, line.text.split())
            case "JOIN" if name:
                self.add(name, [line.nick])
            case "PART" if name:
                self.remove(name, line.nick)
            case "KICK" if name:
                self.remove(name, line.param(1))
            case "QUIT" | "NICK":
                for channel in self.of(line.nick):
                    self.remove(channel, line.nick)
                    if line.command == "NICK":
                        self.add(channel, [line.param(0)])
