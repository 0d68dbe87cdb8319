"""Certificates for the tests' servers: made anew for each run, trusted by nobody but the tests."""

from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


class Authority:
    """A certificate authority of the tests' own; `certificate` is the PEM file that clients are to trust."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self.certificate = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.certificate)

    def issue(self, host: str) -> "ServerCertificate":
        """A certificate for a server of this name or address, and its key."""
        issued = self._ca.issue_cert(host)
        chain = b"".join(part.bytes() for part in issued.cert_chain_pems)
        # In PKCS #8, the one form of a key that Kafka reads from PEM.
        key = load_pem_private_key(issued.private_key_pem.bytes(), None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        return ServerCertificate(self._folder / host, chain, key)


class ServerCertificate:
    """The files of a certificate: `certificate` with its chain, `key`, and `both` of them in one."""

    def __init__(self, stem: Path, chain: bytes, key: bytes) -> None:
        self.certificate = _written(stem.with_name(f"{stem.name}.cert.pem"), chain)
        self.key = _written(stem.with_name(f"{stem.name}.key.pem"), key)
        self.both = _written(stem.with_name(f"{stem.name}.pem"), key + chain)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
