"""`chatferry listen`: what is sent to its webhook, or stands on its standard input, is in the table once."""

import gzip
import hashlib
import hmac
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.ferry import (
    Ferry,
    command_line,
    create_topic,
    ends,
    message,
    query,
    records,
    values,
    wait_until,
)
from tests.acceptance.hook import Answer, Hook
from tests.faults.rig import set_topic_config
from tests.services.kafka import GivenKafka, Kafka

TOKEN = "hook-plant-7Kq3"
SLACK_SECRET = "slack-plant-8Zt1"
TELEGRAM_SECRET = "telegram-plant-2Wd9"
SECRETS = {
    "CHATFERRY_HTTP_TOKEN": TOKEN,
    "CHATFERRY_SLACK_SIGNING_SECRET": SLACK_SECRET,
    "CHATFERRY_TELEGRAM_SECRET": TELEGRAM_SECRET,
}
BEARER = f"Bearer {TOKEN}"


@pytest.fixture
def place(kafka: Kafka | GivenKafka, topic: str) -> list[str]:
    """The flags that name a topic of four partitions that is there."""
    create_topic(kafka.brokers, topic)
    return ["--brokers", kafka.brokers, "--topic", topic]


@pytest.fixture
def hook(ferry: Ferry, place: list[str]) -> Hook:
    """A webhook without a token."""
    return Hook.start(ferry, *place)


@pytest.fixture
def locked(ferry: Ferry, place: list[str]) -> Hook:
    """A webhook with secrets."""
    return Hook.start(ferry, *place, env=SECRETS)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe: its end to read from, and the one to write to."""
    read, write = os.pipe()
    yield read, write
    for descriptor in (read, write):
        try:
            os.close(descriptor)
        except OSError:
            continue


def count(place: list[str]) -> int:
    return sum(ends(place[1], place[3]).values())


def stored(ferry: Ferry, place: list[str], url: str) -> list[tuple[Any, ...]]:
    """Consume the topic to its end; the table's rows in the order of their ids."""
    ferry.run("db", "upgrade", "--database", url)
    ferry.run("consume", *place, "--database", url, "--until-end", "--group", "judge", "--workers", "1")
    return query(url, "SELECT `id`, `from`, `type`, `site_id`, `data` FROM chat_messages ORDER BY `id`")


# --- messages -----------------------------------------------------------------------------------------------


def test_message_array_and_lines_are_on_the_topic_when_they_are_accepted(hook: Hook, place: list[str]) -> None:
    lines = [message(number) for number in range(6)]
    sent = [
        (lines[0], "application/json", 1),
        (b"[" + b", ".join(lines[1:3]) + b"]", "application/json", 2),
        (b"\n".join(lines[3:]) + b"\n", "application/x-ndjson", 3),
    ]
    expected = 0
    for body, kind, accepted in sent:
        answer = hook.post("/messages", body, Content_Type=kind)
        assert (answer.status, answer.body) == (200, {"accepted": accepted})
        expected += accepted
        assert count(place) == expected
    assert sorted(values(place[1], place[3])) == sorted(lines)


def test_request_with_one_bad_message_is_refused_as_a_whole(hook: Hook, place: list[str]) -> None:
    bad = json.loads(message(2))
    del bad["site_id"]
    answer = hook.post("/messages", [json.loads(message(1)), bad])
    assert (answer.status, answer.body["item"], answer.body["field"]) == (400, 1, "site_id")
    assert hook.post("/messages", b"{").status == 400
    assert hook.post("/messages", b"").status == 400
    assert count(place) == 0


def test_request_that_is_too_large_however_it_is_packed_is_refused(hook: Hook, place: list[str]) -> None:
    assert hook.post("/messages", b" " * ((16 << 20) + 1)).status == 413
    bomb = gzip.compress(b" " * (200 << 20))
    assert hook.post("/messages", bomb, Content_Encoding="gzip").status == 413
    answer = hook.post("/messages", b"[" + message(1) + b"," + message(2, "x" * 1_100_000) + b"]")
    assert (answer.status, answer.body["item"]) == (413, 1)
    assert count(place) == 0
    assert hook.post("/messages", gzip.compress(message(3)), Content_Encoding="gzip").status == 200
    assert hook.post("/messages", message(4), Content_Encoding="gzip").status == 400
    assert hook.post("/messages", message(5), Content_Encoding="br").status == 415
    assert count(place) == 1
    assert "Traceback" not in hook.running.err


def test_request_without_the_token_is_unauthorized(locked: Hook, place: list[str]) -> None:
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
        answer = locked.post("/messages", message(1), **headers)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    for path in ("/slack/events", "/telegram", "/discord"):
        assert locked.post(path, b"{}").status == 401
    assert count(place) == 0
    assert locked.post("/messages", message(1), Authorization=BEARER).status == 200


def test_web_page_cannot_send_where_there_is_no_token(hook: Hook, place: list[str]) -> None:
    answer = hook.post("/messages", message(1), Origin="https://elsewhere.example", Content_Type="text/plain")
    assert (answer.status, count(place)) == (403, 0)


@pytest.mark.parametrize("header", ["X_Forwarded_For", "Forwarded", "Via"])
def test_proxy_passes_nothing_on_where_there_is_no_token(hook: Hook, place: list[str], header: str) -> None:
    answer = hook.post("/messages", message(1), **{header: "for=198.51.100.7"})
    assert (answer.status, count(place)) == (403, 0)


def test_line_longer_than_all_that_may_be_in_flight_is_carried(ferry: Ferry, kafka: Any, topic: str) -> None:
    create_topic(kafka.brokers, topic)
    set_topic_config(kafka.brokers, topic, "max.message.bytes", 12 << 20)
    lines = [message(1), message(2, data="x" * (9 << 20)), message(3)]
    named = ["--brokers", kafka.brokers, "--topic", topic, "--json"]
    result = ferry.run("listen", "-", *named, stdin=b"\n".join(lines) + b"\n")
    assert result.json["acknowledged"] == 3
    assert sum(ends(kafka.brokers, topic).values()) == 3


def test_address_that_others_reach_needs_a_token(ferry: Ferry, place: list[str]) -> None:
    told = ferry.run("listen", "http://0.0.0.0:0", *place, check=2).error
    assert "CHATFERRY_HTTP_TOKEN" in told


def test_health_path_and_method_are_answered_in_json(locked: Hook) -> None:
    health = locked.get("/healthz")
    assert (health.status, health.body["status"]) == (200, "ok")
    assert (locked.get("/nothing").status, locked.get("/messages").status) == (404, 405)
    assert locked.get("/nothing").body == {"error": "Not Found"}


def test_record_was_made_when_its_message_was_sent_where_the_topic_keeps_that(hook: Hook, place: list[str]) -> None:
    now = time.time()
    moments = {"recent": now - 3600.25, "old": 1_700_000_000, "future": now + 86_400}
    for name, moment in moments.items():
        assert hook.post("/messages", message(1, id=name, timestamp=moment)).status == 200
    made = {json.loads(record.value)["id"]: record.milliseconds / 1000 for record in records(place[1], place[3])}
    assert made["recent"] == pytest.approx(moments["recent"], abs=0.001)
    assert made["old"] == pytest.approx(now, abs=30)  # with its own moment the topic would delete it at once
    assert made["future"] == pytest.approx(now, abs=30)  # and refuse this one


# --- the dialects -------------------------------------------------------------------------------------------


def slack(hook: Hook, body: dict[str, Any], secret: str = SLACK_SECRET) -> Answer:
    content, now = json.dumps(body).encode(), str(int(time.time()))
    digest = hmac.new(secret.encode(), f"v0:{now}:".encode() + content, hashlib.sha256).hexdigest()
    return hook.post("/slack/events", content, X_Slack_Request_Timestamp=now, X_Slack_Signature=f"v0={digest}")


def test_slack_telegram_and_discord_are_in_the_table_once_however_often_they_come(
    ferry: Ferry, locked: Hook, place: list[str], sqlite_url: str
) -> None:
    assert slack(locked, {"type": "url_verification", "challenge": "abc"}).body == {"challenge": "abc"}
    event = {"type": "message", "channel": "C1", "user": "U1", "text": "from slack", "ts": "1700000000.000100"}
    telegram = {"message_id": 7, "date": 1_700_000_000, "chat": {"id": -5}, "from": {"id": 1, "username": "ann"}}
    discord = {"id": "1180000000000000000", "channel_id": "5", "author": {"id": "1", "username": "bob"}}
    for _ in range(2):
        assert slack(locked, {"type": "event_callback", "team_id": "T1", "event": event}).body == {"accepted": 1}
        update = {"update_id": 1, "message": {**telegram, "text": "from telegram"}}
        answer = locked.post("/telegram", update, X_Telegram_Bot_Api_Secret_Token=TELEGRAM_SECRET)
        assert (answer.status, answer.body) == (200, {"accepted": 1})
        answer = locked.post("/discord", {**discord, "content": "from discord"}, Authorization=BEARER)
        assert (answer.status, answer.body) == (200, {"accepted": 1})
    assert slack(locked, {"type": "event_callback", "team_id": "T1", "event": event}, secret="other").status == 401
    assert stored(ferry, place, sqlite_url) == [
        ("discord/5/1180000000000000000", "bob", "message", "discord/5", "from discord"),
        ("slack/T1/C1/1700000000.000100", "U1", "message", "slack/T1/C1", "from slack"),
        ("telegram/-5/7", "ann", "message", "telegram/-5", "from telegram"),
    ]


# --- standard input -----------------------------------------------------------------------------------------


def test_line_of_standard_input_is_sent_when_it_comes_and_the_end_ends_the_command(
    ferry: Ferry, place: list[str], pipe: tuple[int, int], sqlite_url: str
) -> None:
    read, write = pipe
    running = ferry.start("listen", "-", *place, "--json", stdin=read)
    os.write(write, message(1) + b"\n" + message(2)[:20])
    running.wait_until(lambda: count(place) == 1, "the first line is on the topic")
    os.write(write, message(2)[20:] + b"\n\nbad\n" + message(3))
    running.wait_until(lambda: count(place) == 3, "the second line and the bad one are on the topic")
    os.close(write)
    account = running.wait()
    assert account.status == 0
    assert (account.json["heard"], account.json["acknowledged"], account.json["spooled"]) == (4, 4, 0)
    assert account.json["by_listener"] == {"-": 4}
    assert [row[0] for row in stored(ferry, place, sqlite_url)] == ["id-1", "id-2", "id-3"]
    assert values(place[1], f"{place[3]}.dlq") == [b"bad"]


def test_line_that_is_longer_than_the_topic_takes_is_told_and_the_status_says_so(
    ferry: Ferry, place: list[str]
) -> None:
    long = message(1, "x" * 2_000_000)
    result = ferry.run("listen", "-", *place, "--json", stdin=long + b"\n" + message(2) + b"\n", check=1)
    assert [result.json[name] for name in ("heard", "acknowledged", "refused")] == [1, 1, 1]
    assert "'id-1' has 2,000" in result.err
    assert values(place[1], place[3]) == [message(2)]


def test_line_that_nothing_can_hold_is_told_and_the_status_says_so(ferry: Ferry, place: list[str]) -> None:
    result = ferry.run("listen", "-", *place, "--json", stdin=b"x" * (17 << 20) + b"\n" + message(2) + b"\n", check=1)
    assert (result.json["refused"], result.json["acknowledged"]) == (1, 1)
    assert "is not taken" in result.err


# --- the command --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signal_ends_it_when_all_that_was_heard_is_delivered(
    ferry: Ferry, place: list[str], pipe: tuple[int, int], number: signal.Signals, status: int
) -> None:
    hook = Hook.start(ferry, "-", *place, stdin=pipe[0])
    os.write(pipe[1], b"".join(message(n) + b"\n" for n in range(500)))
    hook.running.wait_until(lambda: count(place), "the first lines are on the topic")
    result = hook.running.end(number)
    assert (result.status, result.json["spooled"]) == (status, 0)
    assert result.json["acknowledged"] == count(place)
    assert "Traceback" not in result.err


def test_dry_run_prints_what_would_be_sent_and_needs_no_broker(ferry: Ferry, tmp_path: Path) -> None:
    result = ferry.run("listen", "-", "--dry-run", stdin=message(1) + b"\nbad \xe2\x80\xae\n")
    assert result.out.splitlines() == [message(1), b"bad \\u202e"]
    as_json = ferry.run("listen", "-", "--dry-run", "--json", stdin=message(1) + b"\n")
    assert (as_json.json["heard"], as_json.json["acknowledged"]) == (1, 0)
    hook = Hook.start(ferry, "--dry-run")
    assert hook.post("/messages", message(2)).body == {"accepted": 1}
    assert message(2).decode() in hook.running.end(signal.SIGTERM).err
    assert not list(tmp_path.rglob("*.jsonl"))


def test_what_cannot_begin_is_one_line(ferry: Ferry, place: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert "address already in use" in ferry.run("listen", url, *place, check=1).error.lower()
    nowhere = ferry.run("listen", "-", "--brokers", "127.0.0.1:9", check=1).error
    assert "No broker answers" in nowhere
    assert "There is no topic" in ferry.run("listen", "-", *place[:2], "--topic", "no-such", check=1).error
    told = ferry.run("listen", "irc://ann:hunter2@host/%23a", *place, check=2).error
    assert "--secret-file" in told
    assert "hunter2" not in told


def test_second_listener_with_the_same_state_is_refused(ferry: Ferry, hook: Hook, place: list[str]) -> None:
    assert "Another listener" in ferry.run("listen", "-", *place, check=1).error
    ferry.run("listen", "-", *place, "--state", "another")
    assert hook.running.process.poll() is None


def test_secret_turns_up_in_no_log_argument_or_file(ferry: Ferry, place: list[str], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(TOKEN)
    flags = ["--secret-file", "http://127=secret", "-v"]
    hook = Hook.start(ferry, *flags, *place, env={**SECRETS, "CHATFERRY_HTTP_TOKEN": "other"})
    assert hook.post("/messages", message(1), Authorization="Bearer other").status == 401
    assert hook.post("/messages", message(1), Authorization=BEARER).status == 200
    ping = {"type": "url_verification", "challenge": "abc"}
    assert [slack(hook, ping, secret).status for secret in ("other", SLACK_SECRET)] == [401, 200]
    for secret, status in (("other", 401), (TELEGRAM_SECRET, 200)):
        assert hook.post("/telegram", {"update_id": 1}, X_Telegram_Bot_Api_Secret_Token=secret).status == status
    damaged = gzip.compress(message(2))[:-9]
    for path, header, secret in (
        ("/messages", "Authorization", BEARER),
        ("/telegram", "X_Telegram_Bot_Api_Secret_Token", TELEGRAM_SECRET),
    ):
        assert hook.post(path, damaged, Content_Encoding="gzip", **{header: secret}).status == 400
    arguments = command_line(hook.running.pid)
    result = hook.running.end(signal.SIGTERM)
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file() and path.name != "secret"]
    for planted in SECRETS.values():
        assert not [text for text in (arguments, result.err, result.out.decode(), *files) if planted in text]


def test_many_requests_at_once_are_all_taken(hook: Hook, place: list[str]) -> None:
    def send(first: int) -> Any:
        lines = b"\n".join(message(n) for n in range(first, first + 100))
        return hook.post("/messages", lines, Content_Type="application/x-ndjson").body

    with ThreadPoolExecutor(8) as senders:
        assert list(senders.map(send, range(0, 2_000, 100))) == [{"accepted": 100}] * 20
    assert len(set(values(place[1], place[3]))) == count(place) == 2_000
    wait_until(lambda: hook.get("/healthz").body["seconds_behind"] == 0, "nothing waits")
