"""Which group protocol a broker offers: canned answers from a socket on loopback, and whatever else may come back."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer import protocol
from consumer.protocol import CONSUMER_GROUP_HEARTBEAT, _addresses, _Answer, offers_kip_848

PRODUCE, FETCH, API_VERSIONS = 0, 1, 18


def varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def text(value: str) -> bytes:
    return varint(len(value.encode()) + 1) + value.encode()


def tags(fields: dict[int, bytes]) -> bytes:
    return varint(len(fields)) + b"".join(
        varint(tag) + varint(len(content)) + content for tag, content in sorted(fields.items())
    )


def features(levels: dict[str, int]) -> bytes:
    return varint(len(levels) + 1) + b"".join(
        text(name) + struct.pack(">hh", level, 0) + tags({}) for name, level in levels.items()
    )


def answer(keys: list[int], levels: dict[str, int] | None, *, error: int = 0) -> bytes:
    """An ApiVersions response of version 3, as the protocol guide writes it down."""
    apis = b"".join(struct.pack(">hhh", key, 0, 9) + tags({}) for key in keys)
    fields = {} if levels is None else {0: features({}), 1: struct.pack(">q", 42), 2: features(levels)}
    return (
        struct.pack(">ih", 1, error)
        + varint(len(keys) + 1)
        + apis
        + struct.pack(">i", 0)
        + tags(fields | {9: b"of the future"})
    )


OFFERS = answer([PRODUCE, FETCH, API_VERSIONS, CONSUMER_GROUP_HEARTBEAT], {"metadata.version": 25, "group.version": 1})


def framed(content: bytes) -> bytes:
    return struct.pack(">i", len(content)) + content


@contextmanager
def broker(reply: Callable[[socket.socket, bytes], None]) -> Iterator[tuple[str, list[bytes]]]:
    """A listener that takes one connection, reads the request and calls `reply`; its address, and what it read."""
    requests: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(5)
            (length,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
            requests.append(connection.recv(length, socket.MSG_WAITALL))
            reply(connection, requests[0])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}", requests
        finally:
            thread.join()


def offered(content: bytes) -> bool:
    with broker(lambda connection, _: connection.sendall(content)) as (address, _):
        return offers_kip_848({"bootstrap.servers": address})


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


# --- answers ------------------------------------------------------------------------------------------------


def test_broker_with_the_api_and_the_feature_offers_it() -> None:
    assert offered(framed(OFFERS)) is True


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(answer([PRODUCE, FETCH, API_VERSIONS], {"group.version": 1}), id="no such api"),
        pytest.param(answer([CONSUMER_GROUP_HEARTBEAT], {"group.version": 0}), id="feature switched off"),
        pytest.param(answer([CONSUMER_GROUP_HEARTBEAT], {"metadata.version": 25}), id="feature not named"),
        pytest.param(answer([CONSUMER_GROUP_HEARTBEAT], {}), id="no features"),
        pytest.param(answer([CONSUMER_GROUP_HEARTBEAT], None), id="features not told"),
        pytest.param(answer([], {"group.version": 1}), id="no apis"),
        pytest.param(answer([CONSUMER_GROUP_HEARTBEAT], {"group.version": 1}, error=35), id="unsupported version"),
    ],
)
def test_broker_that_does_not_offer_it(content: bytes) -> None:
    assert offered(framed(content)) is False


def test_later_level_of_the_feature_offers_it_too() -> None:
    assert offered(framed(answer([CONSUMER_GROUP_HEARTBEAT], {"group.version": 2}))) is True


def test_answer_that_comes_in_pieces_is_put_together() -> None:
    def drip(connection: socket.socket, _request: bytes) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in framed(OFFERS):
            connection.sendall(bytes([byte]))

    with broker(drip) as (address, _):
        assert offers_kip_848({"bootstrap.servers": address}) is True


def test_request_is_what_the_protocol_guide_says() -> None:
    with broker(lambda connection, _: connection.sendall(framed(OFFERS))) as (address, requests):
        offers_kip_848({"bootstrap.servers": address})
    (request,) = requests
    assert struct.unpack_from(">hhi", request) == (API_VERSIONS, 3, 1)  # key, version, correlation id
    (length,) = struct.unpack_from(">h", request, 8)
    client_id, rest = request[10 : 10 + length], request[10 + length :]
    assert client_id == b"chatferry"
    assert rest == b"\0" + text("chatferry") + text("1") + b"\0"


# --- what is no answer --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="closed at once"),
        pytest.param(b"\0\0", id="closed within the length"),
        pytest.param(framed(OFFERS)[:-1], id="closed within the answer"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="a web server"),
        pytest.param(framed(b""), id="length 0"),
        pytest.param(struct.pack(">i", -1), id="length below 0"),
        pytest.param(struct.pack(">i", 1 << 30), id="length of a gigabyte"),
        pytest.param(framed(OFFERS[:20]), id="cut short and framed"),
        pytest.param(framed(b"\0" * 4), id="a correlation id alone"),
        pytest.param(framed(b"\0" * 6 + b"\xff" * 100), id="ff"),
        pytest.param(framed(b"\xff" * 100), id="ff from the start"),
    ],
)
def test_garbage_is_taken_for_no(content: bytes) -> None:
    assert offered(content) is False


def test_silent_broker_is_taken_for_no_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_SECONDS", 0.05)
    asked = threading.Event()
    with broker(lambda _connection, _request: (asked.wait(5), None)[1]) as (address, requests):
        assert offers_kip_848({"bootstrap.servers": address}) is False
        asked.set()
    assert len(requests) == 1


def test_broker_that_is_not_there_is_taken_for_no() -> None:
    assert offers_kip_848({"bootstrap.servers": closed_port()}) is False


def test_next_broker_is_asked_where_the_first_does_not_answer() -> None:
    with broker(lambda connection, _: connection.sendall(framed(OFFERS))) as (address, _):
        assert offers_kip_848({"bootstrap.servers": f"{closed_port()}, {address}"}) is True


def test_first_broker_that_answers_decides() -> None:
    no = framed(answer([PRODUCE], {}))
    with broker(lambda connection, _: connection.sendall(no)) as (address, _):
        assert offers_kip_848({"bootstrap.servers": f"{address},{closed_port()}"}) is False


def test_plain_broker_asked_with_tls_is_taken_for_no() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b"no TLS here")

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert offers_kip_848({"bootstrap.servers": address, "security.protocol": "sasl_ssl"}) is False
        thread.join()


UNDERSTOOD = (struct.error, IndexError, ValueError)
"""What `offers_kip_848` takes for no answer, beside an `OSError`."""


@given(st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(lambda data: b"\0" * 6 + data)))
@example(OFFERS)
def test_any_bytes_are_an_answer_or_none_and_no_crash(data: bytes) -> None:
    try:
        keys, levels = _Answer(data).read()
    except UNDERSTOOD:
        return
    assert all(isinstance(key, int) for key in keys)
    assert all(isinstance(level, int) for level in levels.values())


@given(st.integers(0, len(OFFERS) - 1), st.binary(max_size=3))
def test_any_damage_to_an_answer_is_no_crash(place: int, damage: bytes) -> None:
    try:
        _Answer(OFFERS[:place] + damage + OFFERS[place + 1 :]).read()
    except UNDERSTOOD:
        return


# --- addresses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("brokers", "addresses"),
    [
        ("a:1", [("a", 1)]),
        ("a:1,b:2", [("a", 1), ("b", 2)]),
        (" a:1 , b:2 ", [("a", 1), ("b", 2)]),
        ("a", [("a", 9092)]),
        ("PLAINTEXT://a:1,SASL_SSL://b:2", [("a", 1), ("b", 2)]),
        ("[::1]:9093", [("::1", 9093)]),
        ("127.0.0.1:9092", [("127.0.0.1", 9092)]),
        ("a:x,b:2", [("b", 2)]),
    ],
)
def test_addresses_as_librdkafka_takes_them(brokers: str, addresses: list[tuple[str, int]]) -> None:
    assert list(_addresses(brokers)) == addresses
