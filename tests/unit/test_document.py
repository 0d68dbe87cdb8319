"""JSON read a value at a time: whatever the document and however it is cut, the values have their very bytes."""

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.exports.document import LONGEST_VALUE, Document
from producer.sources.blocks import BOM
from schemas.errors import Stop

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
INDENTS = st.sampled_from([None, 1, "\t"])
fewer = settings(max_examples=100)


class Dribble:
    """A stream that gives a few bytes at a time, whatever it is asked for."""

    def __init__(self, text: bytes, size: int) -> None:
        self._text = text
        self._size = size

    def read(self, _size: int, /) -> bytes:
        data, self._text = self._text[: self._size], self._text[self._size :]
        return data


def document(text: bytes, size: int = 1 << 20) -> Document:
    return Document(Dribble(text, size), "log")


def encoded(value: Any, indent: int | str | None = None, *, ascii_only: bool = True) -> bytes:
    return json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


@fewer
@given(st.lists(VALUES), INDENTS, st.booleans(), st.integers(1, 50))
def test_elements_of_an_array_have_their_values(
    values: list[Any], indent: int | str | None, ascii_only: bool, size: int
) -> None:
    text = encoded(values, indent, ascii_only=ascii_only)
    read = document(text, size)
    found = list(read.values())
    assert [json.loads(value) for value in found] == values
    assert all(value in text for value in found)
    read.finish()


@fewer
@given(st.dictionaries(st.text(), VALUES), st.integers(1, 50), st.data())
def test_members_of_an_object_are_read_or_skipped(members: dict[str, Any], size: int, data: st.DataObject) -> None:
    wanted = data.draw(st.sets(st.sampled_from(sorted(members)))) if members else set()
    read = document(encoded(members), size)
    keys, found = [], {}
    for key in read.members():
        keys.append(key)
        if key in wanted:
            found[key] = json.loads(read.value())
    read.finish()
    assert keys == list(members)
    assert found == {key: members[key] for key in wanted}


@fewer
@given(st.lists(VALUES, min_size=1), st.data())
def test_document_cut_short_anywhere_stops(values: list[Any], data: st.DataObject) -> None:
    text = encoded({"list": values})
    cut = data.draw(st.integers(0, len(text) - 1))
    read = document(text[:cut])
    with pytest.raises(Stop, match=r"ends in the middle|not JSON at byte"):
        list(read.members())


@pytest.mark.parametrize(
    "text", [b"", b"nothing", b"{]", b"[1 2]", b'["a" "b"]', b"[,]", b"{1: 2}", b'{"a" 1}',
     b'{"a": }', b"[1,]x", b'{"\xff": 1}']
)  # fmt: skip
def test_what_is_no_json_stops_with_its_place(text: bytes) -> None:
    read = document(text)
    with pytest.raises(Stop, match=r"log: (not JSON at byte \d+|ends in the middle of its JSON, at byte \d+)"):
        _ = list(read.elements()) if text.startswith(b"[") else list(read.members())


def test_what_follows_the_document_stops() -> None:
    read = document(b"[1] [2]")
    assert list(read.values()) == [b"1"]
    with pytest.raises(Stop, match="not JSON at byte 4: something follows its end"):
        read.finish()


def test_byte_order_mark_is_passed_over() -> None:
    assert list(document(BOM + b"[1]").values()) == [b"1"]


def test_value_larger_than_any_message_stops_instead_of_filling_memory() -> None:
    text = b'["' + b"x" * (3 * LONGEST_VALUE) + b'"]'
    with pytest.raises(Stop, match="a value at byte 1 has more than 16 MB"):
        list(Document(io.BytesIO(text), "log").values())


def test_array_larger_than_any_message_is_skipped() -> None:
    text = b'{"a":[' + b'{"b":"c"},' * (LONGEST_VALUE // 9) + b'1],"d":2}'
    read = Document(io.BytesIO(text), "log")
    assert [(key, read.value()) for key in read.members() if key == "d"] == [("d", b"2")]
