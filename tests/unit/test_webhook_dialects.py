"""The webhook's dialects: what each request becomes, and what is refused. Requests are of our own writing, in the
forms that the systems' public documentation gives."""

import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from producer.live.heard import Heard
from producer.live.webhooks import discord, plain, slack, telegram
from producer.live.webhooks.answers import Refused, check_bearer
from schemas.errors import UsageProblem
from schemas.message import parse

JSON = "application/json"
GOOD = b'{"id": "1", "from": "ann", "type": "message", "site_id": "s", "timestamp": 1700000000}'


def summary(heard: Heard) -> tuple[str, str, str, str, float, str | None]:
    parse(heard.line())
    return heard.id, heard.sender, heard.type, heard.site_id, heard.timestamp, heard.data


# --- /messages ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "count"),
    [
        (GOOD, JSON, 1),
        (json.dumps(json.loads(GOOD), indent=2).encode(), JSON, 1),
        (b"[" + GOOD + b",\n" + GOOD + b"]", JSON, 2),
        (b" [] ", JSON, 0),
        (GOOD + b"\n" + GOOD + b"\r\n\n", "application/x-ndjson", 2),
        (GOOD + b"\n" + GOOD, "application/octet-stream", 2),
        (GOOD, "application/x-ndjson", 1),
    ],
)
def test_messages_come_alone_in_an_array_or_line_by_line(body: bytes, kind: str, count: int) -> None:
    lines = plain.lines_of(body, kind)
    assert len(lines) == count
    assert all(b"\n" not in line and json.loads(line) == json.loads(GOOD) for line in lines)


def changed(**fields: Any) -> bytes:
    return json.dumps({**json.loads(GOOD), **fields}).encode()


@pytest.mark.parametrize(
    ("body", "item", "field"),
    [
        (b"[" + GOOD + b"," + changed(site_id=5) + b"]", 1, "site_id"),
        (GOOD.replace(b'"id"', b'"key"'), 0, "id"),
        (changed(id=""), 0, "id"),
        (changed(id="x" * 256), 0, "id"),
        (changed(type="shout"), 0, "type"),
        (changed(timestamp="now"), 0, "timestamp"),
        (changed(timestamp=1.7e15), 0, "timestamp"),
        (changed(data=None), 0, "data"),
        (GOOD + b"\n" + GOOD[:-1], None, None),
        (b"[1]", 0, None),
        (b"[" + GOOD, None, None),
        (b"", None, None),
        (b"hello", None, None),
        (b"\xff\xfe", None, None),
        (b"[" * 100_000, None, None),
    ],
)
def test_request_with_a_bad_message_names_item_and_field(body: bytes, item: int | None, field: str | None) -> None:
    with pytest.raises(Refused) as caught:
        plain.lines_of(body, JSON)
    assert caught.value.status == 400
    if item is not None:
        assert (caught.value.body["item"], caught.value.body.get("field")) == (item, field)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Basic right", "right", "Bearer \udcff"])
def test_request_without_the_token_is_unauthorized(header: str | None) -> None:
    with pytest.raises(Refused) as caught:
        check_bearer(header, "right", None)
    assert caught.value.status == 401
    check_bearer("bearer right", None, "right")


# --- Slack --------------------------------------------------------------------------------------------------

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
SIGNED_AT = 1531420618
DOCUMENTED = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
SIGNATURE = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"


def test_slacks_documented_signature_is_right() -> None:
    slack.check_signature(SECRET, slack.signed(str(SIGNED_AT), SIGNATURE, SIGNED_AT + 299), DOCUMENTED)


@pytest.mark.parametrize(
    ("secret", "timestamp", "signature", "body", "now"),
    [
        (SECRET, str(SIGNED_AT), SIGNATURE, DOCUMENTED, SIGNED_AT + 301),
        (SECRET, str(SIGNED_AT), SIGNATURE, DOCUMENTED, SIGNED_AT - 301),
        (SECRET, str(SIGNED_AT), SIGNATURE, DOCUMENTED + b"x", SIGNED_AT),
        (SECRET + "x", str(SIGNED_AT), SIGNATURE, DOCUMENTED, SIGNED_AT),
        (SECRET, str(SIGNED_AT + 1), SIGNATURE, DOCUMENTED, SIGNED_AT),
        (SECRET, str(SIGNED_AT), SIGNATURE.upper(), DOCUMENTED, SIGNED_AT),
        (SECRET, str(SIGNED_AT), None, DOCUMENTED, SIGNED_AT),
        (SECRET, None, SIGNATURE, DOCUMENTED, SIGNED_AT),
        (SECRET, "soon", SIGNATURE, DOCUMENTED, SIGNED_AT),
        (SECRET, "9" * 5000, SIGNATURE, DOCUMENTED, SIGNED_AT),
    ],
)
def test_request_that_slack_did_not_sign_just_now_is_unauthorized(
    secret: str, timestamp: str | None, signature: str | None, body: bytes, now: float
) -> None:
    with pytest.raises(Refused) as caught:
        slack.check_signature(secret, slack.signed(timestamp, signature, now), body)
    assert caught.value.status == 401


def slack_event(**event: Any) -> list[Any]:
    event = {"type": "message", "channel": "C1", "ts": "1700000000.000100", **event}
    body = json.dumps({"type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event": event}).encode()
    return [summary(heard) for heard in slack.heard(slack.read(body), None)]


TS, AT, SITE = "slack/T1/C1/1700000000.000100", 1700000000.0001, "slack/T1/C1"


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"user": "U1", "text": "hi"}, [(TS, "U1", "message", SITE, AT, "hi")]),
        ({"subtype": "bot_message", "username": "bot", "text": "hi"}, [(TS, "bot", "message", SITE, AT, "hi")]),
        ({"subtype": "file_share", "user": "U1", "text": "", "files": [{"permalink": "https://f/1"}]},
         [(TS, "U1", "message", SITE, AT, "https://f/1")]),
        ({"subtype": "channel_join", "user": "U1", "text": "U1 has joined"},
         [(TS, "U1", "status", SITE, AT, "join: U1 has joined")]),
        ({"subtype": "channel_topic", "user": "U1", "text": "new"}, [(TS, "U1", "status", SITE, AT, "topic: new")]),
        ({"subtype": "message_deleted", "deleted_ts": "1.5"},
         [("slack/T1/C1/1.5/deletion", "", "status", SITE, AT, "deletion of slack/T1/C1/1.5")]),
        ({"subtype": "message_changed",
          "message": {"type": "message", "user": "U1", "ts": "1.5", "text": "new", "edited": {"ts": "2.5"}}},
         [("slack/T1/C1/1.5/edit/2.5", "U1", "status", SITE, 2.5, "edit of slack/T1/C1/1.5: new")]),
        ({"subtype": "message_changed", "message": {"type": "message", "ts": "1.5", "text": "a preview"}}, []),
        ({"type": "reaction_added"}, []),
    ],
)  # fmt: skip
def test_slacks_events_become_messages_and_statuses(event: dict[str, Any], expected: list[Any]) -> None:
    assert slack_event(**event) == expected


@pytest.mark.parametrize(("event", "field"), [({"ts": ""}, "ts"), ({"channel": ""}, "channel"), ({"ts": "x"}, "ts")])
def test_slack_message_that_lacks_what_makes_one_is_refused(event: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as caught:
        slack_event(**event)
    assert caught.value.body["field"] == field


def test_name_of_the_network_stands_before_the_channel() -> None:
    body = b'{"type":"event_callback","team_id":"T1","event":{"type":"message","channel":"C1","ts":"1.5","user":"U"}}'
    (heard,) = slack.heard(slack.read(body), "acme")
    assert (heard.site_id, heard.id) == ("acme/T1/C1", "slack/T1/C1/1.5")


# --- Telegram -----------------------------------------------------------------------------------------------

MESSAGE = {
    "message_id": 7,
    "date": 1_700_000_000,
    "chat": {"id": -1001, "type": "supergroup", "title": "Cats"},
    "from": {"id": 5, "is_bot": False, "first_name": "Ann", "last_name": "Lee"},
}


def telegram_update(kind: str, **fields: Any) -> list[Any]:
    body = json.dumps({"update_id": 1, kind: {**MESSAGE, **fields}}).encode()
    return [summary(heard) for heard in telegram.heard(telegram.read(body), None)]


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        ("message", {"text": "hi"}, ("telegram/-1001/7", "Ann Lee", "message", 1.7e9, "hi")),
        ("message", {"from": {"id": 5, "first_name": "A", "username": "ann"}, "photo": [{}], "caption": "my cat"},
         ("telegram/-1001/7", "ann", "message", 1.7e9, "my cat")),
        ("message", {"sticker": {}}, ("telegram/-1001/7", "Ann Lee", "message", 1.7e9, "[sticker]")),
        ("channel_post", {"from": None, "text": "news"}, ("telegram/-1001/7", "Cats", "message", 1.7e9, "news")),
        ("edited_message", {"edit_date": 1_700_000_060, "text": "ho"},
         ("telegram/-1001/7/edit/1700000060", "Ann Lee", "status", 1.70000006e9, "edit of telegram/-1001/7: ho")),
        ("message", {"new_chat_members": [{"id": 6, "first_name": "Bo"}]},
         ("telegram/-1001/7", "Ann Lee", "status", 1.7e9, "join: Bo")),
        ("message", {"left_chat_member": {"id": 6, "first_name": "Bo"}},
         ("telegram/-1001/7", "Ann Lee", "status", 1.7e9, "part: Bo")),
        ("message", {"new_chat_title": "Dogs"}, ("telegram/-1001/7", "Ann Lee", "status", 1.7e9, "rename: Dogs")),
    ],
)  # fmt: skip
def test_telegrams_updates_become_messages_and_statuses(
    kind: str, fields: dict[str, Any], expected: tuple[str, str, str, float, str]
) -> None:
    ((id_, sender, type_, site, moment, data),) = telegram_update(kind, **fields)
    assert (id_, sender, type_, moment, data) == expected
    assert site == "telegram/-1001"


def test_telegrams_other_updates_are_nothing_and_what_is_none_is_refused() -> None:
    assert telegram.heard(telegram.read(b'{"update_id": 1, "poll": {}}'), None) == []
    for body in (b"{}", b"[]", b"x"):
        with pytest.raises(Refused):
            telegram.read(body)
    with pytest.raises(Refused, match="message_id"):
        telegram.heard(telegram.read(b'{"update_id": 1, "message": {"date": 1}}'), None)


# --- Discord ------------------------------------------------------------------------------------------------

POST = {
    "id": "1180000000000000000",
    "channel_id": "5",
    "guild_id": "9",
    "type": 0,
    "author": {"id": "1", "username": "bob", "global_name": "Bob"},
    "content": "hey",
    "timestamp": "2023-12-01T12:00:00.500000+00:00",
    "attachments": [],
}
AT_NOON = 1701432000.5
NOW = 1_800_000_000.0


def discord_said(body: dict[str, Any]) -> list[Any]:
    return [summary(heard) for heard in discord.heard(*discord.read(json.dumps(body).encode()), None, NOW)]


EXPECTED = ("discord/5/1180000000000000000", "bob", "message", "discord/9/5", AT_NOON, "hey")


@pytest.mark.parametrize(
    "body",
    [
        POST,
        {"t": "MESSAGE_CREATE", "s": 3, "op": 0, "d": POST},
        {"version": 1, "type": 1, "event": {"type": "LOBBY_MESSAGE_CREATE", "data": POST}},
    ],
)
def test_discords_message_is_one_however_it_comes(body: dict[str, Any]) -> None:
    assert discord_said(body) == [EXPECTED]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"t": "MESSAGE_UPDATE", "d": {**POST, "edited_timestamp": "2023-12-01T12:00:01+00:00", "content": "ho"}},
         ("discord/5/1180000000000000000/edit/2023-12-01T12:00:01+00:00", "status", AT_NOON + 0.5,
          "edit of discord/5/1180000000000000000: ho")),
        ({"t": "MESSAGE_DELETE", "d": {"id": POST["id"], "channel_id": "5"}},
         ("discord/5/1180000000000000000/deletion", "status", NOW, "deletion of discord/5/1180000000000000000")),
        ({**POST, "type": 7, "content": ""}, ("discord/5/1180000000000000000", "status", AT_NOON, "join")),
        ({**POST, "attachments": [{"url": "https://f/1"}]},
         ("discord/5/1180000000000000000", "message", AT_NOON, "hey\nhttps://f/1")),
    ],
)  # fmt: skip
def test_discords_edits_deletions_and_joins_are_statuses(
    body: dict[str, Any], expected: tuple[str, str, float, str]
) -> None:
    ((id_, _, type_, _, moment, data),) = discord_said(body)
    assert (id_, type_, moment, data) == expected


def test_discords_message_without_a_timestamp_was_sent_when_its_id_says() -> None:
    ((_, _, _, _, moment, _),) = discord_said({"id": str(1000 << 22), "channel_id": "5", "content": "x"})
    assert moment == 1420070401.0


@pytest.mark.parametrize("body", [{"t": "TYPING_START", "d": {}}, {"type": 1, "event": {"type": "QUEST"}}, {"t": "X"}])
def test_discords_other_events_are_nothing(body: dict[str, Any]) -> None:
    assert discord_said(body) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [({"content": "x"}, "id"), ({"id": "1", "content": "x"}, "channel_id"),
     ({"id": "x", "channel_id": "5", "content": "x"}, "timestamp"), ({**POST, "timestamp": "noon"}, "timestamp")],
)  # fmt: skip
def test_discord_message_that_lacks_what_makes_one_is_refused(body: dict[str, Any], field: str) -> None:
    with pytest.raises(Refused) as caught:
        discord_said(body)
    assert caught.value.body["field"] == field


def test_request_that_discord_signed_is_taken_and_no_other() -> None:
    private = Ed25519PrivateKey.generate()
    key = discord.public_key(private.public_key().public_bytes_raw().hex())
    signature = private.sign(b"1700000000" + b"{}").hex()
    discord.check_signature(key, "1700000000", discord.signature_of(signature), b"{}")
    for timestamp, signed, body in [("1700000001", signature, b"{}"), ("1700000000", signature, b"{ }"),
                                    ("1700000000", "00" * 64, b"{}"), ("1700000000", "no hex", b"{}")]:  # fmt: skip
        with pytest.raises(Refused):
            discord.check_signature(key, timestamp, discord.signature_of(signed), body)
    with pytest.raises(UsageProblem):
        discord.public_key("00")


def test_signature_is_an_hmac_of_version_time_and_body() -> None:
    expected = hmac.new(b"key", b"v0:5:body", hashlib.sha256).hexdigest()
    slack.check_signature("key", slack.signed("5", f"v0={expected}", 5.0), b"body")
