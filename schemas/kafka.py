"""What both sides say to Kafka's client and hear from it: base settings, and errors turned into sentences.

Pure: it works on names and texts, and never imports the client.
"""

from collections.abc import Mapping
from typing import Any

from schemas.errors import BrokerDown, ChatferryError, Stop, UsageProblem

Settings = dict[str, str | int | float | bool]

_ALIASES = {
    "metadata.broker.list": "bootstrap.servers",
    "delivery.timeout.ms": "message.timeout.ms",
    "request.required.acks": "acks",
    "queue.buffering.max.ms": "linger.ms",
    "compression.codec": "compression.type",
    "sasl.mechanisms": "sasl.mechanism",
}
"""librdkafka's second names of settings that we set too (its CONFIGURATION.md)."""

LOG_LEVEL = 2
"""librdkafka's own log, as syslog counts: only what is critical. Its errors reach us through callbacks and are told in
our words; `-X log_level=7` or `-X debug=...` brings its own back."""

FIRST_ANSWER_SECONDS = (1.0, 4.0)
"""How long the first answer of a broker may take before the person is told that there is none; between the two, whether
a broker refused us: a wrong password is told after the first."""

_WAIT = frozenset(
    [
        "_TRANSPORT",
        "_TIMED_OUT",
        "_TIMED_OUT_QUEUE",
        "_ALL_BROKERS_DOWN",
        "_RESOLVE",
        "_WAIT_COORD",
        "_NODE_UPDATE",
        "_RETRY",
        "_IN_PROGRESS",
        "_PREV_IN_PROGRESS",
        "_WAIT_CACHE",
        "_MSG_TIMED_OUT",
        "_MAX_POLL_EXCEEDED",  # frozen for long: the next poll joins again
        "_QUEUE_FULL",
        "LEADER_NOT_AVAILABLE",
        "NOT_LEADER_FOR_PARTITION",
        "REQUEST_TIMED_OUT",
        "BROKER_NOT_AVAILABLE",
        "REPLICA_NOT_AVAILABLE",
        "NETWORK_EXCEPTION",
        "COORDINATOR_LOAD_IN_PROGRESS",
        "COORDINATOR_NOT_AVAILABLE",
        "NOT_COORDINATOR",
        "NOT_ENOUGH_REPLICAS",
        "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        "REBALANCE_IN_PROGRESS",
        "NOT_CONTROLLER",
        "KAFKA_STORAGE_ERROR",
        "FENCED_LEADER_EPOCH",
        "UNKNOWN_LEADER_EPOCH",
        "OFFSET_NOT_AVAILABLE",
        "PREFERRED_LEADER_NOT_AVAILABLE",
        "UNSTABLE_OFFSET_COMMIT",
        "THROTTLING_QUOTA_EXCEEDED",
        "UNKNOWN_TOPIC_ID",
        "COORDINATOR_LOADING",
        "CONCURRENT_TRANSACTIONS",
    ]
)

_NEXT_STEP = {
    "UNKNOWN_TOPIC_OR_PART": "Create it: chatferry topics create --topic TOPIC --brokers ...",
    "_UNKNOWN_TOPIC": "Create it: chatferry topics create --topic TOPIC --brokers ...",
    "_UNKNOWN_PARTITION": "Was the topic made anew with fewer partitions? Use another --group or reset its offsets",
    "TOPIC_AUTHORIZATION_FAILED": "Ask for the right to this topic (an ACL), or use other credentials",
    "GROUP_AUTHORIZATION_FAILED": "Ask for the right to this group (an ACL), or use another --group",
    "CLUSTER_AUTHORIZATION_FAILED": "Ask for the IdempotentWrite right (an ACL on the cluster)",
    "_AUTHENTICATION": "Check -X sasl.mechanism, sasl.username and the password (CHATFERRY_KAFKA_PASSWORD)",
    "SASL_AUTHENTICATION_FAILED": "Check -X sasl.mechanism, sasl.username and the password (CHATFERRY_KAFKA_PASSWORD)",
    "_SSL": "Check -X security.protocol and ssl.ca.location, and the host name in the certificate",
    "_AUTO_OFFSET_RESET": (
        "Records were deleted before they were read, or the topic was made anew. Set the group's offsets on purpose "
        "(kafka-consumer-groups --reset-offsets) or use another --group"
    ),
    "INCONSISTENT_GROUP_PROTOCOL": "The group has members of another kind: use another --group or end them",
    "UNRELEASED_INSTANCE_ID": "Another live member has this group.instance.id: give each its own",
    "FENCED_INSTANCE_ID": "Another live member has this group.instance.id: give each its own",
    "INVALID_REPLICATION_FACTOR": "Give --replication-factor: not more than there are brokers",
    "MSG_SIZE_TOO_LARGE": "The topic's max.message.bytes was lowered while it was written to",
}


def base_settings(brokers: str, pass_through: Mapping[str, str], password: str | None, forced: Settings) -> Settings:
    """librdkafka settings of any of our clients: `forced` holds the keys that our guarantee rests on.

    Raises `UsageProblem` when the user's pass-through sets one of those to something else.
    """
    settings: Settings = {"bootstrap.servers": brokers, "log_level": LOG_LEVEL, **forced}
    for given, value in pass_through.items():
        key = _ALIASES.get(given, given)
        if key in forced and str(forced[key]).lower() != value.lower():
            must = str(forced[key]).lower()
            raise UsageProblem(f"-X {given}={value}: the guarantee needs {key}={must}", "Leave it out")
        settings[key] = value
    if password is not None and "sasl.password" not in settings:
        settings["sasl.password"] = password
    return settings


_CONNECTION = (
    *("bootstrap.servers", "log_level", "debug"),
    *("security.", "ssl.", "sasl.", "enable.ssl.", "enable.sasl.", "socket.", "broker.address.", "client.dns."),
    *("reconnect.", "connections.", "api.version.", "metadata."),
)


def connection_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Of librdkafka settings those that say how a broker is reached: what one client of ours needs, all need."""
    return {key: value for key, value in settings.items() if key.startswith(_CONNECTION)}


def no_broker(brokers: str, text: str) -> Stop:
    """Nobody answers at these addresses."""
    return Stop(
        f"No broker answers at {brokers}: {text}",
        "Check --brokers, that Kafka runs and its advertised.listeners can be reached from here, and that "
        "-X security.protocol is what this port speaks",
    )


def not_told(name: str) -> bool:
    """Whether an error says that this broker does not answer such a question, or not to us: then asking again, or
    waiting, would not help."""
    return "AUTHORIZATION" in name or name in ("UNSUPPORTED_VERSION", "_UNSUPPORTED_FEATURE")


NEW_TOPIC_SECONDS = 2.0
"""How long a topic that a broker does not know is asked for again: it may be new, and known to another broker only."""


def no_topic(topic: str) -> Stop:
    """The broker does not know the topic."""
    return Stop(f"There is no topic {topic!r}", f"Create it: chatferry topics create --topic {topic} --brokers ...")


def bad_setting(text: str) -> UsageProblem:
    """librdkafka does not take a setting."""
    if "sasl.password must be set" in text:
        return UsageProblem("Kafka's password is not set", "Set CHATFERRY_KAFKA_PASSWORD or --kafka-password-file")
    return UsageProblem(
        f"librdkafka does not take a setting: {text}", "Check what -X or the settings file passes to it"
    )


def translate(name: str, text: str, what: str) -> ChatferryError:
    """The failure behind a `KafkaError`: `name` is its `name()`, `text` its `str()`, `what` was being done to what.

    A `BrokerDown` where waiting may mend it, else a `Stop` with the next step.
    """
    if "certificate verify failed" in text:
        name = "_SSL"  # the client calls it _TRANSPORT where the connection breaks before it has looked
    if name in _WAIT:
        return BrokerDown(f"{what}: {text}")
    return Stop(f"{what}: {text}", _NEXT_STEP.get(name, ""))
