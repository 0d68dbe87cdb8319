"""`make audit-dependencies`: the packages in both lock files against PyPI's advisories, by pip-audit.

Fails where one has a known vulnerability, and where one could not be looked up: silence is no good news.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[1]
LOCK_FILES = ("requirements.lock", "requirements-dev.lock")
LAST_WORDS = 300


class AuditFailedError(RuntimeError):
    """pip-audit gave no answer; the message holds its last words."""


def main() -> None:
    """Audit both lock files, say what was found, and end with status 1 where that is anything."""
    findings = [finding for lock in LOCK_FILES for finding in _findings_or_failure(lock)]
    sys.exit("\n".join(findings) if findings else 0)


def _findings_or_failure(lock: str) -> list[str]:
    try:
        packages = audit(ROOT / lock)
    except AuditFailedError as failure:
        return [f"audit-dependencies: {lock}: the advisory service did not answer; nothing was audited: {failure}"]
    found = judge(lock, packages)
    if not found:
        print(f"{lock}: {len(packages)} packages, no known vulnerability")
    return found


def audit(lock: Path) -> list[dict[str, Any]]:
    """What pip-audit says of each package of a lock file. Raises `AuditFailedError` where it says nothing."""
    command = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--progress-spinner=off"]
    done = subprocess.run(
        [*command, "--format=json", "-r", str(lock)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    try:
        answer: dict[str, list[dict[str, Any]]] = msgspec.json.decode(done.stdout)
    except msgspec.DecodeError:
        raise AuditFailedError(" ".join(done.stderr.split())[-LAST_WORDS:]) from None
    return answer["dependencies"]


def judge(lock: str, packages: list[dict[str, Any]]) -> list[str]:
    """One sentence for each known vulnerability, and one for all packages that could not be looked up."""
    found = [
        f"audit-dependencies: {lock}: {package['name']} {package['version']} has {vulnerability['id']}; "
        f"fixed in {', '.join(vulnerability['fix_versions']) or 'no release yet'}"
        for package in packages
        for vulnerability in package.get("vulns", [])
    ]
    if unknown := [package["name"] for package in packages if "skip_reason" in package]:
        found.append(
            f"audit-dependencies: {lock}: no advisories can be had from here for {len(unknown)} of {len(packages)} "
            f"packages ({unknown[0]} first): these were not audited. Run it where pypi.org can be reached"
        )
    return found or ([] if packages else [f"audit-dependencies: {lock}: pip-audit found no package in it"])


if __name__ == "__main__":
    main()
