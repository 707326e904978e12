"""The password of a database is nobody's business but the database's; nor is SQL a study's name."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from hpo.studies.lifecycle import open_database
from storage import studies
from tests.support import tiny_studies
from tests.support.commands import HPO, TIMEOUT_S, clean_environment
from tests.support.databases import user_with
from tests.support.tiny_studies import must, tiny_flags, write_recipe


SENTINEL = "tOp-5eCrEt"
RAISING = """\
from torch import nn
class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.answer = nn.Linear(392, 2)
    def forward(self, images):
        if len(images) > 8 and self.training:
            raise RuntimeError("out of luck")
        return self.answer(images.flatten(1))
def build(width=4):
    return Net(width)
"""


@pytest.fixture(params=["postgresql", "mysql"])
def secret_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database, by a user with the sentinel as password."""
    with user_with(SENTINEL, request.getfixturevalue(f"{request.param}_url")) as url:
        yield url


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path)
    return tmp_path


class Told:
    """Runs `hpo` with the URL in its environment and keeps all that it says."""

    def __init__(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HPO_STORAGE", url)
        self.url, self.words = url, ""

    def run(self, *arguments: str, code: int = 0) -> str:
        done = tiny_studies.hpo(*arguments)
        assert done.code == code, done.err
        self.words += done.out + done.err
        return done.out + done.err

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [HPO, *arguments],
            env=clean_environment({"HPO_STORAGE": self.url}),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )


@pytest.fixture
def told(secret_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """`hpo` on that database; afterwards the password stands nowhere."""
    told = Told(secret_url, monkeypatch)
    yield told
    assert SENTINEL not in told.words
    assert SENTINEL not in everything(secret_url)
    for path in Path().rglob("*"):
        assert path.is_dir() or SENTINEL.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    "secret_url",
    ["postgresql", pytest.param("mysql", marks=[pytest.mark.chaos, pytest.mark.short_on])],
    indirect=True,
)
def test_the_password_is_told_to_nobody(told: Told) -> None:
    create = ["study", "create", "--architecture", "siamese", "--space", "recipe.yaml"]
    told.run(*create, "--name", "safe", *tiny_flags(trials=1, repeats=1))
    told.run("worker", "--study", "safe", "--processes", "1")
    for command in ("study show safe --json", "study trials safe --json", "study list", "doctor"):
        told.run(*command.split())
    for form in ("yaml", "json"):
        weights = ["--weights", f"best-{form}.safetensors"]
        told.run("export", "safe", "-o", f"best.{form}", "--format", form, *weights)
    told.run(*create, "--name", "safe", *tiny_flags(), code=5)
    told.run("study", "show", "nobody", code=3)


@pytest.mark.parametrize("secret_url", ["postgresql"], indirect=True)
def test_no_command_line_of_a_worker_holds_it(told: Told) -> None:
    create = ["study", "create", "--architecture", "siamese", "--space", "recipe.yaml"]
    told.run(*create, "--name", "safe", *tiny_flags(trials=1, repeats=1))
    process, seen = told.start("worker", "--study", "safe", "--processes", "2"), dict[int, str]()
    while sum("multiprocessing.spawn" in line for line in seen.values()) < 2:
        assert process.poll() is None
        seen.update(command_lines(process.pid))
        time.sleep(0.02)
    for number in seen:  # the workers before they have imported anything
        os.kill(number, signal.SIGKILL)
    told.words += process.communicate()[0]
    assert SENTINEL not in "".join(seen.values())


def test_nor_does_a_failure_hold_it(told: Told, folder: Path) -> None:
    (folder / "luckless.py").write_text(RAISING)
    recipe = "{architecture: 'luckless:build', parameters: {width: {type: int, low: 2, high: 4}}}"
    write_recipe(folder, recipe, "luckless.yaml")
    create = ["study", "create", "--architecture", "luckless:build", "--space", "luckless.yaml"]
    told.run(*create, "--trials", "1", *tiny_flags())
    told.run("worker", "--study", "luckless.build", "--processes", "1", code=1)
    assert "out of luck" in told.run("study", "trials", "luckless.build", "--json")


def command_lines(parent: int) -> Iterator[tuple[int, str]]:
    """The numbers and command lines of a process and of all that come from it."""
    with contextlib.suppress(OSError):  # it has just ended
        yield parent, Path(f"/proc/{parent}/cmdline").read_text()
        for thread in Path(f"/proc/{parent}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from command_lines(int(child))


def everything(url: str) -> str:
    """All rows of all tables."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        names = sa.inspect(engine).get_table_names()
        assert {"hpo_claims", "hpo_trainings", "studies"} <= set(names)
        return repr([connection.execute(sa.text(f"SELECT * FROM {each}")).all() for each in names])  # noqa: S608


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
@pytest.mark.parametrize(
    "command",
    [
        "study list",
        "worker --processes 2 --storage-timeout 0.5",
        "worker --study safe --storage-timeout 0.5 --log-format json",
        "doctor",
        "dashboard",
        "export safe",
    ],
)
def test_nor_is_it_where_the_server_refuses(
    kind: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as held:  # bound, so nobody else gets it; nobody listens
        held.bind(("127.0.0.1", 0))
        url = f"{kind}://user:{SENTINEL}@127.0.0.1:{held.getsockname()[1]}/hpo"
        told = Told(url, monkeypatch)
        said = told.run(*command.split(), code=1 if command == "doctor" else 4)
    assert "127.0.0.1" in said
    assert SENTINEL not in said


MARKUP = "<script>alert(1)</script>"


@pytest.mark.parametrize("secret_url", ["postgresql"], indirect=True)
def test_the_dashboard_shows_no_password_and_runs_no_name(told: Told) -> None:
    """Names that `hpo` refuses may have been made by another program."""
    with closing(open_database(create=True)) as db:
        studies.add(db, MARKUP, "{}", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = told.start("dashboard", "--port", str(port))
    try:
        page = fetched(f"http://127.0.0.1:{port}/dashboard/", process)
        listing = fetched(f"http://127.0.0.1:{port}/api/studies", process)
    finally:
        process.terminate()
        said, _ = process.communicate(timeout=TIMEOUT_S)
    assert MARKUP not in page, "the page asks for the names and puts them in as text"
    assert [each["study_name"] for each in json.loads(listing)["study_summaries"]] == [MARKUP]
    assert SENTINEL not in page + listing + said


def fetched(url: str, process: subprocess.Popen[str]) -> str:
    while True:
        assert process.poll() is None
        with contextlib.suppress(OSError), urllib.request.urlopen(url) as answer:
            return str(answer.read().decode())
        time.sleep(0.1)


ODD_NAMES = [
    "../up",
    "a/b",
    "a\\b",
    ".",
    "-",
    "~",
    "$HOME",
    "a b",
    "a\nb",
    "a\tb",
    MARKUP,
    "<b>",
    "&amp;",
    "'",
    '"',
    "`id`",
    "x;y",
    "x'; drop table hpo_studies; --",
    "%s",
    "{}",
    "é",
    "\u202eright",
    "x" * 101,
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_that_is_more_than_a_name_is_refused(name: str, folder: Path) -> None:
    create = ["study", "create", "--architecture", "siamese", "--space", "recipe.yaml"]
    done = tiny_studies.hpo(*create, "--name", name, *tiny_flags())
    assert done.code == 2
    assert "cannot name a study; use letters, digits" in done.err
    assert done.err.count("\n") == 1
    assert [path.name for path in folder.iterdir()] == ["recipe.yaml"]


INJECTED = ["x'; drop table hpo_studies; --", '" or 1=1 --', "kept' or '1'='1", "kep%", "k_pt"]


def test_sql_in_a_name_finds_nothing_and_does_nothing(database_url: str) -> None:
    create = ["study", "create", "--architecture", "siamese", "--space", "recipe.yaml"]
    must(*create, "--name", "kept", *tiny_flags(), "--storage", database_url)
    before = everything(database_url)
    asked = [("study show", name) for name in INJECTED]
    asked += [(command, INJECTED[2]) for command in ("study trials", "export", "worker --study")]
    for command, name in asked:
        done = tiny_studies.hpo(*command.split(), name, "--storage", database_url)
        assert (done.code, done.out) == (3, "")
        assert done.err.startswith("error: no study named ")
    for changing in ("study delete --yes", "study extend --trials 99"):
        injected = "kept' or '1'='1"
        done = tiny_studies.hpo(*changing.split(), injected, "--storage", database_url)
        assert done.code == 3
    assert everything(database_url) == before
