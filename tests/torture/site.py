"""Where rounds take place: three brokers and a database, all of them behind proxies."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from tests.services.cluster import NODES, Cluster
from tests.services.mariadb import MariaDB
from tests.services.process import free_port
from tests.services.proxy import Proxy

HEALTHY_SECONDS = 90.0


@dataclass
class Site:
    """The servers, and the ways to them."""

    cluster: Cluster
    maria: MariaDB
    brokers_ways: list[Proxy]
    database_way: Proxy

    @property
    def brokers(self) -> str:
        """The brokers as the commands know them: behind the proxies."""
        return ",".join(way.address for way in self.brokers_ways)

    def database(self, name: str) -> str:
        """The URL of a database as the commands know it: behind the proxy."""
        url = make_url(self.maria.url(name)).set(port=self.database_way.port)
        return url.render_as_string(hide_password=False)

    def heal(self) -> None:
        """Undo whatever was done: servers run, and every way is open."""
        for way in (*self.brokers_ways, self.database_way):
            way.heal()
        if self.maria.ended():
            self.maria.start()
        else:
            self.maria.resume()
        self.cluster.start()


@contextmanager
def open_site(directory: Path) -> Iterator[Site]:
    """Start everything; ended with the block."""
    with ExitStack() as stack:
        maria = MariaDB(_made(directory / "mariadb"))
        ways = [stack.enter_context(Proxy(free_port())) for _ in NODES]
        database_way = stack.enter_context(Proxy(maria.port))
        stack.enter_context(maria)
        cluster = stack.enter_context(Cluster(_made(directory / "kafka"), proxies=ways))
        yield Site(cluster, maria, ways, database_way)


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
