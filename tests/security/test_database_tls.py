"""MariaDB over TLS: verified by certificate and host name, or nothing is sent."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url

from consumer.stores.engine import make_engine
from consumer.stores.opening import first_contact
from schemas.errors import Stop, UsageProblem
from tests.acceptance.ferry import Ferry, message
from tests.security.stripping import StrippingProxy
from tests.services.mariadb import MariaDB
from tests.services.mysql_wire import greeting, read, write
from tests.services.tls import Authority

PASSWORD = "db-pass-3Kw9"
RIGHT = {"CHATFERRY_DATABASE_PASSWORD": PASSWORD}


@pytest.fixture(scope="module")
def server(folder: Path, authority: Authority) -> Iterator[MariaDB]:
    """A MariaDB with a certificate for 127.0.0.1, and an account for each manner of coming."""
    directory = folder / "mariadb-tls"
    directory.mkdir()
    own = authority.issue("127.0.0.1")
    files = [f"--ssl-ca={authority.certificate}", f"--ssl-cert={own.certificate}", f"--ssl-key={own.key}"]
    with MariaDB(directory, options=["--ssl", *files], buffer_pool="32M") as server:
        server.create_database("chat")
        for user, wants in [("any", ""), ("tls", "REQUIRE SSL"), ("x509", "REQUIRE X509")]:
            server.execute(f"CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}' {wants}")
            server.execute(f"GRANT ALL ON chat.* TO '{user}'@'127.0.0.1'")
        yield server


@pytest.fixture
def proxy(server: MariaDB) -> Iterator[StrippingProxy]:
    """Somebody in between who takes TLS away."""
    proxy = StrippingProxy(server.port)
    proxy.start()
    yield proxy
    proxy.close()


def url(port: int, user: str = "tls", host: str = "127.0.0.1", **query: object) -> str:
    """A URL without a password."""
    where = URL.create("mysql+pymysql", user, host=host, port=port, database="chat")
    return where.update_query_dict({key: str(value) for key, value in query.items()}).render_as_string()


def told(ferry: Ferry, database: str, status: int = 1) -> str:
    """The one line with which the command refuses."""
    line = ferry.run("db", "upgrade", "--database", database, env=RIGHT, check=status).error
    assert PASSWORD not in line
    return line


def test_every_worker_speaks_tls_with_the_right_authority(ferry: Ferry, server: MariaDB, authority: Authority) -> None:
    (ferry.folder / "chat.jsonl").write_bytes(b"".join(message(number) + b"\n" for number in range(500)))
    database = url(server.port, ssl_ca=authority.certificate)
    ferry.run("db", "upgrade", "--database", database, env=RIGHT)
    ferry.run("load", "chat.jsonl", "--workers", "2", "--database", database, env=RIGHT)
    assert server.execute("SELECT COUNT(*) FROM chat_messages", "chat") == [(500,)]


def test_client_certificate_lets_in_where_the_account_requires_one(
    ferry: Ferry, server: MariaDB, authority: Authority
) -> None:
    own = authority.issue("a-client")
    database = url(server.port, "x509", ssl_ca=authority.certificate, ssl_cert=own.certificate, ssl_key=own.key)
    ferry.run("db", "upgrade", "--database", database, env=RIGHT)
    assert "Check user and password" in told(ferry, url(server.port, "x509", ssl_ca=authority.certificate))


def test_database_certificate_of_an_unknown_authority_is_refused(
    ferry: Ferry, server: MariaDB, stranger: Authority
) -> None:
    line = told(ferry, url(server.port, ssl_ca=stranger.certificate))
    assert "certificate verify failed" in line
    assert "Check the certificate, its host name and ssl_ca; no password was sent" in line


def test_database_certificate_for_another_host_is_refused(ferry: Ferry, server: MariaDB, authority: Authority) -> None:
    line = told(ferry, url(server.port, host="localhost", ssl_ca=authority.certificate))
    assert "not valid for 'localhost'" in line
    assert "Check the certificate, its host name and ssl_ca; no password was sent" in line


def test_proxy_that_strips_tls_is_refused_before_anything_is_sent(
    ferry: Ferry, proxy: StrippingProxy, authority: Authority
) -> None:
    line = told(ferry, url(proxy.port, "any", ssl_ca=authority.certificate))
    assert "SSL is required" in line
    assert "something between takes it away" in line
    assert proxy.stripped
    assert proxy.heard == b""


def test_proxy_that_strips_tls_bites_where_no_authority_is_given(ferry: Ferry, proxy: StrippingProxy) -> None:
    ferry.run("db", "upgrade", "--database", url(proxy.port, "any"), env=RIGHT)
    assert b"SELECT" in proxy.heard


@pytest.mark.parametrize(
    "option", ["ssl_disabled=true", "ssl_verify_cert=true", "ssl_check_hostname=false", "ssl_mode=DISABLED", "ssl=1"]
)
def test_other_words_for_tls_are_refused_since_they_would_weaken_it(authority: Authority, option: str) -> None:
    with pytest.raises(UsageProblem, match=f"{option.partition('=')[0]} is no setting here") as refused:
        make_engine(f"{url(3306, ssl_ca=authority.certificate)}&{option}")
    assert "ssl_ca, ssl_cert, ssl_key, ssl_verify" in refused.value.next_step


def test_missing_tls_file_is_named(ferry: Ferry, server: MariaDB) -> None:
    assert "ssl_ca=/no/such.pem" in told(ferry, url(server.port, ssl_ca="/no/such.pem"), status=2)


@pytest.mark.parametrize("plugin", ["mysql_clear_password", "dialog"])
def test_server_that_asks_for_the_password_in_clear_text_does_not_get_it(plugin: str) -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asking = threading.Thread(target=_ask_in_clear_text, args=(listener, plugin.encode(), heard), daemon=True)
        asking.start()
        database = make_url(f"mysql+pymysql://ann:{PASSWORD}@127.0.0.1:{listener.getsockname()[1]}/chat")
        with pytest.raises(Stop, match=f"in clear text .{plugin}") as stopped:
            first_contact(make_engine(database.render_as_string(hide_password=False)))
        asking.join(10)
    assert not asking.is_alive()
    assert "ssl_ca" in stopped.value.next_step
    assert heard[1:] == [], "nothing follows the login"
    assert PASSWORD.encode() not in heard[0]


def _ask_in_clear_text(listener: socket.socket, plugin: bytes, heard: list[bytes]) -> None:
    client, _ = listener.accept()
    with client:
        client.settimeout(10)
        write(client, 0, greeting())
        sequence, login = read(client)
        heard.append(login)
        write(client, sequence + 1, b"\xfe" + plugin + b"\0" + b"\2Password: ")
        try:
            heard.append(read(client)[1])
        except (EOFError, OSError):  # it hung up, as it should
            return
