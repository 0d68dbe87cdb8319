"""Group chats of XMPP (XEP-0045)."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from xml.etree.ElementTree import Element

from slixmpp.jid import JID, InvalidJID

from producer.live.listener import Ear
from producer.live.memory import Memory
from producer.live.secrets import SecretOf, Secrets
from producer.live.urls import XmppPlace
from producer.live.xmpp import questions as ask
from producer.live.xmpp.stanzas import CLIENT, Presence, RoomTalk, bare, error_of, presence_of
from producer.live.xmpp.stream import XmppStream
from producer.live.xmpp.taking import Position, Taking, Trouble
from schemas.errors import ConnectionLost, Stop, UsageProblem

SILENCE_SECONDS = 30.0
NICKS_TRIED = 5

NO_ROOM = ("item-not-found", "remote-server-not-found")
NOT_IN_THE_ROOM = ("not-acceptable", "not-allowed", "bad-request")
"""How a room answers a ping of somebody who is not in it (XEP-0410)."""


class XmppListener:
    """One room. Messages have the ids that the room gives them (XEP-0359), so hearing one again repeats harmlessly.

    What was said while nobody listened comes from the room's archive (XEP-0313), from the last id on that Kafka has;
    where it keeps none, from the history that it sends to who comes in. The first time ever, nothing is fetched.
    """

    def __init__(
        self, place: XmppPlace, secrets: Secrets, memory: Memory, clock: Callable[[], float] = time.time
    ) -> None:
        """`clock` gives Unix seconds. Raises `UsageProblem` without a password, and for a name that XMPP knows not."""
        password = secrets.of(place, SecretOf.XMPP)
        if password is None:
            raise UsageProblem(
                f"{place.url}: its password is missing",
                f"Give --secret-file {place.url}=PATH, or set {SecretOf.XMPP}",
            )
        self._place = _as_servers_write_it(place)
        self._password = password
        self._memory = memory
        self._clock = clock
        self._position = Position(memory.value.get("archive"), memory.value.get("moment"))
        self._trouble = Trouble()

    @property
    def name(self) -> str:
        """See `Listener`."""
        return self._place.url

    async def session(self, ear: Ear) -> None:
        """See `Listener`."""
        async with XmppStream(self._place, self._password) as stream:
            visit = _Visit(self._place, stream)
            talk = RoomTalk(self._place, self._clock)
            kept = self._memory, self._position, self._trouble
            await visit.stay(Taking(self._place, talk, ear, *kept, visit.ask_room), talk)


def _as_servers_write_it(place: XmppPlace) -> XmppPlace:
    """A server answers as `lobby@example.org`, however somebody writes that."""
    try:
        account, room = JID(place.account), JID(f"{place.room}/{place.nick}")
    except InvalidJID as problem:
        raise UsageProblem(f"{place.url}: no name of XMPP: {problem}", "Look at account, room and nick") from None
    return replace(place, account=account.bare, room=room.bare, nick=room.resource)


class _Visit:
    """One session. What comes is handled in its order, one after the other: so a full spool holds up the connection,
    and nothing is remembered before what came ahead of it was taken."""

    def __init__(self, place: XmppPlace, stream: XmppStream) -> None:
        self._place = place
        self._room = place.room
        self._stream = stream
        self._nick = place.nick
        self._tries = 0
        self._joined = False
        self._nicks: set[str] = set()
        self._number = 0
        self._answers: dict[str, Callable[[Element], Awaitable[None]]] = {}

    async def stay(self, taking: Taking, talk: RoomTalk) -> None:
        """Until the connection ends, or a person must act: it always ends with an exception."""
        self._taking, self._talk = taking, talk
        self._ask("get", self._room, ask.ask_features(), self._features)
        try:
            while True:
                await self._handle(await self._next())
        finally:
            self._stream.send(ask.leave(self._room, self._nick))

    async def _next(self) -> Element:
        """The next stanza. In a long silence the room is asked whether we are still in it (XEP-0410)."""
        try:
            return await self._stream.next(SILENCE_SECONDS)
        except TimeoutError:
            self._break_the_silence()
        try:
            return await self._stream.next(SILENCE_SECONDS)
        except TimeoutError:
            raise ConnectionLost(f"nothing came for {2 * SILENCE_SECONDS:.0f} s, not even an answer") from None

    def _break_the_silence(self) -> None:
        if not self._taking.caught_up:
            raise ConnectionLost(f"{self._room} did not answer within {SILENCE_SECONDS:.0f} s")
        self._ask("get", f"{self._room}/{self._nick}", ask.ask_ping(), self._pinged)

    def ask_room(self, content: Element, answer: Callable[[Element], Awaitable[None]]) -> None:
        """Ask the room for something; `answer` is called with the iq that answers, in its order."""
        self._ask("set", self._room, content, answer)

    def _ask(self, kind: str, to: str, content: Element, answer: Callable[[Element], Awaitable[None]]) -> None:
        self._number += 1
        identity = f"ferry-{self._number}"
        self._answers[identity] = answer
        self._stream.send(ask.question(kind, to, identity, content))

    async def _handle(self, stanza: Element) -> None:
        if stanza.tag == f"{CLIENT}iq":
            if answer := self._answers.pop(stanza.get("id", ""), None):
                await answer(stanza)
        elif bare(stanza.get("from", "")) != self._room:
            return
        elif stanza.tag == f"{CLIENT}message":
            await self._taking.message(stanza)
        elif stanza.get("type") == "error":
            self._not_let_in(*error_of(stanza))
        else:
            await self._presence(presence_of(stanza))

    # -- coming in and being sent away ---------------------------------------------------------------------------------

    async def _features(self, answer: Element) -> None:
        if answer.get("type") == "error":
            kind, condition, text = error_of(answer)
            if condition in NO_ROOM and kind != "wait":
                raise self._refused(condition, text)
        self._taking.may_ask(ask.features_of(answer))
        self._join()

    def _join(self) -> None:
        self._stream.send(ask.join(self._room, self._nick, self._taking.since))

    def _not_let_in(self, kind: str, condition: str, text: str) -> None:
        if self._joined:
            return
        if kind == "wait":
            raise ConnectionLost(f"{self._room} does not let us in now: {condition} {text}".rstrip())
        if condition != "conflict" or self._tries >= NICKS_TRIED:
            raise self._refused(condition, text)
        self._tries += 1
        self._nick = f"{self._place.nick}{'_' * self._tries}"
        self._join()

    def _refused(self, condition: str, text: str = "") -> Stop:
        why = f"{condition}, {text}" if text else condition
        return Stop(
            f"{self._room} does not let {self._place.account} in: {why}",
            "See that there is such a room, and that the account may enter it",
        )

    async def _presence(self, presence: Presence) -> None:
        if "110" in presence.codes or (self._joined and presence.nick == self._nick):
            await self._own_presence(presence)
        elif not self._joined:
            self._nicks.add(presence.nick)  # here before us
        else:
            await self._other_presence(presence)

    async def _own_presence(self, presence: Presence) -> None:
        if not presence.here:
            self._sent_away(presence)
        elif not self._joined:
            if "201" in presence.codes:  # the room was made by our coming, and goes when we leave
                raise self._refused("item-not-found")
            self._nick = presence.nick
            self._joined = True
            await self._taking.joined()

    def _sent_away(self, presence: Presence) -> None:
        if "303" in presence.codes and presence.new_nick:
            self._nick = presence.new_nick
            return
        why = f": {presence.reason}" if presence.reason else ""
        if presence.destroyed:
            raise Stop(f"{self._room} is no more{why}", "Listen to another room")
        if presence.codes & {"301", "321", "322"}:
            raise Stop(f"{self._room} sent {self._place.account} away for good{why}", "Ask those who run the room")
        raise ConnectionLost(f"{self._room} sent {self._place.account} away{why}")

    async def _pinged(self, answer: Element) -> None:
        if answer.get("type") == "error" and error_of(answer)[1] in NOT_IN_THE_ROOM:
            raise ConnectionLost(f"{self._room} has forgotten us")

    # -- others --------------------------------------------------------------------------------------------------------

    async def _other_presence(self, presence: Presence) -> None:
        """Somebody came or went. Of who is here already, a presence only says how they are."""
        known = presence.nick in self._nicks
        if presence.here:
            self._nicks.add(presence.nick)
            if not known:
                await self._taking.status(self._talk.presence(presence, "join"))
            return
        self._nicks.discard(presence.nick)
        if "303" in presence.codes and presence.new_nick:
            self._nicks.add(presence.new_nick)
            await self._taking.status(self._talk.presence(presence, "rename", presence.new_nick))
        elif known:
            await self._taking.status(self._talk.presence(presence, _leaving(presence), presence.reason or None))


def _leaving(presence: Presence) -> str:
    if "307" in presence.codes:
        return "kick"
    return "ban" if "301" in presence.codes else "part"
