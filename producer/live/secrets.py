"""Passwords, tokens and signing secrets of the systems that are listened to. Never from the command line."""

import logging
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from producer.live.urls import IrcPlace, MatrixPlace, Place, XmppPlace, is_loopback, split_pair, splits
from schemas.settings import secret

log = logging.getLogger(__name__)


class SecretOf(StrEnum):
    """What a secret is for; the value is its environment variable."""

    IRC = "CHATFERRY_IRC_PASSWORD"
    XMPP = "CHATFERRY_XMPP_PASSWORD"
    MATRIX = "CHATFERRY_MATRIX_PASSWORD"
    MATRIX_TOKEN = "CHATFERRY_MATRIX_TOKEN"  # noqa: S105 -- a variable's name
    HTTP = "CHATFERRY_HTTP_TOKEN"
    SLACK = "CHATFERRY_SLACK_SIGNING_SECRET"
    DISCORD = "CHATFERRY_DISCORD_TOKEN"
    DISCORD_KEY = "CHATFERRY_DISCORD_PUBLIC_KEY"
    TELEGRAM = "CHATFERRY_TELEGRAM_SECRET"


ENDING = {
    SecretOf.MATRIX_TOKEN: "#token",
    SecretOf.SLACK: "/slack/events",
    SecretOf.DISCORD: "/discord",
    SecretOf.DISCORD_KEY: "/discord#key",
    SecretOf.TELEGRAM: "/telegram",
}
"""What `--secret-file` has behind the URL where a place has more than one secret."""


SENT: dict[type[Place], tuple[SecretOf, ...]] = {
    IrcPlace: (SecretOf.IRC,),
    XmppPlace: (SecretOf.XMPP,),
    MatrixPlace: (SecretOf.MATRIX_TOKEN, SecretOf.MATRIX),
}
"""What is sent to a place, the first of them that is given; the others are what strangers must show us."""


class Secrets:
    """Where each secret is to be found: in the file that `--secret-file` names for the URL, or in its variable."""

    def __init__(self, pairs: tuple[str, ...], places: list[Place], environment: Mapping[str, str]) -> None:
        """`pairs` are URL=PATH. Raises `UsageProblem` for one whose URL is none of the places', or several's."""
        self._environment = environment
        self._files: dict[str, Path] = {}
        urls = [place.url for place in places]
        exact = {url.rstrip("/") + ending for url in urls for ending in ENDING.values()}
        for pair in pairs:
            named = [(url, path) for url, path in splits(pair) if url in exact and path]
            url, path = named[0] if named else split_pair("--secret-file", pair, urls)
            self._files[url] = Path(path)
        self._warn_of_one_for_many(places)

    def _warn_of_one_for_many(self, places: list[Place]) -> None:
        """One network must not learn what another one's password is, unless somebody means it."""
        hosts: dict[SecretOf, set[str]] = {}
        for place in places:
            given = (
                kind for kind in SENT.get(type(place), ()) if self._file(place, kind) or self._environment.get(kind)
            )
            if (kind := next(given, None)) and not self._file(place, kind):
                hosts.setdefault(kind, set()).add(_host(place))
        for kind, those in hosts.items():
            if len(those) > 1:
                log.warning(
                    "%s is given to %s, each of which then knows it; --secret-file URL=PATH gives each its own",
                    kind,
                    " and ".join(sorted(those)),
                )

    def of(self, place: Place, kind: SecretOf) -> str | None:
        """The secret, None where there is none. Raises `UsageProblem` for a file that cannot be read."""
        return secret(kind, self._file(place, kind), self._environment) or None

    def _file(self, place: Place, kind: SecretOf) -> Path | None:
        ending = ENDING.get(kind)
        return self._files.get(place.url.rstrip("/") + ending if ending else place.url)


def warn_in_the_clear(place: IrcPlace | MatrixPlace, what: str, better: str) -> None:
    """To be called where a secret is sent without TLS: others may read it on the way, unless that is this machine."""
    if not is_loopback(place.host):
        log.warning("%s: the %s goes over the network in the clear; %s:// would hide it", place.url, what, better)


def _host(place: Place) -> str:
    match place:
        case IrcPlace() | MatrixPlace():
            return place.host
        case XmppPlace():
            return place.account.rpartition("@")[2]
    return place.network
