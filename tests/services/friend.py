"""Another person in a chat room of XMPP: a client of the tests' own, in a thread, that says things and is heard."""

import asyncio
import ssl
import threading
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xml.sax.saxutils import escape, quoteattr

from slixmpp import ClientXMPP

SECONDS = 20.0
MUC = "http://jabber.org/protocol/muc"


class Friend:
    """Logged in as `jid` at 127.0.0.1:`port`, between `with` and its end."""

    def __init__(self, jid: str, password: str, port: int, authority: Path) -> None:
        self._jid = jid
        self._password = password
        self._port = port
        self._authority = authority
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"friend-{jid}", daemon=True)
        self._echoes: dict[str, str | None] = {}
        self._inside: set[str] = set()

    def enter(self, room: str, nick: str) -> None:
        """Join a room, and return when it has let us in."""
        self._nick = nick
        self._say(f'<presence to="{room}/{nick}"><x xmlns="{MUC}"><history maxstanzas="0"/></x></presence>')
        self._wait(lambda: room in self._inside, f"{nick} is in {room}")

    def leave(self, room: str) -> None:
        """Leave it."""
        self._say(f'<presence to="{room}/{self._nick}" type="unavailable"/>')

    def rename(self, room: str, nick: str) -> None:
        """Take another nick."""
        self._nick = nick
        self._say(f'<presence to="{room}/{nick}"/>')

    def say(self, room: str, text: str, identity: str, more: str = "") -> None:
        """Say it; `identity` is the stanza's id, `more` are further elements in it."""
        body = f"<body>{escape(text)}</body>" if text else ""
        self._say(f'<message to="{room}" type="groupchat" id="{identity}">{body}{more}</message>')

    def topic(self, room: str, text: str) -> None:
        """Set the room's subject."""
        self._say(f'<message to="{room}" type="groupchat"><subject>{escape(text)}</subject></message>')

    def kick(self, room: str, nick: str, reason: str) -> None:
        """Throw somebody out."""
        self._admin(room, f'<item nick="{nick}" role="none"><reason>{escape(reason)}</reason></item>')

    def ban(self, room: str, jid: str) -> None:
        """Throw somebody out for good."""
        self._admin(room, f'<item jid="{jid}" affiliation="outcast"/>')

    def destroy(self, room: str) -> None:
        """Close the room."""
        self._say(
            f'<iq type="set" to="{room}" id="destroy"><query xmlns="{MUC}#owner"><destroy>'
            "<reason>it is late</reason></destroy></query></iq>"
        )

    def heard_back(self, identity: str) -> str | None:
        """Wait until the room sent back what we said; its id in the room's archive, where it gives one."""
        self._wait(lambda: identity in self._echoes, f"the room said {identity}")
        return self._echoes[identity]

    def _admin(self, room: str, item: str) -> None:
        self._say(f'<iq type="set" to="{room}" id={quoteattr(item[:9])}><query xmlns="{MUC}#admin">{item}</query></iq>')

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._log_in())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._go())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()

    async def _log_in(self) -> None:
        context = ssl.create_default_context(cafile=str(self._authority))
        self._client = ClientXMPP(self._jid, self._password, loop=self._loop, ssl_context=context)
        self._client.enable_direct_tls = False
        self._client.add_filter("in", self._heard)
        self._client.connect("127.0.0.1", self._port)
        await self._client.wait_until("session_start", SECONDS)

    async def _go(self) -> None:
        if self._client.is_connected():
            await self._client.disconnect(wait=1)
        self._client.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _heard(self, stanza: Any) -> Any:
        room, _, nick = stanza.xml.get("from", "").partition("/")
        if stanza.xml.tag == "{jabber:client}message" and nick == getattr(self, "_nick", ""):
            mark = stanza.xml.find("{urn:xmpp:sid:0}stanza-id")
            self._echoes[stanza.xml.get("id", "")] = None if mark is None else mark.get("id")
        elif stanza.xml.tag == "{jabber:client}presence" and nick == getattr(self, "_nick", ""):
            self._inside.add(room)
        return stanza

    def _say(self, stanza: str) -> None:
        self._loop.call_soon_threadsafe(self._client.send, stanza)

    def _wait(self, holds: Any, what: str) -> None:
        async def wait() -> None:
            async with asyncio.timeout(SECONDS):
                while not holds():  # noqa: ASYNC110 -- one question, many causes
                    await asyncio.sleep(0.02)

        try:
            self._run(wait())
        except TimeoutError:
            raise TimeoutError(f"after {SECONDS} s: not {what}") from None

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * SECONDS)
