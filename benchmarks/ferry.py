"""chatferry's own measures, each a command as a person types it, on a fresh topic and database."""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.measure import CommandFailed, Sample
from benchmarks.site import PARTITIONS, Done, Site, sample

WORKERS = 2


def load(site: Site, log: Path, workers: int = WORKERS) -> Sample:
    """`chatferry load --brokers`: file to Kafka to MariaDB with its indexes, everything at once; the whole process."""
    with site.database() as url:
        account, done = site.watched_ferry(
            "load", str(log), "--brokers", site.kafka.brokers, "--topic", site.name(), "--database", url,
            "--partitions", str(PARTITIONS), "--workers", str(workers),
        )  # fmt: skip
        check(site, log, url, account)
    return _sample(account["rows"], account, done, bytes=log.stat().st_size)


def consume(site: Site, log: Path, topic: str, workers: int = WORKERS) -> Sample:
    """`chatferry consume --until-end` of a topic that was filled before, by a new group; the whole process."""
    with site.database() as url:
        account, done = site.watched_ferry(
            "consume", "--brokers", site.kafka.brokers, "--topic", topic, "--group", site.name(), "--database", url,
            "--workers", str(workers), "--until-end",
        )  # fmt: skip
        check(site, log, url, account)
    return _sample(account["rows"], account, done, bytes=log.stat().st_size)


def check(site: Site, log: Path, url: str, account: dict[str, Any]) -> None:
    """See that the table holds every row, and that the account says so.

    Raises `CommandFailed`: a figure of a run that lost something is none.
    """
    held = site.held(log)
    if not site.rows(url) == account["rows"] == held.rows or account["dead_letters"] != held.bad:
        raise CommandFailed(f"the table has {site.rows(url)} rows, the log {held}, the account is {account}")


def parse_only(site: Site, topic: str, workers: int = 1) -> Sample:
    """The workers with a store that accepts at once: fetching, parsing and making ready."""
    done = site.run(
        [sys.executable, "-m", "benchmarks.accept_all", "--brokers", site.kafka.brokers, "--topic", topic,
         "--workers", str(workers)]
    )  # fmt: skip
    account = json.loads(done.output)
    done.usage.cpu["workers"] = account["worker_cpu_seconds"]
    return _sample(account["messages"], account, done)


def slow_source(site: Site, log: Path, rate: int) -> Sample:
    """`consume` of a topic that a rate-limited `produce` fills meanwhile; until all is stored."""
    topic = site.topic()
    with site.database() as url:
        ferry = f"{sys.executable} -m ops"
        place = f"--brokers {site.kafka.brokers} --topic {topic}"
        done = site.run(
            [],
            shell_text=f"""
            set -e
            {ferry} consume {place} --group {topic} --database '{url}' --workers {WORKERS} --json & consumer=$!
            {ferry} produce {log} {place} --rate {rate} --state {site.folder / topic} --quiet >/dev/null
            sleep 2; kill -TERM $consumer; wait $consumer || test $? = 143
            """,
        )
        rows = site.rows(url)
    if rows != site.held(log).rows:
        raise CommandFailed(f"two seconds after the last line {rows} rows are there, of {site.held(log).rows}")
    return _sample(rows, json.loads(done.output.splitlines()[-1]), done)


def _sample(count: int, account: dict[str, Any], done: Done, **more: Any) -> Sample:
    return sample(
        count,
        done,
        held_back_by=account["held_back_by"],
        advice=account["advice"],
        time=account["time"],
        batch_rows=account["batch_rows"],
        batches_over_time=account["batches_over_time"],
        series=done.usage.series,
        **more,
    )
