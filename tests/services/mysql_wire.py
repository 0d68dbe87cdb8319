"""As much of MySQL's protocol as a server needs that is none: packets, and the first of them."""

import socket
import struct


def greeting() -> bytes:
    """The first packet of a MariaDB 10.11: protocol 10, native passwords, LOCAL_FILES among its capabilities."""
    capabilities = 0x0008_A28D | 0x80
    low, high = capabilities & 0xFFFF, capabilities >> 16
    return (
        b"\x0a5.5.5-10.11.6-MariaDB\0"
        + struct.pack("<I", 1)
        + b"saltsalt\0"
        + struct.pack("<HBHHB", low, 45, 2, high, 21)
        + bytes(10)
        + b"saltsaltsalt\0mysql_native_password\0"
    )


def write(client: socket.socket, sequence: int, packet: bytes) -> None:
    """Send one packet."""
    client.sendall(struct.pack("<I", len(packet))[:3] + bytes([sequence % 256]) + packet)


def read(client: socket.socket) -> tuple[int, bytes]:
    """The next packet, and its number. Raises EOFError where there is none."""
    head = _exactly(client, 4)
    return head[3], _exactly(client, int.from_bytes(head[:3], "little"))


def _exactly(client: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        more = client.recv(length - len(data))
        if not more:
            raise EOFError
        data += more
    return data
