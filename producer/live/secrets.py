"""Passwords, tokens and signing secrets of the systems that are listened to. Never from the command line."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from producer.live.urls import Place, split_pair, splits
from schemas.settings import secret


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

    def of(self, place: Place, kind: SecretOf) -> str | None:
        """The secret, None where there is none. Raises `UsageProblem` for a file that cannot be read."""
        ending = ENDING.get(kind)
        file = self._files.get(place.url.rstrip("/") + ending if ending else place.url)
        return secret(kind, file, self._environment) or None
