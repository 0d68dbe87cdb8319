"""What makes no listener on XMPP, and how its names are compared with what servers write."""

import asyncio
from typing import Self
from xml.etree.ElementTree import Element, fromstring

import pytest

from producer.live.ear import PrintingEar
from producer.live.memory import Memory
from producer.live.secrets import Secrets
from producer.live.station import Account
from producer.live.urls import XmppPlace, parse_place
from producer.live.xmpp import listener as xmpp
from producer.live.xmpp.listener import XmppListener
from schemas.errors import ConnectionLost, UsageProblem

ANSWERS = """<all xmlns="jabber:client">
<iq type="result" id="ferry-1" from="lobby@conference.h.org"/>
<presence from="lobby@conference.h.org/Ferry">
  <x xmlns="http://jabber.org/protocol/muc#user"><status code="110"/></x></presence>
<message from="lobby@conference.h.org/ann" type="groupchat"><body>hello</body></message>
</all>"""


class Stream:
    """In the place of a connection: it says what a server says, and is cut."""

    def __init__(self, place: XmppPlace, _password: str) -> None:
        self.place = place
        self._stanzas = list(fromstring(ANSWERS))  # noqa: S314 -- our own

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """There is nothing to close."""

    def send(self, _stanza: Element) -> None:
        """Nobody reads it."""

    async def next(self, _seconds: float) -> Element:
        """The next one."""
        if not self._stanzas:
            raise ConnectionLost("cut")
        return self._stanzas.pop(0)


def listener(url: str) -> XmppListener:
    place = parse_place(url)
    assert isinstance(place, XmppPlace)
    return XmppListener(place, Secrets((), [place], {"CHATFERRY_XMPP_PASSWORD": "sesame"}), Memory(None))


@pytest.mark.parametrize(
    "url",
    ["xmpp://ferry@h.org/lobby@conference.h.org/Ferry", "xmpp://Ferry@H.org/Lobby@Conference.H.org/Ferry"],
)
def test_room_is_heard_however_it_is_written(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmpp, "XmppStream", Stream)
    taken: list[bytes] = []
    with pytest.raises(ConnectionLost, match="cut"):
        asyncio.run(listener(url).session(PrintingEar("xmpp", Account(), taken.append, 1000)))
    (line,) = taken
    assert b'"site_id":"h.org/lobby@conference.h.org"' in line
    assert b'"data":"hello"' in line


@pytest.mark.parametrize(
    "url",
    ["xmpp://a%20b@h.org/r@c.org", "xmpp://a@h.org/r%20r@c.org", "xmpp://a@h.org/r@c.org/%00", "xmpp://a@h.org/r@"],
)
def test_name_that_xmpp_knows_not_is_a_usage_problem(url: str) -> None:
    with pytest.raises(UsageProblem, match="no name of XMPP"):
        listener(url)
