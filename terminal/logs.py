"""Log lines: to stderr, one a line, the same from every process."""

import logging
import sys


def set_up_logs(level: int, name: str = "chatferry") -> None:
    """Send the log records of this process, from `level` on, to stderr; `name` says which process speaks."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(f"%(asctime)s {name} %(levelname)s %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("alembic").setLevel(max(level, logging.WARNING))


def printable(text: str, limit: int = 200) -> str:
    """`text` as it may reach a terminal: control characters escaped, cut at `limit` characters."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
