"""The account as Prometheus metrics, served on loopback."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from consumer.tally import Tally
from schemas import metrics
from schemas.errors import Stop

LOOPBACK = "127.0.0.1"


class TallyCollector(Collector):
    """Reads the tally when it is scraped."""

    def __init__(self, tally: Tally, workers: Callable[[], int]) -> None:
        self._tally = tally
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        """The metrics of `schemas.metrics`, as of now."""
        tally = self._tally
        for name, text, value in (
            (metrics.MESSAGES, "Records accounted for, each offset once.", tally.messages),
            (metrics.ROWS, "New rows.", tally.rows),
            (metrics.REPEATS, "Records whose id was there already.", tally.repeats),
            (metrics.DEAD_LETTERS, "Records that went to the dead letters.", tally.dead_letters),
            (metrics.BATCHES, "Batches accounted for.", tally.batches),
        ):
            yield CounterMetricFamily(name, text, value)
        yield GaugeMetricFamily(metrics.WORKERS, "Worker processes alive.", self._workers())


@contextmanager
def serve_metrics(port: int, tally: Tally, workers: Callable[[], int]) -> Iterator[None]:
    """Serve the metrics while the block runs.

    Raises `Stop` where the port is taken.
    """
    registry = CollectorRegistry()
    registry.register(TallyCollector(tally, workers))
    try:
        server, thread = start_http_server(port, LOOPBACK, registry)
    except OSError as error:
        raise Stop(f"Cannot serve metrics on port {port}: {error.strerror}", "Choose another --metrics-port") from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
