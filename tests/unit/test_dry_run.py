"""`--dry-run`: what it prints and what it says of it."""

from pathlib import Path

import pytest

from producer.dry_run import dry_run
from producer.exports.conversion import Conversion
from schemas.errors import Stop
from terminal.signals import Interruption
from tests.exports.samples import slack_folder

AUTO = Conversion()
LINE = b'{"id":"1","from":"a","type":"message","site_id":"s","timestamp":1}\n'


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


def test_bad_lines_are_named_with_their_place_and_reason_ten_at_most(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"\n" + LINE + b'[1]\n{"id":"x"}\n' + b"no JSON\n" * 20)
    dry_run([str(log)], AUTO, None, Interruption(), as_json=False)
    assert "log: line 2 of those to be sent is bad: Expected `object`, got `array`: [1]" in caplog.messages[0]
    assert 'line 3 of those to be sent is bad: Object missing required field `from`: {"id":"x"}' in caplog.messages[1]
    assert len(caplog.messages) == 10
    assert b"23 of 24 lines would be sent, 22 of them bad, 1 blank; nothing was sent" in capfdbinary.readouterr().err


def test_bad_line_of_an_export_is_shown_and_no_reason_made_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dry_run([str(slack_folder(tmp_path))], AUTO, None, Interruption(), as_json=True)
    (told,) = [message for message in caplog.messages if "bad" in message]
    assert "slack export: line 5 of those to be sent is bad: no slack message could be made of it: {" in told
    assert '"never"' in told
