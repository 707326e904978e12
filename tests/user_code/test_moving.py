"""A network and a data set that change the working folder move no file of hpo."""

import os
import sys
from pathlib import Path

import pytest

import hpo
from tests.support.own_code import POINTS, TINY, write
from tests.support.tiny_studies import must


MOVE = "import os\nos.chdir(os.environ['ELSEWHERE'])\n"
FILES = {
    "moving_net.py": f"""{MOVE}
from torch import nn
class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        os.chdir(os.environ['ELSEWHERE'])
        self.line = nn.Linear(3, 2)
    def forward(self, points):
        os.chdir(os.environ['ELSEWHERE'])
        return self.line(points)
""",
    "moving_data.py": MOVE + POINTS,
    "space.yaml": "{architecture: 'moving_net:Net', parameters: {width: {values: [2, 3]}}}",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder to which the network moves; the working folder holds the user's files."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(write(tmp_path / "here", FILES))
    monkeypatch.setenv("ELSEWHERE", str(folder))
    for name in ("moving_net", "moving_data"):  # each test imports them anew
        monkeypatch.delitem(sys.modules, name, raising=False)
    from hpo.architectures import architectures
    from hpo.datasets import datasets, make_once

    for registry in (architectures, datasets):
        monkeypatch.setattr(registry, "_adopted", {})
    make_once.cache_clear()
    return folder


def test_every_command_uses_the_folder_it_was_called_in(elsewhere: Path) -> None:
    here = Path.cwd()
    names = ["--architecture", "moving_net:Net", "--dataset", "moving_data:Points"]
    must("study", "create", "--name", "n", "--space", "space.yaml", *names, "--trials", "2", *TINY)
    assert Path.cwd() == here
    must("worker --study n --processes 1")
    must("export n -o best.yaml --weights best.safetensors")
    assert "complete" in must("study show n")
    assert list(elsewhere.iterdir()) == []
    written = {path.name for path in here.iterdir()}
    assert {"hpo.db", "best.yaml", "best.safetensors"} <= written
    assert hpo.load("best.yaml") is not None
    assert Path.cwd() == here


def test_a_relative_data_folder_stays_where_it_is(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hpo.datasets import mnist_files
    from hpo.io import folders

    monkeypatch.setenv("HPO_DATA_DIR", "data")
    write(Path("data"), {"one.gz": ""})
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    with folders.kept():
        os.chdir(elsewhere)
        assert (mnist_files.find({"one.gz": empty}) / "one.gz").exists()
