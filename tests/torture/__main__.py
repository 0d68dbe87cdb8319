"""Rounds of faults on the real commands and servers: `make torture SEED=... MINUTES=...`.

    python -m tests.torture [--seed SEED] [--minutes N | --rounds N] [--first N] [--plan]

Each round has a fresh topic, group and table; lines flow through them while the schedule strikes, which the seed and
the round's number decide. At the end of a round table, dead letters and offsets are compared with the log. Ends with 1
where a round did not pass; its number and seed say how to have it again: --first N --rounds 1.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.services.process import ServicesMissingError
from tests.torture.rounds import Outcome, carry_out
from tests.torture.schedule import Round, plan
from tests.torture.site import open_site


def main() -> int:
    """Run the rounds; the exit status."""
    options = parse()
    if options.plan:
        for number in range(options.first, options.first + (options.rounds or 1)):
            print(described(plan(options.seed, number)))
        return 0
    began, failed, done, lines, struck = time.monotonic(), [], 0, 0, 0
    with tempfile.TemporaryDirectory(prefix="chatferry-torture-") as directory, open_site(Path(directory)) as site:
        while not over(options, done, time.monotonic() - began):
            round_ = plan(options.seed, options.first + done)
            print(described(round_), flush=True)
            with tempfile.TemporaryDirectory(dir=directory) as folder:
                outcome = carry_out(site, round_, Path(folder))
            print(verdict(outcome), flush=True)
            done, lines, struck = done + 1, lines + outcome.lines, struck + outcome.struck
            if outcome.wrong:
                failed.append(round_.number)
    minutes = (time.monotonic() - began) / 60
    print(f"\n{done} rounds, {lines:,} lines, {struck} faults that struck, {minutes:.0f} min; seed {options.seed}")
    print(f"not passed: rounds {failed}" if failed else "every line once, every bad line among the dead letters")
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", default="1")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, help="so many, however long they take")
    parser.add_argument("--first", type=int, default=1, help="the number of the first round")
    parser.add_argument("--plan", action="store_true", help="print the schedule and do nothing")
    return parser.parse_args()


def over(options: argparse.Namespace, done: int, seconds: float) -> bool:
    """Whether that was the last round."""
    if options.rounds is not None:
        return bool(done >= options.rounds)
    return bool(seconds >= options.minutes * 60)


def described(round_: Round) -> str:
    """A round's schedule in words."""
    consume = " ".join(["consume", *round_.options])
    head = f"round {round_.number}: {round_.lines:,} lines at {round_.rate:,} a second, {consume}"
    return "\n".join([head, *(f"    {event}" for event in round_.events)])


def verdict(outcome: Outcome) -> str:
    """What came of it in words."""
    again = f"{outcome.copies:,} lines and {outcome.repeats:,} dead letters came twice"
    if outcome.wrong:
        return "\n".join([f"    NOT PASSED after {outcome.seconds:.0f} s", *(f"    {text}" for text in outcome.wrong)])
    return f"    passed in {outcome.seconds:.0f} s; {outcome.struck} faults struck; {again}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ServicesMissingError as error:
        sys.exit(str(error))
