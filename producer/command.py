"""`chatferry produce`: log files onto a topic."""

import logging
import time
from pathlib import Path
from typing import Any

import click

from producer.checkpoint import default_folder
from producer.client import Trouble, ask_topic, new_producer, producer_settings
from producer.dispatch import CheckpointPlace, Dispatch
from producer.pacing import Pace, Window, parse_moment
from producer.publisher import Publisher, key_of_field
from producer.shipment import Manner
from producer.sources.streams import STANDARD_INPUT
from schemas.settings import pass_through, secret
from schemas.topics import dead_letters_of
from terminal.command import FerryCommand, emit_json, environment, required, say, settings_options
from terminal.progress import Meter
from terminal.signals import GRACE_SECONDS, Interruption

log = logging.getLogger(__name__)


@click.command(cls=FerryCommand, name="produce")
@click.argument("files", nargs=-1, required=True, metavar="FILE|-...")
@settings_options(
    ["brokers", "topic", "dead_letter_topic", "state", "restart", "key", "follow", "speed", "rate", "from", "until",
     "librdkafka", "kafka_password_file"]
)  # fmt: skip
def produce(files: tuple[str, ...], **given: Any) -> int:
    """Publish each line of the log FILEs (or of standard input: -) to a topic.

    Files may be compressed with gzip, zstd, xz or bzip2. A run that was killed goes on, when it is started again, from
    the last byte that Kafka acknowledged.
    """
    interruption = Interruption().listen()
    brokers = required("brokers", given["brokers"])
    password = secret("CHATFERRY_KAFKA_PASSWORD", given["kafka_password_file"], environment())
    settings = producer_settings(brokers, pass_through(given["librdkafka"]), password)
    window = _window(given)
    facts = ask_topic(settings, given["topic"])
    trouble = Trouble()
    started = time.monotonic()
    publisher = Publisher(
        new_producer(settings, facts, trouble.note),
        facts.name,
        facts.partitions,
        dead_letters_of(facts.name, given["dead_letter_topic"]),
        key_of=key_of_field(given["key"], facts.longest_line) if given["key"] else None,
        trouble=trouble,
    )
    manner = Manner(_pace(given, publisher, interruption), window, interruption.__bool__)
    dispatch = Dispatch(publisher, facts, manner, CheckpointPlace(given["state"] or default_folder(), given["restart"]))
    left = _run(dispatch, files, given)
    account = _account(dispatch, publisher, left, time.monotonic() - started)
    if given["json"]:
        emit_json(account)
    else:
        say(_sentence(account, facts.name))
    if interruption:
        _say_how_to_resume(dispatch)
    return interruption.exit_status or (1 if left else 0)


def _window(given: dict[str, Any]) -> Window | None:
    start, end = parse_moment(given["from_"], "--from"), parse_moment(given["until"], "--until")
    return None if start is None and end is None else Window(start, end)


def _pace(given: dict[str, Any], publisher: Publisher, interruption: Interruption) -> Pace:
    def wait(seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not interruption and (left := until - time.monotonic()) > 0:
            publisher.serve(min(left, 0.2))
        return not interruption

    return Pace(rate=given["rate"], speed=given["speed"], wait=wait)


def _run(dispatch: Dispatch, files: tuple[str, ...], given: dict[str, Any]) -> int:
    """Send the files; returns how many records stayed without an acknowledgement."""
    known = not given["follow"] and STANDARD_INPUT not in files
    total = sum(Path(file).stat().st_size for file in files if Path(file).is_file()) if known else None
    with Meter("produce", total=total, in_bytes=True, quiet=given["quiet"] or given["json"]) as meter:

        def progress() -> None:
            meter.show(dispatch.raw_position, dispatch.totals.lines)

        try:
            (dispatch.follow if given["follow"] else dispatch.replay)(files, progress)
        finally:
            left = dispatch.finish(GRACE_SECONDS)
    return left


def _account(dispatch: Dispatch, publisher: Publisher, left: int, seconds: float) -> dict[str, Any]:
    totals = dispatch.totals
    return {
        "lines": totals.lines,
        "blank": totals.blank,
        "acknowledged": publisher.acknowledged.total() + publisher.references,
        "unacknowledged": left,
        "oversize": totals.oversize,
        "outside_window": totals.outside,
        "resumed_from": dispatch.resumed_from,
        "partitions": dict(sorted(publisher.acknowledged.items())),
        "seconds": round(seconds, 3),
        "lines_per_second": round(totals.lines / seconds) if seconds else 0,
    }


def _sentence(account: dict[str, Any], topic: str) -> str:
    parts = [
        f"{account['lines']:,} lines",
        f"{account['acknowledged']:,} acknowledged by {topic}",
        f"{account['blank']:,} blank",
    ]
    if account["oversize"]:
        parts.append(f"{account['oversize']:,} too large for the topic (references in the dead letters)")
    if account["outside_window"]:
        parts.append(f"{account['outside_window']:,} outside the time window")
    if account["unacknowledged"]:
        parts.append(f"{account['unacknowledged']:,} NOT acknowledged")
    resumed = any(account["resumed_from"].values())
    if resumed and not account["lines"]:
        parts.append("everything was sent before (--restart sends it again)")
    return f"{', '.join(parts)}; {account['seconds']:.1f} s, {account['lines_per_second']:,} lines/s"


def _say_how_to_resume(dispatch: Dispatch) -> None:
    for shipment in dispatch.shipments:
        if shipment.reader.source.identity is None:
            say(
                "Standard input cannot be resumed: send again what it did not take; repeats are absorbed",
                err=True,
            )
        else:
            say(
                f"{shipment.name}: run the same command again; it goes on at byte {shipment.ledger.acknowledged:,}",
                err=True,
            )
