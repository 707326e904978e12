"""Code that is not hpo's own runs where a study names it, and nowhere with --no-foreign-code."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import run_hpo, run_in_turn
from tests.support.own_code import POINTS, TINY, write
from tests.support.tiny_studies import RECIPE, Done, must


MARKED = """\
from pathlib import Path
with Path(__file__).with_name("imported").open("a") as marks:
    print(__name__, file=marks)
"""
NETS = """\
from torch import nn
def build(width=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(392, width), nn.Linear(width, 2))
def small(width=4):
    return nn.Linear(3, 2)
"""
OFFERS = """\
[hpo.architectures]
offered = theirs:build
[hpo.datasets]
points = theirs:Points
"""
PACKAGE = {
    "site/theirs-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n",
    "site/theirs-1.0.dist-info/entry_points.txt": OFFERS,
    "siamese.yaml": RECIPE,
} | {
    f"{name.replace(':', '.')}.yaml": f"{{architecture: '{name}', parameters: {{width: 4}}}}"
    for name in ("theirs:build", "theirs:small", "offered")
}
STUDIES = {
    "module": "--architecture theirs:build --dataset digits --space theirs.build.yaml",
    "module-data": "--architecture theirs:small --dataset theirs:Points --space theirs.small.yaml",
    "entry-point": "--architecture offered --dataset digits --space offered.yaml",
    "entry-data": "--architecture theirs:small --dataset points --space theirs.small.yaml",
    "ours": "--architecture siamese --dataset digits --space siamese.yaml --trials 1",
}
FOREIGN = [name for name in STUDIES if name != "ours"]


@pytest.fixture(scope="session")  # Python imports a module once a process
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all the studies in `hpo.db`, and the user's installed package in `site`.

    The package's module marks each of its imports in `imported`.
    """
    folder = write(tmp_path_factory.mktemp("made"), {"site/theirs.py": MARKED + NETS + POINTS})
    write(folder, PACKAGE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder / "site"))
        for name, flags in STUDIES.items():
            must("study", "create", "--name", name, *flags.split(), *TINY)
    assert imported(folder), "or no test here could fail"
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it for one test."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {"PYTHONPATH": str(folder / "site")}
    return run_hpo(*command.split(), env=env, cwd=folder)


def in_turn(folder: Path, *commands: str) -> list[Done]:
    return run_in_turn(*commands, path=folder / "site", cwd=folder)


def imported(folder: Path) -> list[str]:
    """What was imported since it was asked last."""
    marks = folder / "site" / "imported"
    found = marks.read_text().split() if marks.exists() else []
    marks.unlink(missing_ok=True)
    return found


REFUSAL = "is not hpo's own, and no other code may run here (--no-foreign-code)"


def untouched(folder: Path, name: str) -> bool:
    """Whether no work of the study was begun."""
    shown = must("study", "show", name, "--json", "--storage", f"sqlite:///{folder / 'hpo.db'}")
    trials = json.loads(shown)["trials"]
    return bool(trials["running"] == trials["failed"] == trials["complete"] == 0)


def test_a_worker_may_refuse_them_unseen(folder: Path) -> None:
    """One process for all: a module that the first had imported would not be imported again."""
    commands = [f"worker --study {name} --no-foreign-code --processes 1" for name in FOREIGN]
    for name, worker in zip(FOREIGN, in_turn(folder, *commands), strict=True):
        (error,) = [line for line in worker.err.splitlines() if line.startswith("error: ")]
        assert worker.code == 2
        assert REFUSAL in error
        assert untouched(folder, name)
    assert imported(folder) == []


def test_so_do_several_processes_of_one_command(folder: Path) -> None:
    worker = run("worker --study module --no-foreign-code --processes 2", folder)
    (error,) = [line for line in worker.stderr.splitlines() if line.startswith("error: ")]
    assert worker.returncode == 2
    assert REFUSAL in error
    assert imported(folder) == []
    assert untouched(folder, "module")


def test_a_worker_that_refuses_them_does_the_other_studies(folder: Path) -> None:
    worker, shown = in_turn(folder, "worker --no-foreign-code --processes 1", "study list --json")
    assert worker.code == 0, worker.err
    assert "study module is left out here: architecture 'theirs:build' is not" in worker.err
    listed = json.loads(shown.out)
    assert [each["name"] for each in listed if each["state"] == "complete"] == ["ours"]
    assert imported(folder) == []


def test_code_that_the_work_does_not_need_is_not_run(folder: Path) -> None:
    commands = (
        "study list",
        "study show entry-data",
        "study trials module-data",
        "doctor",
        "worker --study ours --processes 1",
    )
    for done in in_turn(folder, *commands):
        assert done.code == 0, done.err
    assert imported(folder) == []
