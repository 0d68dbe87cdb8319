"""Installs what is compared with and is not there yet; what cannot be had is said, and left out of the run.

Debian's packages need root. The rest goes into .cache.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable

from benchmarks import loaders, peers, senders

TOOLS: list[tuple[str, Callable[[], bool], Callable[[], None]]] = [
    ("kcat", lambda: shutil.which("kcat") is not None, senders.install),
    ("jq", lambda: shutil.which("jq") is not None, loaders.install),
    ("rsyslog, Quix Streams and Benthos", peers.installed, peers.install),
]
"""What it is, whether it is there, and what installs it."""


def main() -> None:
    """Install what is missing."""
    for name, there, install in TOOLS:
        if there():
            continue
        print(f"installing {name}", file=sys.stderr, flush=True)
        try:
            install()
        except (OSError, subprocess.CalledProcessError) as problem:
            print(f"{name} cannot be had here and is left out: {problem}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
