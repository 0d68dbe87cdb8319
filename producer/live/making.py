"""From a place to what listens there. Each listener's module is imported only when it is asked for."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from producer.live.listener import Listener
from producer.live.memory import Memory
from producer.live.secrets import Secrets
from producer.live.urls import InputPlace, IrcPlace, MatrixPlace, Place, WebPlace, XmppPlace

LISTENERS: dict[type[Any], tuple[str, str]] = {
    IrcPlace: ("producer.live.irc.listener", "IrcListener"),
    XmppPlace: ("producer.live.xmpp.listener", "XmppListener"),
    MatrixPlace: ("producer.live.matrix.listener", "MatrixListener"),
    WebPlace: ("producer.live.webhooks.listener", "WebListener"),
    InputPlace: ("producer.live.standard_input", "InputListener"),
}
"""Place: module and class. The class is called with the place, the secrets and the listener's memory; it raises
`UsageProblem` where a secret is missing, and dials nobody yet."""

MakeListener = Callable[[Place, Secrets, Memory], Listener]


def make_listener(place: Place, secrets: Secrets, memory: Memory) -> Listener:
    """The listener for a place. Raises `UsageProblem` where it cannot be made of what was given."""
    module, name = LISTENERS[type(place)]
    maker = cast("MakeListener", getattr(import_module(module), name))
    return maker(place, secrets, memory)
