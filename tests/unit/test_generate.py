"""The made-up logs hold what they say they hold, read by the standard library."""

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import generate
from benchmarks.generate import SPOILERS, BadLineError, Expected, Row
from examples import make_sample

SAMPLE = make_sample.OUTPUT
GOOD = b'{"id":"a1","from":"Ann","type":"message","site_id":"lobby","timestamp":1741651200.5,"data":"hi"}'


BAD_STAMPS: tuple[object, ...] = (None, True, "", "soon", "nan", 1.7e12, "\uff11", [])


# --- the generator ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "shares"),
    [
        (0, {}),
        (1, {}),
        (1_000, {}),
        (1_000, {"repeats": 0.3, "bad": 0.3, "blank": 0.1}),
        (40_000, {"repeats": 0.02, "bad": 0.01, "blank": 0.003}),  # more than two chunks
    ],
)
def test_counts_equal_an_independent_reading(tmp_path: Path, lines: int, shares: dict[str, float]) -> None:
    path = tmp_path / "log.jsonl"
    expected = generate.generate(path, lines, **shares)  # type: ignore[arg-type]
    assert expected == generate.count(path)
    assert expected.lines == lines == expected.rows + expected.repeats + expected.bad + expected.blank
    assert expected.rows == sum(1 for _ in generate.expected_rows(path))


def test_shares_are_met_exactly(tmp_path: Path) -> None:
    expected = generate.generate(tmp_path / "log.jsonl", 10_000, repeats=0.05, bad=0.002, blank=0.001)
    assert (expected.repeats, expected.bad, expected.blank) == (500, 20, 10)


def test_shares_that_leave_no_room_for_good_lines_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="together below"):
        generate.generate(tmp_path / "log.jsonl", 10, repeats=0.5, bad=0.4)


@pytest.mark.parametrize("line_bytes", [150, 181, 400])
def test_lines_have_the_mean_length_asked_for(tmp_path: Path, line_bytes: int) -> None:
    expected = generate.generate(tmp_path / "log.jsonl", 20_000, line_bytes=line_bytes)
    assert expected.bytes / expected.lines == pytest.approx(line_bytes, rel=0.02)


def test_same_arguments_same_bytes_and_another_seed_another_log(tmp_path: Path) -> None:
    one, two, other = (tmp_path / name for name in ("one", "two", "other"))
    generate.generate(one, 3_000)
    generate.generate(two, 3_000)
    generate.generate(other, 3_000, seed=2)
    assert one.read_bytes() == two.read_bytes()
    assert generate.digest(one) == generate.digest(two) != generate.digest(other)


def test_repeats_are_earlier_good_lines_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    expected = generate.generate(path, 20_000, repeats=0.1, bad=0.1)
    seen: set[bytes] = set()
    again = 0
    for line, (kind, _) in zip(path.read_bytes().splitlines(), generate.read(path), strict=True):
        assert (line in seen) == (kind == "repeats")
        again += line in seen
        seen.add(line)
    assert again == expected.repeats == 2_000


def test_logs_hold_statuses_escapes_and_foreign_text(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    generate.generate(path, 20_000)
    rows = list(generate.expected_rows(path))
    texts = [data for *_, data in rows if data is not None]
    assert sum(row[2] == "status" for row in rows) / len(rows) == pytest.approx(0.1, abs=0.03)
    assert 100 < len({row[3] for row in rows}) <= 200
    assert 0.005 < sum(not text.isascii() for text in texts) / len(texts) < 0.05
    assert 0.005 < sum(bool(re.search(r'[\n\t"\\]', text)) for text in texts) / len(texts) < 0.05
    assert all(re.fullmatch("[0-9a-f]{32}", row[0]) for row in rows)


# --- the independent reading --------------------------------------------------------------------------------


def _changed(**changes: object) -> bytes:
    return json.dumps(json.loads(GOOD) | changes).encode()


def _without(name: str) -> bytes:
    return json.dumps({key: value for key, value in json.loads(GOOD).items() if key != name}).encode()


def test_good_line_becomes_its_row() -> None:
    assert generate.parse(GOOD) == ("a1", "Ann", "message", "lobby", "2025-03-11 00:00:00.500000", "hi")
    assert generate.parse(_without("data"))[5] is None


@pytest.mark.parametrize(
    ("stamp", "text"),
    [
        (0, "1970-01-01 00:00:00.000000"),
        (-1.5, "1969-12-31 23:59:58.500000"),
        ("1741651200", "2025-03-11 00:00:00.000000"),
        ("1741651200.123456", "2025-03-11 00:00:00.123456"),
        (1741651200.654321, "2025-03-11 00:00:00.654321"),
        (2147483648, "2038-01-19 03:14:08.000000"),
    ],
)
def test_timestamps_become_utc_to_the_microsecond(stamp: object, text: str) -> None:
    assert generate.parse(_changed(timestamp=stamp))[4] == text


@pytest.mark.parametrize("kind", range(len(SPOILERS)))
def test_every_spoiled_line_is_bad(kind: int) -> None:
    for line in (GOOD, _changed(type="status", timestamp="5").replace(b": ", b":").replace(b", ", b",")):
        spoiled = SPOILERS[kind](line)
        assert spoiled not in (line, b"")
        with pytest.raises(BadLineError):
            generate.parse(spoiled)


@pytest.mark.parametrize(
    "line",
    [
        *(
            b"{}",
            b"null",
            b"7",
            b'"text"',
            b"[]",
            b"\x00\x00",
            b"[" * 100_000,
            b"9" * 5_000,
            b"\xef\xbb\xbf" + GOOD,
        ),
        *(_changed(timestamp=stamp) for stamp in BAD_STAMPS),
        *(_changed(id=value) for value in (None, 7, True, "x" * 256)),
        *(_changed(data=7), _changed(type="Message"), _without("from"), _without("timestamp")),
        GOOD.replace(b"1741651200.5", b"1e400"),
        GOOD.replace(b"hi", b"\\ud800"),
        GOOD.replace(b"hi", b"a\tb"),
        GOOD.decode().encode("utf-16"),
    ],
)
def test_what_is_no_message_is_bad(line: bytes) -> None:
    with pytest.raises(BadLineError):
        generate.parse(line)


def test_first_line_of_an_id_wins_and_order_leaves_the_digest_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    lines = [b"", GOOD, _changed(data="later"), _changed(id="A1"), b"{", GOOD + b"\r"]
    path.write_bytes(b"\n".join(lines))
    rows = list(generate.expected_rows(path))
    assert [(row[0], row[5]) for row in rows] == [("a1", "hi"), ("A1", "hi")]
    assert generate.count(path) == Expected(6, 2, 2, 1, 1, path.stat().st_size)
    assert generate.digest(path) == generate.digest_rows(reversed(rows)) != generate.digest_rows(rows[:1])


# --- the sample ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(generate.expected_rows(SAMPLE))


def test_sample_is_what_its_program_writes_and_counts() -> None:
    sample = make_sample.build()
    assert SAMPLE.read_bytes() == sample.content
    found = generate.count(SAMPLE)
    assert found.bytes == len(sample.content)
    assert (found.lines, found.rows, found.repeats, found.bad, found.blank) == (
        *(sample.lines, sample.rows, sample.repeats, sample.bad, sample.blank),
    )


def test_sample_is_a_day_of_forty_rooms(rows: list[Row]) -> None:
    assert len(rows) >= 5_000
    assert len({row[3] for row in rows}) >= 40
    assert {row[4][:10] for row in rows} == {"2025-03-11"}
    assert any(row[1] == "" for row in rows)


@pytest.mark.parametrize(
    "script",
    [
        *("LATIN SMALL LETTER SHARP S", "LATIN SMALL LETTER L WITH STROKE", "LATIN SMALL LETTER DOTLESS I"),
        *("CYRILLIC", "HIRAGANA", "CJK UNIFIED", "HANGUL", "ARABIC", "HEBREW", "DEVANAGARI", "THAI"),
        *("INVERTED QUESTION MARK", "REGIONAL INDICATOR", "ZERO WIDTH JOINER", "LINE SEPARATOR"),
        "EMOJI MODIFIER",
    ],
)
def test_sample_speaks(script: str, rows: list[Row]) -> None:
    letters = {letter for row in rows for letter in row[5] or ""}
    names = {unicodedata.name(letter, "") for letter in letters}
    assert any(name.startswith(script) for name in names)


@pytest.mark.parametrize("text", ["\n", "\t", '"', "\\", "'); DROP TABLE", "\r\n", "\x1b[31m", "https://", "👨‍👩‍👧‍👦"])
def test_sample_holds_hard_text(text: str, rows: list[Row]) -> None:
    assert any(text in (row[5] or "") for row in rows)


def _objects() -> Iterator[dict[str, object]]:
    for line in SAMPLE.read_bytes().split(b"\n"):
        try:
            generate.parse(line)
        except BadLineError:
            continue
        yield json.loads(line)


def test_sample_holds_every_way_of_writing_a_line() -> None:
    content = SAMPLE.read_bytes()
    objects = list(_objects())
    assert {type(message["timestamp"]) for message in objects} == {int, float, str}
    assert any("." in str(message["timestamp"]) for message in objects if isinstance(message["timestamp"], str))
    assert re.search(rb"\\u[0-9a-f]{4}", content)
    assert {"client", "edited"} <= {name for message in objects for name in message}
    statuses = {message.get("data") for message in objects if message["type"] == "status"}
    assert statuses == {"online", "away", "offline", "typing", "joined the room", "left the room", None}


def test_sample_holds_every_kind_of_bad_line() -> None:
    lines = SAMPLE.read_bytes().split(b"\n")[:-1]
    bad = [line for line, (kind, _) in zip(lines, generate.read(SAMPLE), strict=True) if kind == "bad"]
    kinds = {
        "cut short": rb"[^}\]]$",
        "not UTF-8": rb"\xe9",
        "unknown type": rb'"type": "typing"',
        "no id": rb'^{"from"',
        "milliseconds": rb'"timestamp": \d{13}',
        "array": rb"^\[",
        "NaN": rb"NaN",
        "two objects": rb"} {",
    }
    found = {kind: sum(bool(re.search(sign, line)) for line in bad) for kind, sign in kinds.items()}
    assert found == dict.fromkeys(kinds, 1)
    assert len(bad) == len(kinds)
