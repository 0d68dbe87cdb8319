"""`chatferry listen matrix+http://...` beside a real Synapse: what was said is in the table, every message once."""

import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.ferry import Ferry, wait_until
from tests.acceptance.listening import Listening
from tests.services.kafka import GivenKafka, Kafka
from tests.services.process import ServicesMissingError
from tests.services.proxy import Proxy
from tests.services.synapse import Person, Synapse

PASSWORD = "sesame-opens"


@pytest.fixture(scope="module")
def synapse() -> Iterator[Synapse]:
    """One server for all tests here: it takes seconds to start. It is restarted by one of them."""
    try:
        with tempfile.TemporaryDirectory(prefix="chatferry-tests-") as directory, Synapse(Path(directory)) as server:
            yield server
    except ServicesMissingError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="module")
def ann(synapse: Synapse) -> Person:
    return synapse.register("ann", "ann-says")


@pytest.fixture(scope="module")
def account(synapse: Synapse) -> Person:
    """The listener's own account, as its owner."""
    return synapse.register("ferry", PASSWORD)


@pytest.fixture
def room(ann: Person, topic: str) -> str:
    return ann.make_room(topic)


@pytest.fixture
def listening(
    ferry: Ferry, kafka: Kafka | GivenKafka, topic: str, synapse: Synapse, account: Person, room: str
) -> Listening:
    assert account
    url = f"matrix+http://ferry@127.0.0.1:{synapse.port}/{room}"
    return Listening(ferry, kafka.brokers, topic, url, {"CHATFERRY_MATRIX_PASSWORD": PASSWORD})


def say(person: Person, room: str, numbers: range) -> list[str]:
    """Say so many things; what was said."""
    texts = [f"thing {number}" for number in numbers]
    for text in texts:
        person.say(room, text)
    return texts


def test_a_message_is_on_the_topic_with_its_event_id_and_the_servers_time(
    listening: Listening, ann: Person, room: str
) -> None:
    listening.start()
    event = ann.say(room, "hello \N{WAVING HAND SIGN}")
    listening.wait_for("hello \N{WAVING HAND SIGN}")
    (line,) = [line for line in listening.heard() if line["type"] == "message"]
    (said,) = [found for found in ann.everything(room) if found["event_id"] == event]
    assert (line["id"], line["from"]) == (event, "@ann:localhost")
    assert line["site_id"] == f"127.0.0.1/{room}"
    assert line["timestamp"] == said["origin_server_ts"] / 1000


def test_what_was_said_before_the_first_start_is_not_heard(listening: Listening, ann: Person, room: str) -> None:
    say(ann, room, range(3))
    listening.start()
    said = say(ann, room, range(3, 6))
    listening.wait_for(*said)
    assert listening.texts() == Counter(said)


def test_a_room_is_joined_by_its_alias(listening: Listening, ann: Person, room: str, topic: str) -> None:
    listening.url = listening.url.replace(room, f"%23{topic}:localhost")
    listening.start()
    ann.say(room, "by another name")
    listening.wait_for("by another name")
    assert {line["site_id"] for line in listening.heard()} == {f"127.0.0.1/#{topic}:localhost"}


def test_edits_deletions_reactions_topics_names_and_encrypted_messages_are_statuses(
    listening: Listening, ann: Person, room: str
) -> None:
    running = listening.start()
    first = ann.say(room, "teh cat")
    replaced = {"rel_type": "m.replace", "event_id": first}
    ann.say(room, "* the cat", **{"m.new_content": {"msgtype": "m.text", "body": "the cat"}, "m.relates_to": replaced})
    ann.send(room, "m.reaction", {"m.relates_to": {"rel_type": "m.annotation", "event_id": first, "key": "+1"}})
    ann.redact(room, first, "a mistake")
    ann.set(room, "m.room.topic", {"topic": "cats"})
    ann.set(room, "m.room.name", {"name": "The cat room"})
    ann.send(room, "m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "x", "session_id": "y"})
    statuses = [f"edit of {first}: the cat", f"reaction of {first}: +1", f"deletion of {first}: a mistake"]
    statuses += ["topic: cats", "name: The cat room", "encrypted: m.megolm.v1.aes-sha2"]
    listening.wait_for(*statuses, kind="status")
    assert running.err.count("encrypted from end to end") == 1


def test_media_are_messages_with_their_address(listening: Listening, ann: Person, room: str) -> None:
    listening.start()
    ann.send(room, "m.room.message", {"msgtype": "m.image", "body": "cat.png", "url": "mxc://localhost/cat"})
    ann.send(room, "m.room.message", {"msgtype": "m.emote", "body": "purrs"})
    listening.wait_for("cat.png\nmxc://localhost/cat", "purrs")


def test_joins_parts_kicks_bans_and_renames_are_statuses(
    listening: Listening, ann: Person, room: str, synapse: Synapse, topic: str
) -> None:
    bob = synapse.register(topic.replace("topic", "bob"), "bob-says")
    listening.start()
    bob.act(room, "join")
    bob.set(room, "m.room.member", {"membership": "join", "displayname": "Bobby"}, bob.user)
    ann.act(room, "kick", user_id=bob.user, reason="too loud")
    bob.act(room, "join")
    bob.act(room, "leave")
    ann.act(room, "ban", user_id=bob.user)
    listening.wait_for("join", "rename: Bobby", "kick: too loud", "part", "ban", kind="status")
    assert {line["from"] for line in listening.heard() if line["type"] == "status"} == {bob.user}


@pytest.mark.long
def test_a_cut_connection_is_dialed_again_and_a_long_gap_filled(
    listening: Listening, ann: Person, room: str, synapse: Synapse
) -> None:
    with Proxy(synapse.port) as proxy:
        listening.url = listening.url.replace(str(synapse.port), str(proxy.port))
        running = listening.start()
        said = say(ann, room, range(3))
        listening.wait_for(*said)
        proxy.cut()
        said += say(ann, room, range(3, 253))  # more than two pages
        proxy.heal()
        said += say(ann, room, range(253, 256))
        listening.wait_for(*said)
        assert listening.stored() == Counter(said)
        assert "Back after" in running.err


def test_listener_killed_while_people_talk_misses_nothing_and_stays_one_device(
    listening: Listening, ann: Person, account: Person, room: str
) -> None:
    said: list[str] = []
    before = len(account.devices())
    for start in range(0, 60, 20):
        running = listening.start()
        said += say(ann, room, range(start, start + 10))
        running.kill()
        said += say(ann, room, range(start + 10, start + 20))
    listening.start()
    listening.wait_for(*said)
    assert listening.stored() == Counter(said)
    assert len(account.devices()) == before + 1


def test_listener_that_is_ended_by_a_signal_logs_out_and_goes_on_later(
    listening: Listening, ann: Person, account: Person, room: str
) -> None:
    before = len(account.devices())
    running = listening.start()
    said = say(ann, room, range(3))
    listening.wait_for(*said)
    assert running.end(signal.SIGTERM).status == 143
    assert len(account.devices()) == before
    said += say(ann, room, range(3, 6))
    listening.start()
    listening.wait_for(*said)
    assert listening.stored() == Counter(said)


def test_server_restarted_the_listener_comes_back_and_fills_the_gap(
    listening: Listening, ann: Person, room: str, synapse: Synapse
) -> None:
    running = listening.start()
    said = say(ann, room, range(3))
    listening.wait_for(*said)
    synapse.kill()
    synapse.start()
    said += say(ann, room, range(3, 10))
    listening.wait_for(*said)
    assert listening.stored() == Counter(said)
    assert running.process.poll() is None


def test_a_kicked_listener_comes_back_and_misses_nothing(
    listening: Listening, ann: Person, account: Person, room: str
) -> None:
    running = listening.start()
    ann.act(room, "kick", user_id=account.user, reason="out")
    running.wait_until(lambda: "sent ferry away" in running.err, "it is kicked")
    said = say(ann, room, range(5))
    listening.wait_for(*said)
    assert listening.stored() == Counter(said)


def test_a_banned_listener_says_so_and_hears_what_it_missed_when_it_may_come_back(
    listening: Listening, ann: Person, account: Person, room: str
) -> None:
    running = listening.start()
    ann.act(room, "ban", user_id=account.user)
    running.wait_until(lambda: "does not let ferry in" in running.err, "it is banned")
    said = say(ann, room, range(5))
    ann.act(room, "unban", user_id=account.user)
    listening.wait_for(*said)
    assert listening.stored() == Counter(said)


def test_a_listener_that_is_logged_out_elsewhere_logs_in_again(
    listening: Listening, ann: Person, account: Person, room: str
) -> None:
    running = listening.start()
    ours = [device["device_id"] for device in account.devices() if device["display_name"] == "chatferry"]
    auth = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "ferry"}, "password": PASSWORD}
    account.call("POST", "/_matrix/client/v3/delete_devices", {"devices": ours, "auth": auth})
    running.wait_until(lambda: "logged us out" in running.err, "it is logged out")
    said = say(ann, room, range(3))
    listening.wait_for(*said)
    wait_until(lambda: "Back after" in running.err, "it is told to be back")


def test_a_token_is_used_and_not_ended(listening: Listening, ann: Person, account: Person, room: str) -> None:
    listening.environment = {"CHATFERRY_MATRIX_TOKEN": account.token}
    running = listening.start()
    ann.say(room, "by token")
    listening.wait_for("by token")
    assert running.end(signal.SIGTERM).status == 143
    assert account.devices()
    assert account.token not in running.err


def test_a_wrong_password_ends_the_command_with_one_sentence(listening: Listening, ferry: Ferry) -> None:
    listening.environment["CHATFERRY_MATRIX_PASSWORD"] = "wrong-password"
    result = ferry.run(*listening.arguments(), env=listening.environment, check=1)
    assert "does not let ferry in: M_FORBIDDEN" in result.error
    assert "wrong-password" not in result.err


def test_a_missing_password_is_a_usage_problem(listening: Listening, ferry: Ferry) -> None:
    result = ferry.run(*listening.arguments(), check=2)
    assert "its password is missing" in result.error


def test_no_such_room_ends_the_command_with_one_sentence(listening: Listening, ferry: Ferry, room: str) -> None:
    listening.url = listening.url.replace(room, "%23nowhere:localhost")
    result = ferry.run(*listening.arguments(), env=listening.environment, check=1)
    assert "#nowhere:localhost does not let ferry in: M_NOT_FOUND" in result.error
