"""Events of Matrix as messages and statuses."""

from typing import Any

import pytest

from producer.live.heard import Heard
from producer.live.matrix.events import heard_of
from producer.live.urls import MatrixPlace, parse_place
from schemas.message import parse

OURS = "@ferry:hs.org"


def place() -> MatrixPlace:
    found = parse_place("matrix+https://ferry@hs.org/!room:hs.org")
    assert isinstance(found, MatrixPlace)
    return found


def event(kind: str, content: Any, **more: Any) -> dict[str, Any]:
    fixed = {"event_id": "$1:hs.org", "sender": "@ann:hs.org", "origin_server_ts": 1_700_000_000_250}
    return {"type": kind, "content": content, **fixed, **more}


def heard(kind: str, content: Any, **more: Any) -> Heard | None:
    return heard_of(event(kind, content, **more), place(), OURS)


def said(kind: str, content: Any, **more: Any) -> tuple[str, str | None] | None:
    found = heard(kind, content, **more)
    return (found.type, found.data) if found else None


def member(now: str, before: str | None, *, by: str = "@bob:hs.org", **content: Any) -> tuple[str, str | None] | None:
    unsigned = {"prev_content": {"membership": before, "displayname": "Bob"}} if before else {}
    more = {"state_key": "@bob:hs.org", "sender": by, "unsigned": unsigned}
    return said("m.room.member", {"membership": now, **content}, **more)


def test_a_text_has_its_events_id_sender_and_time() -> None:
    found = heard("m.room.message", {"msgtype": "m.text", "body": "hello"})
    assert found == Heard(
        id="$1:hs.org",
        sender="@ann:hs.org",
        type="message",
        site_id="hs.org/!room:hs.org",
        timestamp=1_700_000_000.25,
        data="hello",
    )


@pytest.mark.parametrize(
    ("kind", "content", "data"),
    [
        ("m.room.message", {"msgtype": "m.notice", "body": "beep"}, "beep"),
        ("m.room.message", {"msgtype": "m.emote", "body": "waves"}, "waves"),
        ("m.room.message", {"msgtype": "m.image", "body": "a.png", "url": "mxc://h/a"}, "a.png\nmxc://h/a"),
        ("m.room.message", {"msgtype": "m.file", "body": "b", "file": {"url": "mxc://h/b"}}, "b\nmxc://h/b"),
        ("m.room.message", {"msgtype": "m.location", "body": "here", "geo_uri": "geo:1,2"}, "here\ngeo:1,2"),
        ("m.sticker", {"body": "cat", "url": "mxc://h/c"}, "cat\nmxc://h/c"),
        ("org.matrix.msc3381.poll.start", {"org.matrix.msc1767.text": "tea or coffee?"}, "tea or coffee?"),
        ("m.room.message", {}, None),  # redacted before it was heard
        ("m.room.message", {"body": ""}, ""),
    ],
)
def test_what_people_say_is_a_message(kind: str, content: Any, data: str | None) -> None:
    assert said(kind, content) == ("message", data)


@pytest.mark.parametrize(
    ("kind", "content", "data"),
    [
        ("m.reaction", {"m.relates_to": {"event_id": "$0", "key": "+1"}}, "reaction of $0: +1"),
        ("m.room.redaction", {"redacts": "$0", "reason": "spam"}, "deletion of $0: spam"),
        ("m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2"}, "encrypted: m.megolm.v1.aes-sha2"),
        ("m.room.topic", {"topic": "cats"}, "topic: cats"),
        ("m.room.topic", {}, "topic"),
        ("m.room.name", {"name": "Cats"}, "name: Cats"),
        ("m.room.tombstone", {"replacement_room": "!2:h", "body": "moved"}, "upgrade: !2:h"),
    ],
)  # fmt: skip
def test_what_happens_beside_is_a_status(kind: str, content: Any, data: str) -> None:
    assert said(kind, content) == ("status", data)


def test_an_edit_is_a_status_with_the_new_text() -> None:
    relation = {"rel_type": "m.replace", "event_id": "$0"}
    content = {"body": "* new", "m.new_content": {"body": "new"}, "m.relates_to": relation}
    assert said("m.room.message", content) == ("status", "edit of $0: new")


def test_a_redaction_of_an_old_room_version_names_the_event_beside_its_content() -> None:
    assert said("m.room.redaction", {}, redacts="$0") == ("status", "deletion of $0")


def test_memberships_are_told_from_what_they_were_before() -> None:
    ann = "@ann:hs.org"
    assert member("join", None) == ("status", "join")
    assert member("join", "invite") == ("status", "join")
    assert member("leave", "join") == ("status", "part")
    assert member("leave", "join", by=ann, reason="loud") == ("status", "kick: loud")
    assert member("ban", "join", by=ann) == ("status", "ban")
    assert member("leave", "ban", by=ann) == ("status", "unban")
    assert member("join", "join", displayname="Bobby") == ("status", "rename: Bobby")
    assert member("join", "join", displayname="Bob", avatar_url="mxc://h/new") is None


def test_our_own_coming_and_going_says_nothing() -> None:
    assert said("m.room.member", {"membership": "join"}, state_key=OURS, sender=OURS) is None


@pytest.mark.parametrize("kind", ["m.room.power_levels", "m.room.avatar", "m.call.hangup"])
def test_what_is_nothing_to_read_is_not_heard(kind: str) -> None:
    assert said(kind, {"users": {}}, **({"state_key": ""} if "room" in kind else {})) is None


@pytest.mark.parametrize("content", [None, [], "x", {"body": 7}, {"m.relates_to": "x", "body": ["y"]}])
@pytest.mark.parametrize("moment", [None, "soon", True, 1e300, -5, 10**400])
def test_a_misshapen_event_makes_a_line_and_no_exception(content: Any, moment: Any) -> None:
    found = heard("m.room.message", content, origin_server_ts=moment, sender=None)
    assert found is not None
    assert b"\n" not in found.line()


def test_its_line_is_a_good_one() -> None:
    found = heard("m.room.message", {"body": "two\nlines"})
    assert found is not None
    assert "two\nlines" in parse(found.line())
