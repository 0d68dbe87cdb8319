"""The checkpoint's source of truth: it moves with acknowledgements, never over a gap."""

from hypothesis import given
from hypothesis import strategies as st

from producer.ledger import Joint, Ledger, Pending


def opened(ledger: Ledger, *ends: int, parts: int = 0) -> list[Pending]:
    """Blocks with so many parts, all of them handed over: their own part is acknowledged."""
    blocks = [ledger.open(end) for end in ends]
    for block in blocks:
        block.parts += parts
        block.acknowledged()
    return blocks


def test_new_ledger_stands_at_its_start_and_is_settled() -> None:
    ledger = Ledger("a.log", 100)
    assert (ledger.acknowledged, ledger.settled) == (100, True)


def test_block_begins_where_the_one_before_ended() -> None:
    ledger = Ledger("a.log", 100)
    blocks = opened(ledger, 150, 175)
    assert [(block.source, block.start, block.end) for block in blocks] == [("a.log", 100, 150), ("a.log", 150, 175)]


def test_block_that_is_still_handed_over_holds_the_offset() -> None:
    ledger = Ledger("a.log", 0)
    block = ledger.open(10)
    block.parts += 1
    block.acknowledged()  # its only part is reported before the block itself is done
    assert (ledger.acknowledged, ledger.settled) == (0, False)
    block.acknowledged()
    assert (ledger.acknowledged, ledger.settled) == (10, True)


def test_block_of_blank_lines_alone_moves_the_offset() -> None:
    ledger = Ledger("a.log", 0)
    opened(ledger, 10)
    assert (ledger.acknowledged, ledger.settled) == (10, True)


def test_unacknowledged_part_holds_the_offset() -> None:
    ledger = Ledger("a.log", 0)
    (block,) = opened(ledger, 10, parts=4)
    for _ in range(3):
        block.acknowledged()
        assert (ledger.acknowledged, ledger.settled) == (0, False)
    block.acknowledged()
    assert (ledger.acknowledged, ledger.settled) == (10, True)


def test_later_block_acknowledged_first_does_not_pass_the_gap() -> None:
    ledger = Ledger("a.log", 0)
    first, second, third = opened(ledger, 10, 20, 30, parts=1)
    third.acknowledged()
    assert (ledger.acknowledged, ledger.settled) == (0, False)
    first.acknowledged()
    assert (ledger.acknowledged, ledger.settled) == (10, False)
    second.acknowledged()
    assert (ledger.acknowledged, ledger.settled) == (30, True)


def test_blank_block_behind_an_open_one_waits_for_it() -> None:
    ledger = Ledger("a.log", 0)
    (first,) = opened(ledger, 10, parts=1)
    opened(ledger, 20)
    assert ledger.acknowledged == 0
    first.acknowledged()
    assert ledger.acknowledged == 20


@given(st.integers(0, 100), st.lists(st.tuples(st.integers(1, 50), st.integers(0, 4)), max_size=12), st.data())
def test_offset_is_the_end_of_the_last_block_before_the_first_open_one(
    start: int, shapes: list[tuple[int, int]], draw: st.DataObject
) -> None:
    ledger = Ledger("a.log", start)
    ends, end = [], start
    reports: list[int] = []
    for number, (length, parts) in enumerate(shapes):
        end += length
        ends.append(end)
        reports += [number] * (parts + 1)
    blocks = [ledger.open(end) for end in ends]
    left = [parts + 1 for _, parts in shapes]
    for block, (_, parts) in zip(blocks, shapes, strict=True):
        block.parts += parts
    for number in draw.draw(st.permutations(reports)):
        blocks[number].acknowledged()
        left[number] -= 1
        done = next((place for place, parts in enumerate(left) if parts), len(left))
        assert ledger.acknowledged == ([start, *ends])[done]
        assert ledger.settled == (not any(left))
    assert (ledger.acknowledged, ledger.settled) == (end, True)


def test_blocks_sent_together_wait_for_all_parts_of_what_was_sent_together_and_for_their_own() -> None:
    ledgers = [Ledger("a", 0), Ledger("b", 0)]
    blocks = [ledger.open(10) for ledger in ledgers]
    joint = Joint(blocks)
    joint.parts += 2  # two slices
    blocks[0].acknowledged()  # all of it was handed over
    for _ in range(2):
        joint.acknowledged()
        assert [ledger.acknowledged for ledger in ledgers] == [0, 0]
    joint.acknowledged()
    assert [ledger.acknowledged for ledger in ledgers] == [10, 0]
    blocks[1].acknowledged()
    assert [ledger.acknowledged for ledger in ledgers] == [10, 10]
