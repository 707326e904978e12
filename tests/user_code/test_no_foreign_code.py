"""Code that is not part of hpo runs where a study names it, and nowhere with --no-foreign-code."""

import json
from pathlib import Path

import pytest

from tests.support.commands import run_in_turn
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
    "ours": "--architecture siamese --dataset digits --space siamese.yaml --trials 2",
}
FOREIGN = [name for name in STUDIES if name != "ours"]


pytestmark = [pytest.mark.chaos, pytest.mark.short_on]


@pytest.fixture(scope="module")  # Python imports a module once a process
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


def imported(folder: Path) -> list[str]:
    """What was imported since it was asked last."""
    marks = folder / "site" / "imported"
    found = marks.read_text().split() if marks.exists() else []
    marks.unlink(missing_ok=True)
    return found


REFUSAL = "is not part of hpo; --no-foreign-code allows no other code"
REFUSED = tuple(f"worker --study {name} --no-foreign-code --processes 1" for name in FOREIGN)
HARMLESS = (
    "study show entry-data",
    "study trials module-data",
    "doctor",
    "worker --study ours --processes 1 --max-trials 1",
    "study list --json",
)
OTHERS = ("worker --no-foreign-code --processes 1", "study list --json")


@pytest.fixture(scope="module")
def done(made: Path) -> dict[str, Done]:
    """What all commands said, one after another in one process that has imported nothing yet."""
    commands = (*REFUSED, *HARMLESS, *OTHERS)
    results = run_in_turn(*commands, path=made / "site", cwd=made)
    assert imported(made) == []
    return dict(zip(commands, results, strict=True))


def test_a_worker_may_refuse_foreign_code_unseen(done: dict[str, Done]) -> None:
    for command in REFUSED:
        (error,) = [line for line in done[command].err.splitlines() if line.startswith("error: ")]
        assert done[command].code == 2
        assert REFUSAL in error


def test_several_processes_refuse_foreign_code_unseen(made: Path) -> None:
    command = "worker --study module --no-foreign-code --processes 2"
    (refused,) = run_in_turn(command, path=made / "site", cwd=made)
    assert refused.code == 2
    assert REFUSAL in refused.err
    assert imported(made) == []


def test_code_that_the_work_does_not_need_is_not_run(done: dict[str, Done]) -> None:
    for command in HARMLESS:
        assert done[command].code == 0, done[command].err


def test_a_worker_that_refuses_it_does_the_other_studies(done: dict[str, Done]) -> None:
    command, listing = OTHERS
    assert done[command].code == 0, done[command].err
    assert "study module is left out here: architecture 'theirs:build' is not" in done[command].err
    states = {each["name"]: each["state"] for each in json.loads(done[listing].out)}
    assert states == dict.fromkeys(FOREIGN, "searching") | {"ours": "complete"}


def test_refused_work_is_not_begun(done: dict[str, Done]) -> None:
    for study in json.loads(done[OTHERS[-1]].out):
        trials = study["trials"]
        begun = trials["running"] + trials["failed"] + trials["complete"] + trials["pruned"]
        assert begun == (2 if study["name"] == "ours" else 0)
