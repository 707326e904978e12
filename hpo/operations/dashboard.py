"""Serve optuna-dashboard on hpo's database.

The dashboard has no login: everybody who can reach it can delete studies. Let it listen on
127.0.0.1 only, or put a proxy with a password in front of it.
"""

import optuna_dashboard

from hpo import events
from hpo.errors import InputError
from hpo.studies.lifecycle import open_database


def serve(storage: str | None = None, *, host: str = "127.0.0.1", port: int = 8080) -> None:
    """Serve the dashboard until the process is interrupted.

    Raises:
        StorageError: the database cannot be used.
        InputError: the server cannot listen on this host and port.
    """
    db = open_database(storage)
    message = f"dashboard of {db.name} on http://{host}:{port}/ (Ctrl-C ends it)"
    events.inform("dashboard_started", message, host=host, port=port)
    try:
        optuna_dashboard.run_server(db.optuna, host=host, port=port)
    except OSError as error:
        raise InputError(
            f"cannot listen on {host}:{port}: {error.strerror}; use another --host or --port"
        ) from error
