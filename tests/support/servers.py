"""Database servers that tests start for themselves: in a temporary folder, on a free loopback port.

A server keeps nothing that matters: it is told not to wait for the disk. Started by root, it runs
as `nobody`, for neither program will run as root.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import sqlalchemy as sa


START_S = 300.0
STOP_S = 300.0


class ServerError(Exception):
    """A database server of the tests did not start or stop; the message ends with its log."""


class Server(ABC):
    """One server in a folder of its own; it keeps its port when it is stopped and started again.

    Any process may stop a server, not only the one that started it: its pid stands in its folder.
    """

    kind: ClassVar[str]
    programs: ClassVar[tuple[tuple[str, ...], ...]]  # each a program by its possible names
    drivername: ClassVar[str]
    user: ClassVar[str]
    database: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.pid_file = self.data / "postmaster.pid"

    @cached_property
    def port(self) -> int:
        """A loopback port that was free when it was first asked for."""
        return free_port()

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped."""
        return self.pid_file.exists()

    @property
    def url(self) -> sa.URL:
        """The address of the server's own first database."""
        return sa.URL.create(
            self.drivername, self.user, host="127.0.0.1", port=self.port, database=self.database
        )

    @classmethod
    def missing(cls) -> list[str]:
        """The programs that are not installed."""
        return [names[0] for names in cls.programs if _find(names) is None]

    @abstractmethod
    def initialize_command(self) -> list[str]:
        """What makes an empty database in `self.data`."""

    @abstractmethod
    def serve_command(self) -> list[str]:
        """What serves `self.data` on `self.port`, in the foreground."""

    def initialize(self) -> None:
        """Make the server's first, empty database; the folder must be there.

        Raises:
            ServerError: the program for that failed.
        """
        if os.geteuid() == 0:
            shutil.chown(self.folder, "nobody")
        with self._log() as log:
            done = subprocess.run(
                self.initialize_command(), stdout=log, stderr=log, check=False, **self._owner()
            )
        if done.returncode != 0:
            raise self._error(f"{self.kind} could not be initialized")

    def start(self) -> None:
        """Start the server and return once it answers.

        Raises:
            ServerError: it ended, or does not answer within a minute.
        """
        with self._log() as log:
            process = subprocess.Popen(
                self.serve_command(), stdout=log, stderr=log, process_group=0, **self._owner()
            )
        _children.append(process)
        deadline = time.monotonic() + START_S
        while not self._answers():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise self._error(f"{self.kind} did not start")
            _pause(0.1)

    def stop(self) -> None:
        """Stop the server and return once it is gone; nothing happens where it is not running.

        Raises:
            ServerError: it is still there after half a minute.
        """
        for child in _children:
            child.poll()  # one that was killed leaves the list of processes only now
        if not self.is_running:
            return
        try:
            os.kill(int(self.pid_file.read_text().split()[0]), self.stop_signal)
        except ProcessLookupError:  # it was killed, and could not take its file away
            return
        deadline = time.monotonic() + STOP_S
        while self.is_running:
            if time.monotonic() > deadline:
                raise self._error(f"{self.kind} did not stop")
            _pause(0.05)

    def _answers(self) -> bool:
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        try:
            engine.connect().close()
        except sa.exc.OperationalError:
            return False
        return True

    def _owner(self) -> dict[str, Any]:
        """Popen's arguments that give up root's rights."""
        if os.geteuid() != 0:
            return {"cwd": self.folder}
        nobody = pwd.getpwnam("nobody")
        return {
            "cwd": self.folder,
            "user": nobody.pw_uid,
            "group": nobody.pw_gid,
            "extra_groups": [],
        }

    def _log(self) -> Any:
        return (self.folder / "log").open("ab")

    def _error(self, what: str) -> ServerError:
        return ServerError(f"{what}: {(self.folder / 'log').read_text(errors='replace')[-2000:]}")


class PostgreSQL(Server):
    """PostgreSQL, by `initdb` and `postgres`."""

    kind = "postgresql"
    programs = (("initdb",), ("postgres",))
    drivername = "postgresql+psycopg"
    user = "postgres"
    database = "postgres"
    stop_signal = signal.SIGINT  # at once, without waiting for clients

    def initialize_command(self) -> list[str]:
        options = ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        return [_path(("initdb",)), f"--pgdata={self.data}", f"--username={self.user}", *options]

    def serve_command(self) -> list[str]:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": 200,
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [_path(("postgres",)), "-D", str(self.data), *options]


class MariaDB(Server):
    """MariaDB, by `mariadb-install-db` and `mariadbd` under their newer or older names."""

    kind = "mysql"
    programs = (("mariadb-install-db", "mysql_install_db"), ("mariadbd", "mysqld"))
    drivername = "mysql+pymysql"
    user = "root"
    database = "mysql"
    stop_signal = signal.SIGTERM

    def initialize_command(self) -> list[str]:
        options = [
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        ]
        return [_path(self.programs[0]), "--no-defaults", f"--datadir={self.data}", *options]

    def serve_command(self) -> list[str]:
        options = [
            f"--datadir={self.data}",
            f"--port={self.port}",
            f"--pid-file={self.pid_file}",
            "--bind-address=127.0.0.1",
            "--socket=socket",
            "--max-connections=200",
            "--innodb-buffer-pool-size=64M",
            "--innodb-flush-log-at-trx-commit=0",
        ]
        return [_path(self.programs[1]), "--no-defaults", *options]


SERVERS: dict[str, type[Server]] = {server.kind: server for server in (PostgreSQL, MariaDB)}

# Kept so that Python does not warn of a child that is still running: it is meant to.
_children: list[subprocess.Popen[bytes]] = []


def free_port() -> int:
    """A loopback port at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _find(names: tuple[str, ...]) -> str | None:
    """The first of the names that is installed, also where its folder is not in PATH."""
    newest_first = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    folders = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/libexec", *map(str, newest_first)]
    found = (shutil.which(name, path=os.pathsep.join(folders)) for name in names)
    return next(filter(None, found), None)


def _path(names: tuple[str, ...]) -> str:
    path = _find(names)
    if path is None:
        raise ServerError(f"{names[0]} is not installed")
    return path


def _pause(duration_s: float) -> None:
    threading.Event().wait(duration_s)
