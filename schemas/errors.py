"""Every failure that chatferry tells apart.

    ChatferryError
    ├── BadLine            bad data: this one line becomes a dead letter, the work goes on
    ├── ServiceDown        a service is away: wait, retry the same thing
    │   ├── BrokerDown
    │   ├── ConnectionLost a chat system that is listened to
    │   ├── DatabaseDown
    │   └── SpoolFull      no room for what was heard until Kafka takes some
    └── Stop               a person must act: one sentence, one next step, exit status 1
        ├── InputBroken    what is read cannot be read on: trying again is no use
        ├── ClientEnded    Kafka's client gave up for good: a new one may go on from what was acknowledged
        ├── NeedsUpgrade   the table is not there yet, or is an older one's
        └── UsageProblem   the command line or a setting is wrong: exit status 2

Anything else is a bug and crashes with its traceback. Nothing here is ever turned into another kind: a service that is
down never makes a dead letter, and a bug is never retried.
"""


class ChatferryError(Exception):
    """The root; never raised itself."""


class BadLine(ChatferryError):
    """The line is not a chat message; `reason` is one of a few stable class names, the text says what was wrong."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class ServiceDown(ChatferryError):
    """A service did not answer, or answered that it cannot serve now."""


class BrokerDown(ServiceDown):
    """Kafka is away."""


class DatabaseDown(ServiceDown):
    """The database is away, full, read-only, locked or deadlocked: the batch is kept and tried again."""


class ConnectionLost(ServiceDown):
    """A chat system does not answer, or closed the connection: it is dialed again."""


class SpoolFull(ServiceDown):
    """The disk has no room for what was heard: whoever said it waits."""


class Stop(ChatferryError):
    """The work cannot go on until a person acts.

    `text` says what is wrong and where; `next_step` is the sentence that says what to do about it.
    """

    exit_status = 1

    def __init__(self, text: str, next_step: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.text}. {self.next_step}" if self.next_step else self.text


class InputBroken(Stop):
    """A stream that cannot be dialed again is damaged or fails: what comes behind that is not to be had."""


class ClientEnded(Stop):
    """A client of Kafka ended itself with what it calls a fatal error; what it had in hand is not acknowledged. What
    to do about it knows who knows where to go on."""


class NeedsUpgrade(Stop):
    """`chatferry db upgrade` mends it."""

    def __init__(self, text: str) -> None:
        super().__init__(text, "Run: chatferry db upgrade --database ...")


class UsageProblem(Stop):
    """The command line, an environment variable or the settings file is wrong."""

    exit_status = 2
