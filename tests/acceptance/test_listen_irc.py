"""`chatferry listen irc://...`: what is said on real servers is in the table once, whatever happens on the way."""

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException

from tests.acceptance.ferry import Ferry, Running, create_topic, ends, values, wait_until
from tests.acceptance.listening import messages_stored
from tests.services.inspircd import Atheme, InspIrcd
from tests.services.kafka import GivenKafka, Kafka
from tests.services.ngircd import NgIrcd
from tests.services.paper_irc import CHANNEL, TWITCH, PaperIrc
from tests.services.process import ServerProcess
from tests.services.proxy import Proxy
from tests.services.talker import Talker
from tests.services.tls import Authority

PASSWORD = "irc-plant-5Vw8"


@dataclass
class Desk:
    """A topic, and listeners that carry onto it."""

    ferry: Ferry
    brokers: str
    topic: str
    folder: Path

    def listen(self, port: int, *more: str, nick: str = "", channels: str = "%23a", env: Any = None) -> Running:
        """Start a listener as network `net`, and wait until it has joined."""
        running = self.start(f"irc://{nick}127.0.0.1:{port}/{channels}", *more, env=env)
        self.wait_until_listening(running)
        return running

    def start(self, url: str, *more: str, env: Mapping[str, str] | None = None) -> Running:
        flags = ["--brokers", self.brokers, "--topic", self.topic, "--as", "net", "--json"]
        return self.ferry.start("listen", url, *flags, *more, env=env)

    def wait_until_listening(self, running: Running, times: int = 1) -> None:
        running.wait_until(lambda: running.err.count(": listening") >= times, "listening")

    def refusal(self, url: str, *more: str, env: Mapping[str, str] | None = None) -> str:
        """The one line in which a listener that cannot begin says so."""
        result = self.start(url, *more, env=env).wait()
        assert result.status == 1, result.err
        return result.error

    def lines(self) -> list[dict[str, Any]]:
        """What is on the topic."""
        return [json.loads(value) for value in values(self.brokers, self.topic)]

    def wait_for(self, text: str) -> None:
        """Until somebody's text is on the topic."""
        wait_until(lambda: any(line.get("data") == text for line in self.lines()), f"{text} on the topic")

    def said(self) -> list[str]:
        """What the table holds of messages."""
        return messages_stored(self.ferry, self.brokers, self.topic)


@pytest.fixture
def desk(ferry: Ferry, kafka: Kafka | GivenKafka, topic: str, tmp_path: Path) -> Desk:
    """A topic of four partitions."""
    create_topic(kafka.brokers, topic)
    return Desk(ferry, kafka.brokers, topic, tmp_path)


@pytest.fixture
def folder(server_directory: Path) -> Callable[[str], Path]:
    """Makes folders for servers."""

    def make(name: str) -> Path:
        path = server_directory / name
        path.mkdir()
        return path

    return make


@pytest.fixture
def old(folder: Callable[[str], Path]) -> Iterator[NgIrcd]:
    """An ngIRCd."""
    with NgIrcd(folder("ngircd")) as server:
        yield server


@pytest.fixture
def new(folder: Callable[[str], Path]) -> Iterator[InspIrcd]:
    """An InspIRCd whose channels keep the last 1,000 messages."""
    with InspIrcd(folder("inspircd"), history=1000) as server:
        yield server


def numbered(first: int, last: int) -> list[str]:
    return [f"word {number}" for number in range(first, last)]


def count(desk: Desk) -> int:
    """How many records the topic has; 0 while a broker that was away has not found its place again."""
    try:
        return sum(ends(desk.brokers, desk.topic).values())
    except KafkaException:
        return 0


# --- what is heard ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [NgIrcd, InspIrcd])
def test_messages_and_events_are_on_the_topic_with_their_texts(
    desk: Desk, folder: Callable[[str], Path], kind: Callable[[Path], NgIrcd | InspIrcd]
) -> None:
    with kind(folder("server")) as server, Talker(server.port, "ann") as ann, Talker(server.port, "bob") as bob:
        ann.join("#a")
        listener = desk.listen(server.port, channels="%23A,%23b")
        bob.join("#a")
        bob.join("#b")
        bob.say("#a", "hello", "hello", "caf\u00e9", "\x01ACTION waves\x01", "\x02bold\x02")
        bob.send(b"PRIVMSG #b :caf\xe9", "NOTICE #b :take note", "PRIVMSG ann :between us")
        bob.send("NICK rob", "PART #b :bye")
        bob.settle()
        bob.nick = "rob"
        ann.send("TOPIC #a :cats", "MODE #a +m", "KICK #a rob :enough")
        ann.settle()
        bob.join("#b")
        bob.send("QUIT :gone")
        desk.wait_for("kick: rob (enough)")
        wait_until(lambda: any("gone" in line["data"] for line in desk.lines()), "bob's leaving")
        result = listener.end(signal.SIGTERM)
    told = [(line["site_id"], line["from"], line["type"], line["data"]) for line in desk.lines()]
    assert Counter(told) == Counter(
        [
            ("net/#A", "bob", "status", "join"),
            ("net/#b", "bob", "status", "join"),
            *[
                ("net/#A", "bob", "message", text)
                for text in ("hello", "hello", "caf\u00e9", "/me waves", "\x02bold\x02")
            ],
            ("net/#b", "bob", "message", "caf\u00e9"),
            ("net/#b", "bob", "message", "take note"),
            ("net/#A", "bob", "status", "rename: rob"),
            ("net/#b", "bob", "status", "rename: rob"),
            ("net/#b", "rob", "status", "part: bye"),
            ("net/#A", "ann", "status", "topic: cats"),
            ("net/#A", "ann", "status", "mode: +m"),
            ("net/#A", "ann", "status", "kick: rob (enough)"),
            ("net/#b", "rob", "status", "join"),
            ("net/#b", "rob", "status", 'quit: "gone"' if kind is NgIrcd else "quit: gone"),
        ]
    )
    assert len({line["id"] for line in desk.lines()}) == len(told)
    assert (result.status, result.json["heard"], result.json["acknowledged"]) == (143, len(told), len(told))


def test_two_listeners_where_the_server_has_ids_make_one_row_of_each_message(desk: Desk, new: InspIrcd) -> None:
    with Talker(new.port, "ann") as ann:
        ann.join("#a")
        desk.listen(new.port)
        desk.listen(new.port, "--state", str(desk.folder / "second"))
        ann.say("#a", *numbered(0, 50))
        wait_until(lambda: len([line for line in desk.lines() if line["type"] == "message"]) == 100, "heard twice")
    assert Counter(desk.said()) == Counter(numbered(0, 50))


@pytest.mark.long  # 20,000 messages, as fast as the server takes them
def test_flood_is_in_the_table_once(desk: Desk, folder: Callable[[str], Path]) -> None:
    with InspIrcd(folder("server")) as server, Talker(server.port, "ann") as ann:
        ann.join("#a")
        listener = desk.listen(server.port)
        for start in range(0, 20_000, 500):
            ann.say("#a", *numbered(start, start + 500))
        wait_until(lambda: count(desk) >= 20_000, "20,000 records")
        listener.end(signal.SIGTERM)
    assert Counter(desk.said()) == Counter(numbered(0, 20_000))


# --- what breaks --------------------------------------------------------------------------------------------


def test_connection_that_is_cut_is_dialed_again_and_history_fills_the_gap(desk: Desk, new: InspIrcd) -> None:
    with Proxy(new.port) as proxy, Talker(new.port, "ann") as ann:
        ann.join("#a")
        listener = desk.listen(proxy.port)
        ann.say("#a", *numbered(0, 20))
        desk.wait_for("word 19")
        proxy.cut()
        ann.say("#a", *numbered(20, 40))
        listener.wait_until(lambda: proxy.refused, "dialed again")
        proxy.heal()
        desk.wait_until_listening(listener, 2)
        ann.say("#a", *numbered(40, 60))
        desk.wait_for("word 59")
        listener.end(signal.SIGTERM)
        assert "Back after" in listener.err
    assert Counter(desk.said()) == Counter(numbered(0, 60))
    assert Counter(line["data"] for line in desk.lines() if line["type"] == "message") == Counter(numbered(0, 60))


@pytest.mark.parametrize("kind", [NgIrcd, InspIrcd])
def test_server_that_restarts_is_joined_again(
    desk: Desk, folder: Callable[[str], Path], kind: Callable[[Path], NgIrcd | InspIrcd]
) -> None:
    server = kind(folder("server"))
    listener: Running | None = None
    for turn, end in enumerate((ServerProcess.stop, ServerProcess.kill, ServerProcess.stop)):
        server.start()
        with Talker(server.port, "ann") as ann:
            ann.join("#a")
            listener = listener or desk.listen(server.port)
            desk.wait_until_listening(listener, turn + 1)
            ann.say("#a", *numbered(10 * turn, 10 * turn + 10))
            desk.wait_for(f"word {10 * turn + 9}")
        end(server)
    assert listener
    listener.end(signal.SIGTERM)
    assert Counter(desk.said()) == Counter(numbered(0, 30))


def test_listener_that_is_killed_hears_what_it_missed_from_the_channels_history(desk: Desk, new: InspIrcd) -> None:
    with Talker(new.port, "ann") as ann:
        ann.join("#a")
        listener = desk.listen(new.port)
        ann.say("#a", *numbered(0, 30))
        listener.kill()
        ann.say("#a", *numbered(30, 60))
        desk.listen(new.port)
        ann.say("#a", *numbered(60, 90))
        desk.wait_for("word 89")
    assert Counter(desk.said()) == Counter(numbered(0, 90))


def test_listener_that_is_killed_where_there_is_no_history_has_lost_nothing_that_it_heard(
    desk: Desk, old: NgIrcd
) -> None:
    with Talker(old.port, "ann") as ann:
        ann.join("#a")
        listener = desk.listen(old.port)
        ann.say("#a", *numbered(0, 30))
        desk.wait_for("word 29")
        listener.kill()
        ann.say("#a", "nobody hears this")
        desk.listen(old.port)
        ann.say("#a", *numbered(30, 60))
        desk.wait_for("word 59")
    assert Counter(desk.said()) == Counter(numbered(0, 60))


@pytest.mark.long  # the server is silent for a minute before it is taken for gone
def test_server_that_says_nothing_more_is_dialed_again(desk: Desk, new: InspIrcd) -> None:
    with Proxy(new.port) as proxy, Talker(new.port, "ann") as ann:
        ann.join("#a")
        listener = desk.listen(proxy.port)
        proxy.black_hole()
        ann.say("#a", *numbered(0, 10))
        listener.wait_until(lambda: "Nothing came from the server for 60 s" in listener.err, "the silence is told", 90)
        proxy.reset()
        proxy.heal()
        desk.wait_until_listening(listener, 2)
        ann.say("#a", *numbered(10, 20))
        desk.wait_for("word 19")
    assert Counter(desk.said()) == Counter(numbered(0, 20))


@pytest.mark.long  # with a Kafka of its own
def test_listener_whose_spool_is_full_makes_the_server_wait_and_loses_nothing(
    ferry: Ferry, topic: str, tmp_path: Path, folder: Callable[[str], Path]
) -> None:
    with Kafka(folder("kafka")) as kafka, InspIrcd(folder("server")) as server, Talker(server.port, "ann") as ann:
        create_topic(kafka.brokers, topic)
        desk = Desk(ferry, kafka.brokers, topic, tmp_path)
        ann.join("#a")
        listener = desk.listen(server.port, "--spool-limit", "200000")
        kafka.pause()
        for start in range(0, 5000, 500):
            ann.say("#a", *numbered(start, start + 500))
        listener.wait_until(lambda: "The spool is full" in listener.err, "a full spool")
        kafka.resume()
        wait_until(lambda: count(desk) >= 5000, "5,000 records")
        listener.end(signal.SIGTERM)
        assert Counter(desk.said()) == Counter(numbered(0, 5000))


def test_listener_that_is_kicked_comes_back(desk: Desk, old: NgIrcd) -> None:
    with Talker(old.port, "ann") as ann:
        ann.join("#a")
        listener = desk.listen(old.port, nick="ferry@")
        ann.send("KICK #a ferry :out")
        ann.wait_for(" KICK #a ferry ")
        ann.wait_for(" JOIN :#a")
        ann.say("#a", "welcome back")
        desk.wait_for("welcome back")
        assert "sent out of #a" in listener.err
    assert "kick: ferry (out)" in [line["data"] for line in desk.lines()]


def test_listener_that_is_asked_to_end_says_goodbye(desk: Desk, new: InspIrcd) -> None:
    with Talker(new.port, "ann") as ann:
        ann.join("#a")
        listener = desk.listen(new.port, nick="ferry@")
        ann.say("#a", "the last word")
        listener.send(signal.SIGTERM)
        ann.wait_for("QUIT :chatferry leaves")
        assert listener.wait().status == 143
    assert desk.said() == ["the last word"]


# --- who may listen -----------------------------------------------------------------------------------------


def test_nick_that_is_in_use_is_not_insisted_on(desk: Desk, old: NgIrcd) -> None:
    with Talker(old.port, "ferry"), Talker(old.port, "ann") as ann:
        ann.join("#a")
        desk.listen(old.port, nick="ferry@")
        ann.say("#a", "hello")
        desk.wait_for("hello")


def test_server_that_wants_a_password_gets_the_right_one_or_is_left(desk: Desk, folder: Callable[[str], Path]) -> None:
    with NgIrcd(folder("server"), password=PASSWORD) as server:
        url = f"irc://127.0.0.1:{server.port}/%23a"
        for env in ({}, {"CHATFERRY_IRC_PASSWORD": "wrong"}):
            told = desk.refusal(url, env=env)
            assert "password" in told
            assert "CHATFERRY_IRC_PASSWORD" in told
        listener = desk.listen(server.port, env={"CHATFERRY_IRC_PASSWORD": PASSWORD})
        assert PASSWORD not in listener.err


def test_channel_that_cannot_be_joined_ends_the_command_with_the_servers_reason(desk: Desk, old: NgIrcd) -> None:
    with Talker(old.port, "ann") as ann:
        for channel, mode in (("#closed", "+i"), ("#banned", "+b *!*@*"), ("#keyed", "+k sesame")):
            ann.join(channel)
            ann.send(f"MODE {channel} {mode}")
        ann.settle()
        for channel in ("closed", "banned", "keyed"):
            told = desk.refusal(f"irc://127.0.0.1:{old.port}/%23{channel}")
            assert f"#{channel} cannot be joined: " in told


def test_account_is_logged_in_by_sasl_over_tls(desk: Desk, folder: Callable[[str], Path], tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    trusted = {"SSL_CERT_FILE": str(authority.certificate), "CHATFERRY_IRC_PASSWORD": PASSWORD}
    with InspIrcd(folder("server"), certificate=authority.issue("localhost")) as server:  # noqa: SIM117
        with Atheme(folder("services"), server), Talker(server.port, "ferry") as owner:
            owner.send(f"PRIVMSG NickServ :REGISTER {PASSWORD} ferry@example.org")
            owner.wait_for("is now registered")
            owner.send("QUIT")
            with Talker(server.port, "ann") as ann:
                ann.join("#a")
                ann.send("MODE #a +R")  # for those alone who are logged in
                ann.settle()
                url = f"ircs://ferry@localhost:{server.tls_port}/%23a"
                told = desk.refusal(url, env={"CHATFERRY_IRC_PASSWORD": PASSWORD})
                assert "certificate" in told
                assert "SSL_CERT_FILE" in told
                told = desk.refusal(url.replace("localhost", "127.0.0.1"), env=trusted)
                assert "certificate" in told
                told = desk.refusal(url, env={**trusted, "CHATFERRY_IRC_PASSWORD": "wrong"})
                assert "refuses the account's password" in told
                told = desk.refusal(url, env={"SSL_CERT_FILE": str(authority.certificate)})
                assert "#a cannot be joined" in told
                listener = desk.start(url, env=trusted)
                desk.wait_until_listening(listener)
                ann.say("#a", "among ourselves")
                desk.wait_for("among ourselves")
                arguments = Path(f"/proc/{listener.pid}/cmdline").read_text()
    assert PASSWORD not in listener.err + arguments


# --- what only papers tell ----------------------------------------------------------------------------------


@pytest.mark.parametrize("forgets", [False, True])
def test_gap_of_a_killed_listener_is_filled_by_chathistory_page_by_page(desk: Desk, forgets: bool) -> None:
    with PaperIrc(forgets=forgets) as server:
        server.say("before anybody listened")
        listener = desk.listen(server.port, channels="%23paper")
        server.say(*numbered(0, 5))
        desk.wait_for("word 4")
        remembered = desk.folder / "state-home"
        wait_until(lambda: any("id5" in file.read_text() for file in remembered.rglob("*.json")), "it is remembered")
        listener.kill()
        server.say(*numbered(5, 40))
        listener = desk.listen(server.port, channels="%23paper")
        server.say(*numbered(40, 50))
        desk.wait_for("word 49")
        desk.wait_for("word 39")
        listener.end(signal.SIGTERM)
        assert server.asked >= 5
    assert Counter(desk.said()) == Counter(numbered(0, 50))


def test_twitchs_dialect_is_told_with_its_own_ids_and_moments(desk: Desk) -> None:
    tags = "room-id=1;tmi-sent-ts=1642720582342"
    with PaperIrc(capabilities=TWITCH) as server:
        listener = desk.listen(
            server.port, nick="ferry@", channels="%23paper", env={"CHATFERRY_IRC_PASSWORD": f"oauth:{PASSWORD}"}
        )
        server.tell(
            f"@id=b34ccfc7;{tags};display-name=Ron :ron!ron@ron.tmi.twitch.tv PRIVMSG {CHANNEL} :Kappa",
            f"@login=ron;target-msg-id=b34ccfc7;{tags} :tmi.twitch.tv CLEARMSG {CHANNEL} :Kappa",
            f"@ban-duration=350;target-user-id=8;{tags} :tmi.twitch.tv CLEARCHAT {CHANNEL} :ron",
            f"@ban-duration=;{tags} :tmi.twitch.tv CLEARCHAT {CHANNEL} :eve",
            f"@id=db25007f;login=ann;msg-id=resub;system-msg=ann\\shas\\ssubscribed;{tags} "
            f":tmi.twitch.tv USERNOTICE {CHANNEL} :Great stream",
            f"@{tags} :tmi.twitch.tv ROOMSTATE {CHANNEL}",
            ":tmi.twitch.tv RECONNECT",
        )
        desk.wait_until_listening(listener, 2)
        desk.wait_for("resub: ann has subscribed: Great stream")
        assert f"PASS oauth:{PASSWORD}" in server.heard
    told = {line["data"]: line for line in desk.lines()}
    message = told["Kappa"]
    assert (message["id"], message["from"], message["timestamp"]) == ("irc/net/#paper/b34ccfc7", "ron", 1642720582.342)
    assert set(told) == {
        "Kappa",
        "deletion of irc/net/#paper/b34ccfc7: Kappa",
        "timeout: ron for 350 s",
        "ban: eve",
        "resub: ann has subscribed: Great stream",
    }
