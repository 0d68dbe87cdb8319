"""The files in docs/ are what the types say."""

from pathlib import Path

import pytest

from schemas.documents import documents

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", documents())
def test_the_committed_schema_equals_the_one_made_from_the_types(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == documents()[name], "run: python -m schemas.documents docs"
