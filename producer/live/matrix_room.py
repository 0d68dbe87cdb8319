"""What the server tells of one Matrix room, taken."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

from producer.live.listener import Ear
from producer.live.matrix_client import MatrixClient
from producer.live.matrix_events import Event, heard_of, object_of, text_of
from producer.live.urls import MatrixPlace

RECENT = 1000
"""So many of the last ids are known, so that what comes by sync and by messages is not taken twice."""


class Room:
    """The room in one session."""

    def __init__(self, client: MatrixClient, ear: Ear, place: MatrixPlace, user: str, room: str) -> None:
        self.client = client
        self.ear = ear
        self.id = room
        self._place = place
        self._user = user
        self._recent: OrderedDict[str, None] = OrderedDict()

    async def take(self, event: Event) -> None:
        """Take what it says, where it was not taken a moment ago."""
        heard = heard_of(event, self._place, self._user)
        if heard is None or not heard.id or heard.id in self._recent:
            return
        await self.ear.take(heard)
        self._recent[heard.id] = None
        if len(self._recent) > RECENT:
            self._recent.popitem(last=False)

    async def missed(self, start: str, since: str | None, last: str | None) -> AsyncIterator[list[Event]]:
        """Pages of what happened between the token `since`, or the event `last`, and the token `start`.

        The newest page is the first one, each is in the order of time: the gap may be of any length.
        """
        while True:
            answer = await self.client.messages(self.id, start, since)
            page = events_of(answer.get("chunk"))
            yield page[::-1]
            end = text_of(answer.get("end"))
            if not page or end is None or end == start or page[-1].get("event_id") == last:
                return
            start = end


def timeline_of(answer: dict[str, Any], membership: str, room: str) -> dict[str, Any]:
    """Of an answer to a sync; `membership` is join or leave."""
    rooms = object_of(object_of(answer.get("rooms")).get(membership))
    return object_of(object_of(rooms.get(room)).get("timeline"))


def last_id(timeline: dict[str, Any]) -> str | None:
    """The id of its last event."""
    events = events_of(timeline.get("events"))
    return text_of(events[-1].get("event_id")) if events else None


def events_of(given: object) -> list[Event]:
    """The events of a list, where it is one."""
    return [event for event in given if isinstance(event, dict)] if isinstance(given, list) else []
