"""A server as a child process: started, waited for, frozen, killed and started again by its process id."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

SERVICES = Path(__file__).parents[2] / ".cache" / "services"
TAIL_LINES = 30

# Run between fork and the server: asks the kernel to kill the server when the thread that started it ends,
# because a test runner that is killed cannot stop its servers. The parent may have died before the request:
# hence getppid. Not a preexec_fn: that runs Python in the forked child of a process full of librdkafka's
# threads, and from Python 3.12 on it warns.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
if os.getppid() == int(sys.argv[1]):
    os.execvp(sys.argv[2], sys.argv[2:])
"""


class ServicesMissingError(RuntimeError):
    """What the tests' servers are made of is not installed; the message names it, and the next step."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is missing: run `make test`, which installs what the tests need")


class ServerError(RuntimeError):
    """A server ended, or did not become ready in time; the message quotes the end of its log."""


def installed(name: str) -> Path:
    """The path of a file or folder that tests/prepare put in .cache/services.

    Raises ServicesMissingError where it is not there.
    """
    path = SERVICES / name
    if not path.exists():
        raise ServicesMissingError(f".cache/services/{name}")
    return path


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback address now."""
    with socket.socket() as probe:
        # As servers do: a port that was left a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port on which nothing listens.

    Below Linux's ephemeral range (32768 and up), so that no outgoing connection of this machine takes the
    port while a server is down between kill() and start().
    """
    while not port_is_free(port := random.randint(20_000, 32_000)):
        pass
    return port


def log_tail(log: Path) -> str:
    """The last lines of a log file, for an error message."""
    if not log.exists():
        return f"({log} does not exist)"
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join([f"The end of {log}:", *lines[-TAIL_LINES:]])


class ServerProcess:
    """A server process, ready between `with` and its end, or between start() and stop().

    It keeps its data and its log in `directory`, which is there already, and leaves them there: start() after
    stop() or kill() goes on with them. It has a session of its own, so that Ctrl-C in the terminal reaches
    the tests and not the server, and dies with the thread that called start(): call it from the main thread.
    `within` is a command that runs another in its place, such as nsenter.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        directory: Path,
        environment: dict[str, str] | None = None,
        within: Sequence[str] = (),
    ) -> None:
        self._command = list(command)
        self._within = list(within)
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False
        self.directory = directory
        self.log = directory / "server.log"

    def _prepare(self) -> None:
        """Lay out the data directory where that has not been done."""
        raise NotImplementedError

    def _ready(self) -> bool:
        """Whether the server answers its clients; soon false where it does not."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        """The process id. Raises ServerError when the server is not running."""
        return self._running().pid

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerError(f"{self._command[0]} has not been started. {log_tail(self.log)}")
        if (status := self._process.poll()) is not None:
            raise ServerError(f"{self._command[0]} ended with status {status}. {log_tail(self.log)}")
        return self._process

    def start(self, seconds: float = 60) -> None:
        """Start the server and return when it is ready.

        Raises ServerError when it runs already, ends before it is ready or takes longer than `seconds`.
        """
        self.launch()
        self.wait_until_ready(seconds)

    def launch(self) -> None:
        """Start the server; `wait_until_ready` is the caller's to call. Raises ServerError when it runs already."""
        if not self.ended():
            raise ServerError(f"{self._command[0]} runs already as process {self.pid}")
        self._prepare()
        self._paused = False
        launcher = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid())]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._within + launcher + self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=self._environment,
                start_new_session=True,
            )

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Return when the server is ready.

        Raises ServerError, and kills it, when it ends before or takes longer than `seconds`.
        """
        try:
            self._wait(seconds)
        except BaseException:
            self.kill()
            raise

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._ready():
            self._running()
            if time.monotonic() > deadline:
                raise ServerError(f"{self._command[0]} is not ready after {seconds} s. {log_tail(self.log)}")
            time.sleep(0.05)
        self._running()  # or was it somebody else's server that answered on this port?

    def ended(self) -> bool:
        """Whether the server is not running: never started, stopped, or dead by itself."""
        return self._process is None or self._process.poll() is not None

    def paused(self) -> bool:
        """Whether it is there and frozen by `pause`: whoever asks it anything waits."""
        return self._paused and not self.ended()

    def stop(self, seconds: float = 30) -> None:
        """End the server in its own orderly way (TERM); kill it when that takes longer than `seconds`."""
        if self._process is None:
            return
        self._process.terminate()
        self._process.send_signal(signal.SIGCONT)  # a paused process would not see the TERM
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End the server at once (KILL), as a crash or the kernel's out-of-memory killer would."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None

    def pause(self) -> None:
        """Freeze the server: connections stay open, nothing answers. Raises ServerError if it is not up."""
        self._running().send_signal(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """Let a paused server go on. Raises ServerError if it is not up."""
        self._running().send_signal(signal.SIGCONT)
        self._paused = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
