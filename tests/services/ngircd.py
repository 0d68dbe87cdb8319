"""ngIRCd on the loopback address: a server of before IRCv3. It tells no ids and no times, and keeps no history."""

from pathlib import Path

from tests.services.irc import answers, libraries, program
from tests.services.process import ServerProcess, free_port

CONFIGURATION = """
[Global]
    Name = irc.ngircd.test
    Info = chatferry's tests
    AdminInfo1 = chatferry's tests
    AdminEMail = admin@irc.ngircd.test
    Listen = 127.0.0.1
    Ports = {port}
    Password = {password}
    MotdPhrase = hello
[Limits]
    MaxConnectionsIP = 0
    MaxJoins = 20
    MaxPenaltyTime = 0
[Options]
    DNS = no
    Ident = no
    PAM = no
    AllowRemoteOper = no
"""


class NgIrcd(ServerProcess):
    """An ngIRCd at `port`; with a `password` it lets in nobody without it."""

    def __init__(self, directory: Path, *, password: str = "") -> None:
        self.port = free_port()
        self._password = password
        self._configuration = directory / "ngircd.conf"
        super().__init__(
            [str(program("ngircd")), "-n", "-f", str(self._configuration)],
            directory=directory,
            environment={"LD_LIBRARY_PATH": str(libraries())},
        )

    def _prepare(self) -> None:
        self._configuration.write_text(CONFIGURATION.format(port=self.port, password=self._password))

    def _ready(self) -> bool:
        return answers(self.port)
