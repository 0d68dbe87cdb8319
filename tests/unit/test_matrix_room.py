"""How far back a room of Matrix is fetched, from a server that gives pages of a hundred."""

import asyncio
from typing import Any

import pytest

from producer.live.ear import PrintingEar
from producer.live.matrix import listener as matrix
from producer.live.matrix.client import Login, Refused
from producer.live.matrix.events import Event
from producer.live.matrix.listener import MatrixListener
from producer.live.matrix.room import Last, Room
from producer.live.memory import Memory
from producer.live.secrets import Secrets
from producer.live.station import Account
from producer.live.urls import MatrixPlace, parse_place
from schemas.errors import ConnectionLost

PAGE = 100
HOUR = 3_600_000


def event(number: int, moment: int | None = None) -> Event:
    return {
        "type": "m.room.message",
        "event_id": f"${number}",
        "sender": "@ann:h",
        "origin_server_ts": number * 1000 if moment is None else moment,
        "content": {"body": str(number)},
    }


class Server:
    """In the place of a client: a room of so many events. A token is the number of events before it."""

    def __init__(self, events: list[Event], knows: tuple[str, ...] = ()) -> None:
        self.events = events
        self.asked = 0
        self.hidden: set[object] = set()
        """Events that the account may not see."""
        self._knows = knows

    async def messages(self, _room: str, start: str, end: str | None) -> dict[str, Any]:
        """A page before `start`, newest first."""
        self.asked += 1
        first = max(int(start) - PAGE, int(end or 0), 0)
        chunk = self.events[first : int(start)][::-1]
        seen = [one for one in chunk if one["event_id"] not in self.hidden]
        return {"chunk": seen, "start": start, **({"end": str(first)} if chunk else {})}

    async def sync(self, room: str, since: str | None, limit: int = PAGE) -> dict[str, Any]:
        """Up to `limit` of the newest; then the connection is cut."""
        if since is not None and since not in self._knows:
            if since == str(len(self.events)):
                raise ConnectionLost("cut")
            raise Refused(400, "M_UNKNOWN", "no such token")
        first = max(len(self.events) - limit, int(since or 0))
        timeline = {"events": self.events[first:], "limited": first > int(since or 0), "prev_batch": str(first)}
        return {"next_batch": str(len(self.events)), "rooms": {"join": {room: {"timeline": timeline}}}}

    async def log_in(self, user: str, _password: str, device: str | None) -> Login:
        """Anybody."""
        return Login("token", f"@{user}:h", device or "device", own=True)

    async def join(self, room: str) -> str:
        """Any room."""
        return room

    def use(self, _token: str) -> None:
        """It is not looked at."""

    async def close(self) -> None:
        """There is nothing to close."""


def place() -> MatrixPlace:
    found = parse_place("matrix+https://ferry@h/!room:h")
    assert isinstance(found, MatrixPlace)
    return found


def missed(server: Server, last: Last, since: str | None = None, start: str | None = None) -> list[str]:
    async def work() -> list[str]:
        ear = PrintingEar("matrix", Account(), lambda _line: None, 1000)
        room = Room(server, ear, place(), "@ferry:h", "!room:h")  # type: ignore[arg-type] # what is asked of it is here
        pages = [page async for page in room.missed(start or str(len(server.events)), since, last)]
        return [one["event_id"] for page in reversed(pages) for one in page]

    return asyncio.run(work())


def ids(first: int, last: int) -> list[str]:
    return [f"${number}" for number in range(first, last)]


@pytest.mark.parametrize("behind", [0, 1, 5, 99, 100, 101, 250])
def test_without_a_token_what_follows_the_last_event_is_fetched_and_nothing_before_it(behind: int) -> None:
    server = Server([event(number) for number in range(1000)])
    last = Last(f"${999 - behind}", (999 - behind) * 1000)
    assert missed(server, last) == ids(1000 - behind, 1000)
    assert server.asked == behind // PAGE + 1


def test_last_event_that_the_server_no_longer_has_ends_it_at_the_first_page_that_is_older() -> None:
    events = [event(number) for number in range(1000) if number != 795]
    server = Server(events)
    assert missed(server, Last("$795", 795_000)) == [one["event_id"] for one in events[-300:]]
    assert server.asked == 4


def test_page_of_events_that_are_not_for_us_is_not_the_last_one() -> None:
    server = Server([event(number) for number in range(1000)])
    server.hidden = set(ids(800, 950))
    assert missed(server, Last("$750", 750_000)) == ids(751, 800) + ids(950, 1000)


def test_single_events_that_came_late_from_another_server_end_nothing() -> None:
    events = [event(number, 0 if number % 2 else None) for number in range(1000)]
    assert missed(Server(events), Last("$700", 700_000)) == ids(701, 1000)


def test_token_is_the_bound_even_of_pages_that_are_older_than_the_last_event() -> None:
    """Another server, which was away, sends what was said there in the meantime."""
    late = [event(number, 0) for number in range(500, 800)]
    server = Server([*(event(number) for number in range(500)), *late])
    assert missed(server, Last("$499", 499_000), since="500") == ids(500, 800)


def session(server: Server, remembered: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a listener takes that remembers this, until the connection is cut."""
    monkeypatch.setattr(matrix, "MatrixClient", lambda _server: server)
    memory, account, taken = Memory(None), Account(), list[bytes]()
    memory.value = remembered
    here = place()
    listener = MatrixListener(here, Secrets((), [here], {"CHATFERRY_MATRIX_PASSWORD": "sesame"}), memory)
    with pytest.raises(ConnectionLost, match="cut"):
        asyncio.run(listener.session(PrintingEar("matrix", account, taken.append, 1000)))
    return [line.decode().partition('"id":"')[2].partition('"')[0] for line in taken]


@pytest.mark.parametrize("behind", [0, 1, 2, 150])
def test_token_that_the_server_lost_costs_what_was_missed_and_brings_back_nothing_older(
    behind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server([event(number) for number in range(1000)])
    number = 999 - behind
    remembered = {"since": "lost", "event": f"${number}", "moment": number * 1000, "device": "device"}
    assert sorted(session(server, remembered, monkeypatch)) == ids(1000 - behind, 1000)


def test_token_that_the_server_knows_bounds_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server([event(number) for number in range(1000)], knows=("700",))
    remembered = {"since": "700", "event": "$699", "device": "device"}
    assert sorted(session(server, remembered, monkeypatch)) == ids(700, 1000)


def test_first_time_ever_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server([event(number) for number in range(1000)])
    assert session(server, {}, monkeypatch) == []
    assert server.asked == 0


@pytest.mark.parametrize("moment", [True, "1", 1.5, None])
def test_memory_whose_moment_is_none_is_one_without(moment: object, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server([event(number) for number in range(1000)])
    remembered = {"since": "lost", "event": "$990", "moment": moment}
    assert session(server, remembered, monkeypatch) == ids(991, 1000)
