"""What the server tells of one Matrix room, taken."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from producer.live.listener import Ear
from producer.live.matrix.client import MatrixClient
from producer.live.matrix.events import Event, heard_of, object_of, text_of
from producer.live.recent import Once
from producer.live.urls import MatrixPlace


@dataclass(frozen=True)
class Last:
    """The last event that was heard: its id, and when it was said by its server's clock, in milliseconds."""

    event: str | None = None
    moment: int | None = None


class Room:
    """The room in one session."""

    def __init__(self, client: MatrixClient, ear: Ear, place: MatrixPlace, user: str, room: str) -> None:
        self.client = client
        self.ear = ear
        self.id = room
        self._place = place
        self._user = user
        self._once = Once(ear)

    async def take(self, event: Event) -> None:
        """Take what it says, where it was not taken a moment ago."""
        await self._once.take(heard_of(event, self._place, self._user))

    async def missed(self, start: str, since: str | None, last: Last) -> AsyncIterator[list[Event]]:
        """Pages of what happened between the token `since`, or the event `last`, and the token `start`.

        The newest page is the first one, each is in the order of time: the gap may be of any length. Where there is no
        token, and the server no longer has the event, it ends at a page that is older than it as a whole: single
        events come late, from other servers.
        """
        while True:
            answer = await self.client.messages(self.id, start, since)
            page = events_of(answer.get("chunk"))[::-1]
            behind = behind_of(page, last)
            if since is None and behind is page and page and all(_is_older(event, last) for event in page):
                return
            yield behind
            end = text_of(answer.get("end"))
            if end is None or end == start or behind is not page:  # a page may be empty, and not the last one
                return
            start = end


def timeline_of(answer: dict[str, Any], membership: str, room: str) -> dict[str, Any]:
    """Of an answer to a sync; `membership` is join or leave."""
    rooms = object_of(object_of(answer.get("rooms")).get(membership))
    return object_of(object_of(rooms.get(room)).get("timeline"))


def last_of(timeline: dict[str, Any]) -> Last | None:
    """Its last event, where there is one."""
    events = events_of(timeline.get("events"))
    if not events or (event := text_of(events[-1].get("event_id"))) is None:
        return None
    return Last(event, milliseconds_of(events[-1].get("origin_server_ts")))


def milliseconds_of(value: object) -> int | None:
    """The value where it is a moment."""
    return value if type(value) is int else None


def behind_of(events: list[Event], last: Last) -> list[Event]:
    """What follows the event `last`; where that is not among them, these very events."""
    ids = [event.get("event_id") for event in events]
    return events[ids.index(last.event) + 1 :] if last.event in ids and last.event else events


def _is_older(event: Event, last: Last) -> bool:
    moment = milliseconds_of(event.get("origin_server_ts"))
    return moment is not None and last.moment is not None and moment < last.moment


def events_of(given: object) -> list[Event]:
    """The events of a list, where it is one."""
    return [event for event in given if isinstance(event, dict)] if isinstance(given, list) else []
