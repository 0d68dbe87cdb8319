"""What a conversion is told, and the lines that it makes.

A conversion is a generator of bytes: JSON lines of chatferry's own shape, each with its newline, the same ones in the
same order whenever it runs over the same export. So an offset in what it makes is a place to go on from. What it cannot
map it gives as it is, on one line: the consumer makes a dead letter of that.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from schemas.errors import UsageProblem
from schemas.message import ChatLine

log = logging.getLogger(__name__)

Kind = Literal["message", "status"]

Day = tuple[int, int, int]
"""Year, month, day."""

Time = tuple[int, int, int]
"""Hour, minute, second."""

LONGEST_NETWORK = 64
"""Characters of `--as`: an id holds it beside the platform's own, and has 255."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Conversion:
    """How an export is read. `network` is the first part of a site's name, None for the format's own; `zone` is where
    times without a zone were written, and `zone_named` whether a person said so; `date_order` is `dmy`, `mdy`, `ymd` or
    None: found out."""

    format: str = "auto"
    network: str | None = None
    zone: tzinfo = UTC
    date_order: str | None = None
    zone_named: bool = True

    def site(self, own: str, channel: str) -> str:
        """The name of a site: network and channel, `own` being the format's network."""
        return f"{self.network or own}/{channel}"

    def warn_of_no_zone(self, name: str) -> None:
        """To be called where the times of the export `name` have no zone: with the zone, hashed ids change."""
        if not self.zone_named:
            log.warning(
                "%s: its times have no zone, and are taken for UTC; --timezone ZONE says otherwise. Another zone later "
                "makes other ids, and so every row once more",
                name,
            )


def conversion_of(given: dict[str, Any]) -> Conversion:
    """The conversion that a command was asked for.

    Raises `UsageProblem` for a time zone that nobody knows, or a network's name that is too long.
    """
    network = given["as_"][-1] if given["as_"] else None
    if network is not None and len(network) > LONGEST_NETWORK:
        raise UsageProblem(f"--as has {len(network)} characters", f"At most {LONGEST_NETWORK} fit into an id")
    zone = given["timezone"]
    return Conversion(given["format"], network, zone_of(zone or "UTC"), given["date_order"], zone is not None)


def zone_of(name: str) -> tzinfo:
    """The time zone of an IANA name.

    Raises `UsageProblem` where there is none.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # OSError: the name of a folder of zones
        raise UsageProblem(f"--timezone {name!r} is no time zone", "For example Europe/Berlin, or UTC") from None


def line(identity: str, sender: str, kind: Kind, site: str, timestamp: float | str, data: str) -> bytes:
    """One message as a line with its newline; `timestamp` in Unix seconds."""
    return _encode(ChatLine(identity, sender, kind, site, timestamp, data)) + b"\n"


def as_it_is(element: bytes) -> bytes:
    """What could not be mapped, on one line: in JSON a newline can only stand between tokens, where a space does."""
    return element.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n"


def with_extras(text: str, extras: Iterable[str]) -> str:
    """The text, and below it what else the message carries, one a line."""
    return "\n".join(part for part in (text, *extras) if part)


def unix(moment: datetime) -> int | float:
    """Unix seconds of a moment with a zone, exact to the microsecond."""
    since = moment - _EPOCH
    seconds, rest = divmod(since, _SECOND)
    return seconds + (rest // _MICROSECOND) / 1_000_000 if rest else seconds


def local(zone: tzinfo, day: Day, time: Time) -> int | float:
    """Unix seconds of what calendar and clock showed in the zone.

    Where a clock was set back and showed a time twice, the first one is meant. Raises `ValueError` for what no clock
    shows.
    """
    return unix(datetime(*day, *time, tzinfo=zone))
