"""What `listen` is pointed at: URLs as a person types them, as typed places. Pure."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from producer.live.heard import site_of
from schemas.errors import UsageProblem

STANDARD_INPUT = "-"

FORM_OF = {
    "irc": "irc[s]://[nick@]host[:port]/%23channel[,%23other]",
    "xmpp": "xmpp://user@domain[:port]/room@conference.domain",
    "matrix+http": "matrix+http[s]://user@host[:port]/!room:domain",
    "http": "http://host:port",
}
FORMS = f"{', '.join(FORM_OF.values())}, or - for standard input"


@dataclass(frozen=True)
class _Place:
    url: str
    """As it was typed: printable, and without a secret."""
    network: str
    """The first part of a site_id: the host, or what `--as` calls it."""

    def site(self, channel: str) -> str:
        """The site_id of what is heard in `channel`."""
        return site_of(self.network, channel)


@dataclass(frozen=True)
class IrcPlace(_Place):
    """Channels of an IRC network. `nick` is None where one may be made up."""

    host: str
    port: int
    tls: bool
    nick: str | None
    channels: tuple[str, ...]


@dataclass(frozen=True)
class XmppPlace(_Place):
    """A group chat. `account` and `room` are bare JIDs; `host` and `port` are None where DNS tells them."""

    account: str
    port: int | None
    room: str
    nick: str


@dataclass(frozen=True)
class MatrixPlace(_Place):
    """A room: `room` is its id (`!x:domain`) or an alias (`#x:domain`), `server` the homeserver's base URL.

    `user` is a name on it, or a whole user id (`@user:domain`).
    """

    server: str
    user: str
    room: str

    @property
    def host(self) -> str:
        """The homeserver's."""
        return urlsplit(self.server).hostname or ""


@dataclass(frozen=True)
class WebPlace(_Place):
    """A port to open for webhooks. `named`: whether `--as` gave the network's name, else a webhook's system has its
    own."""

    host: str
    port: int
    named: bool = False


@dataclass(frozen=True)
class InputPlace(_Place):
    """Standard input."""


Place: TypeAlias = IrcPlace | XmppPlace | MatrixPlace | WebPlace | InputPlace

_BEFORE_AT = re.compile(r"((?://|^\w+:(?!//)|^)[^/:@]*):(?!//).*@")
_VALUE = re.compile(r"=[^&=]+")


def parse_places(urls: Iterable[str], names: Iterable[str] = ()) -> list[Place]:
    """The places of these URLs, each once; `names` are `--as`: NAME for all, or URL=NAME.

    Raises `UsageProblem` for a URL that is none of ours, has a password in it, or a name that fits none.
    """
    places = [parse_place(url) for url in dict.fromkeys(urls)]
    for given in names:
        url, name = _split_name(given, places)
        places = [_named(place, name) if url is None or place.url == url else place for place in places]
    return places


def parse_place(url: str) -> Place:
    """The place that a URL names. Raises `UsageProblem` as `parse_places` does."""
    if url == STANDARD_INPUT:
        return InputPlace(url, "standard-input")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageProblem(f"{shown(url)}: {error}", _forms(url)) from None
    if parts.password is not None:
        raise UsageProblem(
            f"{shown(url)}: a password in a URL is seen by everybody who lists processes",
            "Leave it out, and give --secret-file URL=PATH",
        )
    makers: dict[str, Callable[[str, SplitResult, int | None], Place]] = {
        "irc": _irc,
        "ircs": _irc,
        "xmpp": _xmpp,
        "matrix+http": _matrix,
        "matrix+https": _matrix,
        "http": _web,
    }
    if parts.scheme not in makers:
        raise UsageProblem(f"{shown(url)}: not a URL that can be listened to", _forms(url))
    if not parts.hostname:
        raise _wrong(url, "names no host")
    if parts.fragment or parts.query:
        mended = shown(url).replace("#", "%23").replace("?", "%3F")
        raise UsageProblem(f"{shown(url)}: # is written %23 here, and ? is written %3F", f"Write {mended}")
    return makers[parts.scheme](url, parts, port)


def _irc(url: str, parts: SplitResult, port: int | None) -> IrcPlace:
    channels = tuple(dict.fromkeys(unquote(name) for name in parts.path.strip("/").split(",") if name))
    if not channels:
        raise _wrong(url, "names no channel")
    bad = [name for name in channels if name[0] not in "#&+!" or any(c in " ,\a\r\n\0" for c in name)]
    if bad:
        raise _wrong(url, f"{bad[0]!r} is no channel's name: # is written %23")
    tls = parts.scheme == "ircs"
    host = _host(parts)
    return IrcPlace(url, host, host, port or (6697 if tls else 6667), tls, _user(parts), channels)


def _xmpp(url: str, parts: SplitResult, port: int | None) -> XmppPlace:
    user = _user(parts)
    room, _, nick = parts.path.strip("/").partition("/")
    if not user or "@" not in (room := unquote(room)):
        raise _wrong(url, "an account and a room are needed")
    host = _host(parts)
    return XmppPlace(url, host, f"{user}@{host}", port, room, unquote(nick) or user)


def _matrix(url: str, parts: SplitResult, port: int | None) -> MatrixPlace:
    user, room = _user(parts), unquote(parts.path.strip("/"))
    if not user or room[:1] not in ("!", "#"):
        raise _wrong(url, "a user and a room (!id:domain, or %23alias:domain) are needed")
    server = f"{parts.scheme.removeprefix('matrix+')}://{bracketed(_host(parts))}{f':{port}' if port else ''}"
    return MatrixPlace(url, _host(parts), server, user, room)


def _web(url: str, parts: SplitResult, port: int | None) -> WebPlace:
    if parts.path.strip("/") or parts.username:
        raise _wrong(url, "only host and port to open are named")
    return WebPlace(url, _host(parts), _host(parts), 80 if port is None else port)


def is_loopback(host: str) -> bool:
    """Whether what is sent there stays on this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host(parts: SplitResult) -> str:
    assert parts.hostname
    return parts.hostname


def bracketed(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def _user(parts: SplitResult) -> str | None:
    return unquote(parts.username) if parts.username else None


def _wrong(url: str, what: str) -> UsageProblem:
    return UsageProblem(f"{shown(url)}: {what}", _forms(url))


def _forms(url: str) -> str:
    """How a URL of this scheme is written; of none of ours, all of them."""
    scheme = url.partition("://")[0].lower()
    own = FORM_OF.get(scheme) or (FORM_OF.get(scheme.removesuffix("s")) if scheme != "https" else None)
    return f"It is written {own}" if own else f"It may be {FORMS}"


def shown(url: str) -> str:
    """A URL as it may be told: a password that somebody put into it, before the `@` or as a `name=value`, is masked."""
    told = _BEFORE_AT.sub(r"\1:***@", url)
    return _VALUE.sub("=***", told)


def _named(place: Place, name: str) -> Place:
    if isinstance(place, WebPlace):
        return replace(place, network=name, named=True)
    return replace(place, network=name)


def _split_name(given: str, places: list[Place]) -> tuple[str | None, str]:
    """URL and name of an `--as`; no URL where it is for all."""
    if "://" not in given and not given.startswith("-="):
        return None, given
    url, name = split_pair("--as", given, [place.url for place in places])
    return url, name


def split_pair(flag: str, given: str, urls: list[str]) -> tuple[str, str]:
    """The URL that is meant by `URL=VALUE`, and the value. A beginning of it will do, where it is no other's too.

    Raises `UsageProblem` where it is none's, or several's.
    """
    for beginning, value in splits(given):
        fitting = [url for url in urls if url == beginning] or [url for url in urls if url.startswith(beginning)]
        if len(fitting) > 1:
            raise UsageProblem(
                f"{flag} {shown(beginning)}=...: {len(fitting)} of the URLs begin so", "Write more of it"
            )
        if fitting and value:
            return fitting[0], value
    raise UsageProblem(f"{flag} {shown(given.partition('=')[0])}=...: none of the URLs begins so", "Give URL=VALUE")


def splits(given: str) -> Iterator[tuple[str, str]]:
    """Where it may be split: at any `=`, for there may be some in a URL, and some in a value."""
    places = [place for place, character in enumerate(given) if character == "="]
    return ((given[:place], given[place + 1 :]) for place in places)
