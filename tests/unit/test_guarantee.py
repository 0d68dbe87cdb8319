"""docs/guarantee.md: every row has a test, every test that it names is there, every line of the matrix stands in it."""

import re
from pathlib import Path

import pytest

from tests.bad_lines import LINES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantee.md").read_text("utf-8")
NAMED = re.compile(r"`(test_\w+)`")
FAULTS = set(range(1, 22))
"""Those of the contract; the 22nd, growth over time, is the soak."""


def rows(heading: str) -> list[list[str]]:
    """The rows of the table below a heading of the page, cell by cell, without its head."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert len(lines) > 2, f"no table below {heading}"
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def known_tests() -> set[str]:
    """The names of all tests of this project."""
    files = (ROOT / "tests").rglob("test_*.py")
    return {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text("utf-8"), re.MULTILINE)}


@pytest.mark.parametrize("heading", ["Faults", "Bad input: files and sizes", "Security"])
def test_every_row_names_a_test(heading: str) -> None:
    without = [row for row in rows(heading) if not NAMED.search(row[-1])]
    assert without == []


def test_every_test_that_the_page_names_is_there() -> None:
    named = set(NAMED.findall(PAGE))
    assert len(named) > 50
    assert named - known_tests() == set()


def test_every_fault_of_the_contract_has_a_row() -> None:
    numbers = {int(row[0]) for row in rows("Faults") if row[0] != "-"}
    assert FAULTS - numbers == set()


def test_every_line_of_the_matrix_is_on_the_page_under_its_outcome_and_no_other_is() -> None:
    cells = [(name, row[2]) for row in rows("Bad input: lines") for name in re.findall(r"`([^`]+)`", row[1])]
    assert dict(cells) == {line.name: line.outcome.value for line in LINES}
    assert len(cells) == len(LINES)
