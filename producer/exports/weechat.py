"""WeeChat's logs: date, prefix and message on each line, divided by tabs."""

import re
from collections.abc import Iterator
from datetime import datetime

from producer.exports.bundle import Bundle
from producer.exports.conversion import Conversion, Kind, as_it_is, line, unix
from producer.exports.text import Ids, Piece, lines, stem

NETWORK = "irc"
ENDINGS = (".weechatlog", ".log", ".weechatlog.gz", ".weechatlog.zst", ".weechatlog.xz", ".weechatlog.bz2")

LINE = re.compile(
    r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:?\d\d)?)\t([^\t]*)\t(.*)", re.ASCII | re.DOTALL
)
_NO_ZONE = re.compile(rb"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?\t")
_STATUS = frozenset({"-->", "<--", "--", "=!=", "", "---"})
_WHO = re.compile(r"(\S+) (?:\([^)]*\) has (?:joined|left|quit)|is now known as|has changed topic)")
_MODES = "~&@%+!"
_BUFFER = re.compile(r"irc\.([^.]+)\.(.+)")


def wanted(name: str) -> bool:
    """Whether a part of this name is a log."""
    return name.endswith(ENDINGS)


def convert(bundle: Bundle, how: Conversion) -> Iterator[bytes]:
    """The lines of each log in its order; network and channel are read off the file's name, `irc.NETWORK.CHANNEL`."""
    told = False
    for part in bundle.walk(wanted):
        network, channel = _place(stem(part.name))
        site = how.site(network, channel)
        ids = Ids(how.network or network)
        for text in lines(part.stream):
            if not told and _NO_ZONE.match(text):
                told = True
                how.warn_of_no_zone(bundle.name)
            yield bytes(text) if isinstance(text, Piece) else _line(text, site, ids, how)


def _place(name: str) -> tuple[str, str]:
    buffer = _BUFFER.fullmatch(name)
    return (buffer[1], buffer[2]) if buffer else (NETWORK, name)


def _line(text: bytes, site: str, ids: Ids, how: Conversion) -> bytes:
    try:
        found = LINE.fullmatch(text.decode().removesuffix("\r"))
        if not found:
            return as_it_is(text)
        moment = datetime.fromisoformat(found[1])
        timestamp = unix(moment if moment.tzinfo else moment.replace(tzinfo=how.zone))
    except ValueError:  # not UTF-8, or no moment
        return as_it_is(text)
    sender, kind, data = _saying(found[2], found[3])
    return line(ids.next(site, timestamp, sender, kind, data), sender, kind, site, timestamp, data)


def _saying(prefix: str, text: str) -> tuple[str, Kind, str]:
    prefix = prefix.strip()
    if prefix == "*":
        sender, _, did = text.partition(" ")
        return sender, "message", f"/me {did}"
    if prefix in _STATUS:
        who = _WHO.match(text)
        return who[1] if who else "", "status", text
    return prefix.lstrip(_MODES), "message", text
