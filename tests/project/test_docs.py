"""The README and the pages of docs/: what they name is what the program has."""

import ast
import inspect
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer.main

import cli
import hpo
from hpo.architectures import architectures
from hpo.workers.prometheus import Monitor
from search_spaces import recipe
from storage.engine import Database
from tests.support.sources import ROOT
from tests.support.tiny_studies import must


README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
REPORTS = (ROOT / "docs" / "reports.md").read_text()
OTHERS = [
    REPORTS,
    (ROOT / "CONTRIBUTING.md").read_text(),
    *((ROOT / "docs" / name).read_text() for name in ("reliability.md", "performance.md")),
]


def blocks(language: str, page: str = README) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return [text for given, text in found if given == language]


def commands() -> Iterator[str]:
    """Every `hpo` command of the pages: in blocks of shell, through compose, and in the text."""
    for page in (README, OPERATIONS, *OTHERS):
        yield from commands_of(page)


def commands_of(page: str) -> Iterator[str]:
    for block in blocks("sh", page):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.join(shlex.split(line, comments=True))
            if found := re.search(r"(?:^|&& )hpo (.*)|docker compose run .*?worker (.*)", words):
                yield found[1] or found[2]
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.DOTALL | re.MULTILINE)
    yield from (" ".join(words.split()) for words in re.findall(r"`hpo\s([^`]+)`", prose))


def parse(words: list[str]) -> None:
    """Give the words to the real parser, which runs nothing; it raises where one is wrong."""
    command: Any = typer.main.get_command(cli.app)
    context = None
    while hasattr(command, "resolve_command"):
        context = command.make_context("hpo", [], resilient_parsing=True, parent=context)
        _, command, words = command.resolve_command(context, words)
        assert command is not None, "No such command"
    command.make_context("hpo", words, parent=context)


MENTIONED = (
    ["--help"],
    ["--version"],
    ["--install-completion"],
    ["study", "create"],
    ["study", "copy"],
    ["study", "trials"],
)
"""Commands that the text speaks of without saying what they are to be done to."""


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_a_command_of_the_pages_is_one_of_the_program(command: str) -> None:
    words = [{"N": "2"}.get(word, word) for word in command.split()]
    if words not in MENTIONED:
        parse(words)


@pytest.mark.parametrize("wrong", ["study show", "study shw siamese", "worker --studdy siamese"])
def test_the_parser_refuses_what_is_none(wrong: str) -> None:
    with pytest.raises(Exception, match=r"Missing|No such"):
        parse(wrong.split())


def test_the_readme_has_commands_to_check() -> None:
    assert len(set(commands())) >= 10


FILE = re.compile(r"# (\S+\.(?:py|yaml))\n")
"""The first line of a block that is a file to be saved under that name."""


@pytest.mark.parametrize("block", [each for each in blocks("python") if not FILE.match(each)])
def test_the_python_of_the_readme_calls_functions_as_they_are(block: str) -> None:
    calls = [node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)]
    named = [(ast.unparse(call.func), call) for call in calls]
    ours = [(name.removeprefix("hpo."), call) for name, call in named if name.startswith("hpo.")]
    assert ours
    for name, call in ours:
        keywords = {each.arg: None for each in call.keywords if each.arg}
        inspect.signature(getattr(hpo, name)).bind(*call.args, **keywords)


@pytest.mark.parametrize("block", [each for each in blocks("yaml") if not FILE.match(each)])
def test_a_recipe_of_the_readme_makes_a_study(block: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(block)
    assert recipe.read(path).space.names
    url = f"sqlite:///{tmp_path / 'hpo.db'}"
    study = hpo.create_study("siamese", dataset="digits", space=path, storage=url)
    assert study.protocol.known


def test_the_network_of_the_readme_can_be_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    blocks_of_both = [*blocks("python"), *blocks("yaml")]
    files = {found[1]: text for text in blocks_of_both if (found := FILE.match(text))}
    assert sorted(files) == ["mynet.py", "mynet.yaml"]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    create = "study create --architecture mynet:build --dataset digits --space mynet.yaml"
    assert f"hpo {create}\n" in README
    must(*create.split(), "--trials", "1", "--folds", "2", "--epochs", "1", "--repeats", "1")
    must("worker --study mynet.build --processes 1")


@pytest.mark.parametrize("name", hpo.__all__)
def test_a_public_name_is_no_module_that_hides_it(name: str) -> None:
    for _ in range(2):  # the first use loads a submodule, which must not take the name's place
        assert not isinstance(getattr(hpo, name), ModuleType)


def test_the_public_names_are_listed() -> None:
    assert dir(hpo) == sorted(hpo.__all__)


PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_of_the_repository_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    files = [page.parent / link for link in links if "://" not in link]
    assert [str(file) for file in files if not file.exists()] == []


def test_the_table_of_the_reports_has_every_network() -> None:
    table = re.search("<!-- table -->(.*?)<!-- end of table -->", REPORTS, re.DOTALL)
    assert table is not None
    _, _, *names = re.findall(r"^\| (\S+)", table[1], re.MULTILINE)
    assert names == list(architectures)


def first_cells(page: str, heading: str) -> set[str]:
    """The names in the first column of the table under a heading."""
    section = page.split(f"## {heading}")[1].split("\n## ")[0]
    cells = (line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_the_table_of_events_names_those_that_the_program_tells() -> None:
    sources = [*(ROOT / "hpo").rglob("*.py"), *(ROOT / "storage").rglob("*.py")]
    told = {
        name
        for path in sources
        for name in re.findall(r'(?:emit|inform|warn)\("(\w+)"|"event": "(\w+)"', path.read_text())
        for name in name
        if name
    }
    told.remove("storage_error")  # below the level that is printed; it is counted
    told.add("warning")  # what Python warns of
    assert first_cells(OPERATIONS, "Logs") == told


def test_the_table_of_metrics_names_those_that_are_served(sqlite_url: str) -> None:
    db = Database(sqlite_url, create=True)
    families = {family.name for family in Monitor(db).registry.collect()}
    db.close()
    named = {name.removesuffix("_total") for name in first_cells(OPERATIONS, "Metrics")}
    assert named == families


def test_the_table_of_options_gives_the_defaults() -> None:
    defaults = inspect.signature(hpo.run_worker).parameters
    for option in first_cells(OPERATIONS, "Workers"):
        name, _, value = option.removeprefix("--").partition(" ")
        if value:
            assert float(value) == defaults[name.replace("-", "_")].default
