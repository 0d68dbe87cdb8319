"""Look into the SQLite database that the demo fills: counts, and a few rows that differ as much as they can.

    python examples/show.py demo/chat.db

Only the standard library is used, as a stand-in for whatever else reads the table.
"""

import shutil
import sqlite3
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

COLUMNS = ("timestamp", "site_id", "from", "type", "data")
WIDEST = (19, 16, 14, 7, 10_000)  # cells; the last column takes what the terminal has left
SCANNED = 20_000  # rows looked at for variety
JOINER = "\u200d"
ELLIPSIS = "…"

Row = tuple[str, ...]


def visible(text: str) -> str:
    """The text with control characters escaped: no row may move the cursor, or colour or turn the line."""
    return "".join(letter if _harmless(letter) else _escape(letter) for letter in text)


def _harmless(letter: str) -> bool:
    return letter == JOINER or unicodedata.category(letter) not in {"Cc", "Cf", "Zl", "Zp"} or _tag(letter)


def _tag(letter: str) -> bool:
    """The invisible letters that spell a region's flag."""
    return "\U000e0020" <= letter <= "\U000e007f"


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


def _cells(letter: str) -> int:
    """How many cells of a terminal a character takes: 0 when it joins the one before."""
    if unicodedata.category(letter) in {"Mn", "Me", "Cf"} or "\U0001f3fb" <= letter <= "\U0001f3ff":
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def glyphs(text: str) -> Iterator[tuple[str, int]]:
    """What is drawn as one, with its cells: a letter and its marks, an emoji and all that is joined to it."""
    glyph, cells = "", 0
    for letter in text:
        joined = glyph.endswith(JOINER)
        if glyph and not joined and _cells(letter):
            yield glyph, cells
            glyph, cells = "", 0
        cells = cells if joined else cells + _cells(letter)
        glyph += letter
    if glyph:
        yield glyph, cells


def width(text: str) -> int:
    """The cells that a text takes in a terminal, as nearly as terminals agree."""
    return sum(cells for _, cells in glyphs(text))


def cut(text: str, cells: int) -> str:
    """The text, or as much as fits into so many cells with an ellipsis; nothing drawn as one is torn."""
    if width(text) <= cells:
        return text
    kept, used = "", 1
    for glyph, more in glyphs(text):
        used += more
        if used > cells:
            break
        kept += glyph
    return kept + ELLIPSIS


def _pad(text: str, cells: int) -> str:
    return text + " " * (cells - width(text))


def table(rows: list[Row], cells: int) -> str:
    """The rows under their names, aligned, no line wider than so many cells."""
    texts = [COLUMNS, *(tuple(map(visible, row)) for row in rows)]
    widths = [min(max(map(width, column)), most) for column, most in zip(zip(*texts, strict=True), WIDEST, strict=True)]
    widths[-1] = max(8, min(widths[-1], cells - sum(widths[:-1]) - 2 * (len(widths) - 1)))
    texts.insert(1, tuple("-" * each for each in widths))
    lines = (zip(row, widths, strict=True) for row in texts)
    return "\n".join("  ".join(_pad(cut(text, each), each) for text, each in line).rstrip() for line in lines)


def _speaks(*scripts: str) -> Callable[[Row], bool]:
    """Whether more than a word of a row's text is written so; scripts as Unicode's names of letters begin."""

    def test(row: Row) -> bool:
        return sum(unicodedata.name(letter, "").startswith(scripts) for letter in row[-1]) > 12

    return test


VARIETY: tuple[Callable[[Row], bool], ...] = (
    lambda row: row[3] == "status",
    lambda row: any(unicodedata.category(letter) == "Cc" for letter in row[-1]),
    lambda row: JOINER in row[-1],
    _speaks("CYRILLIC"),
    _speaks("HIRAGANA", "HANGUL"),
    _speaks("ARABIC", "HEBREW"),
    _speaks("DEVANAGARI", "THAI"),
    lambda row: any("\u00c0" <= letter <= "\u017f" for letter in row[-1]) and "http" in row[-1],
    lambda row: row[3] == "message",
)


def varied(rows: list[Row]) -> list[Row]:
    """The first row of each sort, in the order of the table, none twice."""
    found: list[Row] = []
    for sort in VARIETY:
        found += next(([row] for row in rows if row not in found and sort(row)), [])
    return sorted(found, key=lambda row: row[0])


def report(database: sqlite3.Connection, cells: int) -> str:
    """All that is shown, for a terminal of so many cells."""
    counts = database.execute("SELECT type, COUNT(*) FROM chat_messages GROUP BY type ORDER BY type").fetchall()
    (sites,) = database.execute("SELECT COUNT(DISTINCT site_id) FROM chat_messages").fetchone()
    some = database.execute(
        'SELECT SUBSTR(timestamp, 1, 19), site_id, "from", type, data FROM chat_messages LIMIT ?', (SCANNED,)
    )
    rows = [tuple("" if value is None else str(value) for value in row) for row in some]
    lines = [f"{visible(kind):<10}{count:>10,}" for kind, count in counts]
    return "\n".join([*lines, f"{'sites':<10}{sites:>10,}", "", table(varied(rows), cells)])


def main(arguments: list[str]) -> int:
    """Show one database; the exit status is 1 when it cannot be read and 2 when none was named."""
    if len(arguments) != 1:
        print("usage: python examples/show.py DATABASE.db", file=sys.stderr)
        return 2
    path = Path(arguments[0])
    try:
        # read only: a mistyped name must not leave an empty database behind
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            print(report(database, shutil.get_terminal_size().columns))
    except sqlite3.Error as error:
        print(f"{path}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
