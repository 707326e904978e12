"""What operators look at: figures for Prometheus, and `/healthz`, from a running `hpo worker`.

What studies hold is read from the database when it is asked for, so that it is the same whichever
worker tells it; what happened is counted from this command's own events.
"""

import json
import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app
from prometheus_client.registry import Collector

from hpo.errors import InputError
from hpo.events import event_of, facts_of
from storage import studies
from storage.engine import Database
from storage.errors import StorageError


BUCKETS_S = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000)


class Monitor(logging.Handler):
    """Counts the events of this command; `registry` holds all figures."""

    def __init__(self, db: Database) -> None:
        super().__init__(logging.DEBUG)
        self.db = db
        self.registry = CollectorRegistry()
        own: dict[str, Any] = {"registry": self.registry}
        self.registry.register(_Studies(db))
        self._workers: set[str] = set()
        n_workers = Gauge("hpo_workers", "Workers of this command that are at work.", **own)
        n_workers.set_function(lambda: len(self._workers))
        self._durations = Histogram(
            "hpo_work_duration_seconds",
            "Time that a piece of work took, by kind (trial, test) and outcome.",
            ("study", "kind", "outcome"),
            buckets=BUCKETS_S,
            **own,
        )
        self._counts = {
            "claimed": Counter("hpo_claims", "Pieces of work that were claimed.", **own),
            "released": Counter("hpo_claims_released", "Work that was given back.", **own),
            "lease_lost": Counter("hpo_leases_lost", "Work that another took over.", **own),
            "storage_error": Counter("hpo_storage_errors", "Refusals by the database.", **own),
            "worker_died": Counter("hpo_worker_deaths", "Workers that were killed.", **own),
        }
        self._takeovers = Histogram(
            "hpo_takeover_delay_seconds",
            "From the end of a dead worker's lease until its work was taken over.",
            buckets=BUCKETS_S,
            **own,
        )

    def emit(self, record: logging.LogRecord) -> None:
        event, facts = event_of(record), facts_of(record)
        if event in self._counts:
            self._counts[event].inc()
        if event == "claimed" and facts["late_s"] is not None:
            self._takeovers.observe(facts["late_s"])
        elif event == "finished":
            labels = (facts["study"], facts["kind"], facts["outcome"])
            self._durations.labels(*labels).observe(facts["seconds"])
        elif event == "worker_started":
            self._workers.add(facts["worker"])
        elif event in ("worker_ended", "worker_died"):
            self._workers.discard(facts["worker"])

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether the database answers, and what there is to tell."""
        try:
            self.db.ping()
        except StorageError as error:
            return False, {"healthy": False, "storage": str(error)}
        return True, {"healthy": True, "storage": "answers"}


class _Studies(Collector):
    """What the database holds at this moment."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: the database is not asked before somebody wants to know."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Work by study, kind and state; whether the database answers."""
        up = GaugeMetricFamily("hpo_storage_up", "Whether the database answers.")
        try:
            census, rows = studies.census(self._db), studies.every(self._db)
        except StorageError:
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        work = GaugeMetricFamily(
            "hpo_work",
            "Pieces of work (trial, test) by state: complete, pruned, failed; running, silent "
            "(its lease has run out) or waiting (given back).",
            labels=("study", "kind", "state"),
        )
        for (study, kind, state), n in census.items():
            work.add_metric((study, kind, state), n)
        yield work
        budget = GaugeMetricFamily("hpo_trials_target", "The budget.", labels=("study",))
        for row in rows:
            budget.add_metric((row.name,), row.n_trials)
        yield budget


@contextmanager
def served(monitor: Monitor, host: str, port: int) -> Iterator[None]:
    """Serve `/metrics` and `/healthz` until the block ends.

    Raises:
        InputError: the address cannot be listened on.
    """
    metrics = make_wsgi_app(monitor.registry)

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/healthz":
            is_healthy, told = monitor.health()
            status = "200 OK" if is_healthy else "503 Service Unavailable"
            start_response(status, [("Content-Type", "application/json")])
            return [json.dumps(told).encode()]
        if environ["PATH_INFO"] == "/metrics":
            figures: Iterable[bytes] = metrics(environ, start_response)
            return figures
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"/metrics or /healthz\n"]

    try:
        server = make_server(host, port, app, ThreadingWSGIServer, _Silent)
    except (OSError, OverflowError) as error:
        raise InputError(f"metrics: cannot listen on {host}:{port}: {error}") from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Silent(WSGIRequestHandler):
    """Writes no line for each request."""

    def log_message(self, *words: Any) -> None:
        """Say nothing."""
