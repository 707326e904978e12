"""What is no database of ours is told in one line and left alone."""

import contextlib
import re
import socket
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest

from tests.support.bad_input import (
    CONFLICT,
    CREATE,
    INPUT,
    MISSING,
    STORAGE,
    check_refused,
    contents,
    the_error,
)
from tests.support.commands import HPO, clean_environment, without_roots_rights
from tests.support.tiny_studies import hpo, must


pytestmark = pytest.mark.usefixtures("workplace")


WRONG_STORAGES = {
    "foo://x": "'foo'.* sqlite, postgresql or mysql",
    "redis://localhost": "cannot store studies in 'redis'",
    "hpo.db": "cannot be read; .*sqlite:///hpo.db",
    "sqlite:/hpo.db": "the storage URL cannot be read",
    "sqlite://": "in memory; .*sqlite:///hpo.db",
    "sqlite:///:memory:": "cannot share a database in memory",
    "sqlite:///none/hpo.db": "none/hpo.db cannot be a database: .*folder",
    "sqlite:///.": "cannot be a database: .*folder",
    "postgresql://hpo:s3cret@127.0.0.1:port/hpo": "the storage URL cannot be read",
    f"sqlite:///{'x' * 300}.db": "cannot be a database",
    "sqlite:///hpo.db?mode=ro": "options.*SQLite",
    "sqlite:///runs?1.db": "'1.db' without a value .* no [?] in the name of a file",
    "sqlite:///hpo.db?": "no option after its [?]",
    "sqlite:///hpo.db?mode=": "'mode' without a value",
    "sqlite://hpo.db": "two slashes.*sqlite:///hpo.db$",
    "sqlite://data/hpo.db": "two slashes.*sqlite:///data/hpo.db$",
    "postgresql://u:s3cret@127.0.0.1:1/x?sslmode": "'sslmode' without a value",
    "postgresql://u:s3cret@127.0.0.1:1/x?row_factory=s3cret": " row_factory; leave it out$",
    "mysql://u:s3cret@127.0.0.1:1/x?ssl=true": "option ssl, .*ssl_ca=FILE$",
    "mysql://u:s3cret@127.0.0.1:1/x?ssl_ca=none.pem": "cannot connect by the .*FileNotFoundError",
    "mysql://u:s3cret@127.0.0.1:1/x?client_flag=s3cret": "cannot connect .*ValueError: .*[*]{3}",
    "mysql://u:s3cret@127.0.0.1:1/x?compress=perhaps": "cannot connect by the .*perhaps",
    "mysql://u:s3cret@127.0.0.1:1": "names no database; .*mysql://",
    "mysql://": "names no database",
    "mysql://u:s3cret@127.0.0.1:1/x?foo=s3cret": "option.* foo; leave it out$",
    "mysql://u:s3cret@127.0.0.1:1/x?charset=klingon": "charset.* klingon; use utf8mb4$",
}


@pytest.mark.parametrize("command", [CREATE, "study list", "study show made", "worker"])
@pytest.mark.parametrize(("url", "says"), WRONG_STORAGES.items())
def test_a_storage_url_that_names_no_database_is_refused(command: str, url: str, says: str) -> None:
    check_refused(f"{command} --storage {url}", INPUT, says)


def test_a_link_to_itself_is_told() -> None:
    Path("loop.file").symlink_to("loop.file")
    says = "cannot use the database .*loop.file: unable to open database file"
    check_refused(f"{CREATE} --storage sqlite:///loop.file", STORAGE, says)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut in half": lambda whole: whole[: len(whole) // 2],
    "cut after a page": lambda whole: whole[:5000],
    "cut in its header": lambda whole: whole[:50],
    "a header before noise": lambda whole: whole[:16] + bytes(range(256)) * 40,
    "noise in the middle": lambda whole: whole[:8192] + bytes(range(256)) * 124 + whole[39936:],
}


@pytest.mark.parametrize("command", [CREATE, "study list", "study show made", "export made"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=list(DAMAGE))
def test_a_damaged_database_is_told(command: str, damage: Callable[[bytes], bytes]) -> None:
    Path("damaged.file").write_bytes(damage(Path("hpo.db").read_bytes()))
    says = "cannot use the database .*damaged.file: (database disk image is malformed|file is not)"
    check_refused(f"{command} --storage sqlite:///damaged.file", STORAGE, says)


@pytest.mark.parametrize(("rights", "says"), [(0o000, "lacks the"), (0o444, "read-only")])
def test_a_database_without_rights_is_told(rights: int, says: str) -> None:
    Path("hpo.db").chmod(rights)
    before = Path("hpo.db").stat().st_mtime_ns
    done = subprocess.run(
        [*without_roots_rights(), str(HPO), *["study", "delete", "made", "--yes"]],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(says, the_error(done.stdout, done.stderr))
    assert done.returncode == STORAGE
    assert Path("hpo.db").stat().st_mtime_ns == before


@pytest.fixture
def optuna_alone() -> None:
    """A database that Optuna has made, with a study of its own."""
    study = optuna.create_study(study_name="theirs", storage="sqlite:///optuna.db")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)


@pytest.mark.parametrize("command", ["show", "trials", "delete --yes", "extend --trials 9"])
def test_a_study_of_optuna_alone_is_none_of_ours(command: str, optuna_alone: None) -> None:
    check_refused(
        f"study {command} theirs --storage sqlite:///optuna.db", MISSING, "no studies in .* yet"
    )
    must(f"{CREATE} --storage sqlite:///optuna.db")
    check_refused(
        f"study {command} theirs --storage sqlite:///optuna.db", MISSING, "no study named 'theirs'"
    )


def test_its_name_is_taken(optuna_alone: None) -> None:
    done = hpo(f"{CREATE} --name theirs --storage sqlite:///optuna.db")
    assert "a study named 'theirs' exists already" in the_error(done.out, done.err)
    assert done.code == CONFLICT
    theirs = optuna.load_study(study_name="theirs", storage="sqlite:///optuna.db")
    assert len(theirs.trials) == 1


OTHERS = {
    "tables of the same names": ["CREATE TABLE studies (name TEXT)", "CREATE TABLE trials (x INT)"],
    "another program's Alembic": [
        "CREATE TABLE alembic_version (version_num VARCHAR(32))",
        "INSERT INTO alembic_version VALUES ('deadbeef')",
    ],
}


@pytest.mark.parametrize("statements", OTHERS.values(), ids=list(OTHERS))
def test_a_database_of_another_program_holds_no_studies(statements: list[str]) -> None:
    change("other.db", *statements)
    for command in ("study show made", "export made", "study delete made --yes"):
        check_refused(f"{command} --storage sqlite:///other.db", MISSING, "no studies in .* yet")


SAYS = {"tables of the same names": "table studies belongs to another program; use a separate"}


@pytest.mark.parametrize("kind", OTHERS)
def test_no_tables_are_made_beside_another_program_s(kind: str) -> None:
    change("other.db", *OTHERS[kind])
    check_refused(f"{CREATE} --storage sqlite:///other.db", STORAGE, SAYS.get(kind, "deadbeef"))


def test_a_table_that_is_gone_is_not_waited_for() -> None:
    change("hpo.db", "DROP TABLE hpo_claims")
    check_refused("worker --study made --processes 1", STORAGE, "no such table: hpo_claims")


def change(path: str, *statements: str) -> None:
    """Change a SQLite database behind hpo's back."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize("command", [CREATE, "study list", "worker"])
def test_a_file_that_is_no_database_is_left_alone(command: str) -> None:
    check_refused(f"{command} --storage sqlite:///notes.txt", STORAGE, "file is not a database")


def test_tables_of_another_version_are_left_alone() -> None:
    change("hpo.db", "UPDATE hpo_alembic_version SET version_num = '9999'")
    for command in (CREATE, "study show made", "worker"):
        check_refused(command, STORAGE, "at version 9999, newer than this program")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine that nobody listens on, nor can while the test runs."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.parametrize("backend", ["postgresql", "mysql"])
@pytest.mark.parametrize(
    "command",
    [CREATE, "study list", "study show made", "export made", "worker --storage-timeout 0.01"],
)
def test_a_silent_server_is_named_without_its_password(
    backend: str, command: str, closed_port: int
) -> None:
    url = f"{backend}://hpo:s3cret@127.0.0.1:{closed_port}/hpo"
    before = contents(Path.cwd())
    done = hpo(f"{command} --storage {url}")
    error = the_error(done.out, done.err)
    assert done.code == STORAGE
    assert f"127.0.0.1:{closed_port}" in error
    assert "check that it runs and that --storage (or HPO_STORAGE) is right" in error
    assert "s3cret" not in error
    assert contents(Path.cwd()) == before


@pytest.mark.parametrize(
    "command", ["study show made", "worker", "worker --study made", "export x"]
)
def test_a_database_that_is_not_there_is_not_made_by_reading(command: str) -> None:
    check_refused(
        f"{command} --storage sqlite:///none.db", MISSING, "no database at none.db .* study create"
    )


def test_a_list_says_that_there_is_no_database() -> None:
    done = hpo("study list --storage sqlite:///none.db --json")
    assert (done.code, done.out) == (0, "[]\n")
    assert "no database at none.db yet" in done.err
    assert not Path("none.db").exists()


def test_a_database_without_tables_of_ours_holds_no_studies() -> None:
    change("empty.db", "CREATE TABLE other (id INTEGER)")
    check_refused("study show made --storage sqlite:///empty.db", MISSING, "no studies in .* yet")


WRONG_ADDRESSES = {
    "postgresql://u:s3cret@nowhere.invalid/x": "failed to resolve host 'nowhere.invalid'",
    "mysql://u:s3cret@nowhere.invalid/x": "connect to MySQL server on 'nowhere.invalid'",
    "postgresql://u:s3cret@127.0.0.1:99999/x": "port",
    "postgresql://u:s3cret@127.0.0.1:1/x?unheard=of": "unheard",
    "postgresql://u:s3cret@127.0.0.1:1/x?sslmode=nonsense": "sslmode",
    "postgresql://u:s3cret@127.0.0.1:1/x?password=s3cret": "127.0.0.1",
    "postgresql://u:s3cr%40et@127.0.0.1:1/x": "127.0.0.1",
}


@pytest.mark.parametrize("command", ["study list", "doctor"])
@pytest.mark.parametrize(("url", "says"), WRONG_ADDRESSES.items())
def test_an_address_where_no_database_is_keeps_its_secret(
    command: str, url: str, says: str
) -> None:
    done = hpo(f"{command} --storage {url}")
    assert done.code == (1 if command == "doctor" else STORAGE)
    assert says in done.out + done.err
    assert "s3cr" not in done.out + done.err
    assert done.err.count("\n") == (0 if command == "doctor" else 1)


def test_a_line_end_after_a_url_is_no_part_of_it() -> None:
    """A URL that is read from a file often has one."""
    assert hpo("study", "show", "made", "--storage", "sqlite:///hpo.db\n").code == 0
