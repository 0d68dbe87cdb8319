"""What passes between a supervisor and its workers: the order to work, and the reports of what was done."""

from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True)
class WorkerOrder:
    """All that one worker process needs to know. Secrets travel in it, over a pipe, never in argv."""

    number: int
    topic: str
    dead_letter_topic: str
    database: str = field(repr=False)
    """A URL, perhaps with a password."""
    kafka: dict[str, str | int | float | bool] = field(repr=False)
    """The consumer's librdkafka settings, complete."""
    dead_letter_kafka: dict[str, str | int | float | bool] = field(repr=False)
    """The librdkafka settings of the worker's dead-letter producer, complete."""
    database_password: str | None = field(default=None, repr=False)
    replace: bool = False
    """True: a repeat of an id replaces its row. False: it is a no-op."""
    fair_share: tuple[int, int] | None = None
    """The fewest and the most partitions that this worker will own once its group is balanced, where that is known."""
    partitions: tuple[int, ...] | None = None
    """None: as a member of the group. Else: exactly these, from `starts`, without a group."""
    starts: dict[int, int] = field(default_factory=dict)
    batch_rows: int = 250_000
    batch_bytes: int = 48 << 20
    batch_seconds: float = 0.1
    dead_letter_run: int = 10_000
    """So many bad lines in a row stop the worker: the parser or the topic is wrong, not the lines. 0: never."""
    dead_letter_ratio: float = 0.9
    """So large a share of bad lines, of many, stops it as well. 1: never."""
    log_level: int = 20


class Segment(NamedTuple):
    """What one batch holds of one partition: offsets `start` to `end` (exclusive)."""

    start: int
    end: int
    messages: int
    dead_offsets: tuple[int, ...]


class Spent(NamedTuple):
    """Where a worker's time went, in seconds by the clock."""

    broker: float = 0.0
    """Waiting for records, with nothing else going on."""
    parsing: float = 0.0
    """Fetching and parsing records that were there."""
    database: float = 0.0
    """Waiting for a batch to be stored, with the next one full or no more records to be had meanwhile."""
    committing: float = 0.0
    """Waiting for dead letters to be acknowledged and offsets to be committed."""
    storing: float = 0.0
    """The database had a batch, or was waited for because it was away: beside all of the above, not added to it."""

    @property
    def total(self) -> float:
        """The time that went by."""
        return self.broker + self.parsing + self.database + self.committing

    def plus(self, other: "Spent") -> "Spent":
        """Both together."""
        return Spent(*(one + two for one, two in zip(self, other, strict=True)))


class BatchDone(NamedTuple):
    """One batch is in the database and its dead letters are acknowledged; its offsets are about to be committed."""

    worker: int
    segments: dict[int, Segment]
    rows: int
    repeats: int
    why: str = ""
    """What ended the batch: see `consumer.filling`."""
    spent: Spent = Spent()
    """Since the report before."""


class Committed(NamedTuple):
    """The broker took these offsets, by partition: what lies before them is this group's no more."""

    worker: int
    offsets: dict[int, int]


class Alive(NamedTuple):
    """The worker's loop turns, whatever it waits for."""

    worker: int


class WorkerStopped(NamedTuple):
    """The worker ends by itself because a person must act."""

    worker: int
    text: str
    next_step: str
