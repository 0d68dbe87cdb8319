"""A session on IRC, line by line: what is answered, what is heard, what ends it."""

from collections.abc import Sequence
from typing import Any

import pytest

from producer.live.irc.backlog import Backlog
from producer.live.irc.session import Past, Session
from producer.live.urls import IrcPlace, parse_place
from schemas.errors import ConnectionLost, Stop

NOW = 1_700_000_000.0


def place(url: str = "irc://ferry@irc.test/%23a,%23b") -> IrcPlace:
    found = parse_place(url)
    assert isinstance(found, IrcPlace)
    return found


class Script:
    """A session, and what the other side says."""

    def __init__(self, past: Past | None = None, password: str | None = None, url: str | None = None) -> None:
        self.past = past or Past(Backlog({}))
        self.now = 100.0
        self.session = Session(place(url) if url else place(), password, self.past, clock=lambda: NOW)
        self.session.begin(self.now)

    def hear(self, *lines: str) -> list[str]:
        """The answers to these lines."""
        for line in lines:
            self.session.hear(line.encode(), self.now)
        return self.sent()

    def after(self, seconds: float) -> list[str]:
        """What is sent when so many seconds passed."""
        self.now += seconds
        self.session.tick(self.now)
        return self.sent()

    def sent(self) -> list[str]:
        lines, self.session.out = self.session.out, []
        return [line.decode().removesuffix("\r\n") for line in lines]

    def join(self, capabilities: str = "", isupport: str = "") -> list[str]:
        """Log in and join both channels; what was answered to the JOINs."""
        self.hear(
            f":s CAP * LS :{capabilities}",
            *([f":s CAP ferry ACK :{capabilities}"] if capabilities else []),
            ":s 001 ferry :hi",
            f":s 005 ferry {isupport} :are supported",
            ":s 376 ferry :>",
        )
        return self.hear(*(line for name in ("#a", "#b") for line in joined(name)))

    def texts(self) -> list[tuple[str, str, str, str | None]]:
        """What was heard: site, sender, type, data."""
        heard, self.session.heard = self.session.heard, []
        return [(one.site_id, one.sender, one.type, one.data) for one in heard]

    def ids(self) -> list[str]:
        heard, self.session.heard = self.session.heard, []
        return [one.id for one in heard]


def joined(name: str, *members: str, tags: str = "") -> Sequence[str]:
    nicks = " ".join(("@ann", "+bob", "ferry", *members))
    return [f"{tags}:ferry!u@h JOIN {name}", f":s 353 ferry = {name} :{nicks}", f":s 366 ferry {name} :End"]


# --- login --------------------------------------------------------------------------------------------------


def test_capabilities_are_asked_for_before_the_nick_is_told() -> None:
    script = Script()
    assert script.sent() == ["CAP LS 302"]
    assert script.hear(":s CAP * LS * :server-time away-notify", ":s CAP * LS :batch sasl=PLAIN") == [
        "CAP REQ :server-time batch",
        "NICK ferry",
        "USER chatferry 0 * :chatferry listens",
    ]
    assert script.hear(":s CAP ferry ACK :server-time batch") == ["CAP END"]


@pytest.mark.parametrize("answer", [":s 421 * CAP :Unknown command", ":s 451 * CAP :Register first"])
def test_server_of_before_ircv3_is_logged_in_to(answer: str) -> None:
    script = Script()
    script.sent()
    assert script.hear(answer)[0] == "NICK ferry"


def test_server_that_does_not_answer_at_all_is_logged_in_to_after_a_while() -> None:
    script = Script()
    script.sent()
    assert script.after(4) == []
    assert script.after(2)[0] == "NICK ferry"
    assert script.after(2) == []
    with pytest.raises(ConnectionLost, match="no welcome"):
        script.after(60)


def test_password_goes_by_sasl_where_that_is_offered_and_by_pass_where_not() -> None:
    script = Script(password="sesame")
    assert script.hear(":s CAP * LS :sasl=EXTERNAL,PLAIN")[1:2] == ["CAP REQ sasl"]
    assert script.hear(":s CAP ferry ACK :sasl") == ["AUTHENTICATE PLAIN"]
    assert script.hear("AUTHENTICATE +") == ["AUTHENTICATE ZmVycnkAZmVycnkAc2VzYW1l"]
    assert script.hear(":s 900 ferry f!u@h ferry :You are now logged in", ":s 903 ferry :ok") == ["CAP END"]
    assert Script(password="sesame").hear(":s CAP * LS :batch")[2:4] == ["PASS sesame", "NICK ferry"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (":s 904 ferry :SASL authentication failed", "refuses the account's password"),
        (":s 464 ferry :Password incorrect", "wants a password"),
        ("ERROR :Access denied: Bad password?", "wants a password"),
        (":s 465 ferry :You are banned", "does not let us in: You are banned"),
        (":s 432 * fer.ry :Erroneous nickname", "does not take the nick"),
        (":tmi.twitch.tv NOTICE * :Login authentication failed", "Twitch refuses the token"),
    ],
)
def test_refusal_that_a_person_must_mend_stops(line: str, words: str) -> None:
    with pytest.raises(Stop, match=words):
        Script(password="sesame").hear(line)


@pytest.mark.parametrize(
    "line", [":s 904 ferry :failed for ferry sesame", ":s 464 ferry :not sesame", "ERROR :bye sesame, no such password"]
)
def test_server_that_repeats_the_password_has_it_told_to_nobody(line: str) -> None:
    with pytest.raises(Stop) as caught:
        Script(password="sesame").hear(line)
    assert "***" in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_nick_in_use_is_replaced_by_one_like_it_until_none_is_left() -> None:
    script = Script(url="irc://chatferry-bot@irc.test/%23a")
    script.hear(":s CAP * LS :")
    (line,) = script.hear(":s 433 * chatferry-bot :Nickname is already in use")
    assert line.startswith("NICK chatfe")
    assert len(line) == len("NICK ") + 9
    with pytest.raises(ConnectionLost, match="Every nick"):
        script.hear(*[":s 433 * x :Nickname is already in use"] * 20)


def test_nick_is_made_up_where_none_is_named() -> None:
    assert "NICK ferry" in Script(url="irc://irc.test/%23a").hear(":s CAP * LS :")[1]
    assert "NICK justinfan" in Script(url="irc://irc.chat.twitch.tv/%23a").hear(":s CAP * LS :")[1]


# --- joining ------------------------------------------------------------------------------------------------


def test_listener_is_ready_when_every_channel_is_joined() -> None:
    script = Script()
    assert script.hear(":s CAP * LS :", ":s 001 ferry :hi", ":s 376 ferry :>")[-1] == "JOIN #a,#b"
    script.hear(*joined("#A"))
    assert not script.session.ready
    script.hear(*joined("#b"))
    assert script.session.ready


def test_channel_that_cannot_be_joined_stops_a_listener_that_never_was_in_it() -> None:
    script = Script()
    script.hear(":s CAP * LS :", ":s 001 ferry :hi", ":s 422 ferry :no motd")
    with pytest.raises(Stop, match="#b cannot be joined: Cannot join channel") as told:
        script.hear(":s 474 ferry #b :Cannot join channel (+b)")
    assert told.value.next_step == "Ask the channel's operators"


def test_channel_that_cannot_be_joined_any_more_is_tried_again_and_the_others_are_heard() -> None:
    script = Script(Past(Backlog({}), ever=True))
    script.hear(":s CAP * LS :", ":s 001 ferry :hi", ":s 422 ferry :no motd", *joined("#a"))
    script.hear(":s 474 ferry #b :Cannot join channel (+b)")
    assert script.session.ready
    script.hear(":ann!u@h PRIVMSG #a :hello")
    assert len(script.texts()) == 1
    assert script.after(31) == ["PING chatferry"]
    script.hear(":s PONG s chatferry")
    assert script.after(31)[0] == "JOIN #b"


def test_channel_that_is_full_is_tried_again() -> None:
    script = Script()
    script.hear(":s CAP * LS :", ":s 001 ferry :hi", ":s 422 ferry :no motd", *joined("#a"))
    script.hear(":s 471 ferry #b :Cannot join channel (+l)")
    assert script.session.ready


def test_server_that_does_not_answer_a_join_is_left() -> None:
    script = Script()
    script.hear(":s CAP * LS :", ":s 001 ferry :hi", ":s 422 ferry :no motd")
    script.after(30)
    script.hear(":s PONG s x")
    with pytest.raises(ConnectionLost, match="did not answer a JOIN"):
        script.after(31)


def test_kicked_listener_knocks_again_after_a_moment() -> None:
    script = Script()
    script.join()
    script.hear(":ann!u@h KICK #a ferry :out")
    assert script.texts() == [("irc.test/#a", "ann", "status", "kick: ferry (out)")]
    assert script.after(1) == []
    assert script.after(5) == ["JOIN #a"]


def test_channels_are_asked_for_in_lines_that_are_short_enough() -> None:
    names = [f"#{'x' * 45}{number}" for number in range(30)]
    script = Script(url="irc://irc.test/" + ",".join(name.replace("#", "%23") for name in names))
    script.hear(":s CAP * LS :", ":s 001 ferry :hi")
    lines = script.hear(":s 376 ferry :>")
    assert ",".join(line.removeprefix("JOIN ") for line in lines) == ",".join(names)
    assert max(map(len, lines)) <= 405


# --- life ---------------------------------------------------------------------------------------------------


def test_ping_is_answered_and_silence_is_asked_about_and_ends_the_session() -> None:
    script = Script()
    assert script.hear("PING :abc def")[-1] == "PONG :abc def"
    script.join()
    assert script.after(29) == []
    assert script.after(2) == ["PING chatferry"]
    assert script.after(2) == []
    script.hear(":s PONG s chatferry")
    assert script.after(31) == ["PING chatferry"]
    with pytest.raises(ConnectionLost, match="Nothing came from the server for 60 s"):
        script.after(30)


def test_what_came_before_the_end_of_a_session_is_heard() -> None:
    script = Script()
    script.join()
    with pytest.raises(ConnectionLost, match="Closing Link"):
        script.hear(":ann!u@h PRIVMSG #a :last words", "ERROR :Closing Link: killed")
    assert [text for *_, text in script.texts()] == ["last words"]


# --- hearing ------------------------------------------------------------------------------------------------


def test_quit_and_rename_are_told_in_each_channel_that_somebody_was_in() -> None:
    script = Script()
    script.join()
    script.hear(":carl!u@h JOIN #b", ":Ann!u@h NICK anna", ":carl!u@h QUIT :bye", ":anna!u@h QUIT :bye")
    assert script.texts() == [
        ("irc.test/#b", "carl", "status", "join"),
        ("irc.test/#a", "Ann", "status", "rename: anna"),
        ("irc.test/#b", "Ann", "status", "rename: anna"),
        ("irc.test/#b", "carl", "status", "quit: bye"),
        ("irc.test/#a", "anna", "status", "quit: bye"),
        ("irc.test/#b", "anna", "status", "quit: bye"),
    ]


def test_netsplit_names_the_servers_that_lost_each_other() -> None:
    script = Script()
    script.join("batch")
    script.hear(
        ":s BATCH +x netsplit irc.hub other.host",
        "@batch=x :ann!u@h QUIT :irc.hub other.host",
        ":s BATCH -x",
        ":s BATCH +y netjoin irc.hub other.host",
        "@batch=y :ann!u@h JOIN #a",
        ":s BATCH -y",
    )
    assert [(site[-2:], data) for site, _, _, data in script.texts()] == [
        ("#a", "quit: netsplit irc.hub other.host"),
        ("#b", "quit: netsplit irc.hub other.host"),
        ("#a", "join: netjoin irc.hub other.host"),
    ]


def test_other_lines_become_statuses_with_a_text_to_read_or_nothing() -> None:
    script = Script()
    script.join("message-tags extended-join account-tag draft/message-redaction")
    script.hear(
        "@msgid=m1 :dan!u@h JOIN #a dan :Dan the man",
        ":eve!u@h JOIN #a * :Eve",
        ":eve!u@h PART #a",
        ":s MODE #a +o dan",
        ":dan!u@h TOPIC #a :",
        "@msgid=m9 :dan!u@h REDACT #a m1 :a slip",
        "@+typing=active :dan!u@h TAGMSG #a",
        ":dan!u@h PRIVMSG ferry :to you alone",
        ":dan!u@h PRIVMSG #other :elsewhere",
        ":dan!u@h PRIVMSG @#a :among operators",
        ":dan!u@h PRIVMSG #a :\x01VERSION\x01",
        ":ferry!u@h MODE #a +i",
        ":s MODE ferry +i",
    )
    assert [(sender, data) for _, sender, _, data in script.texts()] == [
        ("dan", "join: account dan"),
        ("eve", "join"),
        ("eve", "part"),
        ("s", "mode: +o dan"),
        ("dan", "topic"),
        ("dan", "deletion of irc/irc.test/#a/m1: a slip"),
        ("dan", "among operators"),
        ("dan", "\x01VERSION\x01"),
    ]


def test_id_is_the_protocols_where_there_is_one_and_the_same_for_two_who_hear_it() -> None:
    first, second = Script(), Script(url="irc://irc.test/%23A")
    for script in (first, second):
        script.join("server-time message-tags")
        script.hear(
            "@msgid=xyz :ann!u@h PRIVMSG #a :hello", *["@time=2026-01-02T03:04:05.678Z :ann!u@h PRIVMSG #a :ha"] * 2
        )
    ids = first.ids()
    assert ids[0] == "irc/irc.test/#a/xyz"
    assert len(set(ids)) == 3
    assert second.ids() == ids


def test_id_without_msgid_and_time_is_never_given_twice() -> None:
    lines = [":ann!u@h PRIVMSG #a :hello"] * 3
    first, second = Script(), Script()
    for script in (first, second):
        script.join()
        script.hear(*lines)
    assert len({*first.ids(), *second.ids()}) == 6


def test_history_that_a_server_tells_to_whoever_joins_repeats_nothing() -> None:
    past = Past(Backlog({}))
    live = "msgid=m{} :ann!u@h PRIVMSG #a :{}"
    first = Script(past)
    first.join("batch message-tags server-time")
    first.hear("@time=2026-01-02T03:04:05.678Z;" + live.format(1, "one"))
    assert len(first.ids()) == 1
    again = Script(past)
    again.join("batch message-tags server-time")
    again.hear(
        ":s BATCH +1 chathistory :#a",
        "@time=2026-01-02T03:04:05.000Z;batch=1;" + live.format(1, "one"),
        "@time=2026-01-02T03:04:06.000Z;batch=1;" + live.format(2, "two"),
        ":s BATCH :-1",
    )
    assert again.ids() == ["irc/irc.test/#a/m2"]


# --- chathistory --------------------------------------------------------------------------------------------

HISTORY = "message-tags server-time batch draft/chathistory"


def remembered(**place: str) -> Past:
    return Past(Backlog({"channels": {"#a": place}}))


def value(past: Past) -> dict[str, Any]:
    told = past.history.value["channels"]["#a"]
    assert isinstance(told, dict)
    return told


def message(number: int, more: str = "") -> str:
    return f"@{more}msgid=m{number};time=2026-01-02T00:00:00.{number:03}Z :ann!u@h PRIVMSG #a :{number}"


def test_gap_is_asked_for_page_by_page_and_remembered_no_further_than_it_was_filled() -> None:
    script = Script(remembered(msgid="m1"))
    assert script.join(HISTORY, "CHATHISTORY=2") == ["CHATHISTORY AFTER #a msgid=m1 2"]
    script.hear(message(9))
    assert value(script.past)["msgid"] == "m1"
    page = [":s BATCH +x chathistory #a", message(2, "batch=x;"), message(3, "batch=x;"), ":s BATCH -x"]
    assert script.hear(*page) == ["CHATHISTORY AFTER #a msgid=m3 2"]
    assert value(script.past)["msgid"] == "m3"
    assert script.hear(":s BATCH +x chathistory #a", ":s BATCH -x") == []
    assert value(script.past)["msgid"] == "m9"
    script.hear(message(10))
    assert value(script.past)["msgid"] == "m10"


def test_page_that_leads_nowhere_ends_the_asking() -> None:
    script = Script(remembered(msgid="m1"))
    script.join(HISTORY)
    page = [":s BATCH +x chathistory #a", message(2, "batch=x;"), ":s BATCH -x"]
    assert script.hear(*page) == ["CHATHISTORY AFTER #a msgid=m2 100"]
    assert script.hear(*page) == []


def test_page_of_our_own_comings_and_goings_is_not_the_last_one() -> None:
    script = Script(remembered(msgid="m1"))
    script.join(HISTORY)
    ours = "@batch=x;msgid=m2;time=2026-01-02T00:00:00.002Z :ferry!u@h JOIN #a"
    asked = script.hear(":s BATCH +x chathistory #a", ours, ":s BATCH -x")
    assert asked == ["CHATHISTORY AFTER #a msgid=m2 100"]


def test_history_is_waited_for_longer_where_it_was_we_who_did_not_listen(caplog: pytest.LogCaptureFixture) -> None:
    script = Script(remembered(msgid="m1"))
    script.join(HISTORY)
    script.now += 300
    script.session.held_up(300, script.now)
    script.after(1)
    page = [":s BATCH +x chathistory #a", message(2, "batch=x;"), ":s BATCH -x"]
    assert script.hear(*page) == ["CHATHISTORY AFTER #a msgid=m2 100"]
    assert caplog.text == ""


def test_message_that_the_server_forgot_is_named_by_its_time() -> None:
    script = Script(remembered(msgid="m1", time="2026-01-02T00:00:00.001Z"))
    script.join(HISTORY)
    fail = "FAIL CHATHISTORY MESSAGE_ERROR AFTER #a msgid=m1 :could not be retrieved"
    assert script.hear(fail) == ["CHATHISTORY AFTER #a timestamp=2026-01-02T00:00:00.000Z 100"]


def test_server_that_knows_no_msgids_is_asked_by_time() -> None:
    script = Script(remembered(msgid="m1", time="2026-01-02T00:00:00.001Z"))
    assert script.join(HISTORY, "MSGREFTYPES=timestamp") == [
        "CHATHISTORY AFTER #a timestamp=2026-01-02T00:00:00.000Z 100"
    ]


def test_history_that_cannot_be_had_is_told_and_what_is_said_now_is_remembered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for refusal in ("FAIL CHATHISTORY UNKNOWN_COMMAND :no", ":s 421 ferry CHATHISTORY :Unknown command", None):
        script = Script(remembered(msgid="m1"))
        script.join(HISTORY)
        script.hear(message(5))
        caplog.clear()
        if refusal:
            script.hear(refusal)
        else:
            script.after(25)
            script.hear(":s PONG s x")
            script.after(40)
        assert "what was said while nobody listened is missing" in caplog.text
        assert value(script.past)["msgid"] == "m5"


def test_channel_that_was_never_heard_is_heard_from_its_join_on() -> None:
    script = Script()
    script.hear(f":s CAP * LS :{HISTORY}", f":s CAP ferry ACK :{HISTORY}", ":s 001 ferry :hi", ":s 376 ferry :>")
    assert script.hear(*joined("#a", tags="@time=2026-01-02T00:00:00.000Z ")) == []
    assert value(script.past) == {"msgid": "", "time": "2026-01-02T00:00:00.000Z"}


@pytest.mark.parametrize("told", [{}, {"channels": 5}, {"channels": {"#a": 5}}, {"channels": {"#a": {"time": "soon"}}}])
def test_memory_that_is_none_of_ours_is_as_good_as_none(told: dict[str, Any]) -> None:
    assert Script(Past(Backlog(told))).join(HISTORY) == []


def test_events_of_a_history_change_nothing_now() -> None:
    script = Script(remembered(msgid="m1"))
    script.join(HISTORY)
    script.hear(
        ":s BATCH +x chathistory #a",
        "@batch=x;time=2026-01-02T00:00:00.002Z :old!u@h JOIN #a",
        "@batch=x;time=2026-01-02T00:00:00.003Z :ferry!u@h PART #a",
        "@batch=x;time=2026-01-02T00:00:00.004Z :bob!u@h QUIT :then",
        ":s BATCH -x",
        ":bob!u@h NICK rob",
        ":old!u@h QUIT :now",
    )
    assert [(site[-2:], sender, data) for site, sender, _, data in script.texts()] == [
        ("#a", "old", "join"),
        ("#a", "bob", "quit: then"),
        ("#a", "bob", "rename: rob"),
        ("#b", "bob", "rename: rob"),
    ]
    assert script.after(10) == []
