"""How many files may be open at once."""

import resource

from schemas.errors import UsageProblem

DESCRIPTORS_BESIDE = 64
"""What the process has open beside the files: standard streams, libraries, connections to brokers."""

DESCRIPTORS_FOLLOWED = 4
"""What an open file needs that is followed: itself, its checkpoint's lock, and as much for one that was rotated away.
"""

DESCRIPTORS_WANTED = 4096
"""What the soft limit is raised to, where the hard one allows it: many logs that are rotated often need it."""


def most_followed() -> int:
    """How many followed files may be open at once under this process's limit of descriptors."""
    return max(8, min(256, _room() // DESCRIPTORS_FOLLOWED))


def most_open() -> int:
    """How many replayed files may wait for their acknowledgements at once, each with its checkpoint's lock."""
    return max(8, min(256, _room() // 2))


def _room() -> int:
    """How many descriptors the process may have beside its own; the soft limit is raised where that is low."""
    return _raised(DESCRIPTORS_WANTED) - 2 * DESCRIPTORS_BESIDE


def _raised(wanted: int) -> int:
    """Raise the soft limit to so many, as far as the hard one allows; returns what it is then, `wanted` where there is
    none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return max(soft, limit)


def make_room(files: int) -> None:
    """See that so many files can be open at once, and the lock of each one's checkpoint.

    Raises `UsageProblem` where the system does not allow it.
    """
    needed = 2 * files + DESCRIPTORS_BESIDE
    if (limit := _raised(needed)) < needed:
        raise UsageProblem(
            f"With --speed all {files:,} files are open at once, and this process may open {limit:,}",
            f"Set ulimit -n {needed}, or name fewer files",
        )
