"""Rooms of Matrix."""

import asyncio
import contextlib
import logging
from dataclasses import asdict, dataclass
from typing import Any, NoReturn, Self

from producer.live.listener import Ear
from producer.live.matrix.client import Login, MatrixClient, Refused
from producer.live.matrix.events import ENCRYPTED, Event, text_of
from producer.live.matrix.room import Last, Room, behind_of, events_of, last_of, milliseconds_of, timeline_of
from producer.live.memory import Memory
from producer.live.secrets import SecretOf, Secrets, warn_in_the_clear
from producer.live.urls import MatrixPlace
from schemas.errors import ConnectionLost, Stop, UsageProblem

log = logging.getLogger(__name__)

GOODBYE_SECONDS = 2.0
UNAUTHORIZED = 401


@dataclass
class _Position:
    """Up to where the room was heard: the sync token, the last event and its moment. `device`: as which we log in."""

    since: str | None = None
    event: str | None = None
    moment: int | None = None
    device: str | None = None

    @classmethod
    def remembered(cls, value: dict[str, Any]) -> Self:
        """What of a memory looks like one."""
        texts = {name: text_of(value.get(name)) for name in ("since", "event", "device")}
        return cls(**texts, moment=milliseconds_of(value.get("moment")))

    @property
    def last(self) -> Last:
        """The last event."""
        return Last(self.event, self.moment)

    def heard(self, last: Last | None) -> None:
        """Heard up to there; None where nothing was said."""
        if last:
            self.event, self.moment = last.event, last.moment


class MatrixListener:
    """One room. Messages have their events' ids, so that hearing one again repeats harmlessly.

    The server tells what happened since a token, which is remembered when Kafka has everything before it. Where it
    leaves a gap, what is missing is fetched backwards from there to the token. The first time ever, nothing is fetched.
    """

    def __init__(self, place: MatrixPlace, secrets: Secrets, memory: Memory) -> None:
        """Raises `UsageProblem` where there is neither a token nor a password."""
        self._token = secrets.of(place, SecretOf.MATRIX_TOKEN)
        self._password = secrets.of(place, SecretOf.MATRIX)
        if not self._token and not self._password:
            raise UsageProblem(
                f"{place.url}: its password is missing",
                f"Give --secret-file {place.url}=PATH, or set {SecretOf.MATRIX} or {SecretOf.MATRIX_TOKEN}",
            )
        if place.server.startswith("http://"):
            warn_in_the_clear(place, "token" if self._token else "password", "matrix+https")
        self._place = place
        self._memory = memory
        self._position = _Position.remembered(memory.value)
        self._login: Login | None = None
        self._secret_room_told = False

    @property
    def name(self) -> str:
        """See `Listener`."""
        return self._place.url

    async def session(self, ear: Ear) -> None:
        """See `Listener`."""
        client = MatrixClient(self._place.server)
        try:
            login = await self._logged_in(client, ear)
            room = await self._joined(client)
            await self._listen(Room(client, ear, self._place, login.user, room))
        except asyncio.CancelledError:
            await self._log_out(client)
            raise
        finally:
            await client.close()

    # -- coming in -----------------------------------------------------------------------------------------------------

    async def _logged_in(self, client: MatrixClient, ear: Ear) -> Login:
        login = self._login or await self._log_in(client)
        client.use(login.token)
        self._login = login
        if login.own and self._position.device != login.device:
            self._position.device = login.device
            self._remember(ear)
        return login

    async def _log_in(self, client: MatrixClient) -> Login:
        try:
            if self._token:
                return await client.who_am_i(self._token)
            return await client.log_in(self._place.user, self._password or "", self._position.device)
        except Refused as refused:
            raise Stop(
                f"{self._place.server} does not let {self._place.user} in: {refused}",
                f"Mend the password or the token: --secret-file {self._place.url}=PATH, or {SecretOf.MATRIX}",
            ) from None

    async def _joined(self, client: MatrixClient) -> str:
        try:
            return await client.join(self._place.room)
        except Refused as refused:
            self._if_logged_out(refused)
            raise Stop(
                f"{self._place.room} does not let {self._place.user} in: {refused}",
                "See that there is such a room, and invite the account where only invited people may enter",
            ) from None

    def _if_logged_out(self, refused: Refused) -> None:
        """A token that no longer holds: another login may give another one, where there is a password."""
        if refused.status != UNAUTHORIZED:
            return
        self._login = None
        if self._token:
            raise Stop(
                f"{self._place.server} does not take the token any more: {refused}",
                f"Give a new one: --secret-file {self._place.url}#token=PATH, or {SecretOf.MATRIX_TOKEN}",
            )
        raise ConnectionLost(f"{self._place.server} logged us out: {refused}")

    async def _log_out(self, client: MatrixClient) -> None:
        """So that nobody finds more and more devices of ours; with somebody's token, that is not ours to end."""
        if self._login and self._login.own:
            self._login = None
            with contextlib.suppress(ConnectionLost, Refused, Stop, TimeoutError):
                await asyncio.wait_for(client.log_out(), GOODBYE_SECONDS)

    # -- listening -----------------------------------------------------------------------------------------------------

    async def _listen(self, room: Room) -> NoReturn:
        try:
            if self._position.since is None:
                await self._begin(room)
            room.ear.listening(self._place.url)
            while True:
                await self._turn(room)
        except Refused as refused:
            self._if_logged_out(refused)
            raise Stop(f"{self._place.server} refuses to go on: {refused}", "See what it says in its own log") from None

    async def _begin(self, room: Room) -> None:
        """From now on; or, where a token was lost, from the last event on that was heard."""
        answer = await room.client.sync(room.id, None, 1)
        if self._position.event:
            await self._hear(room, answer)
        else:
            self._position.heard(last_of(timeline_of(answer, "join", room.id)))
        self._go_on(room.ear, answer)
        await room.ear.durable(mark := room.ear.last)
        self._memory.settle(mark)  # so that after a kill we know where we began

    async def _turn(self, room: Room) -> None:
        try:
            answer = await room.client.sync(room.id, self._position.since)
        except Refused as refused:
            if refused.status != 400:
                raise
            log.warning("%s: the server no longer knows where we were: %s", self._place.url, refused)
            self._position.since = None
            await self._begin(room)
            return
        await self._hear(room, answer)
        self._go_on(room.ear, answer)
        # From an older token than this one we are away for ever, even when we are back: so it is said only now.
        if timeline_of(answer, "leave", room.id):
            raise ConnectionLost(f"{self._place.room} sent {self._place.user} away")

    async def _hear(self, room: Room, answer: dict[str, Any]) -> None:
        for membership in ("join", "leave"):
            timeline = timeline_of(answer, membership, room.id)
            events, last = events_of(timeline.get("events")), self._position.last
            behind = behind_of(events, last)
            start = text_of(timeline.get("prev_batch")) if timeline.get("limited") and behind is events else None
            if start:  # else there is no gap, or it ends within these events
                async for page in room.missed(start, self._position.since, last):
                    await self._take(room, page)
            await self._take(room, behind)
            self._position.heard(last_of(timeline))

    async def _take(self, room: Room, events: list[Event]) -> None:
        for event in events:
            if event.get("type") == ENCRYPTED and not self._secret_room_told:
                self._secret_room_told = True
                log.warning(
                    "%s: what is said there is encrypted from end to end and cannot be read here: "
                    "of each message only is kept that there was one",
                    self._place.url,
                )
            await room.take(event)

    def _go_on(self, ear: Ear, answer: dict[str, Any]) -> None:
        token = text_of(answer.get("next_batch"))
        if token is None:
            raise ConnectionLost("the server's answer has no next_batch: is it a Matrix homeserver?")
        if token != self._position.since:
            self._position.since = token
            self._remember(ear)

    def _remember(self, ear: Ear) -> None:
        self._memory.remember(ear.last, asdict(self._position))
