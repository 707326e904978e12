"""Metrics for Prometheus and a health check, served by a running `hpo worker`.

The state of the studies is read from the database at each request, so that every worker serves the
same numbers. Claims, errors and crashes are counted from the events of this command.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app
from prometheus_client.registry import Collector

from hpo.errors import InputError
from hpo.events import event_of, facts_of
from hpo.operations.web import READING, is_from_here, refuse
from storage import studies
from storage.engine import Database
from storage.errors import StorageError
from storage.leases import WorkKind


BUCKETS_S = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000)
"""Upper limits of the buckets of every histogram of durations, in seconds."""

COUNTERS = {
    "claimed": ("hpo_claims", "Pieces of work that were claimed."),
    "released": ("hpo_claims_released", "Work that was given back."),
    "lease_lost": ("hpo_leases_lost", "Work that another worker took over."),
    "storage_error": ("hpo_storage_errors", "Database calls that failed and may succeed later."),
    "worker_died": ("hpo_worker_deaths", "Workers that crashed or were killed."),
}
"""Name and description of the counter of each event that is counted."""


class Monitor(logging.Handler):
    """Counts the events of this command. `registry` holds all metrics."""

    def __init__(self, db: Database) -> None:
        super().__init__(logging.DEBUG)
        self.db = db
        self.registry = CollectorRegistry()
        self.registry.register(_Studies(db))
        self._workers: set[str] = set()
        n_workers = Gauge("hpo_workers", "Running workers of this command.", registry=self.registry)
        n_workers.set_function(lambda: len(self._workers))
        self._durations = self._histogram(
            "hpo_work_duration_seconds",
            "Duration of finished work, by kind (trial, test) and outcome.",
            "study",
            "kind",
            "outcome",
        )
        self._counters = {
            event: Counter(name, meaning, registry=self.registry)
            for event, (name, meaning) in COUNTERS.items()
        }
        self._takeovers = self._histogram(
            "hpo_takeover_delay_seconds",
            "Time from the end of a dead worker's lease until its work was taken over.",
        )

    def _histogram(self, name: str, meaning: str, *labels: str) -> Histogram:
        return Histogram(name, meaning, labels, buckets=BUCKETS_S, registry=self.registry)

    def emit(self, record: logging.LogRecord) -> None:
        event, facts = event_of(record), facts_of(record)
        if event in self._counters:
            self._counters[event].inc()
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
        """Whether the database answers, and the body of the answer as a JSON object."""
        try:
            self.db.ping()
        except StorageError as error:
            return False, {"healthy": False, "storage": str(error)}
        return True, {"healthy": True, "storage": "answers"}


class _Studies(Collector):
    """Reads the metrics of all studies from the database when Prometheus asks for them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """No metrics in advance, so that registering does not query the database."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Whether the database answers, the work by study, kind and state, and trials by study."""
        up = GaugeMetricFamily("hpo_storage_up", "Whether the database answers.")
        try:
            census, rows = studies.census(self._db), studies.all_studies(self._db)
        except StorageError:
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        yield _work(census)
        yield _budgets(rows)


def _work(census: Mapping[tuple[str, WorkKind, str], int]) -> GaugeMetricFamily:
    work = GaugeMetricFamily(
        "hpo_work",
        "Pieces of work (trial, test) by state: complete, pruned, failed; running, silent "
        "(its lease has run out) or waiting (given back).",
        labels=("study", "kind", "state"),
    )
    for labels, n in census.items():
        work.add_metric([str(label) for label in labels], n)  # a damaged row may hold no text
    return work


def _budgets(rows: Iterable[studies.StudyRow]) -> GaugeMetricFamily:
    budgets = GaugeMetricFamily(
        "hpo_trials_target", "Number of trials to start in all.", labels=("study",)
    )
    for row in rows:
        if isinstance(row.n_trials, int):  # otherwise the row is damaged
            budgets.add_metric((str(row.name),), row.n_trials)
    return budgets


@contextmanager
def served(monitor: Monitor, host: str, port: int) -> Iterator[None]:
    """Serve `/metrics` and `/healthz` until the block ends.

    Raises:
        InputError: the server cannot listen on this address.
    """
    app = guarded(_app(monitor), host)
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


def guarded(app: Callable[..., Iterable[bytes]], host: str) -> Callable[..., Iterable[bytes]]:
    """The application for programs alone: it changes nothing, and pages in browsers get no answer.

    `host` is the name or address on which it listens.
    """
    names = frozenset({host.lower()})

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in READING:
            return refuse(start_response, "405 Method Not Allowed", "this server only answers GET")
        if "HTTP_ORIGIN" in environ:
            return refuse(start_response, "403 Forbidden", "pages of browsers get no answer here")
        if "HTTP_HOST" in environ and not is_from_here(environ, names):  # browsers always send one
            reason = "call this server by its address, or by the name of its machine"
            return refuse(start_response, "403 Forbidden", reason)
        return app(environ, start_response)

    return answer


def _app(monitor: Monitor) -> Callable[..., Iterable[bytes]]:
    """The WSGI application that answers every request."""
    metrics = make_wsgi_app(monitor.registry)

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/healthz":
            is_healthy, body = monitor.health()
            status = "200 OK" if is_healthy else "503 Service Unavailable"
            start_response(status, [("Content-Type", "application/json")])
            return [json.dumps(body).encode()]
        if environ["PATH_INFO"] == "/metrics":
            answer: Iterable[bytes] = metrics(environ, start_response)
            return answer
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"/metrics or /healthz\n"]

    return app


class _Silent(WSGIRequestHandler):
    """Answers requests without a line on stderr for each."""

    def log_message(self, *arguments: Any) -> None:
        """Write nothing."""
