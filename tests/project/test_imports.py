"""Imports run one way, room by room: from the command line down to the two leaves."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import HPO, clean_environment
from tests.support.sources import ROOT, imports, sources


ROOMS = (
    "cli",
    "hpo.__init__",
    "hpo.commands",
    "hpo.workers",
    "hpo.reproduction",
    "hpo.reports",
    "hpo.export",
    "hpo.operations",
    "hpo.studies",
    "hpo.evaluation",
    "hpo.training",
    "hpo.architectures",
    "hpo.search",
    "hpo.datasets",
    "hpo.subprocesses",
    "ground",
    "hpo.foreign_code",
    "hpo.io",
    "search_spaces",
    "storage",
    "hpo.errors",
)
"""Each room may import the rooms below it. The ground: the modules that lie in `hpo/` itself, but
for the errors, which the two leaves import, too."""

LEAVES = ("search_spaces", "storage")
LEAVES_DO_NOT_IMPORT = {"torch", "optuna_dashboard", "sklearn"}


def room_of(module: str) -> str | None:
    """The room of a dotted name; None where it is not the project's."""
    top, *rest = module.split(".")
    if top != "hpo":
        return top if top in ROOMS else None
    name = f"hpo.{rest[0]}" if rest else "hpo.__init__"
    if name in ROOMS:
        return name
    assert not (ROOT / "hpo" / rest[0]).is_dir(), f"{name} is a new room: give it a row in ROOMS"
    return "ground" if (ROOT / "hpo" / f"{rest[0]}.py").exists() else "hpo.__init__"


def is_below(importer: str, imported: str) -> bool:
    if importer in LEAVES and imported in LEAVES:
        return importer == imported
    return ROOMS.index(importer) <= ROOMS.index(imported)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("part", ["cli", "hpo", "search_spaces", "storage"])
def test_a_room_imports_only_rooms_below_it(part: str) -> None:
    rooms = {path: room_of(module_of(path)) for path in sources(part)}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path, room in rooms.items()
        for name in imports(path)
        if room and (imported := room_of(name)) and not is_below(room, imported)
    ]
    assert wrong == []


@pytest.mark.parametrize("leaf", LEAVES)
def test_a_leaf_stays_light(leaf: str) -> None:
    imported = {name.split(".")[0] for path in sources(leaf) for name in imports(path)}
    assert imported & LEAVES_DO_NOT_IMPORT == set()


def test_help_comes_without_loading_torch_or_optuna() -> None:
    """The command answers at once: what takes seconds to load is loaded by what needs it."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", HPO, "--help"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "typer" in loaded
    assert loaded & {"torch", "optuna", "scipy", "sklearn", "pandas"} == set()
