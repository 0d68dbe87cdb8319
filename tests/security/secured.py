"""A Kafka whose listeners want TLS and a password, and one whose certificate is for another host."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services.kafka import Kafka
from tests.services.tls import Authority, ServerCertificate

USER = "ferry"
PASSWORD = "kafka-pass-7Qx4"  # found again wherever it leaks
OTHER_HOST = "kafka.example.com"

SECURE, MISNAMED = "SECURE", "MISNAMED"
"""Two listeners that want TLS and SCRAM; the second one's certificate is for OTHER_HOST."""

PROTOCOLS = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT", SECURE: "SASL_SSL", MISNAMED: "SASL_SSL"}


@contextmanager
def secured_kafka(directory: Path, authority: Authority) -> Iterator[Kafka]:
    """Run it; its plain listener is for the test's own looking."""
    properties: dict[str, str | int] = {
        "listener.security.protocol.map": ",".join(f"{name}:{kind}" for name, kind in PROTOCOLS.items()),
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        **_listener(SECURE, authority.issue("127.0.0.1")),
        **_listener(MISNAMED, authority.issue(OTHER_HOST)),
    }
    with Kafka(directory, properties=properties, listeners=[SECURE, MISNAMED], scram={USER: PASSWORD}) as server:
        yield server


def _listener(name: str, certificate: ServerCertificate) -> dict[str, str]:
    prefix = f"listener.name.{name.lower()}"
    return {
        f"{prefix}.ssl.keystore.type": "PEM",
        f"{prefix}.ssl.keystore.location": str(certificate.both),
        f"{prefix}.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
    }


def client_flags(certificate: Path, user: str = USER) -> list[str]:
    """What a person passes to reach the secured listener; the password goes by CHATFERRY_KAFKA_PASSWORD."""
    settings = {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(certificate),
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": user,
    }
    return [word for key, value in settings.items() for word in ("-X", f"{key}={value}")]
