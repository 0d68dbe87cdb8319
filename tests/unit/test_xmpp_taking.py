"""How far a room was heard, whatever its archive and its people's clocks say."""

import asyncio
from collections.abc import Awaitable, Callable
from xml.etree.ElementTree import Element, fromstring

import pytest

from producer.live.ear import PrintingEar
from producer.live.memory import Memory
from producer.live.station import Account
from producer.live.urls import XmppPlace, parse_place
from producer.live.xmpp.questions import ARCHIVE
from producer.live.xmpp.stanzas import RoomTalk
from producer.live.xmpp.taking import PATIENCE_TIMES, Position, Taking, Trouble
from schemas.errors import ConnectionLost

ROOM = "lobby@rooms.example.org"
NOW = 1_700_000_000.0
ERROR = (
    '<iq xmlns="jabber:client" type="error"><error type="{}">'
    '<{} xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></iq>'
)

Answer = Callable[[Element], Awaitable[None]]


class Scene:
    """One session of a room; what it asks is kept, and never answered by itself."""

    def __init__(self, position: Position, trouble: Trouble | None = None, *features: str) -> None:
        place = parse_place(f"xmpp://ferry@example.org/{ROOM}")
        assert isinstance(place, XmppPlace)
        self.taken: list[bytes] = []
        self.asked: list[Answer] = []
        self.position = position
        self.ear = Waiting("xmpp", Account(), self.taken.append, 1000)
        self.taking = Taking(
            place,
            RoomTalk(place, lambda: NOW),
            self.ear,
            Memory(None),
            position,
            trouble or Trouble(),
            lambda _content, answer: self.asked.append(answer),
        )
        self.taking.may_ask(frozenset(features))

    def join(self) -> None:
        """We are in the room."""
        asyncio.run(asyncio.wait_for(self.taking.joined(), 1))

    def say(self, content: str) -> None:
        """Somebody says it."""
        text = f'<message xmlns="jabber:client" from="{ROOM}/ann" type="groupchat" id="1">{content}</message>'
        asyncio.run(self.taking.message(fromstring(text)))  # noqa: S314 -- our own

    def answer(self, kind: str, condition: str) -> None:
        """The archive answers so to what it was asked last."""
        asyncio.run(_answered(self.asked.pop(), ERROR.format(kind, condition)))


async def _answered(answer: Answer, text: str) -> None:
    await answer(fromstring(text))  # noqa: S314 -- our own


class Waiting(PrintingEar):
    """Kafka is away."""

    async def durable(self, mark: int) -> None:
        """Never."""
        assert mark == self.last
        await asyncio.Event().wait()


def test_room_without_an_archive_is_heard_again_while_kafka_is_away() -> None:
    scene = Scene(Position(moment=NOW - 100))
    scene.join()
    assert scene.taking.caught_up
    scene.say("<body>hello</body>")
    assert len(scene.taken) == 1


def test_clock_that_is_ahead_moves_the_position_no_further_than_now() -> None:
    scene = Scene(Position(moment=NOW - 100))
    scene.join()
    scene.say(f"<body>hi</body><delay xmlns='urn:xmpp:delay' from='{ROOM}' stamp='2099-01-01T00:00:00Z'/>")
    assert scene.position.moment == NOW


@pytest.mark.parametrize(
    ("kind", "condition"), [("wait", "resource-constraint"), ("cancel", "internal-server-error"), ("wait", "whatever")]
)
def test_archive_that_cannot_be_read_now_is_asked_again_by_the_next_sessions_and_at_last_given_up(
    kind: str, condition: str, caplog: pytest.LogCaptureFixture
) -> None:
    trouble = Trouble()
    for _ in range(PATIENCE_TIMES):
        scene = Scene(Position(archive="a1", moment=NOW - 100), trouble, ARCHIVE)
        scene.join()
        with pytest.raises(ConnectionLost, match="its archive cannot be read now"):
            scene.answer(kind, condition)
        assert scene.position.archive == "a1"
    assert caplog.text == ""
    scene = Scene(Position(archive="a1", moment=NOW - 100), trouble, ARCHIVE)
    scene.join()
    scene.answer(kind, condition)
    assert scene.taking.caught_up
    assert "is missing" in caplog.text


def test_archive_that_is_not_for_us_is_given_up_at_once(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(Position(archive="a1", moment=NOW - 100), None, ARCHIVE)
    scene.join()
    scene.answer("auth", "forbidden")
    assert scene.taking.caught_up
    assert "is missing" in caplog.text
