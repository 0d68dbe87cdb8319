"""Prosody, an XMPP server, on the loopback address: one host, `localhost`, with rooms that keep an archive."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from tests.services.process import ServerProcess, ServicesMissingError, free_port, installed
from tests.services.tls import ServerCertificate

HOST = "localhost"
ROOMS = "rooms.localhost"
FORGETFUL_ROOMS = "forgetful.localhost"

CONFIGURATION = """
run_as_root = true
data_path = "{data}"
pidfile = "{data}/prosody.pid"
log = {{ info = "*console" }}
interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
modules_enabled = {{ "saslauth", "tls", "disco", "ping", "posix" }}
modules_disabled = {{ "s2s" }}
authentication = "internal_plain"
c2s_require_encryption = true
{tls}
VirtualHost "{host}"

Component "{rooms}" "muc"
    modules_enabled = {{ "muc_mam" }}
    muc_room_default_persistent = true
    muc_room_locking = false
    muc_room_default_public_jids = true
    max_archive_query_results = {page}

Component "{forgetful}" "muc"
    muc_room_default_persistent = true
    muc_room_locking = false
    muc_room_default_history_length = 100
    max_history_messages = 100
"""


class Prosody(ServerProcess):
    """An XMPP server that knows `accounts`, passwords by name, at HOST; rooms are at ROOMS, and at FORGETFUL_ROOMS,
    where they have no archive. It shows `certificate`. An answer of an archive holds at most `page` messages.
    """

    def __init__(
        self, directory: Path, accounts: Mapping[str, str], certificate: ServerCertificate, *, page: int = 50
    ) -> None:
        self.port = free_port()
        self._accounts = accounts
        self._certificate = certificate
        self._page = page
        self._configuration = directory / "prosody.cfg.lua"
        root = installed("prosody")
        program = directory / "prosody.lua"
        # The program names its libraries' folder by where Debian installs it; here it is only unpacked.
        usual, here = "/usr/lib/prosody", f"{root}/usr/lib/prosody"
        program.write_text((root / "usr/bin/prosody").read_text().replace(usual, here))
        lua = _lua(root)
        super().__init__(
            [str(lua), str(program), "--config", str(self._configuration), "-F"],
            directory=directory,
            environment=_environment(root, lua.name.removeprefix("lua")),
        )

    def _prepare(self) -> None:
        data = self.directory / "data"
        users = data / HOST / "accounts"
        users.mkdir(parents=True, exist_ok=True)
        for name, password in self._accounts.items():
            (users / f"{name}.dat").write_text(f'return {{ ["password"] = "{password}"; }};\n')
        tls = f'ssl = {{ certificate = "{self._certificate.certificate}", key = "{self._certificate.key}" }}'
        self._configuration.write_text(
            CONFIGURATION.format(
                data=data, port=self.port, tls=tls, host=HOST, rooms=ROOMS, forgetful=FORGETFUL_ROOMS, page=self._page
            )
        )

    def _ready(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _lua(root: Path) -> Path:
    found = sorted((root / "usr/bin").glob("lua5.?"))
    if not found:
        raise ServicesMissingError("Lua beside Prosody")
    return found[-1]


def _environment(root: Path, version: str) -> dict[str, str]:
    libraries = next((root / "usr/lib").glob("*-linux-gnu"))
    share = root / "usr/share/lua" / version
    return {
        "LUA_PATH": f"{share}/?.lua;{share}/?/init.lua",
        "LUA_CPATH": f"{libraries}/lua/{version}/?.so",
        "LD_LIBRARY_PATH": f"{libraries}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":"),
    }
