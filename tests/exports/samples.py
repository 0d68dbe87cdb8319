"""Small exports of every kind, written for the tests with the oddities that real ones have, and what each becomes.

`SAMPLES[format]` makes the export in a folder and returns its path. `ROWS[format]` are from, type, site_id, timestamp
and data of the rows that it becomes, in their order; `BAD[format]` are the lines that cannot be mapped.
"""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

Row: TypeAlias = tuple[str, str, str, str, str]


def _json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False, indent=4), encoding="utf-8")


# --- Slack ------------------------------------------------------------------------------------------------------


def slack_folder(folder: Path) -> Path:
    """A workspace with a channel, a direct message and a bot."""
    export = folder / "slack export"
    _json(export / "users.json", [{"id": "U1", "name": "ann", "real_name": "Ann Lee"}, {"id": "U2", "name": "bob"}])
    _json(export / "channels.json", [{"id": "C1", "name": "general", "members": ["U1", "U2"]}])
    _json(export / "dms.json", [{"id": "D1", "members": ["U1", "U2"]}])
    _json(export / "integration_logs.json", [{"user_id": "U1", "change_type": "added"}])
    _json(
        export / "general" / "2024-05-01.json",
        [
            {"type": "message", "subtype": "channel_join", "user": "U1", "text": "<@U1> has joined",
             "ts": "1714550400.000100"},
            {"type": "message", "user": "U1", "text": "hi <@U2> &amp; all\n:wave:", "ts": "1714550401.000200",
             "client_msg_id": "x", "edited": {"user": "U1", "ts": "1714550409.000000"}},
            {"type": "message", "subtype": "bot_message", "username": "build", "bot_id": "B1", "text": "",
             "attachments": [{"fallback": "build 7 passed", "text": "passed"}], "ts": "1714550402.000300"},
            {"type": "message", "user": "U9", "text": "who am I", "ts": "never"},
        ],
    )  # fmt: skip
    _json(
        export / "general" / "2024-05-02.json",
        [{"type": "message", "user": "U2", "text": "", "files": [{"name": "plan.pdf"}], "ts": "1714636800.000000"}],
    )
    _json(export / "D1" / "2024-05-01.json", [{"type": "message", "user": "U7", "text": "psst", "ts": "1714550500.5"}])
    return export


def zipped(folder: Path, top: str = "") -> Path:
    """The folder as a zip beside it."""
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{top}{file.relative_to(folder)}")
    return path


# --- Discord ----------------------------------------------------------------------------------------------------


def discord_json(folder: Path) -> Path:
    """A channel as DiscordChatExporter writes it."""
    author = {"id": "11", "name": "ann", "discriminator": "0000", "nickname": "Ann", "isBot": False}
    other = {"id": "12", "name": "bob", "discriminator": "4321", "nickname": "B", "isBot": False}
    messages: list[dict[str, Any]] = [
        {"id": "1001", "type": "GuildMemberJoin", "timestamp": "2024-05-01T08:00:00+00:00",
         "content": "Joined the server.", "author": author},
        {"id": "1002", "type": "Default", "timestamp": "2024-05-01T10:00:00.471+02:00", "timestampEdited": None,
         "content": "hello 👋", "author": author, "attachments": [], "embeds": [], "stickers": []},
        {"id": "1003", "type": "Reply", "timestamp": "2024-05-01T08:00:02.5+00:00", "content": "", "author": other,
         "attachments": [{"id": "5", "url": "https://cdn.example/cat.png", "fileName": "cat.png"}],
         "embeds": [{"title": "A cat", "url": "https://example.org", "description": "purrs"}],
         "stickers": [{"id": "6", "name": "wave"}], "reference": {"messageId": "1002"}},
        {"id": "1004", "type": "Default", "timestamp": "yesterday", "content": "when?", "author": other},
        {"id": "1005", "type": "8", "timestamp": "2024-05-01T08:00:03+00:00", "content": "Boosted the server!",
         "author": other},
    ]  # fmt: skip
    path = folder / "Guild - Text - general [77].json"
    _json(
        path,
        {
            "guild": {"id": "7", "name": "Guild", "iconUrl": ""},
            "channel": {"id": "77", "type": "GuildTextChat", "categoryId": None, "name": "general", "topic": None},
            "dateRange": {"after": None, "before": None},
            "exportedAt": "2024-05-02T00:00:00+00:00",
            "messages": messages,
            "messageCount": len(messages),
        },
    )
    return path


# --- Telegram ---------------------------------------------------------------------------------------------------

_TELEGRAM_MESSAGES: list[dict[str, Any]] = [
    {"id": 1, "type": "service", "date": "2024-05-01T10:00:00", "date_unixtime": "1714550400", "actor": "Ann",
     "actor_id": "user11", "action": "create_group", "title": "Plans", "members": ["Ann", "Bob"], "text": "",
     "text_entities": []},
    {"id": 2, "type": "message", "date": "2024-05-01T10:00:01", "date_unixtime": "1714550401", "from": "Ann",
     "from_id": "user11", "text": ["see ", {"type": "link", "text": "https://example.org"}, " \"now\""]},
    {"id": 3, "type": "message", "date": "2024-05-01T10:00:02", "date_unixtime": "1714550402", "from": None,
     "from_id": "user12", "text": "", "photo": "photos/photo_1.jpg", "width": 10, "height": 10},
    {"id": 4, "type": "unsupported"},
    {"id": 5, "type": "message", "date": "2024-05-01T10:00:04", "from": "Bob", "from_id": "user12", "text": "old",
     "file": "stickers/s.webp", "media_type": "sticker", "sticker_emoji": "🙂"},
]  # fmt: skip


def telegram_chat(folder: Path) -> Path:
    """The export of one chat, in the folder that Telegram makes; one message is as old versions wrote them."""
    export = folder / "ChatExport_2024-05-02"
    chat = {"name": "Plans", "type": "private_group", "id": 4242, "messages": _TELEGRAM_MESSAGES}
    _json(export / "result.json", chat)
    (export / "photos").mkdir()
    (export / "photos" / "photo_1.jpg").write_bytes(b"\xff\xd8\xff")
    return export


def telegram_account(folder: Path) -> Path:
    """The export of an account: the same chat, a nameless one, and one that was left."""
    said = {"id": 1, "type": "message", "date": "2024-05-01T10:00:00", "date_unixtime": "1714550400", "from": "Eve"}
    chats = [
        {"name": "Plans", "type": "private_group", "id": 4242, "messages": _TELEGRAM_MESSAGES},
        {"name": None, "type": "personal_chat", "id": 99, "messages": [{**said, "text": "hello"}]},
    ]
    left = [{"name": "News", "type": "public_channel", "id": 5, "messages": [{**said, "text": "extra"}]}]
    path = folder / "result.json"
    _json(
        path,
        {
            "about": "Here is the data you requested.",
            "personal_information": {"first_name": "Ann", "bio": '[}"{'},
            "contacts": {"about": "", "list": [{"first_name": "Bob"}]},
            "chats": {"about": "All of them.", "list": chats},
            "left_chats": {"about": "", "list": left},
        },
    )
    return path


# --- WhatsApp ---------------------------------------------------------------------------------------------------

WHATSAPP_ANDROID = (
    "01/05/2024, 10:00 - Messages and calls are end-to-end encrypted. Tap to learn more.\n"
    "01/05/2024, 10:00 - Ann created group \"Plans: may\"\n"
    "01/05/2024, 10:01 - Ann: hello: all\n"
    "second line\n"
    "\n"
    "fourth line\n"
    "01/05/2024, 10:02 - Bob: <Media omitted>\n"
    "01/05/2024, 10:02 - Bob: ok\n"
    "01/05/2024, 10:02 - Bob: ok\n"
    "31/05/2024, 25:02 - Bob: no such hour\n"
    "31/05/2024, 23:59 - +49 170 1234567: null\n"
)  # fmt: skip


def whatsapp_txt(folder: Path) -> Path:
    """A group as an Android phone exports it, with day and month in an order that one line only tells."""
    path = folder / "WhatsApp Chat with Plans.txt"
    path.write_text(WHATSAPP_ANDROID, encoding="utf-8")
    return path


# --- IRC --------------------------------------------------------------------------------------------------------

IRSSI = (
    "--- Log opened Tue Apr 30 23:58:00 2024\n"
    "23:58 -!- ann [~ann@host.example] has joined #lab\n"
    "23:58 -!- Irssi: #lab: Total of 2 nicks [1 ops, 0 halfops, 0 voices, 1 normal]\n"
    "23:59 < ann> evening\n"
    "--- Day changed Wed May 01 2024\n"
    "00:00 <@bob> morning <ann>\n"
    "00:00 <@bob> morning <ann>\n"
    "00:01  * ann yawns\n"
    "00:02 -ann:#lab- a notice\n"
    "00:03 what is this\n"
    "00:04 -!- ann is now known as anna\n"
    "00:05:30 <+anna> with seconds\n"
    "--- Log closed Wed May 01 00:06:00 2024\n"
    "\n"
    "--- Log opened Thu May 02 07:00:00 2024\n"
    "07:00 -!- mode/#lab [+o anna] by bob\n"
)


def irssi_log(folder: Path) -> Path:
    """A channel's log where irssi puts it."""
    path = folder / "irclogs" / "libera" / "#lab.log"
    path.parent.mkdir(parents=True)
    path.write_bytes(IRSSI.encode() + "07:01 < eve> \u00e9t\u00e9\n".encode("latin-1"))
    return path


WEECHAT = (
    "2024-05-01 10:00:00\t-->\tann (~ann@host.example) has joined #lab\n"
    "2024-05-01 10:00:01\t@ann\thello\n"
    "2024-05-01 10:00:01\t@ann\thello\n"
    "2024-05-01 10:00:02\t *\tann waves\n"
    "2024-05-01 10:00:03\t--\tann is now known as anna\n"
    "2024-05-01 10:00:04\tbob\twith\ta tab\n"
    "torn line\n"
    "2024-05-01T10:00:05.250000Z\t<--\tbob (~bob@host.example) has quit (bye)\n"
)


def weechat_log(folder: Path) -> Path:
    """A channel's log as WeeChat names it."""
    path = folder / "irc.libera.#lab.weechatlog"
    path.write_text(WEECHAT, encoding="utf-8")
    return path


# --- Zulip ------------------------------------------------------------------------------------------------------


def zulip_folder(folder: Path) -> Path:
    """A realm with a channel, a direct message, a group and the bot that tells of renames."""
    export = folder / "zulip-export-1"
    _json(
        export / "realm.json",
        {
            "zerver_realm": [{"id": 2, "string_id": "lab"}],
            "zerver_userprofile": [
                {"id": 11, "full_name": "Ann Lee", "email": "ann@example.org"},
                {"id": 12, "full_name": "Bob", "email": "bob@example.org"},
            ],
            "zerver_userprofile_crossrealm": [
                {"id": 3, "full_name": "Notification Bot", "email": "notification-bot@zulip.com"}
            ],
            "zerver_stream": [{"id": 5, "name": "engineering"}],
            "zerver_recipient": [
                {"id": 21, "type": 2, "type_id": 5},
                {"id": 22, "type": 1, "type_id": 12},
                {"id": 23, "type": 3, "type_id": 8},
            ],
        },
    )
    said = {"sender": 11, "recipient": 21, "subject": "release", "rendered_content": "<p></p>"}
    _json(
        export / "messages-000001.json",
        {
            "zerver_message": [
                {"id": 101, **said, "date_sent": 1714550400.25, "content": "ship **it**"},
                {"id": 102, **said, "sender": 3, "date_sent": 1714550401.0, "content": "This topic was moved."},
            ],
            "zerver_usermessage": [{"id": 1, "message": 101, "flags_mask": 1}],
        },
    )
    _json(
        export / "messages-000002.json",
        {
            "zerver_usermessage": [],
            "zerver_message": [
                {"id": 103, **said, "recipient": 22, "subject": "", "date_sent": 1714550402, "content": "psst"},
                {"id": 104, **said, "recipient": 23, "subject": "", "date_sent": 1714550403, "content": "three of us"},
                {"id": 105, **said, "sender": 404, "date_sent": 1714550404, "content": "nobody knows me"},
            ],
        },
    )
    return export


def tarred(folder: Path) -> Path:
    """The folder as a tar.gz beside it, the realm last: no order is promised."""
    path = folder.parent / f"{folder.name}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file in sorted(folder.rglob("*"), key=lambda file: (file.name == "realm.json", file.name)):
            content = file.read_bytes()
            entry = tarfile.TarInfo(f"{folder.name}/{file.relative_to(folder)}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


# --- Mattermost -------------------------------------------------------------------------------------------------


def mattermost_jsonl(folder: Path) -> Path:
    """A bulk export with a post that has replies, a direct post and what else such a file holds."""
    post = {"team": "lab", "channel": "town-square", "user": "ann"}
    entries: list[Any] = [
        {"type": "version", "version": 1},
        {"type": "team", "team": {"name": "lab", "display_name": "Lab"}},
        {"type": "channel", "channel": {"team": "lab", "name": "town-square", "type": "O"}},
        {"type": "user", "user": {"username": "ann", "email": "ann@example.org"}},
        {"type": "post", "post": {**post, "message": "hello", "create_at": 1714550400123, "replies": [
            {"user": "bob", "message": "hi", "create_at": 1714550401000},
            {"user": "bob", "message": "", "create_at": 1714550402000, "attachments": [{"path": "20240501/a.png"}]}]}},
        {"type": "post", "post": {**post, "type": "system_join_channel", "message": "ann joined the channel.",
                                  "create_at": 1714550403000}},
        {"type": "direct_post", "direct_post": {"channel_members": ["bob", "ann"], "user": "bob", "message": "psst",
                                                "create_at": 1714550404000}},
        {"type": "post", "post": {**post, "message": "when?"}},
        {"type": "surprise", "surprise": {}},
    ]  # fmt: skip
    path = folder / "bulk-export.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


# --- all of them ------------------------------------------------------------------------------------------------

SAMPLES: dict[str, Callable[[Path], Path]] = {
    "slack": slack_folder,
    "discord": discord_json,
    "telegram": telegram_chat,
    "whatsapp": whatsapp_txt,
    "irssi": irssi_log,
    "weechat": weechat_log,
    "zulip": zulip_folder,
    "mattermost": mattermost_jsonl,
}

_DAY = "2024-05-01 "

ROWS: dict[str, list[Row]] = {
    "slack": [
        ("U7", "message", "slack/D1", _DAY + "08:01:40.500000", "psst"),
        ("ann", "status", "slack/general", _DAY + "08:00:00.000100", "<@U1> has joined"),
        ("ann", "message", "slack/general", _DAY + "08:00:01.000200", "hi <@U2> &amp; all\n:wave:"),
        ("build", "message", "slack/general", _DAY + "08:00:02.000300", "build 7 passed"),
        ("bob", "message", "slack/general", "2024-05-02 08:00:00.000000", "[file] plan.pdf"),
    ],
    "discord": [
        ("ann", "status", "discord/Guild/general", _DAY + "08:00:00.000000", "Joined the server."),
        ("ann", "message", "discord/Guild/general", _DAY + "08:00:00.471000", "hello 👋"),
        ("bob#4321", "message", "discord/Guild/general", _DAY + "08:00:02.500000",
         "[file] https://cdn.example/cat.png\n[sticker] wave\n[embed] A cat purrs https://example.org"),
        ("bob#4321", "status", "discord/Guild/general", _DAY + "08:00:03.000000", "Boosted the server!"),
    ],
    "telegram": [
        ("Ann", "status", "telegram/Plans", _DAY + "08:00:00.000000",
         'create_group {"title":"Plans","members":["Ann","Bob"]}'),
        ("Ann", "message", "telegram/Plans", _DAY + "08:00:01.000000", 'see https://example.org "now"'),
        ("user12", "message", "telegram/Plans", _DAY + "08:00:02.000000", "[photo] photos/photo_1.jpg"),
        ("Bob", "message", "telegram/Plans", _DAY + "10:00:04.000000", "old\n[sticker] 🙂"),
    ],
    "whatsapp": [
        ("", "status", "whatsapp/Plans", _DAY + "10:00:00.000000",
         "Messages and calls are end-to-end encrypted. Tap to learn more."),
        ("", "status", "whatsapp/Plans", _DAY + "10:00:00.000000", 'Ann created group "Plans: may"'),
        ("Ann", "message", "whatsapp/Plans", _DAY + "10:01:00.000000", "hello: all\nsecond line\n\nfourth line"),
        ("Bob", "message", "whatsapp/Plans", _DAY + "10:02:00.000000", "<Media omitted>"),
        ("Bob", "message", "whatsapp/Plans", _DAY + "10:02:00.000000", "ok"),
        ("Bob", "message", "whatsapp/Plans", _DAY + "10:02:00.000000", "ok"),
        ("+49 170 1234567", "message", "whatsapp/Plans", "2024-05-31 23:59:00.000000", "null"),
    ],
    "irssi": [
        ("ann", "status", "libera/#lab", "2024-04-30 23:58:00.000000", "ann [~ann@host.example] has joined #lab"),
        ("", "status", "libera/#lab", "2024-04-30 23:58:00.000000",
         "Irssi: #lab: Total of 2 nicks [1 ops, 0 halfops, 0 voices, 1 normal]"),
        ("ann", "message", "libera/#lab", "2024-04-30 23:59:00.000000", "evening"),
        ("bob", "message", "libera/#lab", _DAY + "00:00:00.000000", "morning <ann>"),
        ("bob", "message", "libera/#lab", _DAY + "00:00:00.000000", "morning <ann>"),
        ("ann", "message", "libera/#lab", _DAY + "00:01:00.000000", "/me yawns"),
        ("ann", "message", "libera/#lab", _DAY + "00:02:00.000000", "a notice"),
        ("ann", "status", "libera/#lab", _DAY + "00:04:00.000000", "ann is now known as anna"),
        ("anna", "message", "libera/#lab", _DAY + "00:05:30.000000", "with seconds"),
        ("", "status", "libera/#lab", "2024-05-02 07:00:00.000000", "mode/#lab [+o anna] by bob"),
    ],
    "weechat": [
        ("ann", "status", "libera/#lab", _DAY + "10:00:00.000000", "ann (~ann@host.example) has joined #lab"),
        ("ann", "message", "libera/#lab", _DAY + "10:00:01.000000", "hello"),
        ("ann", "message", "libera/#lab", _DAY + "10:00:01.000000", "hello"),
        ("ann", "message", "libera/#lab", _DAY + "10:00:02.000000", "/me waves"),
        ("ann", "status", "libera/#lab", _DAY + "10:00:03.000000", "ann is now known as anna"),
        ("bob", "message", "libera/#lab", _DAY + "10:00:04.000000", "with\ta tab"),
        ("bob", "status", "libera/#lab", _DAY + "10:00:05.250000", "bob (~bob@host.example) has quit (bye)"),
    ],
    "zulip": [
        ("Ann Lee", "message", "zulip/engineering/release", _DAY + "08:00:00.250000", "ship **it**"),
        ("Notification Bot", "status", "zulip/engineering/release", _DAY + "08:00:01.000000", "This topic was moved."),
        ("Ann Lee", "message", "zulip/direct/Ann Lee, Bob", _DAY + "08:00:02.000000", "psst"),
        ("Ann Lee", "message", "zulip/direct/group 8", _DAY + "08:00:03.000000", "three of us"),
    ],
    "mattermost": [
        ("ann", "message", "mattermost/lab/town-square", _DAY + "08:00:00.123000", "hello"),
        ("bob", "message", "mattermost/lab/town-square", _DAY + "08:00:01.000000", "hi"),
        ("bob", "message", "mattermost/lab/town-square", _DAY + "08:00:02.000000", "[file] 20240501/a.png"),
        ("ann", "status", "mattermost/lab/town-square", _DAY + "08:00:03.000000", "ann joined the channel."),
        ("bob", "message", "mattermost/direct/ann,bob", _DAY + "08:00:04.000000", "psst"),
    ],
}  # fmt: skip

BAD: dict[str, list[bytes]] = {
    "slack": [b'{"type":"message","user":"U9","text":"who am I","ts":"never"}'],
    "discord": [
        (
            b'{"id":"1004","type":"Default","timestamp":"yesterday","content":"when?","author":{"id":"12","name":"bob",'
            b'"discriminator":"4321","nickname":"B","isBot":false}}'
        )
    ],
    "telegram": [b'{"id":4,"type":"unsupported"}'],
    "whatsapp": [b"31/05/2024, 25:02 - Bob: no such hour"],
    "irssi": [b"00:03 what is this", "07:01 < eve> \u00e9t\u00e9".encode("latin-1")],
    "weechat": [b"torn line"],
    "zulip": [
        (
            b'{"id":105,"sender":404,"recipient":21,"subject":"release","rendered_content":"<p></p>","date_sent":1714550404,'
            b'"content":"nobody knows me"}'
        )
    ],
    "mattermost": [
        b'{"type":"post","post":{"team":"lab","channel":"town-square","user":"ann","message":"when?"}}',
        b'{"type":"surprise","surprise":{}}',
    ],
}
"""JSON is without the spaces and newlines between its tokens: an element keeps its own, a newline as a space."""


def same_json(line: bytes) -> bytes:
    """A line of JSON without spaces between its tokens; other lines as they are."""
    try:
        return json.dumps(json.loads(line), ensure_ascii=False, separators=(",", ":")).encode()
    except ValueError:
        return line
