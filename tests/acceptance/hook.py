"""A listener with a webhook, as a person starts it, and requests to it."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from tests.acceptance.ferry import Ferry, Running

LISTENING = re.compile(r"(http://[^ ]+:[0-9]+): listening")
ANSWER_SECONDS = 30.0


@dataclass(frozen=True)
class Answer:
    """What the webhook said."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Hook:
    """`chatferry listen http://127.0.0.1:0 ...`, which takes any free port."""

    def __init__(self, running: Running) -> None:
        self.running = running
        running.wait_until(lambda: LISTENING.search(running.err), "it listens")
        found = LISTENING.search(running.err)
        assert found
        self.url = found[1]

    @classmethod
    def start(cls, ferry: Ferry, *more: str, env: Mapping[str, str] | None = None, stdin: int | None = None) -> Self:
        """Start it with more flags and URLs."""
        return cls(ferry.start("listen", "http://127.0.0.1:0", *more, "--json", env=env, stdin=stdin))

    def post(self, path: str, body: bytes | Any, **headers: str) -> Answer:
        """Send it a request: bytes as they are, anything else as JSON. `X_Name` is the header X-Name."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        return self._answer(urllib.request.Request(self.url + path, data, named))  # noqa: S310

    def get(self, path: str) -> Answer:
        """Ask it."""
        return self._answer(urllib.request.Request(self.url + path))  # noqa: S310

    def _answer(self, request: urllib.request.Request) -> Answer:
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:  # noqa: S310 -- the URL is ours
                return Answer(answer.status, _json(answer.read()), dict(answer.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, _json(error.read()), dict(error.headers))


def _json(content: bytes) -> Any:
    return json.loads(content) if content else None
