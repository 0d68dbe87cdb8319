"""Whatever becomes of an export's bytes, a conversion gives whole lines or stops with a sentence; it never breaks."""

from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.exports.conversion import Conversion
from producer.exports.opening import open_input
from schemas.errors import Stop
from tests.exports.samples import SAMPLES

PIECES = [b"", b"\n", b"\r\n", b'"', b"\\", b"{", b"}", b"]", b"null", b"-1", b"9" * 30, b"1e400", b"\xff", b"\\ud800",
          b"\0", "\u202f\u200e".encode(), b"99/99/99, 99:99 - ", b"1/5/24, 9:59 -",
          b"--- Day changed Thu Feb 30 2024\n", b'"id":', b","]  # fmt: skip


class Change(NamedTuple):
    """So many bytes at a place, given as a share of the file, replaced by others."""

    place: float
    length: int
    piece: bytes

    def applied(self, content: bytes) -> bytes:
        start = int(self.place * len(content))
        return content[:start] + self.piece + content[start + self.length :]


CHANGE = st.builds(Change, st.floats(0, 1), st.integers(0, 40), st.sampled_from(PIECES) | st.binary(max_size=8))
CHANGES = st.lists(CHANGE, min_size=1, max_size=4)


def convert(path: Path, name: str) -> bytes:
    source = open_input(str(path), lambda: False, Conversion(format=name, date_order="dmy"))
    try:
        return b"".join(iter(lambda: source.read(1 << 20), b""))
    finally:
        source.close()


@pytest.mark.parametrize("name", SAMPLES)
def test_export_that_was_changed_anywhere_gives_whole_lines_or_stops(name: str, tmp_path: Path) -> None:
    path = SAMPLES[name](tmp_path)
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    contents = {file: file.read_bytes() for file in files}

    @settings(max_examples=100)
    @given(st.sampled_from(files), CHANGES, st.booleans())
    def changed(file: Path, changes: list[Change], carriage_returns: bool) -> None:
        content = contents[file]
        if carriage_returns:
            content = content.replace(b"\n", b"\r\n")
        for change in changes:
            content = change.applied(content)
        file.write_bytes(content)
        try:
            text = convert(path, name)
        except Stop:
            return
        finally:
            file.write_bytes(contents[file])
        assert not text or text.endswith(b"\n")

    changed()
