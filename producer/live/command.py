"""`chatferry listen`: live chat systems onto a topic."""

import sys
import time
from typing import Any

import click

from producer.checkpoint import default_folder
from producer.client import producer_settings
from producer.delivery import Address
from producer.live.secrets import Secrets
from producer.live.station import Account, Order, listen_and_print, listen_onto
from producer.live.urls import parse_places
from schemas.settings import pass_through, secret
from schemas.topics import dead_letters_of
from terminal.command import FerryCommand, emit_json, environment, printable_json, required, say, settings_options
from terminal.logs import counted
from terminal.progress import Meter
from terminal.signals import Interruption


@click.command(cls=FerryCommand, name="listen")
@click.argument("urls", nargs=-1, required=True, metavar="URL|-...")
@settings_options(
    ["brokers", "topic", "dead_letter_topic", "state", "as", "secret_file", "spool_limit", "key", "dry_run",
     "librdkafka", "kafka_password_file"]
)  # fmt: skip
def listen(urls: tuple[str, ...], **given: Any) -> int:
    """Publish what is said in live chat systems to a topic, from many at once.

    \b
    irc[s]://[nick@]host[:port]/%23channel[,%23other]    xmpp://user@domain[:port]/room@conference.domain
    matrix+http[s]://user@host[:port]/!room:domain       http://host:port (a webhook)
    -                                                    JSON lines from standard input

    What was heard waits on a spool in the state folder until Kafka has it, and outlives a kill.
    """
    interruption = Interruption().listen()
    places = parse_places(urls, given["as_"])
    secrets = Secrets(given["secret_file"], places, environment())
    started = time.monotonic()
    with Meter("listen", total=None, in_bytes=False, quiet=given["quiet"] or given["json"]) as meter:
        order = Order(places, secrets, interruption, _shower(meter))
        account = _dry(order, given) if given["dry_run"] else _onto(order, given)
    shown = _shown(account, [place.url for place in places], time.monotonic() - started)
    if given["json"]:
        emit_json(shown)
    else:
        say(_sentence(shown, None if given["dry_run"] else given["topic"]), err=given["dry_run"])
    if account.spooled:
        stay = "line stays" if account.spooled == 1 else "lines stay"
        say(f"{account.spooled:,} {stay} on the spool: run the same command again to send what is there", err=True)
    lost = account.refused.total() + (0 if interruption else account.spooled)
    return interruption.exit_status or (1 if lost else 0)


def _onto(order: Order, given: dict[str, Any]) -> Account:
    brokers = required("brokers", given["brokers"])
    password = secret("CHATFERRY_KAFKA_PASSWORD", given["kafka_password_file"], environment())
    settings = producer_settings(brokers, pass_through(given["librdkafka"]), password)
    topic = given["topic"]
    address = Address(settings, topic, dead_letters_of(topic, given["dead_letter_topic"]), given["key"])
    return listen_onto(order, address, given["state"] or default_folder(), given["spool_limit"])


def _dry(order: Order, given: dict[str, Any]) -> Account:
    stream = sys.stderr if given["json"] else sys.stdout  # with --json stdout holds the one object

    def print_line(line: bytes) -> None:
        print(printable_json(line.decode("utf-8", "backslashreplace")), file=stream, flush=True)

    return listen_and_print(order, print_line)


def _shower(meter: Meter) -> Any:
    last = -1

    def show(account: Account, delay: float) -> None:
        nonlocal last
        heard = account.heard.total()
        if heard != last or account.spooled_bytes:
            meter.show(heard, heard, f"{account.spooled_bytes:,} bytes on the spool, {delay:.1f} s behind")
        last = heard

    return show


def _shown(account: Account, urls: list[str], seconds: float) -> dict[str, Any]:
    return {
        "heard": account.heard.total(),
        "acknowledged": account.acknowledged,
        "spooled": account.spooled,
        "spooled_bytes": account.spooled_bytes,
        "refused": account.refused.total(),
        "by_listener": {url: account.heard[url] for url in urls},
        "seconds": round(seconds, 3),
    }


def _sentence(shown: dict[str, Any], topic: str | None) -> str:
    parts = [f"{counted(shown['heard'], 'line')} heard"]
    parts.append(f"{shown['acknowledged']:,} acknowledged by {topic}" if topic else "nothing sent (--dry-run)")
    if shown["spooled"]:
        parts.append(f"{shown['spooled']:,} NOT acknowledged, on the spool")
    if shown["refused"]:
        parts.append(f"{shown['refused']:,} NOT taken")
    return f"{', '.join(parts)}; {shown['seconds']:.1f} s"
