"""The first words on a connection to an IRC server: capabilities, SASL, password and nick, up to its welcome. Pure."""

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from producer.live.irc.wire import Line, compose, sasl_plain
from producer.live.urls import IrcPlace
from schemas.errors import ConnectionLost, Stop

WANTED = (
    "message-tags",
    "server-time",
    "batch",
    "echo-message",
    "account-tag",
    "extended-join",
    "standard-replies",
    "chathistory",
    "draft/chathistory",
    "draft/event-playback",
    "draft/message-redaction",
    "twitch.tv/tags",
    "twitch.tv/commands",
)
"""What is asked for where a server offers it; `sasl` too where there is a password."""

SHORTEST_NICK = 9
"""RFC 1459's longest nick: every server takes one of so many characters."""
TRIES = 8
LONGEST_PASSWORD = 500

_IN_USE = ("433", "436", "437")
_LOGGED_IN_OR_NOT_NEEDED = ("903", "907")
_SASL_FAILED = ("902", "904", "905", "906", "908")
_TWITCH_REFUSALS = ("authentication failed", "improperly formatted auth", "login unsuccessful")
_CHANGE_SECRET = "Change what CHATFERRY_IRC_PASSWORD or --secret-file gives"  # noqa: S105 -- a sentence


class Login:
    """What is said until the server says welcome. `hear` gives the answers to a line."""

    def __init__(self, place: IrcPlace, password: str | None, draw: Callable[[int], int] = random.randrange) -> None:
        self._place = place
        self._password = password
        self._draw = draw
        self._nicks = self._candidates()
        self._offered: dict[str, str] = {}
        self._introduced = False
        self.capabilities: set[str] = set()
        """What the server agreed to."""
        self.nick = ""
        """What the server calls us, from its welcome on."""
        self.without_sasl = False
        """Whether the password went to a server that offers no SASL, as the server's own password."""

    @property
    def done(self) -> bool:
        """Whether the server said welcome."""
        return bool(self.nick)

    def begin(self) -> list[bytes]:
        """The first line."""
        return [compose("CAP", "LS", "302")]

    def no_answer(self) -> list[bytes]:
        """What to say to a server that lets `begin` pass in silence, as one of before IRCv3 may."""
        return [] if self._introduced else self._introduce()

    def hear(self, line: Line) -> list[bytes]:
        """The answers. Raises `Stop` where a person must act, `ConnectionLost` where trying again may help."""
        if line.command == "001":
            self.nick = line.param(0)
            return []
        if line.command == "CAP":
            return self._capabilities(line)
        if line.command in ("421", "451") and line.param(1).upper() == "CAP":
            return self.no_answer()
        if line.command in _IN_USE:
            return [compose("NICK", next(self._nicks))]
        self._see_refusal(line)
        return self._by_password(line)

    # -- capabilities ------------------------------------------------------------------------------------------------

    def _capabilities(self, line: Line) -> list[bytes]:
        match line.param(1).upper():
            case "LS" if not self._introduced:
                self._offered |= {name: value for name, _, value in map(_parted, line.text.split())}
                return [] if line.param(2) == "*" else self._ask()  # * is told where more follows
            case "ACK":
                self.capabilities |= set(line.text.split())
                return [compose("AUTHENTICATE", "PLAIN")] if "sasl" in self.capabilities else [compose("CAP", "END")]
            case "NAK":
                if self._by_sasl:
                    raise ConnectionLost("The server offers SASL, and then does not")
                return [compose("CAP", "END")]
        return []

    def _ask(self) -> list[bytes]:
        wanted = [name for name in WANTED if name in self._offered]
        if self._by_sasl:
            wanted.append("sasl")
        if not wanted:
            return [*self._introduce(), compose("CAP", "END")]
        return [compose("CAP", "REQ", " ".join(wanted)), *self._introduce()]

    def _by_password(self, line: Line) -> list[bytes]:
        if line.command == "AUTHENTICATE" and line.param(0) == "+" and self._by_sasl:
            assert self._place.nick
            assert self._password
            return sasl_plain(self._place.nick, self._password)
        return [compose("CAP", "END")] if line.command in _LOGGED_IN_OR_NOT_NEEDED else []

    @property
    def _by_sasl(self) -> bool:
        mechanisms = self._offered.get("sasl")
        if mechanisms is None or not self._password or not self._place.nick:
            return False
        return not mechanisms or "PLAIN" in mechanisms.upper().split(",")

    # -- who we are --------------------------------------------------------------------------------------------------

    def _introduce(self) -> list[bytes]:
        self._introduced = True
        nick = next(self._nicks)
        words = [compose("NICK", nick), compose("USER", "chatferry", "0", "*", "chatferry listens")]
        if not self._password or self._by_sasl:
            return words
        self.without_sasl = "sasl" not in self._offered and not is_twitch(self._place)
        return [compose("PASS", self._password), *words]

    def _candidates(self) -> Iterator[str]:
        """The nick that was asked for, and others like it where it is in use."""
        asked = self._place.nick
        if asked is None:
            made = "justinfan" if is_twitch(self._place) else "ferry"  # Twitch lets nobody else in without a password
            first: Iterable[str] = (f"{made}{1000 + self._draw(9000)}" for _ in range(TRIES))
        else:
            stem = asked[: SHORTEST_NICK - 3]
            first = chain([asked], (f"{stem}{100 + self._draw(900)}" for _ in range(TRIES)))
        yield from first
        raise ConnectionLost("Every nick that was tried is in use")

    def _see_refusal(self, line: Line) -> None:
        url, told = self._place.url, line.text
        if line.command in _SASL_FAILED:
            raise Stop(f"{url}: the server refuses the account's password: {told}", _CHANGE_SECRET)
        if line.command == "464" or (line.command == "ERROR" and "password" in told.lower()):
            raise Stop(f"{url}: the server wants a password, or another one: {told}", _CHANGE_SECRET)
        if line.command == "NOTICE" and any(refusal in told.lower() for refusal in _TWITCH_REFUSALS):
            raise Stop(f"{url}: Twitch refuses the token: {told}", _CHANGE_SECRET)
        if line.command in ("463", "465"):
            raise Stop(f"{url}: the server does not let us in: {told}", "Ask its operators")
        if line.command in ("431", "432"):
            raise Stop(f"{url}: the server does not take the nick: {told}", "Name another: irc://NICK@host/...")


def is_twitch(place: IrcPlace) -> bool:
    """Whether it is Twitch's chat, which has its own way to let people in."""
    return place.host == "twitch.tv" or place.host.endswith(".twitch.tv")


def password_problem(password: str) -> str | None:
    """What keeps a password from being sent to an IRC server; None where nothing does."""
    if any(character in password for character in "\r\n\0"):
        return "has the end of a line in it"
    return "is too long for a line of IRC" if len(password.encode()) > LONGEST_PASSWORD else None


def _parted(offer: str) -> tuple[str, str, str]:
    return offer.partition("=")
