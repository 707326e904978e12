"""The dashboard answers its own pages, and loses nothing that hpo recorded."""

import io
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import optuna_dashboard
import pytest

from hpo.errors import InputError
from hpo.operations.dashboard import App, guarded
from hpo.operations.web import host_names
from hpo.workers import prometheus
from hpo.workers.prometheus import Monitor
from storage import studies
from storage.engine import Database
from tests.support.bad_input import CREATE, check_refused
from tests.support.storage_worker import make_plan, must_claim, new_study, play
from tests.support.tiny_studies import hpo, must


PLAN = make_plan()


class Answer(NamedTuple):
    """What a server answers."""

    code: int
    headers: list[tuple[str, str]]
    body: bytes


def ask(app: App, request: str, body: object = None, **headers: str) -> Answer:
    """Send a request such as `GET /path` to a WSGI application, from this machine by default."""
    method, path = request.split()
    content = b"" if body is None else json.dumps(body).encode()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(content)),
        "wsgi.input": io.BytesIO(content),
        "wsgi.errors": io.StringIO(),
        "HTTP_HOST": "127.0.0.1:8080",
        **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
    }
    given: list[Any] = []
    chunks = app(environ, lambda *start: given.extend(start))
    answer = b"".join(chunks)
    if hasattr(chunks, "close"):  # a file
        chunks.close()
    return Answer(int(given[0].split()[0]), given[1], answer)


@pytest.fixture(scope="module")
def app(sqlite_db: Database) -> App:
    names = host_names(["Proxy.example.org"])
    return guarded(optuna_dashboard.wsgi(sqlite_db.optuna), "bound.example.org", names)


@pytest.fixture
def study_id(sqlite_db: Database) -> int:
    """A complete study."""
    study_id = new_study(sqlite_db, 1)
    play(sqlite_db, study_id, PLAN, "worker")
    return study_id


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8080",
        "localhost",
        "LOCALHOST.:80",
        "[::1]:8080",
        "192.168.1.7:8080",
        "bound.example.org:8080",
        "proxy.example.org",
    ],
)
def test_a_name_that_means_this_machine_is_answered(app: App, host: str) -> None:
    assert ask(app, "GET /api/studies", host=host).code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example@localhost",
        "localhost/evil.example",
        "localhost:port",
        "localhost,evil.example",
        "",
        "[::1",
    ],
)
def test_another_name_is_refused(app: App, host: str, study_id: int, sqlite_db: Database) -> None:
    for request in ("GET /api/studies", "GET /dashboard", f"DELETE /api/studies/{study_id}"):
        answer = ask(app, request, host=host)
        assert answer.code == 403
        assert "--allow-host" in json.loads(answer.body)["reason"]
    assert study_id in {row.study_id for row in studies.all_studies(sqlite_db)}


FOREIGN = (
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:3000"},
    {"origin": "http://bound.example.org:8080"},
    {"sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site", "origin": "http://127.0.0.1:8080"},
)


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_page_of_another_site_changes_nothing(
    app: App, headers: dict[str, str], study_id: int, sqlite_db: Database
) -> None:
    note = {"version": 1, "body": "from elsewhere"}
    for request in (f"DELETE /api/studies/{study_id}", f"PUT /api/studies/{study_id}/note"):
        answer = ask(app, request, note, **headers)
        assert answer.code == 403
        assert "another site" in json.loads(answer.body)["reason"]
    assert study_id in {row.study_id for row in studies.all_studies(sqlite_db)}
    assert sqlite_db.optuna.get_study_system_attrs(study_id) == {}
    assert ask(app, "GET /api/studies", **headers).code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://127.0.0.1:8080", "sec_fetch_site": "same-origin"},
        {"origin": "https://proxy.example.org"},
    ],
)
def test_its_own_page_writes_notes_and_deletes(
    app: App, headers: dict[str, str], study_id: int, sqlite_db: Database
) -> None:
    note = {"version": 1, "body": "a note"}
    assert ask(app, f"PUT /api/studies/{study_id}/note", note, **headers).code == 204
    trial_id = studies.work(sqlite_db, study_id)[0].trial_id
    assert ask(app, f"PUT /api/studies/{study_id}/{trial_id}/note", note, **headers).code == 204
    assert ask(app, f"DELETE /api/studies/{study_id}", {}, **headers).code == 204
    assert study_id not in {row.study_id for row in studies.all_studies(sqlite_db)}


def test_what_contradicts_hpos_tables_is_refused_with_a_reason(
    app: App, sqlite_db: Database
) -> None:
    study_id = new_study(sqlite_db, 1)
    held = must_claim(sqlite_db, study_id, PLAN)
    for request, says in {
        "POST /api/studies": "hpo study create",
        "POST /api/studies/": "hpo study create",
        f"POST /api/studies/{study_id}/rename": "hpo study rename",
        f"POST /api/trials/{held.trial_id}/tell": "only deletes studies and writes notes",
        f"POST /api/trials/{held.trial_id}/user-attrs": "only deletes",
        f"POST /api/studies/{study_id}/preference": "only deletes",
        "POST /incompatible-rdb-schema": "hpo storage upgrade",
        "PATCH /dashboard": "only deletes",
    }.items():
        answer = ask(app, request, {"study_name": "x", "state": "fail", "directions": ["minimize"]})
        assert answer.code == 403
        assert says in json.loads(answer.body)["reason"]
    assert must_claim(sqlite_db, new_study(sqlite_db, 1), PLAN).trial == 0
    assert not sqlite_db.optuna.get_trial(held.trial_id).state.is_finished()


def test_every_route_that_writes_was_thought_of(sqlite_db: Database) -> None:
    """A new version of the dashboard may bring others; the guard refuses those."""
    routes = optuna_dashboard.wsgi(sqlite_db.optuna).routes
    writing = {f"{each.method} {each.rule}" for each in routes if each.method != "GET"}
    assert {each for each in writing if "note" in each or each.startswith("DELETE /api/stud")} == {
        "PUT /api/studies/<study_id:int>/note",
        "PUT /api/studies/<study_id:int>/<trial_id:int>/note",
        "DELETE /api/studies/<study_id:int>",
        "DELETE /api/studies/<study_id:int>/preference/<history_id>",
    }
    assert "POST /api/studies/<study_id:int>/rename" in writing


@pytest.mark.parametrize("request_line", ["GET /dashboard", "GET /api/studies", "GET /nowhere"])
def test_no_page_shows_it_in_a_frame(app: App, request_line: str) -> None:
    headers = ask(app, request_line, accept_encoding="").headers
    assert ("X-Frame-Options", "DENY") in headers
    assert ("Content-Security-Policy", "frame-ancestors 'none'") in headers


@pytest.mark.parametrize("name", ["http://a.example", "a.example:80", "a.example/x", "", "a@b"])
def test_only_the_name_of_a_machine_is_allowed(name: str) -> None:
    with pytest.raises(InputError, match="is no name of a machine"):
        host_names([name])


@pytest.fixture
def metrics(sqlite_db: Database) -> Iterator[App]:
    monitor = Monitor(sqlite_db)
    yield prometheus.guarded(prometheus._app(monitor), "127.0.0.1")
    monitor.close()


@pytest.mark.parametrize("path", ["/metrics", "/healthz"])
def test_metrics_are_for_programs_that_name_an_address(metrics: App, path: str) -> None:
    for host in ("127.0.0.1:9100", "10.0.0.7", "localhost:9100", "[fe80::1]:9100"):
        assert ask(metrics, f"GET {path}", host=host).code == 200
    assert ask(metrics, f"GET {path}", host="evil.example:9100").code == 403
    for origin in ("http://evil.example", "http://127.0.0.1:9100", "null"):
        assert ask(metrics, f"GET {path}", origin=origin).code == 403
    assert ask(metrics, f"POST {path}").code == 405


@pytest.mark.usefixtures("workplace")
def test_a_lost_study_is_shown_renamed_and_purged() -> None:
    must("study rename made first")
    assert json.loads(must("study show first --json"))["name"] == "first"
    db = Database("sqlite:///hpo.db")
    db.optuna.delete_study(studies.get(db, "fixed").study_id)
    db.close()
    done = hpo("storage check")
    assert done.code == 1
    assert "hpo storage purge fixed --yes" in " ".join(done.out.split())
    for command, code, says in (
        ("study show fixed", 3, "purge fixed --yes"),
        ("study rename first fixed", 5, "purge fixed --yes"),
        ("study rename first 'not a name'", 2, "cannot name a study"),
        ("study rename nobody second", 3, "no study named 'nobody'"),
        ("storage purge fixed", 2, "add --yes"),
        ("storage purge first --yes", 5, "hpo study delete first --yes"),
        ("storage purge nobody --yes", 3, "no study named 'nobody'"),
        (f"{CREATE} --name fixed --if-not-exists", 5, "purge fixed --yes"),
    ):
        check_refused(command, code, says)
    must("storage purge fixed --yes")
    must("storage check")
