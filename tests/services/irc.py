"""What the tests' IRC servers have in common."""

import socket
from pathlib import Path

from tests.services.process import installed

ROOT = "irc"
"""The folder in .cache/services that tests/prepare unpacks Debian's packages to."""


def program(name: str) -> Path:
    """A server's program. Raises ServicesMissingError where it is not there."""
    return installed(f"{ROOT}/usr/sbin/{name}")


def libraries() -> Path:
    """The folder of Debian's shared libraries."""
    return next(installed(f"{ROOT}/usr/lib").glob("*-linux-gnu"))


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0
