"""Serve optuna-dashboard on hpo's database.

The dashboard has no login: everybody who can reach it can delete studies. Let it listen on
127.0.0.1 only, or put a proxy with a password in front of it.

It writes to Optuna's tables alone. Requests that would make them contradict hpo's tables are
refused.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import bottle
import optuna_dashboard

from hpo import events
from hpo.errors import InputError
from hpo.operations.web import (
    AGAINST_FRAMES,
    READING,
    host_names,
    is_cross_site,
    is_from_here,
    refuse,
)
from hpo.studies.lifecycle import open_database


App: TypeAlias = Callable[[dict[str, Any], Any], Iterable[bytes]]
"""A WSGI application."""

WRITES = re.compile(r"DELETE /api/studies/\d+/?|PUT /api/studies/\d+(/\d+)?/note/?")
"""The requests that may write: deleting a study, and notes on a study or a trial.

hpo keeps its own records of a study that is deleted here; see `storage.orphans`.
"""

INSTEAD = {
    r"POST /api/studies/?": "hpo study create",
    r"POST /api/studies/\d+/rename/?": "hpo study rename NAME NEW_NAME",
    r"POST /incompatible-rdb-schema/?": "hpo storage upgrade",
}
"""The commands that do what the dashboard may not, by request."""


def serve(
    storage: str | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    allow_hosts: Sequence[str] = (),
) -> None:
    """Serve the dashboard until the process is interrupted.

    `allow_hosts` are further names by which browsers reach it, such as that of a proxy.

    Raises:
        StorageError: the database cannot be used.
        InputError: the server cannot listen on this host and port, or a name is none of a machine.
    """
    names = host_names(allow_hosts)
    db = open_database(storage)
    app = guarded(optuna_dashboard.wsgi(db.optuna), host, names)
    message = f"dashboard of {db.name} on http://{host}:{port}/ (Ctrl-C ends it)"
    events.inform("dashboard_started", message, host=host, port=port)
    try:
        bottle.run(app, host=host, port=port)
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}:{port}: {error.strerror}; use another --host or --port"
        ) from error


def guarded(dashboard: App, host: str, names: frozenset[str]) -> App:
    """The dashboard without requests of other sites and without those that contradict hpo's tables.

    `host` is the name or address on which it listens, `names` are further names for it.
    """

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        reason = _refusal(environ, names | {host.lower()}, names)
        if reason is not None:
            return refuse(start_response, "403 Forbidden", reason)

        def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            return start_response(status, [*headers, *AGAINST_FRAMES], *more)

        return dashboard(environ, start)

    return app


def _refusal(environ: dict[str, Any], names: frozenset[str], proxies: frozenset[str]) -> str | None:
    """Why a request is refused; None if the dashboard answers it."""
    if not is_from_here(environ, names):
        return (
            f"hpo dashboard does not answer to the name {environ.get('HTTP_HOST', '')!r}; if it is "
            "yours, start it with --allow-host and that name"
        )
    method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
    if method in READING:
        return None
    if is_cross_site(environ, proxies):
        return "hpo dashboard refuses changes that a page of another site asks for"
    request = f"{method} {path}"
    if WRITES.fullmatch(request):
        return None
    for pattern, command in INSTEAD.items():
        if re.fullmatch(pattern, request):
            return f"hpo's tables would no longer agree with Optuna's; use the command: {command}"
    return "hpo dashboard only deletes studies and writes notes, so that hpo's tables stay right"
