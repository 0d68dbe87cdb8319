"""How many files may be open: asked of a process of its own, whose limits are set first."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
from producer.descriptors import most_followed, most_open
print(most_followed(), most_open(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((256, 512), (96, 192, 512, 512)),
        ((1_024, 8_192), (256, 256, 4_096, 8_192)),
        ((8_192, 8_192), (256, 256, 8_192, 8_192)),
        ((100, 100), (8, 8, 100, 100)),
    ],
)
def test_soft_limit_is_raised_as_far_as_it_is_wanted_and_never_lowered(
    limits: tuple[int, int], expected: tuple[int, ...]
) -> None:
    asked = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, limits)], capture_output=True, check=True, text=True
    )
    assert tuple(map(int, asked.stdout.split())) == expected
