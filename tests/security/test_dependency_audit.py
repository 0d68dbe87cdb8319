"""`make audit-dependencies` passes only where every package was looked up and nothing is known against it."""

import os
import subprocess
import sys

from tests.acceptance.ferry import ROOT
from tests.audit import LOCK_FILES, judge

SOUND = {"name": "click", "version": "8.2", "vulns": []}
VULNERABLE = {"name": "old", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
UNKNOWN = {"name": "alembic", "skip_reason": "Dependency not found on PyPI and could not be audited"}


def test_advisory_service_out_of_reach_fails_and_says_that_nothing_was_audited() -> None:
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "NO_PROXY": "", "no_proxy": ""}
    done = subprocess.run(
        [sys.executable, "-m", "tests.audit"],
        env={**os.environ, **nowhere},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    for lock in LOCK_FILES:
        assert f"{lock}: the advisory service did not answer; nothing was audited" in done.stderr


def test_package_that_could_not_be_looked_up_is_a_finding() -> None:
    (said,) = judge("requirements.lock", [SOUND, UNKNOWN])
    assert "1 of 2 packages (alembic first): these were not audited" in said


def test_known_vulnerability_is_a_finding_with_the_release_that_mends_it() -> None:
    (said,) = judge("requirements.lock", [SOUND, VULNERABLE])
    assert "old 1.0 has PYSEC-1; fixed in 1.1" in said


def test_lock_file_without_packages_is_a_finding_and_sound_packages_are_none() -> None:
    assert judge("requirements.lock", []) == ["audit-dependencies: requirements.lock: pip-audit found no package in it"]
    assert judge("requirements.lock", [SOUND]) == []
