"""What a webhook may say no with. Pure."""

import hmac
from typing import Any


class Refused(Exception):
    """The request is not taken, none of it; `status` is HTTP's. Not one of chatferry's failures: it is the sender's."""

    def __init__(self, status: int, text: str, *, item: int | None = None, field: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.body: dict[str, Any] = {"error": text}
        if item is not None:
            self.body["item"] = item
        if field is not None:
            self.body["field"] = field


def unauthorized(text: str) -> Refused:
    """A token or a signature is missing, or wrong."""
    return Refused(401, text)


def same(given: str | None, secret: str) -> bool:
    """Whether it is the secret, in a time that does not tell how much of it is right."""
    return given is not None and hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def check_bearer(authorization: str | None, *tokens: str | None) -> None:
    """See that the Authorization header has one of the tokens. Raises `Refused` (401)."""
    scheme, _, given = (authorization or "").partition(" ")
    right = [same(given.strip(), token) for token in tokens if token]
    if scheme.lower() != "bearer" or not any(right):
        raise unauthorized("a bearer token is needed: Authorization: Bearer TOKEN")
