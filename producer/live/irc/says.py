"""What a line of IRC says to those in a channel: by whom, and what. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from producer.live.irc.wire import Line


@dataclass(frozen=True, slots=True)
class Saying:
    """What is said. `event` is empty for a message; `of` is the protocol's id of the message that it speaks of."""

    sender: str
    text: str = ""
    event: str = ""
    of: str = ""


def said(line: Line) -> Saying | None:
    """What the line says; None for what is between the server and us."""
    reader = _READERS.get(line.command)
    return reader(line) if reader else None


def _message(line: Line) -> Saying:
    text = line.param(1)
    if text.startswith("\x01ACTION "):
        text = "/me " + text.removeprefix("\x01ACTION ").removesuffix("\x01")
    return Saying(line.nick, text)


def _join(line: Line) -> Saying:
    account = line.tags.get("account") or line.param(1)
    return Saying(line.nick, "" if account in ("", "*") else f"account {account}", "join")


def _part(line: Line) -> Saying:
    return Saying(line.nick, line.param(1), "part")


def _quit(line: Line) -> Saying:
    return Saying(line.nick, line.param(0), "quit")


def _rename(line: Line) -> Saying:
    return Saying(line.nick, line.param(0), "rename")


def _kick(line: Line) -> Saying:
    reason = f" ({line.param(2)})" if line.param(2) else ""
    return Saying(line.nick, line.param(1) + reason, "kick")


def _topic(line: Line) -> Saying:
    return Saying(line.nick, line.param(1), "topic")


def _mode(line: Line) -> Saying:
    return Saying(line.nick, " ".join(line.params[1:]), "mode")


def _redaction(line: Line) -> Saying:
    return Saying(line.nick, line.param(2), "deletion", line.param(1))


# Twitch's own commands: dev.twitch.tv/docs/irc/commands


def _one_cleared(line: Line) -> Saying:
    return Saying(line.tags.get("login") or line.nick, line.param(1), "deletion", line.tags.get("target-msg-id", ""))


def _cleared(line: Line) -> Saying:
    if not (user := line.param(1)):
        return Saying(line.nick, event="clear")
    seconds = line.tags.get("ban-duration")
    return Saying(line.nick, f"{user} for {seconds} s", "timeout") if seconds else Saying(line.nick, user, "ban")


def _notice(line: Line) -> Saying:
    told = ": ".join(filter(None, (line.tags.get("system-msg"), line.param(1))))
    return Saying(line.tags.get("login") or line.nick, told, line.tags.get("msg-id") or "notice")


_READERS: dict[str, Callable[[Line], Saying]] = {
    "PRIVMSG": _message,
    "NOTICE": _message,
    "JOIN": _join,
    "PART": _part,
    "QUIT": _quit,
    "NICK": _rename,
    "KICK": _kick,
    "TOPIC": _topic,
    "MODE": _mode,
    "REDACT": _redaction,
    "CLEARMSG": _one_cleared,
    "CLEARCHAT": _cleared,
    "USERNOTICE": _notice,
}
