"""`chatferry produce`: log files onto a topic."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import click
from click.core import ParameterSource

from producer.checkpoint import default_folder
from producer.client import producer_settings
from producer.controls import Controls
from producer.delivery import Address, Delivery
from producer.dry_run import dry_run
from producer.exports.conversion import Conversion, conversion_of
from producer.exports.opening import PLAIN, check_followed, open_input, size_of
from producer.first_look import FirstLook
from producer.hold import CheckpointPlace
from producer.looping import Loop
from producer.moments import Window, parse_moment
from producer.pacing import Pace
from producer.shipment import Manner
from producer.sources.names import Names, each_file_once
from producer.sources.streams import STANDARD_INPUT
from producer.telling import account, note, say_how_to_resume, sentence, warn_where_nothing_was_paced
from schemas.errors import UsageProblem
from schemas.settings import pass_through, secret
from schemas.topics import dead_letters_of
from terminal.command import FerryCommand, emit_json, environment, required, say, settings_options
from terminal.progress import Meter

log = logging.getLogger(__name__)

SHORT_SECONDS = 0.01
"""A wait that is shorter is slept: the client counts whole milliseconds, and comes back for every report."""


@click.command(cls=FerryCommand, name="produce")
@click.argument("files", nargs=-1, required=True, metavar="FILE|-...")
@settings_options(
    ["brokers", "topic", "dead_letter_topic", "state", "restart", "key", "follow", "speed", "catch_up", "rate", "from",
     "until", "loop", "rounds", "format", "as", "timezone", "date_order", "dry_run", "librdkafka",
     "kafka_password_file"]
)  # fmt: skip
def produce(files: tuple[str, ...], **given: Any) -> int:
    """Publish each line of the log FILEs (or of standard input: -) to a topic.

    Files may be compressed with gzip, zstd, xz or bzip2. Exports of chat systems (files, folders, zips) become lines on
    the way: see --format. A run that was killed goes on, when it is started again, from the last byte that Kafka
    acknowledged. With --follow a FILE may be a folder or a quoted glob, and it may come later. SIGUSR1 pauses a run and
    lets it go on, and so do the space bar and p on a terminal.
    """
    _refuse_what_needs_speed(given)
    controls = Controls(keyboard=STANDARD_INPUT not in files)
    how = _conversion(given)
    window = _window(given)
    if given["dry_run"]:
        return dry_run(files, how, window, controls.interruption, as_json=given["json"])
    if given["follow"]:
        check_followed(files, how)
    brokers = required("brokers", given["brokers"])
    password = secret("CHATFERRY_KAFKA_PASSWORD", given["kafka_password_file"], environment())
    settings = producer_settings(brokers, pass_through(given["librdkafka"]), password)
    topic = given["topic"]
    address = Address(settings, topic, dead_letters_of(topic, given["dead_letter_topic"]), given["key"])
    manner = Manner(
        window=window,
        stopping=controls.interruption.__bool__,
        open_input=partial(open_input, how=how),
        first_look=FirstLook(Names(files)) if given["follow"] and STANDARD_INPUT not in files else None,
        loop=_loop(files, given),
    )
    place = None if manner.loop else CheckpointPlace(given["state"] or default_folder(), given["restart"])
    delivery = Delivery(address, manner, place)
    started = time.monotonic()
    with controls.keyboard, ThreadPoolExecutor(1, "checkpoints") as scribe:
        manner.scribe = scribe if given["speed"] is not None else None
        left = _run(delivery, manner, files, given, controls)
    said = account(delivery, manner, left, time.monotonic() - started)
    warn_where_nothing_was_paced(said, manner)
    if given["json"]:
        emit_json(said)
    else:
        say(sentence(said, topic))
    if controls.interruption:
        say_how_to_resume(delivery.dispatch, manner)
    return controls.interruption.exit_status or (1 if left else 0)


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


def _refuse_what_needs_speed(given: dict[str, Any]) -> None:
    """A default, from wherever it comes, may stand in a script or the environment; what was typed means something."""
    typed = click.get_current_context().get_parameter_source("catch_up") is ParameterSource.COMMANDLINE
    if typed and not given["catch_up"] and given["speed"] is None:
        raise UsageProblem("--no-catch-up is about the schedule that --speed keeps", "Add --speed, or leave it out")


def _window(given: dict[str, Any]) -> Window | None:
    start, end = parse_moment(given["from_"], "--from"), parse_moment(given["until"], "--until")
    if start is not None and end is not None and start >= end:
        raise UsageProblem(f"--from {given['from_']} is not before --until {given['until']}", "Nothing would be sent")
    return None if start is None and end is None else Window(start, end)


def _loop(files: tuple[str, ...], given: dict[str, Any]) -> Loop | None:
    if not given["loop"] and given["rounds"] is None:
        return None
    if given["follow"]:
        raise UsageProblem("A file that is followed has no end to begin again at", "Leave out --follow, or --loop")
    if STANDARD_INPUT in files:
        raise UsageProblem("Standard input cannot be read again: --loop needs files", "Write it to a file first")
    return Loop(int(time.time()), given["rounds"])


def _run(delivery: Delivery, manner: Manner, files: tuple[str, ...], given: dict[str, Any], controls: Controls) -> int:
    """Send the files; returns how many records stayed without an acknowledgement."""
    total = _total_bytes(files, given)
    with Meter("produce", total=total, in_bytes=True, quiet=given["quiet"] or given["json"]) as meter:

        def progress() -> None:
            controls.look()
            if meter.due:
                lines = delivery.dispatch.hold.totals.lines
                meter.show(delivery.dispatch.hold.raw_position, lines, note(manner, controls))

        manner.pace = _pace(given, delivery, controls, progress)
        return delivery.run(files, follow=given["follow"], progress=progress)


def _total_bytes(files: tuple[str, ...], given: dict[str, Any]) -> int | None:
    """How much there is to read in all; None where nobody knows."""
    if given["follow"] or STANDARD_INPUT in files or (given["loop"] and given["rounds"] is None):
        return None
    return (given["rounds"] or 1) * sum(map(size_of, each_file_once(files)))


def _pace(given: dict[str, Any], delivery: Delivery, controls: Controls, progress: Callable[[], None]) -> Pace:
    def wait(seconds: float) -> bool:
        if seconds < SHORT_SECONDS:
            time.sleep(seconds)
            delivery.serve(0.0)
        else:
            delivery.serve(seconds)
        delivery.attend()
        progress()
        return not controls.interruption

    return Pace(
        rate=given["rate"],
        speed=given["speed"],
        catch_up=given["catch_up"],
        wait=wait,
        paused=controls.pause.__bool__,
    )
