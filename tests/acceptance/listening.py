"""`chatferry listen` on one URL, and what of it is on the topic and in a table."""

import json
from collections import Counter
from typing import Any

from tests.acceptance.ferry import Ferry, Running, create_topic, query, values, wait_until


def messages_stored(ferry: Ferry, brokers: str, topic: str) -> list[str]:
    """Consume the topic into a table, on from where the last call ended; what the table then holds of messages."""
    url = f"sqlite:///{ferry.folder / 'judge.db'}"
    ferry.run("db", "upgrade", "--database", url)
    ferry.run(
        "consume", "--brokers", brokers, "--topic", topic, "--database", url, "--until-end", "--group", "judge",
        "--workers", "1",
    )  # fmt: skip
    return [row[0] for row in query(url, "SELECT `data` FROM chat_messages WHERE `type` = 'message'")]


class Listening:
    """Makes the topic. `url` and `environment` are as the next start will have them."""

    def __init__(self, ferry: Ferry, brokers: str, topic: str, url: str, environment: dict[str, str]) -> None:
        create_topic(brokers, topic)
        self._ferry = ferry
        self._brokers = brokers
        self._topic = topic
        self.url = url
        self.environment = environment

    def arguments(self) -> list[str]:
        """The command, without the program's name."""
        return ["listen", self.url, "--brokers", self._brokers, "--topic", self._topic, "--state", "state"]

    def start(self, *more: str) -> Running:
        """Start it with more arguments, and return when it listens."""
        running = self._ferry.start(*self.arguments(), *more, env=self.environment)
        running.wait_until(lambda: ": listening" in running.err, "it listens")
        return running

    def heard(self) -> list[dict[str, Any]]:
        """The lines on the topic."""
        return [json.loads(line) for line in values(self._brokers, self._topic)]

    def texts(self, kind: str = "message") -> Counter[str]:
        """How often each text was said, each id counted once, as the table does."""
        lines = {line["id"]: line for line in self.heard()}
        return Counter(line["data"] for line in lines.values() if line["type"] == kind)

    def wait_for(self, *texts: str, kind: str = "message") -> None:
        """Wait until all of them are on the topic."""
        wait_until(lambda: set(texts) <= set(self.texts(kind)), f"{texts} are on the topic; {self.texts(kind)}")

    def stored(self) -> Counter[str]:
        """How often each message is in a table that the topic was consumed into."""
        return Counter(messages_stored(self._ferry, self._brokers, self._topic))
