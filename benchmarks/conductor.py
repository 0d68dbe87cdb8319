"""How well `produce --speed` keeps its schedule: drift at 10,000 lines a second, and the end of an hour at ten times.

    python -m benchmarks.conductor [--seconds 60] [--no-hour] [--results FOLDER]

Writes `conductor.json` and `conductor.md`. The drift is told twice: by the command itself, and by the times that Kafka
has of the records against the timestamps in them (counted from the first record, in whole milliseconds). Beside it runs
a process that only sleeps, four milliseconds at a time: how late it wakes is what the machine does to anybody. Ends
with 1 where a target is missed or a line is.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from benchmarks.machine import describe
from benchmarks.markdown import number, table
from tests.services.kafka import Kafka

RESULTS = Path(__file__).parent / "results"
START = 1_700_000_000
FILES = 3
PARTITIONS = 4
P99_MS = 20.0
HOUR_SHARE = 0.01
KEYS = ("p50", "p99", "max")
TEXT = "a line of some length, as people write them, and then a few words more: "
SILENCE_SECONDS = 10.0
SLEEPER = """
import json, select, sys, time
late = []
while not select.select([sys.stdin], [], [], 0)[0]:
    due = time.monotonic() + 0.004
    time.sleep(0.004)
    late.append(1e3 * (time.monotonic() - due))
late.sort()
print(json.dumps({"p50": late[len(late) // 2], "p99": late[int(len(late) * 0.99)], "max": late[-1]}))
"""


def write_logs(folder: Path, name: str, seconds: float, rate: int) -> list[str]:
    """Three logs of so many seconds, `rate` lines a second in all, whose timestamps take turns; their paths."""
    paths = [folder / f"{name}-{place}.jsonl" for place in range(FILES)]
    for place, path in enumerate(paths):
        with path.open("w", encoding="ascii") as out:
            for n in range(place, round(seconds * rate) + 1, FILES):
                out.write(
                    f'{{"id":"{name}-{n}","from":"ann","type":"message","site_id":"lobby",'
                    f'"timestamp":{START + n / rate:.6f},"data":"{TEXT}{n}"}}\n'
                )
    return [str(path) for path in paths]


def replay(kafka: Kafka, folder: Path, name: str, *, seconds: float, rate: int, speed: float) -> dict[str, Any]:
    """Replay logs of so many seconds and lines a second, `speed` times as fast; what came of it."""
    logs = write_logs(folder, name, seconds, rate)
    place = ["--brokers", kafka.brokers, "--topic", name]
    _ferry("topics", "create", *place, "--partitions", str(PARTITIONS))
    load_before, began = os.getloadavg()[0], os.times()
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as sleeper:
        account = _ferry("produce", *logs, *place, "--speed", str(speed), "--state", str(folder / name))
        ended = os.times()
        slept, _ = sleeper.communicate()
    return {
        "lines": round(seconds * rate) + 1,
        "lines_per_second": rate * speed,
        "wanted_seconds": seconds / speed,
        "account": account,
        "cpu_seconds": ended.children_user + ended.children_system - began.children_user - began.children_system,
        "by_kafka": by_kafka(kafka.brokers, name, speed),
        "sleeper": json.loads(slept),
        "load_average": [round(load_before, 1), round(os.getloadavg()[0], 1)],
    }


def _ferry(*arguments: str) -> dict[str, Any]:
    """Run a chatferry command; its JSON object. Raises subprocess.CalledProcessError where it fails."""
    done = subprocess.run([sys.executable, "-m", "ops", *arguments, "--json"], stdout=subprocess.PIPE, check=True)
    account: dict[str, Any] = json.loads(done.stdout)
    return account


def by_kafka(brokers: str, topic: str, speed: float) -> dict[str, float]:
    """Records, the seconds they took, and how late they were in milliseconds, by the records' own times."""
    pairs = list(_times(brokers, topic))
    first_sent, first = min(sent for sent, _ in pairs), min(moment for _, moment in pairs)
    late = sorted((sent - first_sent) - 1e3 * (moment - first) / speed for sent, moment in pairs)
    return {
        "records": len(pairs),
        "seconds": (max(sent for sent, _ in pairs) - first_sent) / 1e3,
        "p50": late[len(late) // 2],
        "p99": late[int(len(late) * 0.99)],
        "max": late[-1],
    }


def _times(brokers: str, topic: str) -> Iterator[tuple[int, float]]:
    """When each record was sent, in Unix milliseconds, and its line's timestamp."""
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "conductor", "enable.auto.commit": False})
    try:
        places = [TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)]
        left = {p.partition: consumer.get_watermark_offsets(p, SILENCE_SECONDS)[1] for p in places}
        consumer.assign(places)
        total = sum(left.values())
        while total:
            messages = consumer.consume(10_000, SILENCE_SECONDS)
            if not messages:
                raise TimeoutError(f"{total} records of {topic} were still to be read")
            for message in messages:
                value = message.value()
                assert isinstance(value, bytes)
                yield message.timestamp()[1], float(json.loads(value)["timestamp"])
            total -= len(messages)
    finally:
        consumer.close()


def judged(runs: dict[str, dict[str, Any]]) -> list[str]:
    """What is not as it should be."""
    wrong = []
    for name, run in runs.items():
        if not run["lines"] == run["account"]["acknowledged"] == run["by_kafka"]["records"]:
            wrong.append(f"{name}: {run['lines']:,} lines, {run['by_kafka']['records']:,} records")
    drift = runs["drift"]["account"]["drift_ms"]["p99"]
    if drift > P99_MS:
        wrong.append(f"p99 of the drift is {drift} ms, more than {P99_MS:g}")
    if "hour" in runs:
        took, wanted = runs["hour"]["account"]["seconds"], runs["hour"]["wanted_seconds"]
        if abs(took - wanted) > HOUR_SHARE * wanted:
            wrong.append(f"the hour took {took} s instead of {wanted:g}")
    return wrong


def report(result: dict[str, Any]) -> str:
    """The results as Markdown."""
    head = ["run", "lines", "lines/s", "wanted, s", "took, s", "drift p50, ms", "p99", "max",
            "by Kafka: p50", "p99", "max", "sleeper: p50", "p99", "max", "CPU, core-s", "load average"]  # fmt: skip
    rows = []
    for name, run in result["runs"].items():
        account = run["account"]
        late = [number(of[key]) for of in (account["drift_ms"], run["by_kafka"], run["sleeper"]) for key in KEYS]
        rows.append(
            [name, number(run["lines"]), number(run["lines_per_second"]), number(run["wanted_seconds"]),
             f"{account['seconds']:.2f}", *late, number(run["cpu_seconds"]), " to ".join(map(str, run["load_average"]))]
        )  # fmt: skip
    facts = result["machine"]
    told = (
        f"Three files merged by time onto {PARTITIONS} partitions of a Kafka on the same {facts['cores']} cores "
        f"({facts['cpu']}; an fsync takes {facts['fsync_ms']} ms). The load average tells what else ran meanwhile; "
        "the sleeper is a process that sleeps four milliseconds at a time, and how late it wakes. "
        f"Targets: p99 <= {P99_MS:g} ms at 10,000 lines a second; the hour within {HOUR_SHARE:.0%} of six minutes."
    )
    judgement = f"Missed: {'; '.join(result['wrong'])}." if result["wrong"] else "Both are met, and no line is missing."
    return "\n\n".join(["# The conductor", told, judgement, table(head, rows, right=set(range(1, 15)))]) + "\n"


def main() -> None:
    """Run it and write what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to send 10,000 lines a second")
    parser.add_argument("--no-hour", action="store_true", help="leave out the hour, which takes six minutes")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    began = time.time()
    runs = {}
    with tempfile.TemporaryDirectory(prefix="chatferry-conductor-") as name:
        folder = Path(name)
        machine = describe(folder)
        with Kafka(folder) as kafka:
            runs["drift"] = replay(kafka, folder, "drift", seconds=10 * options.seconds, rate=1_000, speed=10)
            if not options.no_hour:
                runs["hour"] = replay(kafka, folder, "hour", seconds=3_600, rate=20, speed=10)
    result = {"started": round(began), "machine": machine, "runs": runs, "wrong": judged(runs)}
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "conductor.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    (options.results / "conductor.md").write_text(report(result), encoding="utf-8")
    print(report(result))
    sys.exit(1 if result["wrong"] else 0)


if __name__ == "__main__":
    main()
