"""What is shipped: the wheel, the pins, and the Makefile that installs them."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hpo
from tests.support.commands import clean_environment
from tests.support.sources import ROOT, imports, sources


SHIPPED = ("cli.py", "hpo", "search_spaces", "storage")
NAME = "fair-hpo"
"""The name of the distribution; on the public index `hpo` is somebody else's."""


def source_files() -> set[str]:
    """Every file of what is shipped, by its path in the repository."""
    tops = [ROOT / name for name in SHIPPED]
    found = [path for top in tops for path in (top.rglob("*") if top.is_dir() else [top])]
    files = [path for path in found if path.is_file() and path.suffix != ".pyc"]
    return {str(path.relative_to(ROOT)) for path in files}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_only_the_code_and_the_recipes(wheel: zipfile.ZipFile) -> None:
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert shipped == source_files()
    assert any(name.startswith("search_spaces/") and name.endswith(".yaml") for name in shipped)
    assert any(name.startswith("storage/migrations/versions/v") for name in shipped)


def test_the_changelog_tells_of_the_version_that_is_shipped(wheel: zipfile.ZipFile) -> None:
    headings = re.findall(r"^## (\d\S*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    (metadata,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    assert f"\nVersion: {headings[0]}\n" in wheel.read(metadata).decode()
    assert headings[0] == hpo.__version__


def test_the_wheel_has_a_name_of_its_own(wheel: zipfile.ZipFile) -> None:
    (metadata,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    assert f"\nName: {NAME}\n" in wheel.read(metadata).decode()


PAGES = (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md"))
INSTALLING = (*PAGES, ROOT / "Dockerfile", ROOT / "Makefile", *ROOT.glob("storage/**/*.py"))


@pytest.mark.parametrize("path", INSTALLING, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_is_told_to_install_hpo_from_the_public_index(path: Path) -> None:
    installed = re.findall(r"pip install ([^\n#`]*)", path.read_text())
    names = [word for line in installed for word in re.findall(r"[\w.-]+", line)]
    assert not {"hpo", NAME}.intersection(names)


def test_the_wheel_runs_without_the_repository(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    program = (
        "import sys, cli, hpo, search_spaces, storage; print(cli.__file__); sys.exit(cli.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"],
        cwd=tmp_path,
        env=clean_environment({"PYTHONPATH": str(tmp_path)}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "cli.py"))


def requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in project["dependencies"] + extras]


def test_every_package_that_the_code_imports_is_a_requirement() -> None:
    """Not only installed by chance, because another package needs it."""
    declared = {canonicalize_name(requirement.name) for requirement in requirements()}
    providers = packages_distributions()
    own = {Path(name).stem for name in SHIPPED}
    imported = {
        name.split(".")[0] for top in own for path in sources(top) for name in imports(path)
    }
    undeclared = {
        package
        for package in imported - own - sys.stdlib_module_names
        if declared.isdisjoint(map(canonicalize_name, providers.get(package, [package])))
    }
    assert undeclared == set()


def test_every_requirement_has_a_tested_pin_within_its_range() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.lower().split("==") for line in lines if not line.startswith("#"))
    for requirement in requirements():
        if requirement.name != NAME:
            assert requirement.specifier.contains(pins[requirement.name.lower()]), requirement


def test_an_old_python_is_refused_with_what_to_do(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.1\nexit 1\n')
    old.chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    done = subprocess.run(
        ["make", "--silent", "-f", ROOT / "Makefile", "demo", f"PYTHON={old}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    first = done.stderr.splitlines()[0]
    assert "Python 3.9.1" in first
    assert "3.11 or newer, as in make PYTHON=" in first
    assert not (tmp_path / ".venv").exists()
