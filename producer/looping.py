"""`--loop`: the same log again and again, for a demo, with other ids in every round so that rows come."""

import msgspec

from schemas.message import NAME_LENGTH

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode


class Loop:
    """Rounds through the same files. In each one every id ends with `~RUN.ROUND`; the rest of a line stays."""

    def __init__(self, run: int, rounds: int | None = None) -> None:
        """`run` tells this run from others, for example by when it began; None: rounds for ever."""
        self._run = run
        self._rounds = rounds
        self.round = 0
        """The round that is going on, from 1; 0 before the first."""

    def next_round(self) -> bool:
        """Begin the next round; False where there is none."""
        if self._rounds is not None and self.round >= self._rounds:
            return False
        self.round += 1
        return True

    def renamed(self, lines: list[bytes], longest: int) -> list[bytes]:
        """The lines with this round's ids, where they have one and stay within `longest` bytes; else as they are."""
        suffix = f"~{self._run}.{self.round}"
        return [_with_suffix(line, suffix, longest) for line in lines]


def _with_suffix(line: bytes, suffix: str, longest: int) -> bytes:
    """A line without an id, with one that would be too long, or that is no JSON stays: others judge it."""
    try:
        fields = _fields(line)
        name = _text(fields["id"])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return line
    if not name or len(name) + len(suffix) > NAME_LENGTH:
        return line
    fields["id"] = msgspec.Raw(bytes(fields["id"])[:-1] + suffix.encode() + b'"')
    renamed = msgspec.json.encode(fields)
    return renamed if len(renamed) <= longest else line
