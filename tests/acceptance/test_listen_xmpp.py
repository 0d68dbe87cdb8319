"""`chatferry listen xmpp://...` beside a real Prosody: what was said there is in the table, every message once."""

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.ferry import Ferry, wait_until
from tests.acceptance.listening import Listening
from tests.services.friend import Friend
from tests.services.kafka import GivenKafka, Kafka
from tests.services.process import ServicesMissingError
from tests.services.prosody import FORGETFUL_ROOMS, ROOMS, Prosody
from tests.services.proxy import Proxy
from tests.services.tls import Authority

PASSWORD = "sesame-opens"
ROOM = f"lobby@{ROOMS}"


@pytest.fixture
def prosody(server_directory: Path) -> Iterator[Prosody]:
    authority = Authority(server_directory)
    accounts = {"ann": "ann-says", "ferry": PASSWORD}
    try:
        with Prosody(server_directory, accounts, authority.issue("localhost"), page=5) as server:
            yield server
    except ServicesMissingError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def ann(prosody: Prosody) -> Iterator[Friend]:
    """Somebody who is in the lobby."""
    with _ann(prosody) as friend:
        friend.enter(ROOM, "ann")
        yield friend


def _ann(prosody: Prosody) -> Friend:
    return Friend("ann@localhost", "ann-says", prosody.port, prosody.directory / "authority.pem")


@pytest.fixture
def listening(ferry: Ferry, kafka: Kafka | GivenKafka, topic: str, prosody: Prosody, ann: Friend) -> Listening:
    assert ann  # who makes the room
    return _listening(ferry, kafka, topic, prosody)


def _listening(ferry: Ferry, kafka: Kafka | GivenKafka, topic: str, prosody: Prosody, room: str = ROOM) -> Listening:
    authority = str(prosody.directory / "authority.pem")
    environment = {"CHATFERRY_XMPP_PASSWORD": PASSWORD, "SSL_CERT_FILE": authority}
    return Listening(ferry, kafka.brokers, topic, _url(prosody.port, room), environment)


def _url(port: int, room: str = ROOM) -> str:
    return f"xmpp://ferry@localhost:{port}/{room}"


def say(friend: Friend, numbers: range, room: str = ROOM) -> list[str]:
    """Say so many things; what was said, when the room has all of it."""
    texts = [f"thing {number}" for number in numbers]
    for number, text in zip(numbers, texts, strict=True):
        friend.say(room, text, f"say-{number}")
    for number in numbers:
        friend.heard_back(f"say-{number}")
    return texts


def test_a_message_is_on_the_topic_with_the_rooms_own_id(listening: Listening, ann: Friend) -> None:
    listening.start()
    ann.say(ROOM, "hello <all> \N{WAVING HAND SIGN}", "m1")
    stable = ann.heard_back("m1")
    listening.wait_for("hello <all> \N{WAVING HAND SIGN}")
    (line,) = [line for line in listening.heard() if line["type"] == "message"]
    assert line["id"] == f"xmpp/{ROOM}/{stable}"
    assert (line["from"], line["site_id"]) == ("ann", f"localhost/{ROOM}")


def test_what_was_said_before_the_first_start_is_not_heard(listening: Listening, ann: Friend) -> None:
    say(ann, range(3))
    listening.start()
    said = say(ann, range(3, 6))
    listening.wait_for(*said)
    assert listening.texts() == Counter(said)


def test_topics_corrections_retractions_reactions_and_renames_are_statuses(listening: Listening, ann: Friend) -> None:
    listening.start()
    ann.say(ROOM, "teh cat", "m1")
    first = ann.heard_back("m1")
    ann.say(ROOM, "the cat", "m2", '<replace id="m1" xmlns="urn:xmpp:message-correct:0"/>')
    ann.say(ROOM, "", "m3", f'<reactions id="{first}" xmlns="urn:xmpp:reactions:0"><reaction>+</reaction></reactions>')
    ann.say(ROOM, "gone", "m4", f'<retract id="{first}" xmlns="urn:xmpp:message-retract:1"/>')
    ann.topic(ROOM, "cats")
    ann.rename(ROOM, "anna")
    of = f"of xmpp/{ROOM}/{first}"
    listening.wait_for("topic: cats", f"edit {of}: the cat", f"deletion {of}", "rename: anna", kind="status")
    assert listening.texts() == Counter(["teh cat"])


def test_joins_parts_and_kicks_are_statuses(listening: Listening, ann: Friend, prosody: Prosody) -> None:
    listening.start()
    authority = prosody.directory / "authority.pem"
    with Friend("ferry@localhost", PASSWORD, prosody.port, authority) as other:
        other.enter(ROOM, "bob")
        ann.kick(ROOM, "bob", "too loud")
        listening.wait_for("join", "kick: too loud", kind="status")
        other.enter(ROOM, "bob")
        other.leave(ROOM)
        listening.wait_for("part", kind="status")


def test_a_cut_connection_is_dialed_again_and_the_gap_filled(
    listening: Listening, ann: Friend, prosody: Prosody
) -> None:
    with Proxy(prosody.port) as proxy:
        listening.url = _url(proxy.port)
        running = listening.start()
        said = say(ann, range(3))
        listening.wait_for(*said)
        proxy.cut()
        said += say(ann, range(3, 20))
        proxy.heal()
        said += say(ann, range(20, 23))
        listening.wait_for(*said)
        assert listening.stored() == Counter(said)
        wait_until(lambda: "Back after" in running.err, "the outage is told to be over")


def test_listener_killed_while_people_talk_misses_nothing(listening: Listening, ann: Friend) -> None:
    said: list[str] = []
    for start in range(0, 60, 20):
        running = listening.start()
        said += say(ann, range(start, start + 10))
        running.kill()
        said += say(ann, range(start + 10, start + 20))
    listening.start()
    listening.wait_for(*said)
    assert listening.stored() == Counter(said)


def test_listener_that_is_ended_by_a_signal_says_goodbye_and_goes_on_later(listening: Listening, ann: Friend) -> None:
    running = listening.start()
    said = say(ann, range(3))
    listening.wait_for(*said)
    assert running.end(signal.SIGTERM).status == 143
    said += say(ann, range(3, 6))
    listening.start()
    listening.wait_for(*said)
    assert listening.stored() == Counter(said)


def test_server_restarted_the_listener_comes_back_and_fills_the_gap(
    listening: Listening, ann: Friend, prosody: Prosody
) -> None:
    running = listening.start()
    said = say(ann, range(3))
    listening.wait_for(*said)
    prosody.stop()
    prosody.start()
    with _ann(prosody) as back:
        back.enter(ROOM, "ann")
        said += say(back, range(3, 10))
        listening.wait_for(*said)
        assert listening.stored() == Counter(said)
    assert running.process.poll() is None


def test_a_room_without_an_archive_sends_its_history_for_the_gap(
    ferry: Ferry, kafka: Kafka | GivenKafka, topic: str, prosody: Prosody
) -> None:
    room = f"lobby@{FORGETFUL_ROOMS}"
    listening = _listening(ferry, kafka, topic, prosody, room)
    with _ann(prosody) as ann:
        ann.enter(room, "ann")
        running = listening.start()
        said = say(ann, range(5), room)
        listening.wait_for(*said)
        running.kill()
        said += say(ann, range(5, 10), room)
        listening.start()
        said += say(ann, range(10, 12), room)
        listening.wait_for(*said)
        assert listening.stored() == Counter(said)


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda ann: ann.kick(ROOM, "ferry", "out"), "sent ferry@localhost away: out"),
        (lambda ann: ann.ban(ROOM, "ferry@localhost"), "sent ferry@localhost away for good"),
        (lambda ann: ann.destroy(ROOM), f"{ROOM} is no more: it is late"),
    ],
    ids=["kicked", "banned", "destroyed"],
)
def test_a_listener_that_is_sent_away_says_why_and_keeps_trying(
    listening: Listening, ann: Friend, act: Callable[[Friend], None], told: str
) -> None:
    running = listening.start()
    act(ann)
    running.wait_until(lambda: told in running.err, told)


def test_a_kicked_listener_comes_back_and_misses_nothing(listening: Listening, ann: Friend) -> None:
    running = listening.start()
    ann.kick(ROOM, "ferry", "out")
    running.wait_until(lambda: "away" in running.err, "it is kicked")
    said = say(ann, range(5))
    listening.wait_for(*said)
    assert listening.stored() == Counter(said)


def test_a_wrong_password_ends_the_command_with_one_sentence(listening: Listening, ferry: Ferry) -> None:
    listening.environment["CHATFERRY_XMPP_PASSWORD"] = "wrong-password"
    result = ferry.run(*listening.arguments(), env=listening.environment, check=1)
    assert "does not let ferry@localhost in: not-authorized. Mend the password" in result.error
    assert "wrong-password" not in result.err


def test_a_missing_password_is_a_usage_problem(listening: Listening, ferry: Ferry) -> None:
    del listening.environment["CHATFERRY_XMPP_PASSWORD"]
    result = ferry.run(*listening.arguments(), env=listening.environment, check=2)
    assert "its password is missing" in result.error


def test_no_such_room_ends_the_command_and_makes_none(listening: Listening, ferry: Ferry) -> None:
    listening.url = listening.url.replace(ROOM, f"nowhere@{ROOMS}")
    for _ in range(2):
        result = ferry.run(*listening.arguments(), env=listening.environment, check=1)
        assert f"nowhere@{ROOMS} does not let ferry@localhost in: item-not-found" in result.error


def test_a_certificate_that_nobody_trusts_is_refused_before_the_password_is_sent(
    listening: Listening, ferry: Ferry, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger")
    listening.environment["SSL_CERT_FILE"] = str(stranger.certificate)
    result = ferry.run(*listening.arguments(), env=listening.environment, check=1)
    assert "The certificate of localhost" in result.error
    assert "is not to be trusted" in result.error


def test_an_archive_that_forgot_the_last_message_is_told_and_what_it_still_has_is_heard(
    listening: Listening, ann: Friend, prosody: Prosody
) -> None:
    running = listening.start()
    said = say(ann, range(3))
    listening.wait_for(*said)
    running.end(signal.SIGTERM)
    prosody.stop()
    for file in (prosody.directory / "data").rglob("lobby.list"):
        if file.parent.name == "muc_log":
            file.unlink()
    prosody.start()
    with _ann(prosody) as back:
        back.enter(ROOM, "ann")
        said += say(back, range(3, 10))
        again = listening.start()
        listening.wait_for(*said)
    assert "no longer has the last message that was heard" in again.err
    assert listening.stored() == Counter(said)


@pytest.mark.long
def test_a_connection_that_goes_silent_is_noticed_and_dialed_again(
    listening: Listening, ann: Friend, prosody: Prosody
) -> None:
    with Proxy(prosody.port) as proxy:
        listening.url = _url(proxy.port)
        running = listening.start()
        said = say(ann, range(3))
        listening.wait_for(*said)
        proxy.black_hole()
        said += say(ann, range(3, 10))
        running.wait_until(lambda: "nothing came for 60 s" in running.err, "the silence is noticed", seconds=90)
        proxy.cut()
        proxy.heal()
        listening.wait_for(*said)
        assert listening.stored() == Counter(said)


@pytest.mark.long
def test_a_flood_while_kafka_takes_nothing_waits_at_the_server_and_is_heard_later(
    ferry: Ferry, server_directory: Path, topic: str, prosody: Prosody, ann: Friend
) -> None:
    (server_directory / "kafka").mkdir()
    with Kafka(server_directory / "kafka") as kafka:
        listening = _listening(ferry, kafka, topic, prosody)
        running = listening.start("--spool-limit", "4096")
        said = say(ann, range(3))
        listening.wait_for(*said)
        kafka.pause()
        said += say(ann, range(3, 1503))
        running.wait_until(lambda: "The spool is full" in running.err, "the spool is full")
        kafka.resume()
        listening.wait_for(*said)
        assert listening.stored() == Counter(said)
