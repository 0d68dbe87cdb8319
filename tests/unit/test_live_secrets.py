"""Secrets that others might learn: who is warned, and of what."""

import pytest

from producer.live.matrix.listener import MatrixListener
from producer.live.memory import Memory
from producer.live.secrets import Secrets
from producer.live.urls import MatrixPlace, is_loopback, parse_places

SECRET = "sesame-plant"
IRC, XMPP, MATRIX = "CHATFERRY_IRC_PASSWORD", "CHATFERRY_XMPP_PASSWORD", "CHATFERRY_MATRIX_PASSWORD"
TOKEN = "CHATFERRY_MATRIX_TOKEN"


@pytest.mark.parametrize(
    ("urls", "files", "variables", "warned"),
    [
        (["irc://me@a/%23x", "ircs://me@b/%23x"], [], [IRC], "CHATFERRY_IRC_PASSWORD is given to a and b"),
        (["irc://me@a/%23x", "ircs://me@b/%23x"], [], [], ""),
        (["irc://me@a/%23x", "ircs://me@b/%23x"], ["ircs=f"], [IRC], ""),
        (["irc://me@a/%23x", "ircs://me@a/%23y"], [], [IRC], ""),
        (["irc://me@a/%23x", "xmpp://me@b/r@c"], [], [IRC, XMPP], ""),
        (["xmpp://me@a/r@c", "xmpp://me@b/r@c"], [], [XMPP], "CHATFERRY_XMPP_PASSWORD is given to a and b"),
        (["matrix+https://me@a/!r", "matrix+https://me@b/!r"], [], [MATRIX], "CHATFERRY_MATRIX_PASSWORD is given to a"),
        (["matrix+https://me@a/!r", "matrix+https://me@b/!r"], ["matrix+https://me@a/!r#token=f"], [MATRIX], ""),
        (["matrix+https://me@a/!r", "matrix+https://me@b/!r"], [], [MATRIX, TOKEN], "CHATFERRY_MATRIX_TOKEN is given"),
        (["http://127.0.0.1:1", "http://127.0.0.2:1"], [], ["CHATFERRY_HTTP_TOKEN"], ""),
    ],
)
def test_one_variable_for_several_networks_is_warned_of(
    urls: list[str], files: list[str], variables: list[str], warned: str, caplog: pytest.LogCaptureFixture
) -> None:
    Secrets(tuple(files), parse_places(urls, ["all"]), dict.fromkeys(variables, SECRET))
    assert [warned in message for message in caplog.messages] == ([True] if warned else [])
    assert SECRET not in caplog.text


@pytest.mark.parametrize("variable", [MATRIX, TOKEN])
@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("matrix+http://me@far.test/!r", True),
        ("matrix+https://me@far.test/!r", False),
        ("matrix+http://me@127.0.0.1:8008/!r", False),
        ("matrix+http://me@[::1]:8008/!r", False),
    ],
)
def test_what_goes_to_matrix_in_the_clear_is_warned_of(
    url: str, warned: bool, variable: str, caplog: pytest.LogCaptureFixture
) -> None:
    (place,) = parse_places([url], ["called"])
    assert isinstance(place, MatrixPlace)
    MatrixListener(place, Secrets((), [place], {variable: SECRET}), Memory(None))
    assert ("in the clear" in caplog.text) is warned
    assert SECRET not in caplog.text


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("h.test", False),
    ],
)
def test_what_stays_on_this_machine_is_known(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
