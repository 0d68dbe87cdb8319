"""What the baselines share: finding and installing other people's tools, exact costs of a command, trying out."""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.measure import CommandFailed, Missing, Sample
from benchmarks.site import Done, Site, open_site

Baseline = Callable[[Site, Path], Sample]
"""A measure that takes a site and a log of it."""

FERRY = (sys.executable, "-m", "ops")
"""The start of a chatferry command."""


def program(name: str, package: str) -> str:
    """The path of a program. Raises `Missing`, naming Debian's package, where it is not on the PATH."""
    path = shutil.which(name)
    if path is None:
        raise Missing(f"{name} is missing: apt-get install -y --no-install-recommends {package}")
    return path


def apt_install(*packages: str) -> None:
    """Install Debian's packages, as root. Raises `CalledProcessError` where apt-get fails."""
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *packages]):
        subprocess.run(["apt-get", *arguments], check=True, env=quiet, stdout=subprocess.DEVNULL)


def run(site: Site, command: Sequence[str], *, shell_text: str | None = None) -> Done:
    """`Site.run`, with the CPU of the command and of all descendants that it waited for under `main`, to the last tick.

    The sampler never looks again after a process has ended; the kernel's account of ended children misses nothing.
    Nothing else may end a child of ours meanwhile. (chatferry's workers are nobody's ended children: for a command that
    has some, `Site.run` it is.)
    """
    before = _ended_children()
    done = site.run(command, shell_text=shell_text)
    cpu = {group: used for group, used in done.usage.cpu.items() if group not in ("main", "workers")}
    return done._replace(usage=replace(done.usage, cpu={**cpu, "main": _ended_children() - before}))


def _ended_children() -> float:
    """Core-seconds of all children, and of theirs, that have ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def try_out(baselines: Mapping[str, Baseline], *, description: str, **shape: float) -> None:
    """The command line of a module of baselines: run those named once, and print one JSON object.

    `shape` is `generate`'s: what the log holds beside good new lines. A baseline that has no tool here, or fails,
    is printed with its reason, and the status is then 1.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("names", nargs="*", choices=[[], *baselines], default=[], metavar="NAME",
                        help=f"which of {', '.join(baselines)} (all)")  # fmt: skip
    parser.add_argument("--lines", type=int, default=100_000, help="lines of the log (100_000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, open_site(Path(folder)) as site:
        log = site.log(options.lines, **shape)
        found = {name: _tried(baselines[name], site, log) for name in options.names or baselines}
    print(json.dumps(found, indent=2))
    sys.exit(any("error" in result for result in found.values()))


def _tried(baseline: Baseline, site: Site, log: Path) -> dict[str, object]:
    try:
        sample = baseline(site, log)
    except (Missing, CommandFailed) as error:
        return {"error": str(error)}
    cost = {group: round(1e6 * used / sample.count, 2) for group, used in sample.cpu.items()}
    return {"rate": round(sample.rate), "cpu_us_a_line": cost, **asdict(sample)}
