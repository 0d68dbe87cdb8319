"""Stanzas of a group chat as messages and statuses."""

from xml.etree.ElementTree import XML, Element

import pytest

from producer.live.heard import Heard
from producer.live.urls import XmppPlace, parse_place
from producer.live.xmpp.questions import archived_of, ask_archive, page_end_of
from producer.live.xmpp.stanzas import RoomTalk, archive_id, delayed, error_of, presence_of, seconds_of, stamp_of

ROOM = "lobby@rooms.example.org"
NOW = 1_700_000_000.5


def xml(text: str) -> Element:
    return XML(text)


def place() -> XmppPlace:
    found = parse_place(f"xmpp://ferry@example.org/{ROOM}")
    assert isinstance(found, XmppPlace)
    return found


def talk() -> RoomTalk:
    return RoomTalk(place(), lambda: NOW)


def message(content: str, nick: str = "ann", identity: str = "m1") -> Element:
    return xml(
        f'<message xmlns="jabber:client" from="{ROOM}/{nick}" type="groupchat" id="{identity}">{content}</message>'
    )


def heard(content: str, archived_as: str | None = "a1") -> Heard | None:
    return talk().message(message(content), archived_as, None)


def data(content: str) -> tuple[str, str | None] | None:
    found = heard(content)
    return (found.type, found.data) if found else None


def test_a_message_has_the_rooms_id_the_nick_and_the_moment_of_hearing() -> None:
    assert heard("<body>hello</body>") == Heard(
        id=f"xmpp/{ROOM}/a1", sender="ann", type="message", site_id=f"example.org/{ROOM}", timestamp=NOW, data="hello"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<subject>cats</subject>", ("status", "topic: cats")),
        ("<subject/>", ("status", "topic")),
        ("<subject>cats</subject><body>hi</body>", ("message", "hi")),
        ("<body/>", ("message", "")),
        (
            "<encryption xmlns='urn:xmpp:eme:0' namespace='urn:xmpp:omemo:2' name='OMEMO'/>",
            ("status", "encrypted: OMEMO"),
        ),
        (
            "<retract id='a0' xmlns='urn:xmpp:message-retract:1'/><body>gone</body>",
            ("status", f"deletion of xmpp/{ROOM}/a0"),
        ),
        (
            "<apply-to id='a0' xmlns='urn:xmpp:fasten:0'><moderated xmlns='urn:xmpp:message-moderate:0'/></apply-to>",
            ("status", f"deletion of xmpp/{ROOM}/a0"),
        ),
        (
            "<reactions id='a0' xmlns='urn:xmpp:reactions:0'><reaction>+</reaction><reaction>!</reaction></reactions>",
            ("status", f"reaction of xmpp/{ROOM}/a0: + !"),
        ),
        ("<composing xmlns='http://jabber.org/protocol/chatstates'/>", None),
    ],
)
def test_what_a_message_says(content: str, expected: tuple[str, str] | None) -> None:
    assert data(content) == expected


def test_a_correction_names_the_message_by_the_rooms_id_where_that_is_known() -> None:
    room = talk()
    room.message(message("<body>teh</body>"), "a1", None)
    replace = "<replace id='m1' xmlns='urn:xmpp:message-correct:0'/><body>the</body>"
    found = room.message(message(replace, identity="m2"), "a2", None)
    assert found is not None
    assert found.data == f"edit of xmpp/{ROOM}/a1: the"
    by_another = room.message(message(replace, nick="bob"), "a3", None)
    assert by_another is not None
    assert by_another.data == f"edit of xmpp/{ROOM}/m1: the"


def test_only_the_rooms_own_stanza_id_counts() -> None:
    forged = "<stanza-id xmlns='urn:xmpp:sid:0' by='ann@example.org' id='forged'/>"
    own = f"<stanza-id xmlns='urn:xmpp:sid:0' by='{ROOM}' id='a1'/>"
    assert archive_id(message(forged + own), ROOM) == "a1"
    assert archive_id(message(forged), ROOM) is None


def test_without_stable_ids_the_same_words_again_are_another_message_and_the_same_stanza_is_not() -> None:
    room = talk()
    first = room.message(message("<body>hi</body>", identity="1"), None, NOW)
    again = room.message(message("<body>hi</body>", identity="1"), None, NOW + 60)
    other = room.message(message("<body>ho</body>", identity="1"), None, NOW)
    assert first is not None
    assert again is not None
    assert other is not None
    assert first.id == again.id
    assert first.id != other.id


def test_moments_are_read_and_written() -> None:
    assert seconds_of("2023-11-14T22:13:20.5Z") == NOW
    assert seconds_of(stamp_of(NOW)) == NOW
    assert seconds_of("yesterday") is None
    assert seconds_of("9999-12-31T23:59:59-23:00") is None
    assert seconds_of("0001-01-01T00:00:00+01:00") is None
    assert delayed(message("<delay xmlns='urn:xmpp:delay' stamp='2023-11-14T22:13:20.5Z'/>")) == NOW


def test_delay_counts_where_the_room_wrote_it_and_not_what_a_sender_claims() -> None:
    claimed = "<delay xmlns='urn:xmpp:delay' stamp='2099-01-01T00:00:00Z' from='ann@example.org'/>"
    bare_claim = "<delay xmlns='urn:xmpp:delay' stamp='2099-01-01T00:00:00Z'/>"
    true = f"<delay xmlns='urn:xmpp:delay' stamp='2023-11-14T22:13:20.5Z' from='{ROOM}'/>"
    assert delayed(message(claimed + bare_claim), by=ROOM) is None
    assert delayed(message(claimed + bare_claim + true), by=ROOM) == NOW


@pytest.mark.parametrize(("outer", "query"), [(f"{ROOM}/ann", "q"), (ROOM, "another"), ("stranger@example.org", "q")])
def test_an_archived_message_that_the_room_did_not_send_is_refused(outer: str, query: str) -> None:
    def result(sender: str) -> Element:
        return xml(
            f'<message xmlns="jabber:client" from="{sender}"><result xmlns="urn:xmpp:mam:2" queryid="q" id="a1">'
            '<forwarded xmlns="urn:xmpp:forward:0"><delay xmlns="urn:xmpp:delay" stamp="2023-11-14T22:13:20.5Z"/>'
            f'<message xmlns="jabber:client" from="{ROOM}/ann"><body>x</body></message></forwarded></result></message>'
        )

    good = archived_of(result(ROOM), ROOM, "q")
    assert good is not None
    assert (good.id, good.moment) == ("a1", NOW)
    assert archived_of(result(outer), ROOM, query) is None


def test_a_page_is_asked_for_behind_an_id_or_from_a_moment_on() -> None:
    behind = ask_archive("q", after="a1")
    assert [part.text for part in behind.iter("{http://jabber.org/protocol/rsm}after")] == ["a1"]
    since = ask_archive("q", start=NOW)
    assert [part.text for part in since.iter("{jabber:x:data}value")] == [
        "urn:xmpp:mam:2",
        "2023-11-14T22:13:20.500000Z",
    ]


def test_the_end_of_a_page_tells_whether_there_is_another() -> None:
    end = xml(
        '<iq xmlns="jabber:client"><fin xmlns="urn:xmpp:mam:2"><set xmlns="http://jabber.org/protocol/rsm">'
        "<last>a9</last></set></fin></iq>"
    )
    assert (page_end_of(end).last, page_end_of(end).complete) == ("a9", False)


def test_a_presence_tells_who_went_and_why() -> None:
    found = presence_of(
        xml(
            f'<presence xmlns="jabber:client" from="{ROOM}/bob" type="unavailable">'
            '<x xmlns="http://jabber.org/protocol/muc#user"><item role="none"><reason>loud</reason></item>'
            '<status code="307"/></x></presence>'
        )
    )
    assert (found.nick, found.here, found.codes, found.reason) == ("bob", False, frozenset({"307"}), "loud")


def test_an_error_has_its_type_condition_and_words() -> None:
    stanza = xml(
        '<presence xmlns="jabber:client" type="error"><error type="auth">'
        '<text xmlns="urn:ietf:params:xml:ns:xmpp-stanzas">go away</text>'
        '<forbidden xmlns="urn:ietf:params:xml:ns:xmpp-stanzas"/></error></presence>'
    )
    assert error_of(stanza) == ("auth", "forbidden", "go away")
    assert error_of(xml("<iq/>")) == ("cancel", "undefined-condition", "")
