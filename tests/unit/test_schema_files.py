"""The JSON Schema of a line says of every line what the parser says, as far as a schema can see."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from examples import make_sample
from schemas.errors import BadLine
from schemas.message import INVALID, MALFORMED, NAME_LENGTH, TIMESTAMP, json_schema, parse

SCHEMA = json_schema()
VALIDATOR = Draft202012Validator(SCHEMA)

GOOD: dict[str, Any] = {"id": "a", "from": "b", "type": "message", "site_id": "s", "timestamp": 1, "data": "x"}


def verdict(line: bytes) -> str:
    """`row`, or the reason why it is none."""
    try:
        parse(line)
    except BadLine as problem:
        return problem.reason
    return "row"


def accepted(message: object) -> bool:
    return bool(VALIDATOR.is_valid(message))


def test_schema_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["title"] == "ChatLine"
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


def test_schema_names_the_fields_their_bounds_and_what_must_be_there() -> None:
    fields = SCHEMA["properties"]
    assert list(fields) == list(GOOD)
    assert SCHEMA["required"] == ["id", "from", "type", "site_id", "timestamp"]
    assert fields["type"]["enum"] == ["message", "status"]
    assert [fields[name].get("maxLength") for name in ("id", "from", "site_id", "data")] == [NAME_LENGTH] * 3 + [None]
    assert fields["id"]["minLength"] == 1
    assert all(field["description"] for field in fields.values())
    assert "additionalProperties" not in SCHEMA


def test_schema_accepts_every_good_line_of_the_sample_and_refuses_what_it_can_see() -> None:
    sample = make_sample.build()
    lines = make_sample.OUTPUT.read_bytes().splitlines(keepends=True)
    assert b"".join(lines) == sample.content
    verdicts = Counter[str]()
    for line in lines:
        if line.isspace():
            continue
        seen = verdict(line.rstrip(b"\n"))
        verdicts[seen] += 1
        if seen == "row":
            VALIDATOR.validate(json.loads(line))
        elif seen == INVALID:
            assert not accepted(json.loads(line)), line
        elif seen == TIMESTAMP:  # a number that is no moment: more than a schema can see
            assert accepted(json.loads(line)), line
    assert verdicts == {"row": sample.rows + sample.repeats, MALFORMED: 4, INVALID: 3, TIMESTAMP: 1}


@pytest.mark.parametrize(
    "message",
    [
        {},
        [],
        [GOOD],
        None,
        "text",
        *({name: value for name, value in GOOD.items() if name != left_out} for left_out in GOOD if left_out != "data"),
        GOOD | {"id": ""},
        GOOD | {"id": 1},
        GOOD | {"id": True},
        GOOD | {"id": "x" * 256},
        GOOD | {"from": None},
        GOOD | {"from": "x" * 256},
        GOOD | {"site_id": "\N{GRINNING FACE}" * 256},
        GOOD | {"type": "typing"},
        GOOD | {"type": None},
        GOOD | {"timestamp": None},
        GOOD | {"timestamp": True},
        GOOD | {"timestamp": [1]},
        GOOD | {"data": None},
        GOOD | {"data": 1},
    ],
)
def test_what_the_parser_calls_invalid_the_schema_refuses(message: object) -> None:
    assert verdict(json.dumps(message).encode()) == INVALID
    assert not accepted(message)


@pytest.mark.parametrize(
    "message",
    [
        GOOD,
        {name: value for name, value in GOOD.items() if name != "data"},
        GOOD | {"data": ""},
        GOOD | {"from": "", "site_id": ""},
        GOOD | {"type": "status"},
        GOOD | {"timestamp": 1.5},
        GOOD | {"timestamp": "1.5"},
        GOOD | {"timestamp": -1},
        GOOD | {"id": "\N{GRINNING FACE}" * 255},
        GOOD | {"extra": {"of": ["any", "kind"]}},
    ],
)
def test_what_the_parser_takes_the_schema_accepts(message: object) -> None:
    assert verdict(json.dumps(message).encode()) == "row"
    assert accepted(message)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
values = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**15), 10**15), st.floats(allow_nan=False, allow_infinity=False), text,
    st.sampled_from(["message", "status", "1.5", "x" * 255, "x" * 256]), st.just([]), st.just({}),
)  # fmt: skip
messages = st.fixed_dictionaries({}, optional=dict.fromkeys([*GOOD, "extra"], values))


@given(st.one_of(messages, messages.map(lambda changes: GOOD | changes), values))
def test_schema_and_parser_agree_on_any_json(message: object) -> None:
    assert accepted(message) == (verdict(json.dumps(message).encode()) in ("row", TIMESTAMP))
