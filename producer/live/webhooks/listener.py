"""A port for webhooks: messages as chatferry's lines, and the dialects of Slack, Discord and Telegram."""

import asyncio
import logging
import time
from collections.abc import Sequence

from aiohttp import web

from producer.live.heard import Heard
from producer.live.listener import Ear
from producer.live.memory import Memory
from producer.live.secrets import SecretOf, Secrets
from producer.live.urls import WebPlace, is_loopback
from producer.live.webhooks import discord, plain, slack, telegram
from producer.live.webhooks.answers import Refused, check_bearer, same, unauthorized
from producer.live.webhooks.bodies import Bodies, answer, guarded
from producer.live.webhooks.port import serving
from schemas.errors import UsageProblem

log = logging.getLogger(__name__)

BEHIND_SECONDS = 5.0
"""Where Kafka has not taken anything for so long, nothing more is taken: who sends it comes again anyway, and the spool
is for those who do not."""

PATIENCE_SECONDS = 5.0
HURRIED_SECONDS = 2.5
"""How long a request waits for Kafka. Slack and Discord take no answer within three seconds for a failure."""

LARGE_BYTES = 256 << 10
"""From so many on a body is checked beside everything else: others wait for the same loop."""

PASSED_ON = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
"""Headers by which a proxy says that somebody else asks."""

SIGNED_BODY_BYTES = 2 << 20
SIGNED_BODIES_BYTES = 16 << 20
"""Of one request whose signature is over its body, and of all: anybody can send such a body, and have it read."""


class WebListener:
    """An HTTP server. A request is answered with 2xx only when Kafka has acknowledged all that it brought.

    One that cannot be answered so in time is answered with 429, and comes again; by its ids a repeat does no harm.
    """

    def __init__(self, place: WebPlace, secrets: Secrets, _memory: Memory) -> None:
        """Raises `UsageProblem` where strangers could send: on an address that others reach a token is needed."""
        self._place = place
        self._network = place.network if place.named else None
        self._token = secrets.of(place, SecretOf.HTTP)
        self._slack_secret = secrets.of(place, SecretOf.SLACK)
        self._discord_token = secrets.of(place, SecretOf.DISCORD)
        key = secrets.of(place, SecretOf.DISCORD_KEY)
        self._discord_key = discord.public_key(key) if key else None
        self._telegram_secret = secrets.of(place, SecretOf.TELEGRAM)
        if not self._token and not is_loopback(place.host):
            raise UsageProblem(
                f"{place.url}: others reach this address, and could send what they like",
                "Set CHATFERRY_HTTP_TOKEN (or --secret-file URL=PATH), or listen on 127.0.0.1",
            )
        self._bodies = Bodies()
        self._signed_bodies = Bodies(SIGNED_BODY_BYTES, SIGNED_BODIES_BYTES)
        """In memory of their own: strangers must not take what those with a token need."""
        self._ear: Ear

    @property
    def name(self) -> str:
        """The URL."""
        return self._place.url

    async def session(self, ear: Ear) -> None:
        """Open the port, and serve until cancelled. Raises `Stop` where the port cannot be had."""
        self._ear = ear
        async with serving(self._app(), self._place) as addresses:
            for address in addresses:
                self._ear.listening(address)
            await asyncio.Event().wait()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[guarded(self._bodies, self._signed_bodies)])
        app.add_routes(
            [
                web.post("/messages", self._messages),
                web.post("/slack/events", self._slack),
                web.post("/discord", self._discord),
                web.post("/telegram", self._telegram),
                web.get("/healthz", self._health),
            ]
        )
        return app

    # --- what is asked of it ------------------------------------------------------------------------------------

    async def _messages(self, request: web.Request) -> web.Response:
        self._check_token(request)
        body = await self._bodies.read(request)
        lines = await self._lines_of(body, request.content_type)
        await self._deliver(lines, PATIENCE_SECONDS)
        return answer(200, {"accepted": len(lines)})

    @staticmethod
    async def _lines_of(body: bytes, content_type: str) -> list[bytes]:
        if len(body) < LARGE_BYTES:
            return plain.lines_of(body, content_type)
        return await asyncio.to_thread(plain.lines_of, body, content_type)

    async def _slack(self, request: web.Request) -> web.Response:
        if not self._slack_secret:
            raise unauthorized("Slack's signing secret is not set here: CHATFERRY_SLACK_SIGNING_SECRET")
        headers = request.headers
        said = slack.signed(headers.get("X-Slack-Request-Timestamp"), headers.get("X-Slack-Signature"), time.time())
        body = await self._signed_bodies.read(request)
        slack.check_signature(self._slack_secret, said, body)
        delivery = slack.read(body)
        if delivery.type == "url_verification":
            return answer(200, {"challenge": delivery.challenge})
        return await self._said(slack.heard(delivery, self._network))

    async def _discord(self, request: web.Request) -> web.Response:
        signature = request.headers.get("X-Signature-Ed25519")
        if signature is None:
            self._check_token(request, self._discord_token)
            body = await self._bodies.read(request)
        else:
            body = await self._signed_by_discord(request, signature)
        content, fields = discord.read(body)
        if signature is not None and "event" not in fields:
            return _discord_ping(content.type)
        return await self._said(discord.heard(content, fields, self._network, time.time()))

    async def _signed_by_discord(self, request: web.Request, signature: str) -> bytes:
        if not self._discord_key:
            raise unauthorized("Discord's public key is not set here: CHATFERRY_DISCORD_PUBLIC_KEY")
        said = discord.signature_of(signature)
        body = await self._signed_bodies.read(request)
        discord.check_signature(self._discord_key, request.headers.get("X-Signature-Timestamp", ""), said, body)
        return body

    async def _telegram(self, request: web.Request) -> web.Response:
        if self._telegram_secret:
            if not same(request.headers.get("X-Telegram-Bot-Api-Secret-Token"), self._telegram_secret):
                raise unauthorized("X-Telegram-Bot-Api-Secret-Token is missing or wrong")
        else:
            self._check_token(request)
        update = telegram.read(await self._bodies.read(request))
        return await self._said(telegram.heard(update, self._network))

    async def _health(self, _request: web.Request) -> web.Response:
        behind = self._behind()
        body = {"status": "behind" if behind else "ok", "seconds_behind": round(self._ear.delay, 3)}
        return answer(503 if behind else 200, body)

    # --- how it is done -----------------------------------------------------------------------------------------

    def _check_token(self, request: web.Request, *more: str | None) -> None:
        if self._token or any(more):
            check_bearer(request.headers.get("Authorization"), self._token, *more)
        elif "Origin" in request.headers:  # a web page in a browser on this machine, whoever wrote it
            raise Refused(403, "requests of web pages are not taken without a token")
        elif any(header in request.headers for header in PASSED_ON):  # the proxy is on this machine, who asks is not
            raise Refused(403, "requests that a proxy passes on are not taken without a token")

    async def _said(self, heard: Sequence[Heard]) -> web.Response:
        lines = [one.line() for one in heard]
        for number, line in enumerate(lines):
            plain.check(line, number)
        await self._deliver(lines, HURRIED_SECONDS)
        return answer(200, {"accepted": len(heard)})

    def _behind(self) -> bool:
        return self._ear.full or self._ear.delay > BEHIND_SECONDS

    async def _deliver(self, lines: Sequence[bytes], patience: float) -> None:
        """Returns when Kafka has all of them. Raises `Refused` where one does not fit (413), or it takes too long."""
        for number, line in enumerate(lines):
            if len(line) > self._ear.longest:
                raise Refused(413, f"item {number} has {len(line):,} bytes, more than the topic takes", item=number)
        if not lines:
            return
        if self._behind():
            raise Refused(429, "nothing is taken now: the spool has no room, or Kafka takes nothing")
        try:
            async with asyncio.timeout(patience):
                await self._ear.durable(await self._ear.take_lines(lines))
        except TimeoutError:
            raise Refused(429, "it was not acknowledged in time; send it again, with the same ids") from None


def _discord_ping(kind: int | None) -> web.Response:
    """What Discord's portal wants to hear: of webhook events (0) and of interactions (1)."""
    if kind == 0:
        return web.Response(status=204)
    if kind == 1:
        return answer(200, {"type": 1})
    raise Refused(400, "interactions are not taken, only messages", field="type")
