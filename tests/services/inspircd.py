"""InspIRCd on the loopback address, with what it has of IRCv3; beside it Atheme's services, which know accounts."""

import os
from pathlib import Path

from tests.services.irc import answers, libraries, program
from tests.services.process import ServerProcess, free_port, installed
from tests.services.tls import ServerCertificate

SERVICES_NAME = "services.test"
LINK_PASSWORD = "between-the-two"

MODULES = [
    *("cap", "ircv3", "ircv3_accounttag", "ircv3_batch", "ircv3_capnotify", "ircv3_ctctags", "ircv3_echomessage"),
    *("ircv3_msgid", "ircv3_servertime", "services_account", "chanhistory", "sasl", "spanningtree"),
]

CONFIGURATION = """
<path configdir="{folder}" datadir="{folder}" logdir="{folder}" runtimedir="{folder}" moduledir="{modules}">
<server name="irc.inspircd.test" description="chatferry's tests" network="Tests" id="1TS">
<admin name="admin" nick="admin" email="admin@irc.inspircd.test">
<bind address="127.0.0.1" port="{port}" type="clients">
<bind address="127.0.0.1" port="{link}" type="servers">
<connect name="all" allow="*" timeout="30" threshold="1000" commandrate="1000000" pingfreq="60" hardsendq="16M"
 softsendq="16M" recvq="16M" localmax="1000" globalmax="1000" maxchans="100" resolvehostnames="no" useident="no">
<options prefixquit="" defaultmodes="{modes}" casemapping="rfc1459">
<performance softlimit="1000" somaxconn="128" timeskipwarn="0">
<log method="stderr" type="* -USERINPUT -USEROUTPUT" level="default">
<dns server="127.0.0.1" timeout="1">
<files motd="/dev/null">
<chanhistory maxlines="10000" prefixmsg="no">
<sasl target="{services}">
<uline server="{services}" silent="yes">
<link name="{services}" ipaddr="127.0.0.1" port="1" allowmask="127.0.0.1" sendpass="{password}" recvpass="{password}">
"""

TLS = """
<module name="ssl_gnutls">
<sslprofile name="tests" provider="gnutls" certfile="{certificate}" keyfile="{key}" hash="sha256">
<bind address="127.0.0.1" port="{tls_port}" type="clients" sslprofile="tests">
"""


class InspIrcd(ServerProcess):
    """An InspIRCd at `port`, and with a `certificate` at `tls_port` too.

    Its channels keep the last `history` messages, and tell them to whoever joins; 0 for none.
    """

    def __init__(self, directory: Path, *, history: int = 0, certificate: ServerCertificate | None = None) -> None:
        self.port, self.tls_port, self.link_port = free_port(), free_port(), free_port()
        self._history = history
        self._certificate = certificate
        self._configuration = directory / "inspircd.conf"
        command = [str(program("inspircd")), "--nofork", "--nopid", "--config", str(self._configuration)]
        super().__init__([*command, *(["--runasroot"] if os.geteuid() == 0 else [])], directory=directory)

    def _prepare(self) -> None:
        text = CONFIGURATION.format(
            folder=self.directory,
            modules=installed("irc/usr/lib/inspircd/modules"),
            port=self.port,
            link=self.link_port,
            modes=f"noH {self._history}:1h" if self._history else "no",
            services=SERVICES_NAME,
            password=LINK_PASSWORD,
        )
        if self._certificate:
            files = self._certificate
            text += TLS.format(certificate=files.certificate, key=files.key, tls_port=self.tls_port)
        modules = "".join(f'<module name="{name}">\n' for name in MODULES)
        self._configuration.write_text(modules + text)

    def _ready(self) -> bool:
        return answers(self.port) and (not self._certificate or answers(self.tls_port))


ATHEME = """
{modules}
serverinfo {{
    name = "{name}"; desc = "services"; numeric = "2TS"; recontime = 1; netname = "Tests"; adminname = "admin";
    adminemail = "admin@services.test"; registeremail = "admin@services.test"; maxlogins = 100; maxusers = 0;
    auth = none; loglevel = {{ all; }}; hidehostsuffix = "users.test"; mdlimit = 30; emaillimit = 10; emailtime = 300;
    casemapping = rfc1459;
}};
uplink "irc.inspircd.test" {{ host = "127.0.0.1"; port = {port}; password = "{password}"; }};
nickserv {{ nick = "NickServ"; user = "NickServ"; host = "services.test"; real = "accounts"; }};
saslserv {{ nick = "SaslServ"; user = "SaslServ"; host = "services.test"; real = "logins"; }};
"""

ATHEME_MODULES = [
    *("transport/rfc1459", "protocol/base36uid", "protocol/inspircd", "backend/corestorage", "backend/opensex"),
    *("nickserv/main", "nickserv/register", "nickserv/identify", "saslserv/main", "saslserv/plain"),
]


class Atheme(ServerProcess):
    """The services of an InspIRCd: `NickServ`, which makes accounts, and SASL's PLAIN."""

    def __init__(self, directory: Path, server: InspIrcd) -> None:
        self._server = server
        self._configuration = directory / "atheme.conf"
        files = ["-c", self._configuration, "-p", directory / "atheme.pid", "-l", directory / "atheme.log"]
        super().__init__(
            [str(installed("irc/usr/bin/atheme-services")), "-n", *map(str, files), "-D", str(directory)],
            directory=directory,
            environment={"LD_LIBRARY_PATH": str(libraries())},
        )

    def _prepare(self) -> None:
        folder = libraries() / "atheme" / "modules"
        modules = "".join(f'loadmodule "{folder / name}";\n' for name in ATHEME_MODULES)
        text = ATHEME.format(modules=modules, name=SERVICES_NAME, port=self._server.link_port, password=LINK_PASSWORD)
        self._configuration.write_text(text)

    def _ready(self) -> bool:
        log = self.directory / "atheme.log"
        return log.exists() and "finished synching" in log.read_text(errors="replace")
