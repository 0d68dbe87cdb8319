"""Channels of an IRC network as a live system: the connection of `irc.session`."""

import asyncio
import contextlib
import logging
import ssl
import time

from producer.live.irc.backlog import Backlog
from producer.live.irc.doors import NAMES_BYTES
from producer.live.irc.login import is_twitch, password_problem
from producer.live.irc.session import Past, Session
from producer.live.irc.wire import Cutter, compose
from producer.live.listener import Ear
from producer.live.memory import Memory
from producer.live.secrets import SecretOf, Secrets, warn_in_the_clear
from producer.live.urls import IrcPlace
from schemas.errors import ConnectionLost, Stop, UsageProblem

DIAL_SECONDS = 20.0
NEXT_ADDRESS_SECONDS = 0.25
"""When the next address of a host is tried beside one that does not answer (RFC 8305)."""
SEND_SECONDS = 30.0
TICK_SECONDS = 1.0
GOODBYE_SECONDS = 3.0
READ_BYTES = 64 << 10

TLS_ADVICE = " (ircs:// is for ports with TLS, usually 6697, and irc:// for those without, 6667)"

log = logging.getLogger(__name__)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class IrcListener:
    """Hears what is said in channels, and never speaks.

    What a chunk of the connection brought is on the spool before the next one is read: while the spool is full nothing
    is read, and a server that waits too long for us ends the connection.
    """

    def __init__(self, place: IrcPlace, secrets: Secrets, memory: Memory) -> None:
        """Raises `UsageProblem` for a password that IRC cannot carry, or that is nobody's."""
        self._place = place
        self._password = secrets.of(place, SecretOf.IRC)
        self._memory = memory
        self._past = Past(Backlog(memory.value))
        self._remembered = self._past.history.value
        self._dialed = False
        _check(place, self._password)

    @property
    def name(self) -> str:
        """Its URL."""
        return self._place.url

    async def session(self, ear: Ear) -> None:
        """See `Listener`."""
        await ear.put()
        reader, writer = await self._dial()
        talk = _Talk(self, Session(self._place, self._password, self._past), reader, writer, ear)
        try:
            await talk.go_on()
        except asyncio.CancelledError:
            with contextlib.suppress(ConnectionLost, Stop, TimeoutError, OSError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await talk.leave()
            raise
        except (OSError, ssl.SSLError) as error:
            raise ConnectionLost(f"The connection broke: {error.strerror or error}") from None
        finally:
            writer.close()

    async def _dial(self) -> Streams:
        place = self._place
        if not self._dialed:
            log.info("%s: connecting", place.url)
        self._dialed = True
        context = ssl.create_default_context() if place.tls else None
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                return await asyncio.open_connection(
                    place.host, place.port, ssl=context, limit=READ_BYTES, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS
                )
        except ssl.SSLCertVerificationError as error:
            raise Stop(
                f"{place.url}: the server's certificate is not good: {error.verify_message}",
                "Name the host as its certificate does, or its authority's file in SSL_CERT_FILE",
            ) from None
        except UnicodeError:
            raise UsageProblem(f"{place.url}: not a host's name", "Write it as DNS has it") from None
        except TimeoutError:
            what, advice = ("No connection with TLS", TLS_ADVICE) if place.tls else ("No connection", "")
            raise ConnectionLost(f"{what} within {DIAL_SECONDS:.0f} s{advice}") from None
        except OSError as error:
            raise ConnectionLost(f"No connection: {error.strerror or error}") from None

    async def take(self, session: Session, ear: Ear) -> None:
        """Put what the session heard on the spool, and remember how far that is."""
        heard, session.heard = session.heard, []
        mark = await ear.put([one.line() for one in heard])
        value = self._past.history.value
        if self._past.history.available and value != self._remembered:
            self._remembered = value
            self._memory.remember(mark, value)


def _check(place: IrcPlace, password: str | None) -> None:
    nick = place.nick or ""
    if any(not character.isprintable() or character == " " for character in nick) or len(nick.encode()) > NAMES_BYTES:
        raise UsageProblem(f"{place.url}: {place.nick!r} is no nick", "Name another: irc://NICK@host/...")
    if any(len(name.encode()) > NAMES_BYTES for name in place.channels):
        raise UsageProblem(f"{place.url}: a channel's name is too long for a line of IRC", "Look at the URL")
    if not password:
        return
    if problem := password_problem(password):
        raise UsageProblem(f"{place.url}: the password {problem}", "Give another one")
    if is_twitch(place) and not place.nick:
        raise UsageProblem(f"{place.url}: a token needs its account", "Name it: ircs://NICK@host/...")
    if not place.tls:
        warn_in_the_clear(place, "password", "ircs")


class _Talk:
    """One connection."""

    def __init__(
        self,
        listener: IrcListener,
        session: Session,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ear: Ear,
    ) -> None:
        self._listener = listener
        self._session = session
        self._reader = reader
        self._writer = writer
        self._ear = ear
        self._cutter = Cutter()
        self._told = False

    async def go_on(self) -> None:
        """Listen until the connection ends: raises `ConnectionLost` or `Stop`."""
        self._session.begin(time.monotonic())
        while True:
            await self._answer()
            chunk: bytes | None = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    chunk = await self._reader.read(READ_BYTES)
            if chunk == b"":
                raise ConnectionLost("The server closed the connection")
            if chunk:
                await self._hear(chunk)
            self._session.tick(time.monotonic())

    async def leave(self) -> None:
        """Say goodbye, and take what was said up to the server's answer."""
        self._writer.write(compose("QUIT", "chatferry leaves"))
        await self._writer.drain()
        await self._listener.take(self._session, self._ear)
        while chunk := await self._reader.read(READ_BYTES):
            await self._hear(chunk)

    async def _answer(self) -> None:
        lines, self._session.out = self._session.out, []
        if lines:
            self._writer.write(b"".join(lines))
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await self._writer.drain()
            except TimeoutError:
                raise ConnectionLost(f"The server took nothing for {SEND_SECONDS:.0f} s") from None

    async def _hear(self, chunk: bytes) -> None:
        now = time.monotonic()
        try:
            for raw in self._cutter.feed(chunk):
                self._session.hear(raw, now)
        finally:  # what came before the line that ends the session, too
            began = time.monotonic()
            await self._listener.take(self._session, self._ear)
        now = time.monotonic()
        self._session.held_up(now - began, now)
        if self._session.ready and not self._told:
            self._told = True
            self._ear.listening(self._listener.name)
