"""IRC's lines, from bytes and to bytes: RFC 1459, RFC 2812, and IRCv3's message tags. Pure."""

import base64
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from schemas.errors import ConnectionLost

LONGEST_LINE = 512
"""Bytes of a line that we send, with its end."""
LONGEST_HEARD = 64 << 10
"""A line with tags has at most 8,191 + 512 bytes; whoever sends so much without an end speaks no IRC."""
SASL_CHUNK = 400

_ESCAPES = {":": ";", "s": " ", "r": "\r", "n": "\n"}
_UPPER, _LOWER = string.ascii_uppercase, string.ascii_lowercase
_FOLDS = {
    "ascii": str.maketrans(_UPPER, _LOWER),
    "strict-rfc1459": str.maketrans(_UPPER + "[]\\", _LOWER + "{}|"),
    "rfc1459": str.maketrans(_UPPER + "[]\\~", _LOWER + "{}|^"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the protocol; `command` is upper case or a numeric, `source` is `nick!user@host` or a server."""

    command: str
    params: tuple[str, ...] = ()
    source: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def param(self, number: int) -> str:
        """The parameter with this number, from 0 on; empty where there is none."""
        return self.params[number] if number < len(self.params) else ""

    @property
    def nick(self) -> str:
        """The nick, or the server's name, that it comes from."""
        return self.source.partition("!")[0]

    @property
    def text(self) -> str:
        """The last parameter: for a person, where there is one."""
        return self.params[-1] if self.params else ""

    @property
    def moment(self) -> float | None:
        """When the server says that it was said, in Unix seconds: server-time, or Twitch's tmi-sent-ts."""
        try:
            if told := self.tags.get("time"):
                return datetime.fromisoformat(told).timestamp()
            if told := self.tags.get("tmi-sent-ts"):
                return int(told) / 1000
        except (ValueError, OverflowError):
            return None
        return None

    @property
    def msgid(self) -> str | None:
        """The protocol's own id: IRCv3's msgid tag, or Twitch's id."""
        return self.tags.get("msgid") or self.tags.get("id") or None


def parse(raw: bytes, decoded: Callable[[bytes], str] | None = None) -> Line | None:
    """The line in these bytes, without its end; None where there is no command in it. `decoded` is for `decode`."""
    tags: dict[str, str] = {}
    if raw.startswith(b"@"):
        told, _, raw = raw[1:].partition(b" ")
        tags = dict(_tags(told.decode("utf-8", "replace")))
    rest, source = (decoded or decode)(raw.lstrip(b" ")), ""
    if rest.startswith(":"):
        source, _, rest = rest[1:].partition(" ")
    middle, trail, text = rest.lstrip(" ").partition(" :")
    words = [word for word in middle.split(" ") if word]
    if not words or words[0].startswith(":"):
        return None
    return Line(words[0].upper(), (*words[1:], *([text] if trail else [])), source, tags)


def _tags(told: str) -> Iterator[tuple[str, str]]:
    for tag in told.split(";"):
        key, _, value = tag.partition("=")
        if key:
            yield key, unescape(value) if "\\" in value else value


def unescape(value: str) -> str:
    """A tag's value as it was meant; a lone backslash at the end is dropped, as the specification has it."""
    parts = iter(value)
    return "".join(
        _ESCAPES.get(after := next(parts, ""), after) if character == "\\" else character for character in parts
    )


def decode(raw: bytes) -> str:
    """IRC names no encoding: UTF-8, and where it is not that, Windows-1252, and where it is not even that, Latin-1.

    A server that cuts a line at 512 bytes may cut through a character: what is UTF-8 up to there stays so.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and not raw[: error.start].isascii():
            return raw[: error.start].decode() + "\N{REPLACEMENT CHARACTER}"
    try:
        return raw.decode("cp1252")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def compose(command: str, *params: str) -> bytes:
    """The bytes of a line that we send, with its end. Raises `ValueError` where it is none, or is too long."""
    *middle, last = (command, *params)
    if params and (not last or last.startswith(":") or " " in last):
        last = f":{last}"
    line = " ".join((*middle, last)).encode() + b"\r\n"
    if len(line) > LONGEST_LINE or any(byte in line[:-2] for byte in b"\r\n\0"):
        raise ValueError(f"no line of IRC: {command}")  # without its parameters: one may be a password
    return line


def pong(ping: bytes) -> bytes:
    """The answer to a PING, with its end: what the server said, as it said it; never more than a line, nor two."""
    line = parse(ping, _byte_by_byte)
    told = line.text.encode("latin-1").translate(None, b"\r\n\0") if line else b""
    return (b"PONG :" + told)[: LONGEST_LINE - 2] + b"\r\n"


def _byte_by_byte(raw: bytes) -> str:
    return raw.decode("latin-1")


@lru_cache(4096)  # every line asks for the same few names
def fold(name: str, mapping: str = "rfc1459") -> str:
    """The name of a channel or a nick for comparing; `mapping` is the server's CASEMAPPING."""
    table = _FOLDS.get(mapping)
    return name.translate(table) if table else name.casefold()


def sasl_plain(account: str, password: str) -> list[bytes]:
    """The lines that answer `AUTHENTICATE +` for SASL PLAIN (RFC 4616), in the chunks that IRCv3 asks for."""
    told = base64.b64encode(f"{account}\0{account}\0{password}".encode()).decode()
    chunks = [told[start : start + SASL_CHUNK] for start in range(0, len(told), SASL_CHUNK)]
    if len(chunks[-1]) == SASL_CHUNK:
        chunks.append("+")  # the end of what fills its last chunk
    return [compose("AUTHENTICATE", chunk) for chunk in chunks]


class Cutter:
    """Cuts what comes from a connection into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole now, without their ends. Raises `ConnectionLost` where no line ends."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LONGEST_HEARD:
            raise ConnectionLost(f"More than {LONGEST_HEARD:,} bytes without the end of a line: this is no IRC server")
        return [line.rstrip(b"\r") for line in lines]
