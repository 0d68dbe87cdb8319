"""Which group protocol the broker offers: asked with an ApiVersions request, before anybody joins a group.

librdkafka does not tell: against a broker without KIP-848 its consumer waits for ever or fails, depending on the
broker. ApiVersions is the one request that every broker answers, to anybody, before authentication (KIP-35, KIP-511),
so this small piece of the wire protocol is spoken here.
"""

import logging
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import suppress

from schemas.kafka import Settings

log = logging.getLogger(__name__)

CONSUMER_GROUP_HEARTBEAT = 68
"""The API key of KIP-848's heartbeat (Kafka's protocol guide, API keys)."""

_API_VERSIONS, _VERSION = 18, 3
_SECONDS = 3.0
_FINALIZED_FEATURES_TAG = 2


def offers_kip_848(settings: Settings) -> bool:
    """Whether the first of the bootstrap brokers that answers offers the consumer group protocol of KIP-848.

    False where none answers in a way that can be understood: the classic protocol works everywhere.
    """
    for host, port in _addresses(str(settings["bootstrap.servers"])):
        try:
            with _connect(host, port, settings) as connection:
                apis, features = _ask(connection)
        except (OSError, struct.error, IndexError, ValueError) as error:
            log.debug("%s:%d did not say which protocols it offers: %s", host, port, error)
            continue
        offered = CONSUMER_GROUP_HEARTBEAT in apis and features.get("group.version", 0) >= 1
        log.debug("%s:%d %s KIP-848", host, port, "offers" if offered else "does not offer")
        return offered
    return False


def _addresses(brokers: str) -> Iterator[tuple[str, int]]:
    for broker in brokers.split(","):
        host, _, port = broker.strip().rpartition("://")[2].rpartition(":")
        if not host:
            host, port = port, "9092"
        with suppress(ValueError):
            yield host.strip("[]"), int(port)


def _connect(host: str, port: int, settings: Settings) -> socket.socket:
    connection = socket.create_connection((host, port), _SECONDS)
    if "SSL" not in str(settings.get("security.protocol", "")).upper():
        return connection
    try:
        return _tls(settings).wrap_socket(connection, server_hostname=host)
    except OSError:
        connection.close()
        raise


def _tls(settings: Settings) -> ssl.SSLContext:
    """A context for the question alone: nothing secret is sent, and the answer only chooses between two safe
    protocols."""
    context = ssl.create_default_context(
        cafile=_text(settings, "ssl.ca.location"), cadata=_text(settings, "ssl.ca.pem")
    )
    if certificate := _text(settings, "ssl.certificate.location"):
        context.load_cert_chain(certificate, _text(settings, "ssl.key.location"), _text(settings, "ssl.key.password"))
    if str(settings.get("enable.ssl.certificate.verification", "true")).lower() == "false":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _text(settings: Settings, key: str) -> str | None:
    return str(settings[key]) if key in settings else None


def _ask(connection: socket.socket) -> tuple[set[int], dict[str, int]]:
    """The API keys and the finalized features (name: highest level) of the broker at the other end."""
    name = b"chatferry"
    compact = bytes([len(name) + 1]) + name
    header = struct.pack(">hhih", _API_VERSIONS, _VERSION, 1, len(name)) + name + b"\0"
    request = header + compact + b"\x02" + b"1" + b"\0"
    connection.sendall(struct.pack(">i", len(request)) + request)
    (length,) = struct.unpack(">i", _exactly(connection, 4))
    if not 0 < length < 1 << 20:
        raise ValueError(f"an answer of {length} bytes")
    return _Answer(_exactly(connection, length)).read()


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise OSError("closed the connection")
        data += more
    return data


class _Answer:
    """An ApiVersions response, version 3, read from front to back (Kafka's protocol guide)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 4  # after the correlation id

    def read(self) -> tuple[set[int], dict[str, int]]:
        (error,) = self._take(">h")
        if error:
            raise ValueError(f"error {error}")
        keys = set()
        for _ in range(self._varint() - 1):
            keys.add(self._take(">hhh")[0])
            self._skip_tags()
        self._take(">i")
        features: dict[str, int] = {}
        for _ in range(self._varint()):
            tag, size = self._varint(), self._varint()
            end = self._at + size
            if tag == _FINALIZED_FEATURES_TAG:
                features = self._features()
            self._at = end
        return keys, features

    def _features(self) -> dict[str, int]:
        found = {}
        for _ in range(self._varint() - 1):
            length = self._varint() - 1
            name = self._data[self._at : self._at + length].decode()
            self._at += length
            found[name] = self._take(">hh")[0]
            self._skip_tags()
        return found

    def _take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return values

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 35, 7):  # 32 bits at most
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number that does not end")

    def _skip_tags(self) -> None:
        for _ in range(self._varint()):
            self._varint()
            size = self._varint()  # moves on by itself
            self._at += size
