"""The few requests of Matrix's client-server API that a listener makes."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec

from schemas.errors import ConnectionLost, Stop

log = logging.getLogger(__name__)

API = "/_matrix/client/v3"
DEVICE_NAME = "chatferry"
POLL_SECONDS = 30
ANSWER_SECONDS = 60.0
"""An answer must be there after so long; to a sync, so long after the poll's end."""

LONGEST_WAIT_SECONDS = 600.0
PAGE = 100
"""Events that a server is asked for at a time."""

FIRST_REDIRECT = 300
FIRST_REFUSAL = 400

LONGEST_ANSWER_BYTES = 64 << 20
"""A page of events has a hundred of 64 KiB at most."""
READ_BYTES = 64 << 10


@dataclass(frozen=True)
class Login:
    """Who we are. `own` tells that we logged in ourselves, and may log out again."""

    token: str
    user: str
    device: str
    own: bool


class Refused(Exception):
    """The server does not do what was asked: its status, its errcode, and its words."""

    def __init__(self, status: int, code: str, words: str) -> None:
        super().__init__(f"{code} {words}".strip())
        self.status = status
        self.code = code


class MatrixClient:
    """One server. Each request raises `Refused` (4xx), `ConnectionLost` where the server is away, out of order or too
    slow, and `Stop` for a certificate that is not to be trusted, and for a server that sends us elsewhere: nobody but
    the one that was named is told a password. What the server asks us to wait is waited (429).
    """

    def __init__(self, server: str, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._server = server.rstrip("/")
        self._sleep = sleep
        self._token = ""
        self._http = aiohttp.ClientSession(headers={"User-Agent": "chatferry"})

    async def close(self) -> None:
        """End the connections."""
        await self._http.close()

    def use(self, token: str) -> None:
        """The token of all requests from now on."""
        self._token = token

    async def log_in(self, user: str, password: str, device: str | None) -> Login:
        """Log in by password, as the device that we were before where there is one."""
        given = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user},
            "password": password,
            "initial_device_display_name": DEVICE_NAME,
            **({"device_id": device} if device else {}),
        }
        answer = await self._call("POST", "/login", body=given)
        return Login(_need(answer, "access_token"), _need(answer, "user_id"), _need(answer, "device_id"), own=True)

    async def who_am_i(self, token: str) -> Login:
        """Whose token it is."""
        self.use(token)
        answer = await self._call("GET", "/account/whoami")
        return Login(token, _need(answer, "user_id"), str(answer.get("device_id", "")), own=False)

    async def log_out(self) -> None:
        """The token is worth nothing from then on, and its device is gone."""
        await self._call("POST", "/logout", body={})

    async def join(self, room: str) -> str:
        """Join a room by id or alias, or see that we are in it; its id."""
        return _need(await self._call("POST", f"/join/{quote(room, safe='')}", body={}), "room_id")

    async def sync(self, room: str, since: str | None, limit: int = PAGE) -> dict[str, Any]:
        """What happened in the room since the token; waits for something, at most `POLL_SECONDS`."""
        nothing: dict[str, list[str]] = {"types": []}
        inside = {"rooms": [room], "timeline": {"limit": limit}, "state": nothing, "ephemeral": nothing}
        wanted = {"presence": nothing, "account_data": nothing, "room": {**inside, "account_data": nothing}}
        query = {"filter": json.dumps(wanted), "set_presence": "offline", "timeout": "0"}
        if since is None:
            return await self._call("GET", "/sync", query=query)
        query |= {"since": since, "timeout": str(POLL_SECONDS * 1000)}
        return await self._call("GET", "/sync", query=query, seconds=POLL_SECONDS + ANSWER_SECONDS)

    async def messages(self, room: str, start: str, end: str | None) -> dict[str, Any]:
        """A page of what happened before the token `start`, newest first, not beyond `end`."""
        query = {"dir": "b", "from": start, "limit": str(PAGE), **({"to": end} if end else {})}
        return await self._call("GET", f"/rooms/{quote(room, safe='')}/messages", query=query)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        request = {"params": query, "json": body, "headers": headers, "timeout": aiohttp.ClientTimeout(seconds)}
        while True:
            status, answer, after = await self._exchange(method, path, request)
            if status == 429:
                await self._wait(answer, after)
            elif status < FIRST_REFUSAL:
                return answer
            elif status >= 500 or status == 408:
                raise ConnectionLost(f"{self._server} cannot serve now: {status} {answer.get('error', '')}".rstrip())
            else:
                raise Refused(status, str(answer.get("errcode", status)), str(answer.get("error", "")))

    async def _exchange(self, method: str, path: str, request: dict[str, Any]) -> tuple[int, dict[str, Any], str]:
        try:
            url = self._server + API + path
            async with self._http.request(method, url, **request, allow_redirects=False) as response:
                if FIRST_REDIRECT <= response.status < FIRST_REFUSAL:
                    raise self._sent_elsewhere(response.headers.get("Location", ""))
                return response.status, _object(await self._body(response)), response.headers.get("Retry-After", "")
        except aiohttp.ClientConnectorCertificateError as error:
            why = getattr(error.certificate_error, "verify_message", "") or error.certificate_error
            raise Stop(
                f"The certificate of {self._server} is not to be trusted: {why}",
                "Trust its authority on this machine, or name it by SSL_CERT_FILE",
            ) from None
        except TimeoutError:
            raise ConnectionLost(f"{self._server} did not answer in time") from None
        except aiohttp.ClientError as error:
            raise ConnectionLost(f"{self._server} cannot be reached: {error or type(error).__name__}") from None

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for piece in response.content.iter_chunked(READ_BYTES):
            body += piece
            if len(body) > LONGEST_ANSWER_BYTES:
                raise ConnectionLost(f"{self._server} answers with more than {LONGEST_ANSWER_BYTES:,} bytes")
        return bytes(body)

    def _sent_elsewhere(self, location: str) -> Stop:
        return Stop(
            f"{self._server} sends us elsewhere: {location.partition(API)[0]!r}",
            "Name the homeserver itself in the URL, matrix+https://USER@HOST/..., if that is the one you mean",
        )

    async def _wait(self, answer: dict[str, Any], after: str) -> None:
        """As long as the server asks for: in the answer's milliseconds, or the header's seconds."""
        given = answer.get("retry_after_ms")
        seconds = given / 1000 if isinstance(given, int | float) else float(after) if after.isdecimal() else 5.0
        seconds = min(max(seconds, 0.1), LONGEST_WAIT_SECONDS)
        log.info("%s asks us to wait for %.1f s", self._server, seconds)
        await self._sleep(seconds)


def _object(body: bytes) -> dict[str, Any]:
    """The answer; an empty one where it is none of Matrix's, such as a proxy's page of an error."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _need(answer: dict[str, Any], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str):
        raise ConnectionLost(f"the server's answer has no {name}: is it a Matrix homeserver?")
    return value
