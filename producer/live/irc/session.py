"""A session on IRC without its connection: lines go in, what to answer and what was heard come out. Pure."""

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from producer.live.heard import Heard
from producer.live.irc.backlog import Backlog
from producer.live.irc.channels import Channels, Server
from producer.live.irc.doors import Doors, is_refusal
from producer.live.irc.heard import Batches, Hearing
from producer.live.irc.login import Login
from producer.live.irc.wire import Line, compose, parse, pong
from producer.live.recent import Seen
from producer.live.urls import IrcPlace
from schemas.errors import ConnectionLost

log = logging.getLogger(__name__)

CAPABILITIES_SECONDS = 5.0
MOTD_SECONDS = 15.0
WELCOME_SECONDS = 60.0
SILENCE_SECONDS = 60.0
"""The server is asked whether it is there after half of that, and taken for gone after all of it."""
IDS_KEPT = 10_000


@dataclass
class Past:
    """What a listener keeps from one session to the next."""

    history: Backlog
    seen: Seen = field(default_factory=lambda: Seen(IDS_KEPT))
    """Ids that were taken lately: a server that tells its history to whoever joins tells them again."""
    ever: bool = False
    """Whether it ever was in its channels."""


class Session:
    """The state of one connection. After `begin`, `hear` and `tick`, `out` and `heard` are the caller's to empty."""

    def __init__(
        self,
        place: IrcPlace,
        password: str | None,
        past: Past,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` gives Unix seconds for what the server gives no time of; `now` everywhere is a monotone one."""
        self._place = place
        self._past = past
        self._password = password
        self._login = Login(place, password)
        self._server = Server()
        self._channels = Channels(place.channels, self._server)
        self._batches = Batches()
        self._hearing = Hearing(place, self._channels, secrets.token_hex(8), clock)
        self._doors: Doors | None = None
        self._nick = ""
        self._began = self._heard_at = 0.0
        self._asked_for_life = False
        self._answered = False
        self.out: list[bytes] = []
        """Lines to send."""
        self.heard: list[Heard] = []
        """What was said."""

    @property
    def ready(self) -> bool:
        """Whether we are in the channels."""
        return self._doors is not None and self._doors.ready

    def begin(self, now: float) -> None:
        """The connection stands."""
        self._began = self._heard_at = now
        self.out += self._login.begin()

    def tick(self, now: float) -> None:
        """To be called about once a second. Raises `ConnectionLost` where the server is silent."""
        waited = now - self._began
        if not self._login.done:
            if waited > WELCOME_SECONDS:
                raise ConnectionLost(f"The server said no welcome for {WELCOME_SECONDS:.0f} s")
            if waited > CAPABILITIES_SECONDS and not self._answered:
                self.out += self._login.no_answer()
        elif self._doors is None and waited > MOTD_SECONDS:
            self._knock(now)
        if self._doors:
            self.out += self._doors.knock(now)
        self._past.history.tick(now)
        self._see_life(now)

    def _see_life(self, now: float) -> None:
        silent = now - self._heard_at
        if silent > SILENCE_SECONDS:
            raise ConnectionLost(f"Nothing came from the server for {SILENCE_SECONDS:.0f} s")
        if silent > SILENCE_SECONDS / 2 and self._login.done and not self._asked_for_life:
            self._asked_for_life = True
            self.out.append(compose("PING", "chatferry"))

    def alive(self, now: float) -> None:
        """The server was there until now."""
        self._heard_at = now
        self._asked_for_life = False

    def held_up(self, seconds: float, now: float) -> None:
        """The spool was full for so long: it was we who did not listen."""
        self.alive(now)
        self._past.history.put_off(seconds)

    def hear(self, raw: bytes, now: float) -> None:
        """Take a line in, without its end, whatever it is.

        Raises `ConnectionLost` where the server ends the session, `Stop` where a person must act, and nothing else;
        what was heard before that stands in `heard`.
        """
        if (line := parse(raw)) is None:
            return
        line = self._without_password(line)
        self.alive(now)
        if line.command == "PING":
            self.out.append(pong(raw))
        elif self._login.done:
            self._in_session(line, now)
        else:
            self._in_login(line)
        if line.command in ("ERROR", "RECONNECT"):
            raise ConnectionLost(f"The server ended the connection: {line.text or line.command}")

    def _without_password(self, line: Line) -> Line:
        """The same, where its text may be told to people: a server may repeat our own words in what it refuses."""
        in_login = not self._login.done and line.command not in ("CAP", "001")
        told = in_login or line.command in ("ERROR", "FAIL") or is_refusal(line)
        if not told or not self._password or self._password not in line.text:
            return line
        return replace(line, params=(*line.params[:-1], line.text.replace(self._password, "***")))

    def _in_login(self, line: Line) -> None:
        self._answered = self._answered or line.command == "CAP"
        self.out += self._login.hear(line)
        if not self._login.done:
            return
        self._nick = self._login.nick
        if self._login.without_sasl:
            log.warning("%s: the server offers no SASL; the password was given as its own (PASS)", self._place.url)
        self._past.history.new_session(bool(self._login.capabilities & {"chathistory", "draft/chathistory"}))

    def _in_session(self, line: Line, now: float) -> None:
        match line.command:
            case "005":
                self._server.note(line)
                self._past.history.learn(self._server)
            case "376" | "422":
                self._knock(now)
            case "366":
                self._opened(line)
            case "BATCH":
                self._batch(line, now)
            case "FAIL" | "421" if "CHATHISTORY" in line.params:
                self.out += self._past.history.refused(line, now)
            case _ if is_refusal(line):
                self._refused(line, now)
            case _:
                self._said(line, now)

    # -- joining -----------------------------------------------------------------------------------------------------

    def _knock(self, now: float) -> None:
        if self._doors is None:
            self._doors = Doors(self._place.url, self._place.channels, now, ever=self._past.ever)
        self.out += self._doors.knock(now)

    def _opened(self, line: Line) -> None:
        if self._doors and (name := self._channels.name(line.param(1))):
            self._doors.opened(name)
            self._past.ever = self._past.ever or self._doors.ready

    def _refused(self, line: Line, now: float) -> None:
        name = self._channels.name(line.param(0)) or self._channels.name(line.param(1))
        if self._doors and name:
            self._doors.refused(line, name, now)

    # -- hearing -----------------------------------------------------------------------------------------------------

    def _batch(self, line: Line, now: float) -> None:
        ended = self._batches.note(line)
        if ended and ended.type == "chathistory" and (name := self._channels.name("".join(ended.params[:1]))):
            self.out += self._past.history.page_ended(name, now)

    def _said(self, line: Line, now: float) -> None:
        batch = self._batches.of(line)
        in_history = bool(batch and batch.history)
        is_ours = self._is_us(line.nick)
        if not is_ours or line.command in ("PRIVMSG", "NOTICE"):
            for heard in self._hearing.hear(line, batch):
                if not self._past.seen.count(heard.id):
                    self.heard.append(heard)
        if in_history or not is_ours or line.command in ("PRIVMSG", "NOTICE"):
            for name in self._hearing.where(line, batch):
                self._past.history.noted(name, line, in_history=in_history)
        if not in_history:
            self._follow(line, now, is_ours=is_ours)
            self._channels.note(line)

    def _is_us(self, nick: str) -> bool:
        return self._server.fold(nick) == self._server.fold(self._nick)

    def _follow(self, line: Line, now: float, *, is_ours: bool) -> None:
        """What became of us."""
        name = self._channels.name(line.param(0))
        if is_ours and line.command == "NICK":
            self._nick = line.param(0)
        elif is_ours and line.command == "JOIN" and name:
            self._channels.begin(name)
            self.out += self._past.history.joined(name, line, now)
        elif name and self._doors and self._sent_out(line, is_ours=is_ours):
            self._doors.left(name, now)

    def _sent_out(self, line: Line, *, is_ours: bool) -> bool:
        return (line.command == "KICK" and self._is_us(line.param(1))) or (line.command == "PART" and is_ours)
