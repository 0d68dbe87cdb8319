"""What a run of `produce` says of itself: while it goes on, at its end, and of how to go on after it."""

import logging
from typing import Any

from producer.controls import Controls
from producer.delivery import Delivery
from producer.dispatch import Dispatch
from producer.shipment import Manner
from terminal.command import say
from terminal.logs import counted

log = logging.getLogger(__name__)

FILES_TO_NAME = 20
"""Of more files than these it is said all at once how to resume."""


def note(manner: Manner, controls: Controls) -> str:
    """What the progress says beside its figures."""
    parts = [f"round {manner.loop.round:,}"] if manner.loop else []
    if controls.pause:
        parts.append("paused")
    elif manner.pace.drift.lines:
        drift = manner.pace.drift.report()
        parts.append(f"drift p50 {drift['p50']:.1f} ms, p99 {drift['p99']:.1f} ms")
    return ", ".join(parts)


def account(delivery: Delivery, manner: Manner, left: int, seconds: float) -> dict[str, Any]:
    """What `--json` prints."""
    totals = delivery.dispatch.hold.totals
    by_partition = delivery.by_partition
    return {
        "lines": totals.lines,
        "blank": totals.blank,
        "acknowledged": by_partition.total() + delivery.references,
        "unacknowledged": left,
        "oversize": totals.oversize,
        "outside_window": totals.outside,
        "resumed_from": delivery.dispatch.hold.resumed_from,
        "partitions": dict(sorted(by_partition.items())),
        "drift_ms": manner.pace.drift.report() if manner.pace.by_moment else None,
        "paused_seconds": round(manner.pace.paused_seconds, 3),
        "skipped_seconds": round(manner.pace.skipped_seconds, 3),
        "rounds": manner.loop.round if manner.loop else 1,
        "seconds": round(seconds, 3),
        "lines_per_second": round(totals.lines / seconds) if seconds else 0,
    }


def warn_where_nothing_was_paced(account: dict[str, Any], manner: Manner) -> None:
    """Say that a speed did nothing: lines went, and none of them had a timestamp."""
    if account["acknowledged"] and manner.pace.timeless:
        log.warning("No line had a timestamp: --speed did nothing, and all went at once (--rate is a limit of its own)")


def sentence(account: dict[str, Any], topic: str) -> str:
    """The account for a person."""
    parts = [
        counted(account["lines"], "line"),
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


def say_how_to_resume(dispatch: Dispatch, manner: Manner) -> None:
    """Say where each file goes on after an interruption."""
    if manner.loop:
        say("A loop has no place to go on from: started again it begins anew, with other ids", err=True)
        return
    if any(shipment.reader.source.identity is None for shipment in dispatch.hold.shipments):
        say("Standard input cannot be resumed: send again what it did not take; repeats are absorbed", err=True)
        return
    reached = {
        shipment.name: shipment.ledger.acknowledged for shipment in dispatch.hold.shipments
    }  # of a rotated log the last
    if len(reached) > FILES_TO_NAME:
        say(f"{len(reached)} files: run the same command again; each goes on where it was", err=True)
        return
    for name, offset in reached.items():
        say(f"{name}: run the same command again; it goes on at byte {offset:,}", err=True)
