"""The commands use a user's own modules on the machine that created a study, and ask elsewhere."""

from pathlib import Path

import pytest
import yaml

import hpo
from hpo.errors import InputError
from tests.support.commands import run_hpo, run_in_turn
from tests.support.own_code import POINTS, TINY, write
from tests.support.tiny_studies import Done, must


NET = """\
from pathlib import Path
from torch import nn
with Path(__file__).with_name("imported").open("a") as marks:
    print(__name__, file=marks)
def build(width=4):
    return nn.Linear(3, width)
"""
FILES = {
    "trusted_net.py": NET,
    "trusted_points.py": POINTS,
    "space.yaml": "{architecture: 'trusted_net:build', parameters: {width: 2}}",
}
CREATE = [
    *("study", "create", "--architecture", "trusted_net:build", "--dataset"),
    *("trusted_points:Points", "--space", "space.yaml", "--trials", "1", *TINY),
]
FLAGS = "--trust trusted_net --trust trusted_points"
EXPORT = "export done -o new.yaml --weights new.safetensors"
WORK = "worker --study open --processes 1"
ELSEWHERE = (
    WORK,
    EXPORT,
    "export done -o plain.yaml",
    "study pause open",
    "study resume open",
    f"{WORK} --no-foreign-code {FLAGS}",
    f"{WORK} --trust trusted_net",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The user's folder with the studies `done`, complete and exported, and `open`."""
    folder = write(tmp_path_factory.mktemp("made"), FILES)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        must(*CREATE, "--name", "done")
        must("worker --study done --processes 1")
        must("export done -o best.yaml --weights best.safetensors")
        must(*CREATE, "--name", "open")
    (folder / "imported").unlink()
    return folder


@pytest.fixture(scope="module")
def elsewhere(made: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """What commands say to a user who has named nothing yet, in one process, in the same folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPO_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))
        results = run_in_turn(*ELSEWHERE, cwd=made)
    return dict(zip(ELSEWHERE, results, strict=True))


def test_a_worker_asks_for_all_that_is_missing(elsewhere: dict[str, Done], made: Path) -> None:
    done = elsewhere[WORK]
    assert done.code == 2
    (error,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert "you have not trusted the module trusted_net" in error
    assert f"add {FLAGS} (in Python: trust=['trusted_net', 'trusted_points'])" in error
    assert not (made / "imported").exists()


def test_an_export_with_weights_asks_and_writes_nothing(
    elsewhere: dict[str, Done], made: Path
) -> None:
    assert elsewhere[EXPORT].code == 2
    assert "add --trust trusted_" in elsewhere[EXPORT].err
    assert not list(made.glob("*new*"))


def test_what_imports_nothing_needs_no_trust(elsewhere: dict[str, Done]) -> None:
    for command in ("export done -o plain.yaml", "study pause open", "study resume open"):
        assert elsewhere[command].code == 0, elsewhere[command].err


def test_one_flag_of_two_is_not_enough(elsewhere: dict[str, Done]) -> None:
    done = elsewhere[f"{WORK} --trust trusted_net"]
    assert done.code == 2
    assert "add --trust trusted_points (in" in done.err


def test_no_foreign_code_is_stronger_than_trust(elsewhere: dict[str, Done]) -> None:
    done = elsewhere[f"{WORK} --no-foreign-code {FLAGS}"]
    assert done.code == 2
    assert "'trusted_net:build' is not part of hpo; --no-foreign-code allows" in done.err


def test_ones_own_export_loads_and_anothers_asks(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made / "best.yaml"
    assert hpo.load(path)
    with pytest.raises(InputError, match="is not part of hpo"):
        hpo.load(path, foreign_code=False)
    monkeypatch.setenv("HPO_CONFIG_DIR", str(tmp_path))
    with pytest.raises(InputError, match=r"you have not trusted .* \(in Python: trust=\['trusted"):
        hpo.load(path)
    assert hpo.load(path, trust=["trusted_net"])
    assert hpo.load(path, trust="trusted_net")
    with pytest.raises(InputError, match=r"^trust: should be "):
        hpo.load(path, trust=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["timeit:timeit", "os:system", "hpo:run_worker", "torch.hub:load"])
def test_an_export_of_somebody_runs_no_function(name: str, tmp_path: Path) -> None:
    (tmp_path / "best.yaml").write_text(
        yaml.safe_dump({"hpo_export": 1, "architecture": name, "hyperparameters": {}})
    )
    with pytest.raises(InputError, match=r"standard library|you have not trusted the module"):
        hpo.load(tmp_path / "best.yaml")


@pytest.mark.chaos
@pytest.mark.short_on
def test_worker_processes_take_the_flags_and_nothing_else_of_the_folder(
    made: Path, tmp_path: Path
) -> None:
    shadows = ("random", "socket", "pickle", "selectors", "pandas", "signal")
    for name in shadows:
        (made / f"{name}.py").write_text(f"open('ran', 'a').write('{name} ')")
    worker = ["worker", "--study", "open", "--processes", "2"]
    env = {"HPO_CONFIG_DIR": str(tmp_path), "HPO_TRUST": "trusted_points"}
    done = run_hpo(*worker, "--trust", "trusted_net", cwd=made, env=env)
    assert done.returncode == 0, done.stderr
    export = ["export", "open", "-o", "open.yaml", "--weights", "open.safetensors"]
    done = run_hpo(*export, "--trust", "trusted_net", cwd=made, env=env)
    assert done.returncode == 0, done.stderr
    assert not (made / "ran").exists()
