"""One incident, told once: a warning when a service goes away, and one when it is back, with how long it took."""

import logging
import time
from collections.abc import Callable

from schemas.errors import ChatferryError

log = logging.getLogger(__name__)


class Outage:
    """What is said of a service that may be away. A new reason in mid-outage is told too; the tries are not."""

    def __init__(
        self, meanwhile: str, *values: object, name: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`meanwhile`, formatted with `values`, says what happens until the service is back.

        `name` tells the service where there are several that may be away.
        """
        self._name = f"{name}: " if name else ""
        self._meanwhile = meanwhile % values
        self._clock = clock
        self._since: float | None = None
        self._told = ""
        self._tries = 0

    def goes_on(self, problem: ChatferryError) -> None:
        """Another try failed: the service is down, or does what a person must mend, and is tried again all the same."""
        if self._since is None:
            self._since = self._clock()
        self._tries += 1
        if str(problem) != self._told:
            self._told = str(problem)
            log.warning("%s%s; %s until it is back", self._name, problem, self._meanwhile)
        else:
            log.debug("%s%s, try %d", self._name, problem, self._tries)

    def is_over(self) -> None:
        """A try succeeded: tells how long the outage was, if there was one."""
        if self._since is not None:
            seconds = self._clock() - self._since
            log.warning("%sBack after %.1f s and %d tries: the work goes on", self._name, seconds, self._tries)
