"""Imports run one way: cli → hpo → {storage, search_spaces}, and inside hpo from top to bottom."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import HPO, clean_environment
from tests.sources import ROOT, imports, sources


# A row may import the rows below it, and nothing of its own row but itself.
HOUSE = (
    ("cli",),
    ("hpo",),
    ("storage", "search_spaces"),
)
SERVICE = (
    ("__init__", "screen"),
    ("cost", "dashboard", "doctor", "export", "reproduction", "zoo"),
    ("processes",),
    ("monitoring", "supervision"),
    ("loading", "progress", "worker"),
    ("work",),
    ("objective", "status", "upkeep"),
    ("repeats", "studies"),
    ("creation",),
    ("cross_validation", "test_error"),
    ("stacking",),
    ("training",),
    ("dropouts", "losses", "metrics", "setting"),
    ("architectures",),
    ("datasets",),
    ("formatting", "parallel", "sampling", "strategies"),
    ("pruning", "reporting"),
    ("boundaries", "limits", "optimization", "progress_of_runs", "protocol"),
    ("children", "cma_es", "cuda_graphs", "events", "registry", "seeds", "statistics", "versions"),
    ("errors",),
)
LEAVES_DO_NOT_IMPORT = {"torch", "optuna_dashboard", "sklearn"}

Rows = tuple[tuple[str, ...], ...]


def row_of(rows: Rows, unit: str) -> int:
    found = (number for number, row in enumerate(rows) if unit in row)
    number = next(found, None)
    assert number is not None, f"{unit} is new: give it a row in tests/test_imports.py"
    return number


def goes_down(rows: Rows, importer: str, imported: str) -> bool:
    return importer == imported or row_of(rows, importer) < row_of(rows, imported)


def service_unit(path: Path) -> str:
    return path.relative_to(ROOT / "hpo").parts[0].removesuffix(".py")


@pytest.mark.parametrize("unit", [unit for row in HOUSE for unit in row])
def test_a_part_of_the_house_imports_only_parts_below_it(unit: str) -> None:
    parts = {part for row in HOUSE for part in row}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(unit)
        for name in imports(path)
        if name.split(".")[0] in parts and not goes_down(HOUSE, unit, name.split(".")[0])
    ]
    assert wrong == []


@pytest.mark.parametrize("leaf", HOUSE[-1])
def test_a_leaf_stays_light(leaf: str) -> None:
    imported = {name.split(".")[0] for path in sources(leaf) for name in imports(path)}
    assert imported & LEAVES_DO_NOT_IMPORT == set()


@pytest.mark.parametrize(
    "path", sources("hpo"), ids=lambda path: str(path.relative_to(ROOT / "hpo"))
)
def test_a_module_of_the_service_imports_only_rows_below_it(path: Path) -> None:
    own = service_unit(path)
    row_of(SERVICE, own)
    wrong = [
        name
        for name in imports(path)
        if name.split(".")[0] == "hpo"
        and not goes_down(SERVICE, own, [*name.split("."), "__init__"][1])
    ]
    assert wrong == []


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
