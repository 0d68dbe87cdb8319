"""What makes no listener on IRC, and what was heard while the disk failed."""

import asyncio
from collections.abc import Sequence

import pytest

from producer.live.ear import PrintingEar
from producer.live.irc import listener as irc
from producer.live.irc.listener import IrcListener
from producer.live.listener import keep_listening
from producer.live.memory import Memory
from producer.live.secrets import Secrets
from producer.live.spool import Mark
from producer.live.station import Account
from producer.live.urls import IrcPlace, parse_place
from schemas.errors import ConnectionLost, Stop, UsageProblem

PASSWORD = "sesame-plant"


def listener(url: str, password: str | None = None) -> IrcListener:
    place = parse_place(url)
    assert isinstance(place, IrcPlace)
    environment = {"CHATFERRY_IRC_PASSWORD": password} if password else {}
    return IrcListener(place, Secrets((), [place], environment), Memory(None))


@pytest.mark.parametrize(
    ("url", "password", "words"),
    [
        ("irc://a%0D%0Ab@h/%23a", None, "is no nick"),
        ("irc://a%20b@h/%23a", None, "is no nick"),
        ("irc://" + "a" * 500 + "@h/%23a", None, "is no nick"),
        ("irc://h/%23" + "a" * 500, None, "too long for a line"),
        ("irc://h/%23a", "a\nb", "has the end of a line in it"),
        ("irc://h/%23a", "a" * 501, "too long for a line"),
        ("ircs://irc.chat.twitch.tv/%23a", "oauth:x", "a token needs its account"),
    ],
)
def test_what_a_line_of_irc_cannot_carry_is_refused(url: str, password: str | None, words: str) -> None:
    with pytest.raises(UsageProblem, match=words) as told:
        listener(url, password)
    assert "oauth" not in str(told.value)


@pytest.mark.parametrize(
    ("url", "warned"), [("irc://h.test/%23a", True), ("ircs://h.test/%23a", False), ("irc://127.0.0.1/%23a", False)]
)
def test_password_that_others_could_read_is_warned_of(url: str, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    listener(url, PASSWORD)
    assert ("in the clear" in caplog.text) is warned
    assert PASSWORD not in caplog.text


SCRIPT = (
    b":s CAP * LS :\r\n:s 001 ferry :hi\r\n:s 376 ferry :>\r\n:ferry!u@h JOIN #a\r\n:s 366 ferry #a :End\r\n"
    b":ann!u@h PRIVMSG #a :hello\r\n"
)


class FailingEar(PrintingEar):
    """Its disk fails the first time."""

    fails = True

    async def take_lines(self, lines: Sequence[bytes]) -> Mark:
        """Fail, or take them."""
        if self.fails:
            self.fails = False
            raise Stop("Cannot write the spool")
        return await super().take_lines(lines)


async def one_session(url: str, ear: FailingEar, problem: type[Exception], heard: IrcListener | None) -> IrcListener:
    heard = heard or listener(url)
    with pytest.raises(problem):
        await heard.session(ear)
    return heard


def test_what_was_heard_while_the_disk_failed_is_taken_by_the_next_session() -> None:
    taken: list[bytes] = []
    ear = FailingEar("irc", Account(), taken.append, 1000)

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SCRIPT)
        await writer.drain()
        writer.close()

    async def work() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            url = f"irc://ferry@127.0.0.1:{server.sockets[0].getsockname()[1]}/%23a"
            first = await one_session(url, ear, Stop, None)
            await one_session(url, ear, ConnectionLost, first)

    asyncio.run(work())
    assert [b'"data":"hello"' in line for line in taken] == [True, True]


class FullEar(PrintingEar):
    """There is no room, for ever."""

    def __init__(self, account: Account) -> None:
        super().__init__("irc", account, lambda _line: None, 1000)
        self.waits = asyncio.Event()

    async def take_lines(self, _lines: Sequence[bytes]) -> Mark:
        """Wait for ever."""
        self.waits.set()
        await asyncio.Event().wait()
        raise AssertionError


def test_what_was_heard_and_never_found_room_is_counted_when_it_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(irc, "GOODBYE_SECONDS", 0.01)
    account, gone = Account(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SCRIPT)
        await reader.read()
        writer.close()
        gone.set()

    async def work() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            url = f"irc://ferry@127.0.0.1:{server.sockets[0].getsockname()[1]}/%23a"
            ear = FullEar(account)
            task = asyncio.create_task(keep_listening(listener(url), ear))
            await asyncio.wait_for(ear.waits.wait(), 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(gone.wait(), 30)

    asyncio.run(work())
    assert account.refused == {"irc": 1}


def test_port_without_tls_is_told_with_the_scheme_for_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(irc, "DIAL_SECONDS", 0.2)

    async def silence(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio, "open_connection", silence)

    async def work() -> None:
        heard = listener("ircs://h.example:6667/%23a")
        for _ in range(2):
            with pytest.raises(ConnectionLost, match=r"No connection with TLS within .* irc:// for those without"):
                await heard._dial()

    asyncio.run(work())
    assert caplog.text.count(": connecting") == 1
