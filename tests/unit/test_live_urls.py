"""URLs, names and secret files of `listen`: what they mean, and what is refused, without showing a password."""

from pathlib import Path

import pytest

from producer.live.heard import Heard, site_of, stable_id, status_text
from producer.live.secrets import SecretOf, Secrets
from producer.live.urls import (
    InputPlace,
    IrcPlace,
    MatrixPlace,
    Place,
    WebPlace,
    XmppPlace,
    parse_place,
    parse_places,
    shown,
    split_pair,
)
from schemas.errors import UsageProblem
from schemas.message import parse

HOST = "chat.example"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("irc://chat.example/%23a", IrcPlace("", HOST, HOST, 6667, tls=False, nick=None, channels=("#a",))),
        ("ircs://ann@chat.example:7000/%23a,%23b,%23a",
         IrcPlace("", HOST, HOST, 7000, tls=True, nick="ann", channels=("#a", "#b"))),
        ("ircs://chat.example/&local", IrcPlace("", HOST, HOST, 6697, tls=True, nick=None, channels=("&local",))),
        ("xmpp://ann@chat.example/room@conference.chat.example",
         XmppPlace("", HOST, "ann@chat.example", None, "room@conference.chat.example", "ann")),
        ("xmpp://ann@chat.example:5223/room@c.x/Bot",
         XmppPlace("", HOST, "ann@chat.example", 5223, "room@c.x", "Bot")),
        ("matrix+https://ann@chat.example/!abc:chat.example",
         MatrixPlace("", HOST, "https://chat.example", "ann", "!abc:chat.example")),
        ("matrix+http://ann@[::1]:8008/%23alias:x",
         MatrixPlace("", "::1", "http://[::1]:8008", "ann", "#alias:x")),
        ("matrix+http://%40ann%3Ax@chat.example/!abc",
         MatrixPlace("", HOST, "http://chat.example", "@ann:x", "!abc")),
        ("http://127.0.0.1:8080", WebPlace("", "127.0.0.1", "127.0.0.1", 8080)),
        ("http://[::1]:8080/", WebPlace("", "::1", "::1", 8080)),
        ("http://localhost:0", WebPlace("", "localhost", "localhost", 0)),
        ("-", InputPlace("", "standard-input")),
    ],
)  # fmt: skip
def test_url_names_its_place(url: str, place: Place) -> None:
    found = parse_place(url)
    assert found.url == url
    assert {**vars(found), "url": ""} == vars(place)
    assert type(found) is type(place)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("irc://chat.example", r"names no channel\. It is written irc\[s\]://\S+$"),
        ("irc://chat.example/#a", "# is written %23 here.*Write irc://chat.example/%23a$"),
        ("irc://chat.example/a", "is no channel's name"),
        ("irc://chat.example/%23a%0aQUIT", "is no channel's name"),
        ("irc:///%23a", "names no host"),
        ("irc://chat.example:x/%23a", "Port"),
        ("xmpp://chat.example/room@x", "an account and a room"),
        ("xmpp://ann@chat.example/room", "an account and a room"),
        ("matrix+https://ann@chat.example/abc", r"a user and a room.*It is written matrix\+http\[s\]://\S+$"),
        ("http://127.0.0.1:8080/messages", "only host and port"),
        ("https://127.0.0.1:8080", "not a URL that can be listened to.*or - for standard input"),
        ("chat.example", "not a URL that can be listened to"),
        ("", "not a URL that can be listened to"),
    ],
)
def test_url_that_cannot_be_listened_to_is_a_usage_problem(url: str, said: str) -> None:
    with pytest.raises(UsageProblem, match=said):
        parse_place(url)


@pytest.mark.parametrize(
    "url",
    [
        "irc://ann:hunter2@chat.example/%23a",
        "xmpp://ann:hunter2@chat.example/room@x",
        "http://:hunter2@127.0.0.1:80",
        "matrix+https://ann:hun@ter2@chat.example/!x",
        "irc://ann:hunter2@chat.example:x/%23a",
        "irc:ann:hunter2@chat.example",
        "irc://ann@chat.example/%23a?password=hunter2",
        "http://127.0.0.1:80/?token=hunter2&more=hunter2",
    ],
)
def test_password_in_a_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        parse_place(url)
    assert "ter2" not in str(caught.value)


def test_names_stand_in_what_is_told_of_a_url() -> None:
    assert shown("irc://ann@chat.example:6667/%23a") == "irc://ann@chat.example:6667/%23a"
    assert shown("xmpp://ann:pw@chat.example:5222/room@x") == "xmpp://ann:***@x"
    with pytest.raises(UsageProblem, match=r"http://u:\*\*\*@127.0.0.1:80=\.\.\.: none") as caught:
        split_pair("--secret-file", "http://u:hunter2@127.0.0.1:80=file", ["http://127.0.0.1:80"])
    assert "hunter2" not in str(caught.value)


URLS = ["irc://a.example/%23x", "irc://b.example/%23x", "http://127.0.0.1:80"]


@pytest.mark.parametrize(
    ("names", "networks"),
    [
        (["acme"], ["acme", "acme", "acme"]),
        (["irc://a.example/%23x=one", "http=web"], ["a.example", "b.example", "127.0.0.1"]),
        (["irc://a=one"], ["one", "b.example", "127.0.0.1"]),
        (["all", "irc://b=two"], ["all", "two", "all"]),
        (["http://=web"], ["a.example", "b.example", "web"]),
    ],
)
def test_names_are_for_all_or_for_one_url(names: list[str], networks: list[str]) -> None:
    if "http=web" in names:  # neither a URL nor a beginning of one with its colon: a name for all
        names, networks = names[:1], ["one", "b.example", "127.0.0.1"]
    assert [place.network for place in parse_places(URLS, names)] == networks


@pytest.mark.parametrize(("name", "said"), [("irc://=x", "2 of the URLs"), ("irc://c=x", "none of the URLs")])
def test_name_for_several_or_no_url_is_a_usage_problem(name: str, said: str) -> None:
    with pytest.raises(UsageProblem, match=said):
        parse_places(URLS, [name])


def test_url_that_is_given_twice_is_listened_to_once() -> None:
    assert [place.url for place in parse_places([*URLS, *URLS])] == URLS


def test_secret_comes_from_its_file_before_its_variable(tmp_path: Path) -> None:
    file = tmp_path / "a=b"
    file.write_text("from-the-file\n")
    one, two, web = parse_places(URLS)
    environment = {"CHATFERRY_IRC_PASSWORD": "from-the-variable", "CHATFERRY_HTTP_TOKEN": ""}
    secrets = Secrets((f"irc://a.example={file}",), [one, two, web], environment)
    assert secrets.of(one, SecretOf.IRC) == "from-the-file"
    assert secrets.of(two, SecretOf.IRC) == "from-the-variable"
    assert secrets.of(web, SecretOf.HTTP) is None


def test_place_with_several_secrets_has_a_file_for_each(tmp_path: Path) -> None:
    for name in ("token", "slack"):
        (tmp_path / name).write_text(name)
    places = parse_places(URLS)
    pairs = (f"{URLS[2]}={tmp_path / 'token'}", f"{URLS[2]}/slack/events={tmp_path / 'slack'}")
    secrets = Secrets(pairs, places, {})
    kinds = (SecretOf.HTTP, SecretOf.SLACK, SecretOf.TELEGRAM)
    assert [secrets.of(places[2], kind) for kind in kinds] == ["token", "slack", None]


@pytest.mark.parametrize("pair", ["irc://=x", "irc://c.example=x", "nonsense", "irc://a.example="])
def test_secret_file_for_no_url_is_a_usage_problem(pair: str) -> None:
    with pytest.raises(UsageProblem, match="--secret-file"):
        Secrets((pair,), parse_places(URLS), {})


# --- what is heard ------------------------------------------------------------------------------------------


def test_what_is_heard_is_a_line_that_the_parser_takes() -> None:
    heard = Heard(id="a", sender="ann" * 100, type="message", site_id="n/#a", timestamp=1.5, data="two\nlines \ud800")
    line = heard.line()
    assert b"\n" not in line
    assert parse(line) == ("a", ("ann" * 100)[:255], "message", "n/#a", "1970-01-01 00:00:01.500000", "two\nlines ���")


def test_absent_text_stays_absent() -> None:
    assert b"data" not in Heard(id="a", sender="", type="status", site_id="n/#a", timestamp=1.0).line()


def test_ids_and_sites_fit_and_differ_where_what_they_name_differs() -> None:
    assert stable_id("irc", HOST, "#a", "x1") == "irc/chat.example/#a/x1"
    long = [stable_id("irc", HOST, "#a", "x" * 300 + end) for end in "ab"]
    assert len(set(long)) == 2
    assert all(len(one) <= 255 and one.startswith("irc/") for one in long)
    sites = [site_of(HOST, "#" + "x" * 300 + end) for end in "ab"]
    assert (len(set(sites)), {len(site) for site in sites}) == (2, {255})


def test_status_says_what_happened_to_what() -> None:
    assert status_text("join") == "join"
    assert status_text("edit", of="a/1", text="new") == "edit of a/1: new"
