"""Opening databases: the tables are made once, and what cannot be opened is told in one line."""

import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from storage import schema, studies
from storage.backends import Backend
from storage.engine import Database, UncheckedDatabase
from storage.errors import (
    EmptyStorageError,
    OutdatedError,
    StorageError,
    StorageURLError,
    UnreachableError,
)
from storage.tables import metadata
from tests.support.databases import WaitedError, leave, server_url, user_with
from tests.support.servers import free_port
from tests.support.storage_kills import make_tables, run_together


SECRET = "pa{ss}%40@:/? w#rd"
SERVERS = ("postgresql", "mysql")


def plain_engine(url: str) -> sa.Engine:
    return sa.create_engine(url, poolclass=sa.NullPool)


def usable(url: str) -> bool:
    """Whether a study can be entered and found."""
    db = Database(url)
    studies.add(db, "study", "{}", 1)
    found = [row.name for row in studies.all_studies(db)]
    db.close()
    return found == ["study"]


@pytest.mark.chaos
@pytest.mark.short_on("mysql")
def test_processes_that_start_together_make_one_schema(database_url: str) -> None:
    assert run_together(make_tables, [(database_url, None)] * 16) == [0] * 16
    with plain_engine(database_url).connect() as connection:
        for table in ("hpo_alembic_version", "alembic_version", "version_info"):
            assert connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar() == 1  # noqa: S608
    assert usable(database_url)


def test_nobody_waits_for_ever_for_one_that_makes_the_tables(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MariaDB's lock holds for all databases of a server, so others may have it at first."""
    db = UncheckedDatabase(database_url, create=True)
    with db.backend.schema_lock(db.engine):
        monkeypatch.setattr(Backend, "schema_lock_timeout_s", 1)
        with pytest.raises(WaitedError):
            Database.when_it_answers(database_url, create=True, timeout_s=60, wait=leave)


@pytest.mark.chaos
def test_tables_cut_off_in_the_making_are_gone_on_with(database_url: str) -> None:
    codes: list[int | None] = []
    while not codes or codes[-1] != 0:
        codes += run_together(make_tables, [(database_url, len(codes))])
        assert len(codes) < 20
    assert len(codes) > 3
    assert set(codes[:-1]) == {-9}
    assert differences(database_url) == []
    assert usable(database_url)


def test_the_migrations_make_the_tables_that_the_code_names(database_url: str) -> None:
    Database(database_url, create=True).close()
    assert differences(database_url) == []


def differences(url: str) -> list[object]:
    """What Alembic would still change, in our tables."""

    def is_ours(item: object, name: str | None, kind: str, *rest: object) -> bool:
        return kind != "table" or str(name).startswith("hpo_")

    options = {"version_table": schema.VERSION_TABLE, "include_object": is_ours}
    with plain_engine(url).connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, metadata))


def test_any_text_is_kept_whatever_the_servers_own_charset(mysql_url: str) -> None:
    with plain_engine(mysql_url).begin() as connection:
        connection.execute(sa.text("ALTER DATABASE CHARACTER SET latin1"))
    db = Database(mysql_url, create=True)
    studies.add(db, "study", '{"note": "5 € → 😀"}', 1)
    assert studies.get(db, "study").protocol == '{"note": "5 € → 😀"}'
    db.close()


def test_tables_of_another_version_are_refused(database_url: str) -> None:
    Database(database_url, create=True).close()
    with plain_engine(database_url).begin() as connection:
        connection.execute(sa.text("UPDATE hpo_alembic_version SET version_num = '9999'"))
    for create in (True, False):
        with pytest.raises(OutdatedError, match="9999"):
            Database(database_url, create=create)


def test_an_empty_database_is_told_and_left_empty(database_url: str) -> None:
    with pytest.raises(EmptyStorageError, match="hpo study create"):
        Database(database_url)
    path = sa.make_url(database_url).database
    if database_url.startswith("sqlite"):
        assert list(Path(str(path)).parent.iterdir()) == []
    else:
        assert sa.inspect(plain_engine(database_url)).get_table_names() == []


def test_an_empty_file_is_told_and_left_empty(sqlite_url: str) -> None:
    path = Path(str(sa.make_url(sqlite_url).database))
    path.touch()
    with pytest.raises(EmptyStorageError):
        Database(sqlite_url)
    assert path.stat().st_size == 0


def test_a_database_is_opened_again_with_all_its_studies(database_url: str) -> None:
    first = Database(database_url, create=True)
    studies.add(first, "study", "{}", 3)
    first.close()
    for create in (True, False):
        again = Database(database_url, create=create)
        assert studies.get(again, "study").n_trials == 3
        again.close()


@pytest.fixture(params=SERVERS)
def user_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database, by a user whose password needs care in a URL."""
    with user_with(SECRET, request.getfixturevalue(f"{request.param}_url")) as url:
        yield url


def test_a_password_may_hold_any_character_and_is_never_told(user_url: str) -> None:
    db = Database(user_url, create=True)
    assert usable(user_url)
    assert SECRET not in db.name
    assert "***" in db.name
    db.close()


def refused(url: sa.URL | str) -> StorageError:
    """The error of opening the database; checks that it is one line and holds no password."""
    text = url.render_as_string(hide_password=False) if isinstance(url, sa.URL) else url
    with pytest.raises(StorageError) as caught:
        Database(text, create=True)
    assert "\n" not in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert "secret-word" not in "".join(traceback.format_exception(caught.value))
    return caught.value


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_that_does_not_answer_is_told(kind: str) -> None:
    url = sa.URL.create(kind, "user", SECRET, "127.0.0.1", free_port(), "hpo")
    error = refused(url)
    assert isinstance(error, UnreachableError)
    assert "127.0.0.1" in str(error)
    assert "HPO_STORAGE" in str(error)


@pytest.mark.parametrize("kind", SERVERS)
def test_a_database_that_is_not_there_is_told(kind: str) -> None:
    error = refused(server_url(kind).set(database="hpo_test_nowhere"))
    assert isinstance(error, UnreachableError)
    assert "hpo_test_nowhere" in str(error)


def test_a_wrong_password_is_told(mysql_url: str) -> None:
    error = refused(sa.make_url(mysql_url).set(password=SECRET))
    assert isinstance(error, UnreachableError)


def test_a_password_among_the_options_of_a_url_is_never_told() -> None:
    port = free_port()
    assert "secret-word" not in str(
        refused(f"postgresql://user@127.0.0.1:{port}/hpo?password=secret-word")
    )


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are only notes, and rather more of them than a header is long\n" * 20)
    error = refused(f"sqlite:///{path}")
    assert isinstance(error, UnreachableError)
    assert "notes.txt" in str(error)
    assert path.read_text().startswith("these are only notes")


@pytest.mark.parametrize("place", ["", "missing/hpo.db"])
def test_a_file_that_cannot_be_made_is_told(tmp_path: Path, place: str) -> None:
    error = refused(f"sqlite:///{tmp_path / place}")
    assert isinstance(error, StorageURLError)
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("oracle://user:secret-word@host/db", "postgresql"),
        ("hpo.db", "sqlite:///hpo.db"),
        ("", "sqlite:///hpo.db"),
        ("postgresql://user:secret-word@host:port/db", "sqlite:///hpo.db"),
        ("sqlite://", "sqlite:///hpo.db"),
        ("sqlite:///:memory:", "sqlite:///hpo.db"),
    ],
)
def test_a_url_that_names_no_database_is_told(url: str, hint: str) -> None:
    error = refused(url)
    assert isinstance(error, StorageURLError)
    assert hint in str(error)


def test_a_refusal_that_will_not_pass_is_not_tried_again(sqlite_url: str) -> None:
    db, calls = Database(sqlite_url, create=True), 0

    def ask() -> None:
        nonlocal calls
        calls += 1
        with db.engine.begin() as connection:
            connection.execute(sa.text("INSERT INTO hpo_studies (study_id) VALUES (1)"))

    with pytest.raises(UnreachableError, match="NOT NULL"):
        db.retry(ask, timeout_s=60)
    assert calls == 1
    db.close()


def test_a_database_that_stays_away_is_given_up_in_time(sqlite_url: str) -> None:
    db, calls = Database(sqlite_url, create=True), 0

    def ask() -> None:
        nonlocal calls
        calls += 1
        raise sa.exc.OperationalError("SELECT 1", {}, Exception("away"))

    with pytest.raises(UnreachableError, match="away"):
        db.retry(ask, timeout_s=0.2)
    assert calls > 1
    db.close()
