"""`python -m producer`: the producer's side alone; `python -m producer listen ...` listens."""

import sys

from producer.command import produce
from producer.live.command import listen

if __name__ == "__main__":
    if sys.argv[1:2] == ["listen"]:
        listen(sys.argv[2:], prog_name="python -m producer listen")
    else:
        produce(prog_name="python -m producer")
