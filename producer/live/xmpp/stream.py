"""One connection to an XMPP server by slixmpp: dialed, encrypted and logged in; what comes is read in its order."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self
from xml.etree.ElementTree import Element

from slixmpp import ClientXMPP

from producer.live.urls import XmppPlace
from producer.live.xmpp.stanzas import CLIENT
from schemas.errors import ConnectionLost, Stop

LOGIN_SECONDS = 30.0
GOODBYE_SECONDS = 2.0
DIRECT_TLS_PORT = 5223
WAITING = (1000, 100)
"""When so many stanzas wait, no more are read from the connection; when only so many wait, they are again."""

logging.getLogger("slixmpp").setLevel(logging.CRITICAL)  # it logs whole stanzas, what people said and passwords too


class _Client(ClientXMPP):  # type: ignore[misc, unused-ignore]
    def reschedule_connection_attempt(self) -> None:
        """Never: who listens dials again, with a longer pause each time."""
        self.event("nobody_answered")

    def end_sending(self) -> None:
        """slixmpp leaves this task to the garbage collector, which complains of it."""
        if self._run_out_filters is not None:
            self._run_out_filters.cancel()


class XmppStream:
    """Opened by `async with`. `next` gives what comes, `send` says something."""

    def __init__(self, place: XmppPlace, password: str) -> None:
        self._place = place
        self._queue: asyncio.Queue[Element | None] = asyncio.Queue()
        self._paused = False
        self._problem: ConnectionLost | Stop | None = None
        self._failed: object = ""
        self._refusal = ""
        self._login: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._client = client = _Client(place.account, password, loop=asyncio.get_running_loop())
        client.enable_direct_tls = place.port in (None, DIRECT_TLS_PORT)
        client.enable_starttls = place.port != DIRECT_TLS_PORT
        client.add_filter("in", self._heard)
        for event, handler in self._handlers().items():
            client.add_event_handler(event, handler)

    def _handlers(self) -> dict[str, Callable[[Any], None]]:
        return {
            "session_start": self._logged_in,
            "connection_failed": self._attempt_failed,
            "nobody_answered": lambda _: self._ended(self._unreachable()),
            "ssl_invalid_chain": lambda error: self._ended(self._distrusted(error)),
            "failed_auth": self._refused_once,
            "failed_all_auth": lambda _: self._ended(self._not_let_in()),
            "stream_error": self._told_off,
            "disconnected": lambda reason: self._ended(self._lost(reason)),
            "killed": lambda _: self._ended(self._lost(self._client.disconnect_reason)),
        }

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(LOGIN_SECONDS):
                await self._dial()
        except TimeoutError:
            await self.close()
            raise ConnectionLost(f"{self._server} did not answer within {LOGIN_SECONDS:.0f} s") from None
        except BaseException:
            await self.close()
            raise
        return self

    async def _dial(self) -> None:
        port = self._place.port
        self._client.connect(*((self._client.default_domain, port) if port else ()))
        await self._login

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Say goodbye, where there still is somebody; the connection is gone then."""
        self._problem = self._problem or ConnectionLost("we left")
        self._resume()
        self._client.cancel_connection_attempt()
        if self._client.is_connected():
            await self._client.disconnect(wait=GOODBYE_SECONDS)
        self._client.abort()
        self._client.end_sending()

    def send(self, stanza: Element) -> None:
        """Say it; whether it arrives, an answer tells."""
        self._client.send_xml(stanza)

    async def next(self, seconds: float) -> Element:
        """The next message, presence or answer.

        Raises `TimeoutError` where none comes for so long, `ConnectionLost` or `Stop` where none will come any more.
        """
        if self._paused and self._queue.qsize() <= WAITING[1]:
            self._resume()
        async with asyncio.timeout(seconds):
            stanza = await self._queue.get()
        if stanza is None:
            raise self._problem or ConnectionLost("the connection ended")
        return stanza

    # -- called by slixmpp, in the event loop --------------------------------------------------------------------------

    def _heard(self, stanza: Any) -> Any:
        """Keep what is for us; slixmpp answers the rest: it negotiates, and declines what it is asked."""
        xml: Element = stanza.xml
        answer = xml.tag == f"{CLIENT}iq" and xml.get("type") in ("result", "error")
        if not self._login.done() or not (answer or xml.tag in (f"{CLIENT}message", f"{CLIENT}presence")):
            return stanza
        self._queue.put_nowait(xml)
        if not self._paused and self._queue.qsize() >= WAITING[0] and self._client.transport:
            self._paused = True
            self._client.transport.pause_reading()
        return None

    def _resume(self) -> None:
        if self._paused and self._client.transport:
            self._client.transport.resume_reading()
        self._paused = False

    def _logged_in(self, _event: object) -> None:
        if not self._login.done():
            self._login.set_result(None)

    def _attempt_failed(self, problem: object) -> None:
        self._failed = problem

    def _refused_once(self, failure: Any) -> None:
        """One way to log in failed; slixmpp tries the next one, where there is one."""
        self._refusal = failure["condition"]

    def _told_off(self, error: Any) -> None:
        self._failed = f"{error['condition']}{': ' if error['text'] else ''}{error['text']}"

    def _ended(self, problem: ConnectionLost | Stop) -> None:
        """The first reason counts: others only follow from it."""
        if self._problem:
            return
        self._problem = problem
        self._queue.put_nowait(None)
        if not self._login.done():
            self._login.set_exception(problem)

    # -- what is said of it --------------------------------------------------------------------------------------------

    @property
    def _server(self) -> str:
        return f"{self._place.account.partition('@')[2]}{f':{self._place.port}' if self._place.port else ''}"

    def _unreachable(self) -> ConnectionLost | Stop:
        if isinstance(self._failed, ssl.SSLCertVerificationError):
            return self._distrusted(self._failed)
        return ConnectionLost(f"{self._server} cannot be reached: {self._failed}")

    def _lost(self, reason: object) -> ConnectionLost | Stop:
        if isinstance(reason, ssl.SSLCertVerificationError):
            return self._distrusted(reason)
        return ConnectionLost(f"{self._server} closed the connection: {self._failed or reason or 'it says not why'}")

    def _distrusted(self, error: object) -> Stop:
        why = getattr(error, "verify_message", "") or error
        return Stop(
            f"The certificate of {self._server} is not to be trusted: {why}",
            "Trust its authority on this machine, or name it by SSL_CERT_FILE",
        )

    def _not_let_in(self) -> ConnectionLost | Stop:
        if self._refusal == "temporary-auth-failure":
            return ConnectionLost(f"{self._server} cannot check passwords now")
        if self._refusal:
            return Stop(
                f"{self._server} does not let {self._place.account} in: {self._refusal}",
                f"Mend the password: --secret-file {self._place.url}=PATH, or CHATFERRY_XMPP_PASSWORD",
            )
        return Stop(
            f"{self._server} offers no way to log in that keeps the password safe",
            "It must offer STARTTLS, and SCRAM or PLAIN over it",
        )
