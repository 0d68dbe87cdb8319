"""`python -m tests.services`: a Kafka and a MariaDB to play with until Ctrl-C, and their data with them."""

import argparse
import shlex
import signal
import sys
import tempfile
from pathlib import Path

from tests.services.kafka import Kafka
from tests.services.mariadb import MariaDB
from tests.services.process import (
    ServerError,
    ServerProcess,
    ServicesMissingError,
    free_port,
    log_tail,
    port_is_free,
)

ENDINGS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def main() -> None:
    """Start both servers, print how to reach them, wait for a signal, stop them."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a TERM while they start cleans up, too
    try:
        with tempfile.TemporaryDirectory(prefix="chatferry-servers-") as directory:
            sys.exit(_serve(Path(directory), arguments))
    except (ServerError, ServicesMissingError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.services", description=__doc__)
    parser.add_argument(
        "--partitions",
        type=int,
        default=4,
        help="partitions of a topic that is created without a number (default: 4)",
    )
    parser.add_argument("--env-file", type=Path, help="write the two exports to this file, too, once all is ready")
    return parser.parse_args()


def _serve(directory: Path, arguments: argparse.Namespace) -> int:
    for name in ("kafka", "mariadb"):
        (directory / name).mkdir()
    kafka = Kafka(directory / "kafka", port=_port(9092), properties={"num.partitions": arguments.partitions})
    mariadb = MariaDB(directory / "mariadb", port=_port(3306))
    with kafka, mariadb:
        exports = _exports(kafka.brokers, mariadb.create_database("chat"))
        print(exports, end="")
        print("Kafka and MariaDB are ready; their data goes when you end them with Ctrl-C.", flush=True)
        if arguments.env_file:
            _write(arguments.env_file, exports)
        return _wait(kafka, mariadb)


def _port(usual: int) -> int:
    return usual if port_is_free(usual) else free_port()


def _exports(brokers: str, database: str) -> str:
    settings = {"CHATFERRY_BROKERS": brokers, "CHATFERRY_DATABASE": database}
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items())


def _write(file: Path, text: str) -> None:
    # In one step, because scripts wait for the file and source it as soon as it is there.
    part = file.with_name(file.name + ".part")
    part.write_text(text)
    part.replace(file)


def _wait(*servers: ServerProcess) -> int:
    """Return 0 on a signal to end, 1 when a server ended by itself."""
    # Blocked first and waited for then: a signal between the two is kept, not lost.
    awaited = {*ENDINGS, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, awaited)
    while not (dead := [server for server in servers if server.ended()]):
        if signal.sigwait(awaited) in ENDINGS:
            return 0
    for server in dead:
        print(f"A server ended by itself. {log_tail(server.log)}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    main()
