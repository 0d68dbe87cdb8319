"""Lines of IRC, from bytes and to bytes: the specifications' own examples, and what servers really send."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producer.live.irc.wire import LONGEST_HEARD, Cutter, Line, compose, decode, fold, parse, sasl_plain, unescape
from schemas.errors import ConnectionLost


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (b":irc.example.com CAP LS * :multi-prefix", Line("CAP", ("LS", "*", "multi-prefix"), "irc.example.com")),
        (b":dan!d@localhost PRIVMSG #chan :Hey!", Line("PRIVMSG", ("#chan", "Hey!"), "dan!d@localhost")),
        (b":dan!d@localhost PRIVMSG #chan Hey!", Line("PRIVMSG", ("#chan", "Hey!"), "dan!d@localhost")),
        (b"PING", Line("PING")),
        (b"ping :", Line("PING", ("",))),
        (b":a  PRIVMSG   #c  ::-) ", Line("PRIVMSG", ("#c", ":-) "), "a")),
        (
            b"@id=234AB;x;+y=a\\:b\\sc\\\\d\\r\\n\\e\\ :a!b@c PRIVMSG #c :hi",
            Line("PRIVMSG", ("#c", "hi"), "a!b@c", {"id": "234AB", "x": "", "+y": "a;b c\\d\r\ne"}),
        ),
        (
            b"@time=2026-01-02T03:04:05.678Z  :a JOIN #c",
            Line("JOIN", ("#c",), "a", {"time": "2026-01-02T03:04:05.678Z"}),
        ),
    ],
)
def test_line_is_read(raw: bytes, line: Line) -> None:
    assert parse(raw) == line


@pytest.mark.parametrize("raw", [b"", b" ", b":source", b":source ", b"@a=b", b"@", b":", b"@a :b ", b": :x"])
def test_line_without_a_command_is_none(raw: bytes) -> None:
    assert parse(raw) is None


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    line = parse(raw)
    assert line is None or (line.command and (line.moment is None or line.moment))


def test_moment_is_server_time_or_twitchs() -> None:
    assert Line("A", tags={"time": "2011-10-19T16:40:51.620Z"}).moment == 1319042451.62
    assert Line("A", tags={"tmi-sent-ts": "1642720582342"}).moment == 1642720582.342
    for tags in ({}, {"time": "yesterday"}, {"tmi-sent-ts": "soon"}, {"tmi-sent-ts": "9" * 500}):
        assert Line("A", tags=tags).moment is None


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("smörgås".encode(), "smörgås"),
        ("“quoted” naïve".encode("cp1252"), "“quoted” naïve"),
        (b"caf\xe9", "café"),
        (b"\x81\x8d", "\x81\x8d"),
        ("smörgå".encode()[:-1], "smörg\N{REPLACEMENT CHARACTER}"),
        ("日本".encode()[:-1], "日\N{REPLACEMENT CHARACTER}"),
        (b"\x02bold\x0f \x0304,02colour", "\x02bold\x0f \x0304,02colour"),
    ],
)
def test_text_is_utf8_or_what_was_usual_before(raw: bytes, text: str) -> None:
    assert decode(raw) == text


def test_tag_values_are_unescaped_as_the_specification_has_it() -> None:
    assert unescape(r"\:\s\\\r\n\b") == "; \\\r\nb"
    assert unescape("a\\") == "a"


def test_lines_that_are_sent_are_lines() -> None:
    assert compose("USER", "a", "0", "*", "real name") == b"USER a 0 * :real name\r\n"
    assert compose("PONG", "") == b"PONG :\r\n"
    assert compose("PASS", ":)") == b"PASS ::)\r\n"
    for bad in ("a\r\nQUIT", "a\0", "x" * 510):
        with pytest.raises(ValueError, match="PASS") as told:
            compose("PASS", bad)
        assert bad not in str(told.value)


def test_names_are_compared_by_the_servers_rule() -> None:
    assert fold("#A[]\\~") == "#a{}|^"
    assert fold("#A[]\\~", "strict-rfc1459") == "#a{}|~"
    assert fold("#A[]\\~", "ascii") == "#a[]\\~"
    assert fold("#STRASSE", "rfc8265") == fold("#straße", "rfc8265")


def test_sasl_plain_is_the_specifications_example_in_chunks() -> None:
    assert sasl_plain("jilles", "sesame") == [b"AUTHENTICATE amlsbGVzAGppbGxlcwBzZXNhbWU=\r\n"]
    lines = sasl_plain("a", "x" * 296)  # 300 bytes: 400 in base64
    assert lines[1:] == [b"AUTHENTICATE +\r\n"]
    lines = sasl_plain("a", "x" * 400)
    assert [len(line) for line in lines] == [415, 155]
    told = b"".join(line.split()[1] for line in lines)
    assert base64.b64decode(told) == b"a\0a\0" + b"x" * 400


def test_bytes_are_cut_into_lines_wherever_they_come_apart() -> None:
    cutter = Cutter()
    assert [line for byte in b"PING a\r\nPING b\n\r\nPI" for line in cutter.feed(bytes([byte]))] == [
        b"PING a",
        b"PING b",
        b"",
    ]
    assert cutter.feed(b"NG\n") == [b"PING"]


def test_line_that_never_ends_ends_the_connection() -> None:
    cutter = Cutter()
    assert cutter.feed(b"x" * LONGEST_HEARD) == []
    with pytest.raises(ConnectionLost, match="no IRC server"):
        cutter.feed(b"x")
