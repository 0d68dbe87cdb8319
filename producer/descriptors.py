"""How many files may be open at once."""

import resource

from schemas.errors import UsageProblem

DESCRIPTORS_BESIDE = 64
"""What the process has open beside the files: standard streams, libraries, connections to brokers."""

DESCRIPTORS_FOLLOWED = 4
"""What an open file needs that is followed: itself, its checkpoint's lock, and as much for one that was rotated away.
"""


def most_followed() -> int:
    """How many followed files may be open at once under this process's limit of descriptors."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(8, min(256, (limit - 2 * DESCRIPTORS_BESIDE) // DESCRIPTORS_FOLLOWED))


def make_room(files: int) -> None:
    """See that so many files can be open at once, and the lock of each one's checkpoint.

    Raises `UsageProblem` where the system does not allow it.
    """
    needed = 2 * files + DESCRIPTORS_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise UsageProblem(
            f"With --speed all {files:,} files are open at once, and this process may open {hard:,}",
            f"Set ulimit -n {needed}, or name fewer files",
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
