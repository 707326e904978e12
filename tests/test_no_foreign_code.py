"""Code that is not hpo's own runs where a study names it, and nowhere with --no-foreign-code."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.commands import run_hpo
from tests.own_code import POINTS, TINY, write
from tests.tiny_studies import RECIPE, must


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


def imported(folder: Path) -> list[str]:
    """What was imported since it was asked last."""
    marks = folder / "site" / "imported"
    found = marks.read_text().split() if marks.exists() else []
    marks.unlink(missing_ok=True)
    return found


@pytest.mark.parametrize(("name", "processes"), [*((name, 1) for name in FOREIGN), ("module", 2)])
def test_a_worker_may_refuse_them_unseen(folder: Path, name: str, processes: int) -> None:
    worker = run(f"worker --study {name} --no-foreign-code --processes {processes}", folder)
    (error,) = [line for line in worker.stderr.splitlines() if line.startswith("error: ")]
    assert worker.returncode == 2
    assert "is not hpo's own, and no other code is to run here (--no-foreign-code)" in error
    assert imported(folder) == []
    trials = json.loads(run(f"study show {name} --json", folder).stdout)["trials"]
    assert trials["running"] == trials["failed"] == trials["complete"] == 0


def test_a_worker_that_refuses_them_does_the_other_studies(folder: Path) -> None:
    worker = run("worker --no-foreign-code --processes 1", folder)
    assert worker.returncode == 0, worker.stderr
    assert "study module is left out here: architecture 'theirs:build' is not" in worker.stderr
    shown = json.loads(run("study list --json", folder).stdout)
    assert [each["name"] for each in shown if each["state"] == "complete"] == ["ours"]
    assert imported(folder) == []


@pytest.mark.parametrize(
    "command",
    [
        "worker --study ours --processes 1",
        "study list",
        "study show entry-data",
        "study trials module-data",
        "doctor",
    ],
)
def test_code_that_the_work_does_not_need_is_not_run(folder: Path, command: str) -> None:
    done = run(command, folder)
    assert done.returncode == 0, done.stderr
    assert imported(folder) == []
