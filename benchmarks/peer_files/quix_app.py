"""A Quix Streams application that stores messages, as a user of it would write one; run by benchmarks/peers.py.

Its sink gets the records of each partition at each checkpoint: 20,000 records, so about 5,000 a partition.
"""

import os
from datetime import UTC, datetime
from typing import Any

import pymysql
from quixstreams import Application  # type: ignore[import-not-found] # it lives in a virtual environment of its own
from quixstreams.sinks import BatchingSink, SinkBatch  # type: ignore[import-not-found]

COMMIT_EVERY = 20_000  # records of all partitions
STATEMENT_ROWS = 5_000
HEARTBEAT_MS = 500  # so that a second process has its share soon; by the default, 3 s, it waits for it
INSERT = (
    "INSERT IGNORE INTO chat_messages (`id`, `from`, `type`, `site_id`, `timestamp`, `data`) "
    "VALUES (%s, %s, %s, %s, %s, %s)"
)


def row(message: dict[str, Any]) -> tuple[str, str, str, str, datetime, str | None]:
    """The table's row of one decoded line."""
    moment = datetime.fromtimestamp(float(message["timestamp"]), UTC).replace(tzinfo=None)
    return message["id"], message["from"], message["type"], message["site_id"], moment, message.get("data")


class TableSink(BatchingSink):  # type: ignore[misc] # its base is unknown to the type checker
    """Rows into the table: a multi-row INSERT for 5,000 of a partition, a commit each."""

    def setup(self) -> None:
        """Connect."""
        self._connection = pymysql.connect(
            host=os.environ["HOST"], port=int(os.environ["PORT"]), user="root", database=os.environ["DATABASE"],
            charset="utf8mb4", init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        )  # fmt: skip

    def write(self, batch: SinkBatch) -> None:
        """Store one partition's records."""
        with self._connection.cursor() as cursor:
            for items in batch.iter_chunks(STATEMENT_ROWS):
                cursor.executemany(INSERT, [row(item.value) for item in items])
                self._connection.commit()


def main() -> None:
    """Run until a signal."""
    application = Application(
        broker_address=os.environ["BROKERS"], consumer_group=os.environ["GROUP"], auto_offset_reset="earliest",
        consumer_extra_config={"heartbeat.interval.ms": HEARTBEAT_MS}, commit_every=COMMIT_EVERY, commit_interval=1.0,
        use_changelog_topics=False, state_dir=os.environ["FOLDER"],
    )  # fmt: skip
    messages = application.topic(os.environ["TOPIC"], value_deserializer="json")
    application.dataframe(messages).sink(TableSink())
    application.run()


if __name__ == "__main__":
    main()
