"""Whatever an IRC server says ends its own session at most."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.live.irc import channels
from producer.live.irc.backlog import Backlog
from producer.live.irc.session import Past, Session
from producer.live.irc.wire import LONGEST_LINE, Line
from producer.live.urls import IrcPlace, parse_place
from schemas.errors import ConnectionLost, Stop

CAPABILITIES = b"message-tags server-time batch draft/chathistory"
WELCOME = [
    b":s CAP * LS :" + CAPABILITIES,
    b":s CAP ferry ACK :" + CAPABILITIES,
    b":s 001 ferry :hi",
    b":s 376 ferry :>",
]
JOINED = [b":ferry!u@h JOIN #a", b":s 353 ferry = #a :@ann ferry", b":s 366 ferry #a :End"]


def session(past: Past) -> Session:
    place = parse_place("irc://ferry@irc.test/%23a")
    assert isinstance(place, IrcPlace)
    made = Session(place, "sesame", past, clock=lambda: 0.0)
    made.begin(0.0)
    return made


def tell(past: Past, *lines: bytes) -> list[bytes]:
    """What a session says to these lines, up to where they end it; each is a line of IRC."""
    told = session(past)
    with contextlib.suppress(ConnectionLost, Stop):
        for line in lines:
            told.hear(line, 1.0)
            told.tick(1.0)
    for heard in told.heard:
        assert b"\n" not in heard.line()
    for line in told.out:
        assert len(line) <= LONGEST_LINE
        assert line.endswith(b"\r\n")
        assert not set(line[:-2]) & set(b"\r\n\0")
    return told.out


words = st.binary(max_size=12).map(lambda word: word.replace(b"\n", b""))
few = st.sampled_from([b"#a", b"ferry", b"ann", b"*", b"+x", b"-x", b"chathistory", b"x", b"CHATHISTORY", b"+", b"LS"])
commands = st.sampled_from(
    b"PING PRIVMSG JOIN PART KICK QUIT NICK MODE TOPIC BATCH FAIL CAP AUTHENTICATE NOTICE ERROR REDACT CLEARCHAT "
    b"001 005 353 366 376 403 421 433 464 471 904".split(b" ")
)
values = st.one_of(
    words,
    st.sampled_from([b"\\s", b"a\\sb", b"\\r\\n", b"\\", b"x", b"+x", b"9" * 400, b"m" * 500, b"9" * 5000]),
    st.sampled_from([b"0001-01-01T00:00:00.000Z", b"9999-12-31T23:59:59.999-12:00", b"2026-01-02T00:00:00.000Z"]),
)
tags = st.dictionaries(st.sampled_from([b"msgid", b"time", b"batch", b"id", b"tmi-sent-ts", b"account"]), values)
tokens = st.one_of(few, words, values, st.sampled_from([b"CHATHISTORY=" + b"9" * 5000, b"PREFIX=", b"CASEMAPPING=x"]))


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """Something like a line of IRC."""
    if draw(st.integers(0, 9)) == 0:
        return draw(words)
    told = b";".join(name + b"=" + value for name, value in draw(tags).items())
    parts = [b"@" + told] if told else []
    parts += [draw(st.sampled_from([b":ann!u@h", b":ferry!u@h", b":s"])), draw(commands), *draw(st.lists(tokens))]
    return b" ".join([*parts, b":" + draw(tokens)])


@given(st.integers(0, len(WELCOME)), st.lists(lines(), max_size=8), st.lists(lines(), max_size=4))
def test_no_line_raises_anything_but_the_end_of_its_session(
    welcomed: int, before: list[bytes], after: list[bytes]
) -> None:
    past = Past(Backlog({}))
    tell(past, *WELCOME[:welcomed], *before, *JOINED, *after)
    again = Past(Backlog(past.history.value))  # what was remembered is asked for
    tell(again, *WELCOME, *JOINED, *after)


@pytest.mark.parametrize(
    ("ping", "pong"),
    [
        (b"PING :" + b"\xe9" * 400, b"PONG :" + b"\xe9" * 400),
        (b"@a=b :s PING ferry :a b", b"PONG :a b"),
        (b"PING :a\0b\rQUIT", b"PONG :abQUIT"),
        (b"PING " + b"x" * 600, b"PONG :" + b"x" * 504),
        (b"PING", b"PONG :"),
    ],
)
def test_ping_is_answered_with_the_bytes_that_came(ping: bytes, pong: bytes) -> None:
    assert tell(Past(Backlog({})), *WELCOME, ping)[-1] == pong + b"\r\n"


TIME = "2026-01-02T00:00:00.001Z"


@pytest.mark.parametrize("msgid", ["m" * 500, "a b", "a\rb", "a\nb", "a\0b"])
def test_msgid_that_no_line_can_name_is_named_by_its_time(msgid: str, caplog: pytest.LogCaptureFixture) -> None:
    past = Past(Backlog({"channels": {"#a": {"msgid": msgid, "time": TIME}}}))
    assert tell(past, *WELCOME, *JOINED)[-1] == b"CHATHISTORY AFTER #a timestamp=2026-01-02T00:00:00.000Z 100\r\n"
    assert "is missing" not in caplog.text


def test_message_that_cannot_be_named_at_all_is_told(caplog: pytest.LogCaptureFixture) -> None:
    past = Past(Backlog({"channels": {"#a": {"msgid": "a b", "time": "0001-01-01T00:00:00.000Z"}}}))
    assert tell(past, *WELCOME, *JOINED)[-1].startswith(b"JOIN")
    assert "what was said while nobody listened is missing" in caplog.text


def test_batches_in_batches_without_end_are_heard() -> None:
    past = Past(Backlog({}))
    opened = [b"@batch=%d :s BATCH +%d netsplit a b" % (number - 1, number) for number in range(3000)]
    tell(past, *WELCOME, *JOINED, *opened, b"@batch=2999 :ann!u@h QUIT :a b")


def test_members_without_end_are_not_kept(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(channels, "MEMBERS_KEPT", 10)
    server = channels.Server()
    kept = channels.Channels(["#a"], server)
    for nick in range(100):
        kept.note(Line("353", ("ferry", "=", "#a", f"n{nick} m{nick}")))
        kept.note(Line("JOIN", ("#a",), f"j{nick}!u@h"))
    assert [nick for nick in range(100) if kept.of(f"m{nick}")] == [0, 1, 2]
    assert len(caplog.messages) == 1
