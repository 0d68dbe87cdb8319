"""The coverage-guided fuzzer of the parser: `make fuzz SECONDS=60`, or `python -m tests.fuzz [libFuzzer's flags]`.

What it keeps goes to the first folder named, and is read from all of them; an input that breaks a promise is written
beside it as crash-*, and ends it.
"""

import sys

import atheris

with atheris.instrument_imports(include=["schemas.message", "json", "tests.fuzz.oracle"]):
    from tests.fuzz.oracle import check


def main() -> None:
    """Fuzz until libFuzzer's flags say that it is enough."""
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
