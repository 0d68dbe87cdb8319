"""`--loop`: other ids in every round, and nothing else changed."""

import json

import pytest

from producer.looping import Loop
from schemas.message import NAME_LENGTH, parse


def in_round(number: int, *lines: bytes, longest: int = 10_000) -> list[bytes]:
    loop = Loop(run=170)
    for _ in range(number):
        assert loop.next_round()
    return loop.renamed(list(lines), longest)


@pytest.mark.parametrize(
    ("line", "renamed"),
    [
        (b'{"id":"a"}', b'{"id":"a~170.2"}'),
        (b'{"timestamp":1.50,"id":"a","data":"x"}', b'{"timestamp":1.50,"id":"a~170.2","data":"x"}'),
        (b'{"id":"a","more":{"id": "b"},"n":1e2}', b'{"id":"a~170.2","more":{"id": "b"},"n":1e2}'),
        (b'{"id":"\\u00e9\\"","data":"\\ud83d\\ude00"}', b'{"id":"\\u00e9\\"~170.2","data":"\\ud83d\\ude00"}'),
        ('{"id":"é","data":"😀"}'.encode(), '{"id":"é~170.2","data":"😀"}'.encode()),
    ],
)
def test_id_gets_the_suffix_of_run_and_round_and_the_rest_stays(line: bytes, renamed: bytes) -> None:
    assert in_round(2, line) == [renamed]


@pytest.mark.parametrize(
    "line",
    [b"", b"no JSON", b"[1]", b'{"from":"a"}', b'{"id":1}', b'{"id":null}', b'{"id":""}', b'{"id":"a"', b"\xff",
     b'{"id":"\xe9"}', b"[" * 100_000],
)  # fmt: skip
def test_line_without_an_id_stays_as_it_is(line: bytes) -> None:
    assert in_round(1, line) == [line]


def test_id_that_would_be_too_long_stays() -> None:
    fits, does_not = "x" * (NAME_LENGTH - len("~170.1")), "x" * (NAME_LENGTH - len("~170.1") + 1)
    lines = [json.dumps({"id": name}).encode() for name in (fits, does_not)]
    assert in_round(1, *lines) == [b'{"id":"%s~170.1"}' % fits.encode(), lines[1]]


def test_line_that_would_not_fit_into_a_record_stays() -> None:
    line = b'{"id":"a","data":"hello"}'
    assert in_round(1, line, longest=len(line) + 6) == [b'{"id":"a~170.1","data":"hello"}']
    assert in_round(1, line, longest=len(line) + 5) == [line]


def test_renamed_line_is_the_same_message_but_for_its_id() -> None:
    line = (
        b'{ "id": "a", "from": "b", "type": "status", "site_id": "c", "timestamp": "1.25", "data": "x", "data": "y" }'
    )
    (renamed,) = in_round(3, line)
    assert parse(renamed) == ("a~170.3", *parse(line)[1:])


def test_rounds_end_after_so_many_or_never() -> None:
    loop = Loop(1, rounds=2)
    assert [loop.next_round() for _ in range(4)] == [True, True, False, False]
    assert loop.round == 2
    endless = Loop(1)
    assert all(endless.next_round() for _ in range(1_000))
