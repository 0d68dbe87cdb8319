"""`--dry-run`: what it prints and what it says of it."""

from pathlib import Path

import pytest

from producer.dry_run import dry_run
from producer.exports.conversion import Conversion
from schemas.errors import Stop
from terminal.signals import Interruption
from tests.exports.samples import slack_folder

AUTO = Conversion()


def test_damaged_export_prints_what_precedes_the_damage_and_counts_it(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = slack_folder(tmp_path)
    (path / "general" / "2024-05-03.json").write_text("[{")
    with pytest.raises(Stop, match="in the middle of its JSON") as stopped:
        dry_run([str(path)], AUTO, None, Interruption(), as_json=False)
    assert "safe" not in str(stopped.value)
    printed = capfdbinary.readouterr()
    assert printed.out.count(b"\n") == 6
    assert b"6 of 6 lines would be sent" in printed.err
