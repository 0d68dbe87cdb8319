"""`chatferry produce`: log files onto a topic."""

import logging
import time
from functools import partial
from typing import Any

import click

from producer.checkpoint import default_folder
from producer.client import producer_settings
from producer.delivery import Address, Delivery
from producer.dispatch import CheckpointPlace, Dispatch
from producer.dry_run import dry_run
from producer.exports.conversion import Conversion, conversion_of
from producer.exports.opening import PLAIN, open_input, size_of
from producer.pacing import Pace, Window, parse_moment
from producer.shipment import Manner
from producer.sources.streams import STANDARD_INPUT
from schemas.errors import UsageProblem
from schemas.settings import pass_through, secret
from schemas.topics import dead_letters_of
from terminal.command import FerryCommand, emit_json, environment, required, say, settings_options
from terminal.progress import Meter
from terminal.signals import Interruption

log = logging.getLogger(__name__)

FILES_TO_NAME = 20
"""Of more files than these it is said all at once how to resume."""


@click.command(cls=FerryCommand, name="produce")
@click.argument("files", nargs=-1, required=True, metavar="FILE|-...")
@settings_options(
    ["brokers", "topic", "dead_letter_topic", "state", "restart", "key", "follow", "speed", "rate", "from", "until",
     "format", "as", "timezone", "date_order", "dry_run", "librdkafka", "kafka_password_file"]
)  # fmt: skip
def produce(files: tuple[str, ...], **given: Any) -> int:
    """Publish each line of the log FILEs (or of standard input: -) to a topic.

    Files may be compressed with gzip, zstd, xz or bzip2. Exports of chat systems (files, folders, zips) become lines on
    the way: see --format. A run that was killed goes on, when it is started again, from
    the last byte that Kafka acknowledged. With --follow a FILE may be a folder or a quoted glob, and it may come
    later.
    """
    interruption = Interruption().listen()
    how = _conversion(given)
    window = _window(given)
    if given["dry_run"]:
        return dry_run(files, how, window, interruption, as_json=given["json"])
    brokers = required("brokers", given["brokers"])
    password = secret("CHATFERRY_KAFKA_PASSWORD", given["kafka_password_file"], environment())
    settings = producer_settings(brokers, pass_through(given["librdkafka"]), password)
    topic = given["topic"]
    address = Address(settings, topic, dead_letters_of(topic, given["dead_letter_topic"]), given["key"])
    manner = Manner(window=window, stopping=interruption.__bool__, open_input=partial(open_input, how=how))
    place = CheckpointPlace(given["state"] or default_folder(), given["restart"])
    delivery = Delivery(address, manner, place)
    manner.pace = _pace(given, delivery, interruption)
    started = time.monotonic()
    left = _run(delivery, files, given)
    account = _account(delivery, left, time.monotonic() - started)
    if given["json"]:
        emit_json(account)
    else:
        say(_sentence(account, topic))
    if interruption:
        _say_how_to_resume(delivery.dispatch)
    return interruption.exit_status or (1 if left else 0)


def _conversion(given: dict[str, Any]) -> Conversion:
    how = conversion_of(given)
    if given["follow"] and how.format not in PLAIN:
        raise UsageProblem(
            f"--format {how.format} cannot be followed: an export is converted as a whole",
            "Leave --follow out, and run again when the export is a new one: what the table has is a repeat",
        )
    if given["follow"] and given["dry_run"]:
        raise UsageProblem("--dry-run looks at what is there, --follow at what is to come", "Leave one of them out")
    return how


def _window(given: dict[str, Any]) -> Window | None:
    start, end = parse_moment(given["from_"], "--from"), parse_moment(given["until"], "--until")
    if start is not None and end is not None and start >= end:
        raise UsageProblem(f"--from {given['from_']} is not before --until {given['until']}", "Nothing would be sent")
    return None if start is None and end is None else Window(start, end)


def _pace(given: dict[str, Any], delivery: Delivery, interruption: Interruption) -> Pace:
    def wait(seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not interruption and (left := until - time.monotonic()) > 0:
            delivery.serve(min(left, 0.2))
        return not interruption

    return Pace(rate=given["rate"], speed=given["speed"], wait=wait)


def _run(delivery: Delivery, files: tuple[str, ...], given: dict[str, Any]) -> int:
    """Send the files; returns how many records stayed without an acknowledgement."""
    known = not given["follow"] and STANDARD_INPUT not in files
    total = sum(map(size_of, files)) if known else None
    with Meter("produce", total=total, in_bytes=True, quiet=given["quiet"] or given["json"]) as meter:

        def progress() -> None:
            meter.show(delivery.dispatch.raw_position, delivery.dispatch.totals.lines)

        return delivery.run(files, follow=given["follow"], progress=progress)


def _account(delivery: Delivery, left: int, seconds: float) -> dict[str, Any]:
    totals = delivery.dispatch.totals
    by_partition = delivery.by_partition
    return {
        "lines": totals.lines,
        "blank": totals.blank,
        "acknowledged": by_partition.total() + delivery.references,
        "unacknowledged": left,
        "oversize": totals.oversize,
        "outside_window": totals.outside,
        "resumed_from": delivery.dispatch.resumed_from,
        "partitions": dict(sorted(by_partition.items())),
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
    if any(shipment.reader.source.identity is None for shipment in dispatch.shipments):
        say("Standard input cannot be resumed: send again what it did not take; repeats are absorbed", err=True)
        return
    reached = {
        shipment.name: shipment.ledger.acknowledged for shipment in dispatch.shipments
    }  # of a rotated log the last
    if len(reached) > FILES_TO_NAME:
        say(f"{len(reached)} files: run the same command again; each goes on where it was", err=True)
        return
    for name, offset in reached.items():
        say(f"{name}: run the same command again; it goes on at byte {offset:,}", err=True)
