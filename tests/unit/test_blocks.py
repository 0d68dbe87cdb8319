"""The line cutter against a simple model that knows the whole input, and examples by name."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from producer.sources.blocks import BOM, Block, LineCutter
from schemas.topics import REFERENCE_HEAD, Oversize

NO_LIMIT = 1 << 20


@dataclass
class Reading:
    """What a log holds: the lines to be sent, the counts, and the references to lines over the limit."""

    lines: list[bytes] = field(default_factory=list)
    total: int = 0
    blank: int = 0
    oversize: list[Oversize] = field(default_factory=list)

    def take(self, block: Block) -> None:
        self.lines += block.lines
        self.total += block.total
        self.blank += block.blank
        self.oversize += block.oversize


def raw_lines(data: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Each line with its newline, and its offset: what stands before `start` is no part of one."""
    place = start + len(BOM) if start == 0 and data.startswith(BOM) else start
    while place < len(data):
        end = data.find(b"\n", place) + 1 or len(data)
        yield place, data[place:end]
        place = end


def model(data: bytes, limit: int, start: int = 0) -> Reading:
    reading = Reading()
    for offset, raw in raw_lines(data, start):
        text = raw.removesuffix(b"\n").removesuffix(b"\r") if raw.endswith(b"\n") else raw
        reading.total += 1
        if len(text) > limit:
            digest = hashlib.sha256(text).hexdigest()
            reading.oversize.append(Oversize(offset, len(text), digest, text[:REFERENCE_HEAD]))
        elif not text.strip():
            reading.blank += 1
        else:
            reading.lines.append(text)
    return reading


def chunks(data: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """`data` in pieces of these sizes, and the rest in one."""
    places = [0, *accumulate(sizes)]
    for first, last in zip(places, [*places[1:], len(data)], strict=True):
        yield data[first : max(first, last)]


def blocks(cutter: LineCutter, pieces: Iterable[bytes], *, finish: bool = True) -> list[Block]:
    found = [cutter.feed(piece) for piece in pieces]
    if finish:
        found.append(cutter.finish())
    return [block for block in found if block is not None]


def read(data: bytes, limit: int = NO_LIMIT, sizes: Iterable[int] = (), start: int = 0) -> Reading:
    reading = Reading()
    for block in blocks(LineCutter(limit, start), chunks(data[start:], sizes)):
        reading.take(block)
    return reading


PIECES = [
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    BOM,
    BOM[:1],
    BOM[1:],
    b" ",
    b"\t",
    b"{}",
    b"x",
    b"xyz",
    b"\xe2\x80\xa8",
    b"\0",
]

logs = st.lists(
    st.one_of(
        st.sampled_from(PIECES),
        st.binary(max_size=4),
        st.integers(0, 40).map(lambda n: b"0123456789" * (n // 10) + b"y"),
    ),
    max_size=25,
).map(b"".join)
limits = st.sampled_from([1, 2, 3, 5, 8, 12, 20, NO_LIMIT])
sizes = st.lists(st.integers(0, 12), max_size=60)


@given(logs, limits, sizes)
@example(BOM + b"ab\r\ncd", 5, [1, 1, 1, 1])
@example(b"abcdef\r\nab\n", 5, [7, 1])
@example(b"abcdefgh\r", 5, [3, 3, 3])
def test_any_bytes_in_any_chunks_are_read_as_the_model_reads_them(data: bytes, limit: int, cuts: list[int]) -> None:
    assert read(data, limit, cuts) == model(data, limit)


@given(logs, limits, sizes)
def test_each_block_accounts_for_exactly_the_bytes_before_its_end(data: bytes, limit: int, cuts: list[int]) -> None:
    reading, before = Reading(), -1
    for block in blocks(LineCutter(limit), chunks(data, cuts)):
        assert before < block.end <= len(data)
        assert block.total == len(block.lines) + block.blank + len(block.oversize) > 0
        before = block.end
        reading.take(block)
        assert reading == model(data[: block.end], limit)
    assert before == len(data) or not reading.total


@given(logs, limits, sizes, st.data())
def test_reading_goes_on_from_the_end_of_any_block(
    data: bytes, limit: int, cuts: list[int], draw: st.DataObject
) -> None:
    ends = [block.end for block in blocks(LineCutter(limit), chunks(data, cuts), finish=False)]
    assume(ends)
    start = draw.draw(st.sampled_from(ends))
    first, rest = read(data[:start], limit, cuts), read(data, limit, cuts, start)
    assert Reading(
        first.lines + rest.lines, first.total + rest.total, first.blank + rest.blank, first.oversize + rest.oversize
    ) == model(data, limit)


@given(logs, sizes)
def test_held_counts_the_bytes_that_have_no_newline_yet(data: bytes, cuts: list[int]) -> None:
    cutter = LineCutter(NO_LIMIT)
    blocks(cutter, chunks(data, cuts), finish=False)
    assume(not BOM.startswith(data))  # what may become a BOM is not yet part of a line
    last = [raw for _, raw in raw_lines(data, 0)][-1:]
    assert cutter.held == sum(len(raw) for raw in last if not raw.endswith(b"\n"))


# --- by name ------------------------------------------------------------------------------------------------


def one_block(data: bytes, limit: int = NO_LIMIT, start: int = 0) -> Block:
    block = LineCutter(limit, start).feed(data)
    assert block is not None
    return block


def oversize(offset: int, text: bytes) -> Oversize:
    return Oversize(offset, len(text), hashlib.sha256(text).hexdigest(), text[:REFERENCE_HEAD])


def test_empty_input_gives_nothing() -> None:
    cutter = LineCutter(NO_LIMIT)
    assert (cutter.feed(b""), cutter.finish(), cutter.held) == (None, None, 0)


def test_two_lines_are_one_block() -> None:
    assert one_block(b"one\ntwo\n") == Block([b"one", b"two"], 8, 2, 0, [])


def test_offsets_count_from_the_start_that_was_given() -> None:
    assert one_block(b"one\ntwo\n", start=100) == Block([b"one", b"two"], 108, 2, 0, [])


def test_byte_order_mark_at_the_start_is_left_out_and_counted() -> None:
    assert one_block(BOM + b"one\n") == Block([b"one"], 7, 1, 0, [])


@pytest.mark.parametrize("cuts", [[1], [2], [3], [1, 1], [1, 1, 1], [0, 1, 0, 1, 0, 1]])
def test_byte_order_mark_cut_between_chunks_is_left_out(cuts: list[int]) -> None:
    assert read(BOM + b"one\n", sizes=cuts) == Reading([b"one"], 1)


def test_byte_order_mark_inside_stays() -> None:
    assert read(b"one\n" + BOM + b"two\n").lines == [b"one", BOM + b"two"]


def test_second_byte_order_mark_at_the_start_stays() -> None:
    assert read(BOM + BOM + b"one\n").lines == [BOM + b"one"]


def test_byte_order_mark_at_a_later_start_stays() -> None:
    assert one_block(BOM + b"one\n", start=4).lines == [BOM + b"one"]


def test_byte_order_mark_alone_is_no_line() -> None:
    assert read(BOM) == Reading()


def test_begun_byte_order_mark_alone_is_a_line() -> None:
    assert read(BOM[:2]) == Reading([BOM[:2]], 1)
    assert read(BOM[:2], sizes=[1]) == Reading([BOM[:2]], 1)


def test_begun_byte_order_mark_is_part_of_its_line() -> None:
    assert read(BOM[:2] + b"x\n", sizes=[1, 1, 1]) == Reading([BOM[:2] + b"x"], 1)


def test_carriage_return_before_the_newline_is_left_out_and_counted() -> None:
    assert one_block(b"one\r\ntwo\r\n") == Block([b"one", b"two"], 10, 2, 0, [])


def test_carriage_return_and_newline_cut_between_chunks() -> None:
    assert read(b"one\r\ntwo\r\n", sizes=[4, 5]) == Reading([b"one", b"two"], 2)


def test_only_one_carriage_return_is_left_out() -> None:
    assert one_block(b"one\r\r\n").lines == [b"one\r"]


def test_lone_carriage_return_does_not_cut() -> None:
    assert one_block(b"one\rtwo\n") == Block([b"one\rtwo"], 8, 1, 0, [])


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"])
def test_what_splitlines_takes_for_an_end_does_not_cut(separator: str) -> None:
    text = f"one{separator}two"
    assert len(text.splitlines()) == 2
    assert one_block(f"{text}\n".encode()).lines == [text.encode()]


@pytest.mark.parametrize("blank", [b"", b" ", b"\t", b"\r", b" \t \r"])
def test_blank_line_is_counted_and_not_sent(blank: bytes) -> None:
    assert one_block(b"one\n" + blank + b"\ntwo\n") == Block([b"one", b"two"], 9 + len(blank), 3, 1, [])


def test_no_final_newline_is_held_and_comes_out_at_the_end() -> None:
    cutter = LineCutter(NO_LIMIT)
    assert cutter.feed(b"one\ntwo") == Block([b"one"], 4, 1, 0, [])
    assert cutter.held == 3
    assert cutter.finish() == Block([b"two"], 7, 1, 0, [])
    assert (cutter.finish(), cutter.held) == (None, 0)


def test_held_line_goes_on_with_the_next_chunk() -> None:
    cutter = LineCutter(NO_LIMIT)
    assert cutter.feed(b"one\nt") == Block([b"one"], 4, 1, 0, [])
    assert cutter.feed(b"w") is None
    assert cutter.feed(b"o\n") == Block([b"two"], 8, 1, 0, [])


def test_blank_last_line_without_a_newline_is_counted() -> None:
    cutter = LineCutter(NO_LIMIT)
    cutter.feed(b"one\n  ")
    assert cutter.finish() == Block([], 6, 1, 1, [])


def test_carriage_return_without_a_newline_stays() -> None:
    assert read(b"one\r").lines == [b"one\r"]


def test_character_cut_between_chunks_arrives_whole() -> None:
    data = '{"data":"\N{GRINNING FACE}\u00e9"}\n'.encode()
    for cut in range(len(data)):
        assert read(data, sizes=[cut]) == Reading([data[:-1]], 1)


def test_line_at_the_limit_is_sent_and_one_byte_more_is_a_reference() -> None:
    assert one_block(b"12345\n123456\n", limit=5) == Block([b"12345"], 13, 2, 0, [oversize(6, b"123456")])


def test_carriage_return_does_not_count_to_the_limit() -> None:
    assert one_block(b"12345\r\n123456\r\n", limit=5) == Block([b"12345"], 15, 2, 0, [oversize(7, b"123456")])


@pytest.mark.parametrize("cut", range(8))
def test_line_at_the_limit_cut_anywhere_is_sent(cut: int) -> None:
    assert read(b"12345\r\nx\n", limit=5, sizes=[cut]) == Reading([b"12345", b"x"], 2)


@pytest.mark.parametrize("cut", range(16))
def test_line_over_the_limit_cut_anywhere_is_the_same_reference(cut: int) -> None:
    reading = read(b"a\n12345678\r\nbc\n\n", limit=5, sizes=[cut])
    assert reading == Reading([b"a", b"bc"], 4, 1, [oversize(2, b"12345678")])


def test_two_lines_over_the_limit_one_after_the_other() -> None:
    data = b"1" * 20 + b"\n" + b"2" * 30 + b"\nok\n"
    assert read(data, limit=5, sizes=[7, 20, 10]) == Reading(
        [b"ok"], 3, 0, [oversize(0, b"1" * 20), oversize(21, b"2" * 30)]
    )


def test_last_line_over_the_limit_without_a_newline_is_a_reference() -> None:
    cutter = LineCutter(5)
    cutter.feed(b"ok\n12345678\r")
    assert cutter.finish() == Block([], 12, 1, 0, [oversize(3, b"12345678\r")])
    assert cutter.finish() is None


def test_reference_after_a_byte_order_mark_has_its_place_in_the_file() -> None:
    assert one_block(BOM + b"123456\n", limit=5) == Block([], 10, 1, 0, [oversize(3, b"123456")])


def test_reference_holds_the_first_kilobyte_only() -> None:
    text = bytes(range(32, 127)) * 1_000
    (reference,) = read(text + b"\n", limit=100, sizes=[50] * 100).oversize
    assert reference == oversize(0, text)
    assert len(reference.head) == 1_024


def test_line_of_megabytes_is_never_held() -> None:
    cutter = LineCutter(1_000)
    piece = b"x" * 10_000
    for _ in range(500):
        assert cutter.feed(piece) is None
        assert sum(map(len, cutter._carry)) <= 1_001
    assert cutter.held == 5_000_000
    block = cutter.feed(b"\n")
    assert block == Block([], 5_000_001, 1, 0, [oversize(0, piece * 500)])
