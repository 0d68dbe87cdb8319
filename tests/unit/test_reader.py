"""A source read by line: each line is a block of its own, and ends where it does when blocks are large."""

from pathlib import Path

import pytest

from producer.sources.blocks import Block
from producer.sources.reader import Reader
from producer.sources.streams import open_source

LIMIT = 20
TEXT = b"\xef\xbb\xbfone\r\n\n  \n" + b"long" * 10 + b"\ntwo\n" + b"x" * LIMIT + b"\nlast"


def blocks(path: Path, read_bytes: int, *, by_line: bool, start: int = 0) -> list[tuple[Block, int]]:
    """All blocks, and how far the reader says it is behind each."""
    source = open_source(str(path), lambda: False)
    reader = Reader(source, limit=LIMIT, start=start, read_bytes=read_bytes, by_line=by_line)
    found = []
    while block := reader.next_block():
        found.append((block, reader.raw_position))
    if block := reader.last_block():
        found.append((block, reader.raw_position))
    source.close()
    return found


@pytest.mark.parametrize("read_bytes", [1, 2, 7, 50, 1_000])
def test_each_line_is_a_block_that_ends_where_the_line_does(tmp_path: Path, read_bytes: int) -> None:
    path = tmp_path / "chat.log"
    path.write_bytes(TEXT)
    found = blocks(path, read_bytes, by_line=True)
    whole = [block for block, _ in blocks(path, 1_000, by_line=False)]
    assert [block.total for block, _ in found] == [1] * 7
    assert [line for block, _ in found for line in block.lines] == [line for block in whole for line in block.lines]
    assert [line for block, _ in found for line in block.oversize] == [line for b in whole for line in b.oversize]
    ends = [end for end, byte in enumerate(TEXT, 1) if byte == ord("\n")]
    assert [block.end for block, _ in found] == [*ends, len(TEXT)]
    assert [position for _, position in found] == [*ends, len(TEXT)]


@pytest.mark.parametrize("end", range(4))
def test_it_goes_on_from_the_end_of_any_line(tmp_path: Path, end: int) -> None:
    path = tmp_path / "chat.log"
    path.write_bytes(TEXT)
    found = [block for block, _ in blocks(path, 7, by_line=True)]
    rest = [block for block, _ in blocks(path, 7, by_line=True, start=found[end].end)]
    assert rest == found[end + 1 :]


def test_what_was_read_of_a_followed_file_is_given_out_though_it_was_truncated(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    path.write_bytes(b"one\ntwo\nthree\n")
    source = open_source(str(path), lambda: False)
    reader = Reader(source, limit=LIMIT, follow=True, by_line=True)
    found = [reader.next_block()]
    path.write_bytes(b"new\n")
    found += [reader.next_block() for _ in range(4)]
    source.close()
    assert [block and block.lines for block in found] == [[b"one"], [b"two"], [b"three"], None, [b"new"]]
