"""`chatferry produce`: log files onto a topic."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click

from producer.checkpoint import default_folder
from producer.client import producer_settings
from producer.controls import Controls
from producer.delivery import Address, Delivery
from producer.dispatch import CheckpointPlace, Dispatch
from producer.looping import Loop
from producer.pacing import Pace, Window, parse_moment
from producer.shipment import Manner
from producer.sources.streams import STANDARD_INPUT
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
     "until", "loop", "rounds", "librdkafka", "kafka_password_file"]
)  # fmt: skip
def produce(files: tuple[str, ...], **given: Any) -> int:
    """Publish each line of the log FILEs (or of standard input: -) to a topic.

    Files may be compressed with gzip, zstd, xz or bzip2. A run that was killed goes on, when it is started again, from
    the last byte that Kafka acknowledged. SIGUSR1 pauses it and lets it go on, and so do the space bar and p on a
    terminal.
    """
    controls = Controls(keyboard=STANDARD_INPUT not in files)
    brokers = required("brokers", given["brokers"])
    password = secret("CHATFERRY_KAFKA_PASSWORD", given["kafka_password_file"], environment())
    settings = producer_settings(brokers, pass_through(given["librdkafka"]), password)
    topic = given["topic"]
    address = Address(settings, topic, dead_letters_of(topic, given["dead_letter_topic"]), given["key"])
    manner = Manner(window=_window(given), stopping=controls.interruption.__bool__, loop=_loop(files, given))
    place = None if manner.loop else CheckpointPlace(given["state"] or default_folder(), given["restart"])
    delivery = Delivery(address, manner, place)
    started = time.monotonic()
    with controls.keyboard, ThreadPoolExecutor(1, "checkpoints") as scribe:
        manner.scribe = scribe if given["speed"] is not None else None
        left = _run(delivery, manner, files, given, controls)
    account = _account(delivery, manner, left, time.monotonic() - started)
    if given["json"]:
        emit_json(account)
    else:
        say(_sentence(account, topic))
    if controls.interruption:
        _say_how_to_resume(delivery.dispatch, manner)
    return controls.interruption.exit_status or (1 if left else 0)


def _window(given: dict[str, Any]) -> Window | None:
    start, end = parse_moment(given["from_"], "--from"), parse_moment(given["until"], "--until")
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
                note = _note(manner, controls)
                meter.show(delivery.dispatch.raw_position, delivery.dispatch.totals.lines, note)

        manner.pace = _pace(given, delivery, controls, progress)
        return delivery.run(files, follow=given["follow"], progress=progress)


def _total_bytes(files: tuple[str, ...], given: dict[str, Any]) -> int | None:
    """How much there is to read in all; None where nobody knows."""
    if given["follow"] or STANDARD_INPUT in files or (given["loop"] and given["rounds"] is None):
        return None
    return (given["rounds"] or 1) * sum(Path(file).stat().st_size for file in files if Path(file).is_file())


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


def _note(manner: Manner, controls: Controls) -> str:
    """What the progress says beside its figures."""
    parts = [f"round {manner.loop.round:,}"] if manner.loop else []
    if controls.pause:
        parts.append("paused")
    elif manner.pace.drift.lines:
        drift = manner.pace.drift.report()
        parts.append(f"drift p50 {drift['p50']:.1f} ms, p99 {drift['p99']:.1f} ms")
    return ", ".join(parts)


def _account(delivery: Delivery, manner: Manner, left: int, seconds: float) -> dict[str, Any]:
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
        "drift_ms": manner.pace.drift.report() if manner.pace.by_moment else None,
        "paused_seconds": round(manner.pace.paused_seconds, 3),
        "skipped_seconds": round(manner.pace.skipped_seconds, 3),
        "rounds": manner.loop.round if manner.loop else 1,
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
    times = [f"{account['seconds']:.1f} s, {account['lines_per_second']:,} lines/s", *_times(account)]
    return f"{', '.join(parts)}; {', '.join(times)}"


def _times(account: dict[str, Any]) -> list[str]:
    """How well the schedule was kept, where there was one."""
    said = [
        f"{account[f'{what}_seconds']:.1f} s {what}" for what in ("paused", "skipped") if account[f"{what}_seconds"]
    ]
    if drift := account["drift_ms"]:
        said.append(f"drift p50 {drift['p50']:.1f} ms, p99 {drift['p99']:.1f} ms, max {drift['max']:.1f} ms")
    return said


def _say_how_to_resume(dispatch: Dispatch, manner: Manner) -> None:
    if manner.loop:
        say("A loop has no place to go on from: started again it begins anew, with other ids", err=True)
        return
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
