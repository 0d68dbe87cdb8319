"""A dead-letter topic that takes nothing: the work stops with a sentence and nothing is committed, then goes on.

(One that is missing, and one that is too small for a line, are in test_worker_faults.py.)
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from tests.acceptance.ferry import Ferry, committed, count_rows, message, publish, records, wait_until
from tests.faults.rig import create_topic, set_topic_config
from tests.services.kafka import GivenKafka, Kafka

TOPIC, DEAD, GROUP = "chat", "chat.dlq", "guarded"
GUARDED = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
ANYBODY = "User:*"


@dataclass
class Guard:
    """Says who may do what on the dead-letter topic; where nothing is said, everybody may do everything."""

    brokers: str

    def _binding(self, operation: AclOperation, permission: AclPermissionType) -> AclBinding:
        return AclBinding(ResourceType.TOPIC, DEAD, ResourcePatternType.LITERAL, ANYBODY, "*", operation, permission)

    def forbid(self, *, even_to_look: bool) -> None:
        """Let nobody write there, and with `even_to_look` let nobody see that it is there."""
        rules = [self._binding(AclOperation.WRITE, AclPermissionType.DENY)]
        if not even_to_look:
            rules.append(self._binding(AclOperation.DESCRIBE, AclPermissionType.ALLOW))
        admin = AdminClient({"bootstrap.servers": self.brokers})
        for made in admin.create_acls(rules).values():
            made.result()
        wait_until(lambda: len(self._rules()) == len(rules), "the rules hold")

    def allow(self) -> None:
        """Take all back."""
        admin = AdminClient({"bootstrap.servers": self.brokers})
        for done in admin.delete_acls([self._everything]).values():
            done.result()
        wait_until(lambda: not self._rules(), "the rules are gone")

    def _rules(self) -> list[AclBinding]:
        admin = AdminClient({"bootstrap.servers": self.brokers})
        return list(admin.describe_acls(self._everything).result())

    @property
    def _everything(self) -> AclBindingFilter:
        anyone: Any = None  # as the library documents it, and does not annotate it
        anything = AclOperation.ANY, AclPermissionType.ANY
        return AclBindingFilter(ResourceType.TOPIC, DEAD, ResourcePatternType.LITERAL, anyone, anyone, *anything)


@pytest.fixture
def guard(server_directory: Path) -> Iterator[Guard]:
    """A Kafka that asks who may do what, with a topic and its dead letters."""
    with ExitStack() as stack:
        kafka = stack.enter_context(Kafka(server_directory, properties=GUARDED))
        create_topic(kafka.brokers, TOPIC, 1)
        create_topic(kafka.brokers, DEAD, 1)
        yield Guard(kafka.brokers)


@pytest.mark.long
@pytest.mark.parametrize("even_to_look", [False, True], ids=["to write", "even to look"])
def test_forbidden_dead_letter_topic_stops_the_work_and_commits_nothing_until_it_is_allowed(
    guard: Guard, database: str, ferry: Ferry, even_to_look: bool
) -> None:
    guard.forbid(even_to_look=even_to_look)
    publish(guard.brokers, TOPIC, [message(1), b"bad", message(2)], [0])
    named = ["--brokers", guard.brokers, "--topic", TOPIC, "--group", GROUP, "--database", database]
    command = ["consume", *named, "--until-end", "--json", "--defer-indexes", "never"]
    for _ in range(2):  # a second start is no way around it
        refused = ferry.run(*command, check=1)
        assert "no offset was committed" in refused.error
        assert DEAD in refused.error
        assert "(an ACL)" in refused.error
        assert committed(guard.brokers, GROUP) == {}
    assert count_rows(database) == 2
    guard.allow()
    assert records(guard.brokers, DEAD) == []
    publish(guard.brokers, TOPIC, [message(3)], [0])
    account = ferry.run(*command).json
    assert (account["rows"], account["repeats"], account["dead_letters"]) == (1, 2, 1)
    assert [letter.value for letter in records(guard.brokers, DEAD)] == [b"bad"]
    assert committed(guard.brokers, GROUP) == {0: 4}


@pytest.mark.long
def test_dead_letter_topic_too_small_for_a_reference_stops_the_work_and_commits_nothing_until_it_is_larger(
    kafka: Kafka | GivenKafka, topic: str, group: str, database: str, ferry: Ferry
) -> None:
    dead = f"{topic}.dlq"
    create_topic(kafka.brokers, topic, 1)
    create_topic(kafka.brokers, dead, 1, max_message_bytes=100)
    publish(kafka.brokers, topic, [message(1), b"bad", message(2)], [0])
    named = ["--brokers", kafka.brokers, "--topic", topic, "--group", group, "--database", database]
    command = ["consume", *named, "--until-end", "--json", "--defer-indexes", "never"]
    for _ in range(2):
        refused = ferry.run(*command, check=1)
        assert "does not even take a reference; no offset was committed" in refused.error
        assert "max.message.bytes" in refused.error
        assert committed(kafka.brokers, group) == {}
        assert records(kafka.brokers, dead) == []
    set_topic_config(kafka.brokers, dead, "max.message.bytes", 10_000)
    account = ferry.run(*command).json
    assert (account["rows"], account["repeats"], account["dead_letters"]) == (0, 2, 1)
    assert [letter.value for letter in records(kafka.brokers, dead)] == [b"bad"]
    assert committed(kafka.brokers, group) == {0: 3}
