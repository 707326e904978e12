"""Networks and data of a user's own by `module:attribute`: what will do, and what is refused."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests import tiny_studies
from tests.commands import run_hpo
from tests.own_code import TINY, show, write
from tests.tiny_studies import must


NETS = """import torch
from torch import nn
from hpo import Architecture
NUMBER, NETWORK = 3, nn.Linear(3, 2)
def good(width=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(392, width), nn.Linear(width, 2))
def points(*, width=4):
    return nn.Linear(3, 2)
def needy(depth, width=4): ...
def nameless(**options): ...
def clashing(width=4, momentum=0.1):
    return good()
def text(width=4):
    return "network"
def refusing(width=4):
    raise KeyError("no such width")
def lossy(outputs, batch):
    return outputs.missing
def shift(examples, by): ...
LOSSY = Architecture(build=good, loss=lossy)
SHIFTED = Architecture(build=good, augment=shift)
OTHER = Architecture(build=good, task="tumours")
ALONE = Architecture(build=good)
LOST = Architecture(build=good, recipe="nowhere.yaml")
"""
POINTS = """import numpy as np
import torch
from hpo import Examples
class Points:
    name, task = "any", "points"
    default_train_size = max_train_size = 60
    default_test_size = max_test_size = 40
    def fingerprint(self):
        return "of points"
    def draw_train(self, n, seed):
        inputs = torch.rand(n, 3, generator=torch.Generator().manual_seed(seed)) - 0.5
        return Examples(inputs, (inputs[:, 0] > 0).long())
    def draw_test(self, n, seed):
        return self.draw_train(n, seed + 1)
POINTS = Points()
def made(): return Points()
def needy(folder): return Points()
class Without(Points):
    draw_test = max_test_size = None
class Unread(Points):
    def fingerprint(self): raise OSError("no disk")
class Odd(Points):
    def draw_train(self, n, seed):
        return self.changed(super().draw_train(n, seed))
class Doubles(Odd):
    def changed(self, e): return Examples(e.inputs.double(), e.targets)
class DoubleTargets(Odd):
    def changed(self, e): return Examples(e.inputs, e.targets.double())
class Negative(Odd):
    def changed(self, e): return Examples(e.inputs, e.targets - 1)
class Holes(Odd):
    def changed(self, e): return Examples(e.inputs / 0 * 0, e.targets)
class Short(Odd):
    def changed(self, e): return e.subset(torch.arange(30))
class Pair(Odd):
    def changed(self, e): return e.inputs, e.targets
class Random(Odd):
    def changed(self, e): return Examples(torch.rand(len(e), 3), e.targets)
class Narrow(Points):
    draw_test = Points.draw_train
    def draw_train(self, n, seed): np.random.RandomState(seed)
class OddError(Points):
    def error(self, answers, targets): return -1
class BadError(Points):
    def error(self, answers, targets): return answers.nothing
"""
FILES = {
    "nets.py": NETS,
    "points.py": POINTS,
    "raising.py": "raise RuntimeError('no\\nluck')",
    "leaving.py": "import sys; sys.exit(3)",
    "unfinished.py": "def build(:",
    "lacking.py": "import not_there.either",
    "space.yaml": "{architecture: NAME, parameters: {width: {type: int, low: 2, high: 4}}}",
}
NETWORKS = {
    "nowhere:build": "nowhere:build: the module nowhere is not installed on this machine; install",
    "nets.deeper:build": "the module nets.deeper is not installed on this machine",
    "nets:goood": r"no attribute in nets \(/.*nets.py\) named 'goood'; did you mean good",
    "nets.py:good": "name it as package.module:attribute, such as mynet:build",
    "./nets:good": "name it as package.module:attribute",
    "nets:": "name it as package.module:attribute",
    "raising:build": "importing raising fails: RuntimeError: no luck",
    "leaving:build": "importing leaving fails: SystemExit: 3",
    "unfinished:build": "importing unfinished fails: SyntaxError: .*unfinished.py, line 1",
    "lacking:build": "importing lacking fails: ModuleNotFoundError: No module named 'not_there'",
    "nets:NUMBER": "should be a function or class that makes a network, .* its type is int",
    "nets:NETWORK": "its type is Linear",
    "nets:needy": "the factory of nets:needy needs depth: every parameter is a hyperparameter",
    "nets:nameless": r"the factory of nets:nameless takes \*\*options: hyperparameters have to",
    "nets:clashing": "nets:clashing has a hyperparameter momentum, which is the name of one that",
    "nets:text": "the factory of nets:text gives no torch module",
    "nets:refusing": "nets:refusing cannot be built with .*: KeyError: 'no such width'",
    "nets:points": "nets:points cannot be trained on digits with .*: RuntimeError: mat1 and mat2",
    "nets:LOSSY": "nets:LOSSY cannot be trained on digits with .*: AttributeError: ",
    "nets:SHIFTED": "augment of nets:SHIFTED needs by: every parameter is a hyperparameter",
    "nets:OTHER": "dataset: digits holds digit pairs, but nets:OTHER is made for tumours",
}
DATA_SETS = {
    "nowhere:Points": "data set nowhere:Points: the module nowhere is not installed",
    "points:Pionts": "did you mean Points",
    "points:needy": "points:needy cannot be made: TypeError: .*'folder'",
    "points:torch.pi": "its type is float",
    "points:torch.Tensor": "Tensor lacks name, task, default_train_size",
    "points:Without": "Without lacks max_test_size, draw_test; see hpo.DataSet",
    "points:Unread": "points:Unread has no fingerprint: OSError: no disk",
    "points:Doubles": "draw_train gives inputs of torch.float64; they should be float32",
    "points:DoubleTargets": r"gives targets of torch.float64 \[60\]; they should be classes",
    "points:Negative": "they should be classes from 0",
    "points:Holes": "gives values that are missing or infinite",
    "points:Short": "draw_train gives 30 inputs, 30 targets, not 60",
    "points:Pair": "draw_train gives a tuple, not hpo.Examples",
    "points:Random": "two draws of one size and seed differ",
    "points:Narrow": "points:Narrow cannot be drawn from: ValueError: Seed must be between",
    "points:OddError": "the error of the data set points:OddError is -1.0; it should be from 0",
    "points:BadError": "nets:points cannot be trained on points:BadError with .*: AttributeError",
}


@pytest.fixture(autouse=True)
def _path_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder of a test stays on `sys.path` no longer than the test."""
    monkeypatch.setattr(sys, "path", [*sys.path])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the user's files."""
    return write(tmp_path_factory.mktemp("own"), FILES)


class TestByModule:
    @pytest.fixture(autouse=True)
    def _in_it(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)

    def create(self, architecture: str, dataset: str, url: str) -> tiny_studies.Done:
        space = Path(url.removeprefix("sqlite:///")).with_name("space.yaml")
        space.write_text(FILES["space.yaml"].replace("NAME", architecture))
        names: list[str | Path] = [
            "--architecture",
            architecture,
            "--dataset",
            dataset,
            "--space",
            space,
        ]
        return tiny_studies.hpo("study", "create", *names, "--storage", url, "--json", *TINY)

    @pytest.mark.parametrize("dataset", ["points:Points", "points:made", "points:POINTS"])
    def test_a_class_a_function_and_an_object_are_data_sets(
        self, dataset: str, sqlite_url: str
    ) -> None:
        done = self.create("nets:points", dataset, sqlite_url)
        assert done.code == 0, done.err
        frozen = json.loads(done.out)
        assert (frozen["name"], frozen["dataset"]) == ("nets.points", dataset)
        assert must("data", "fetch", dataset) == ""

    @pytest.mark.parametrize(("name", "says"), NETWORKS.items(), ids=list(NETWORKS))
    def test_a_network_that_will_not_do_is_refused_in_one_line(
        self, name: str, says: str, sqlite_url: str
    ) -> None:
        self.check_refused(self.create(name, "digits", sqlite_url), says, sqlite_url)

    @pytest.mark.parametrize(("name", "says"), DATA_SETS.items(), ids=list(DATA_SETS))
    def test_a_data_set_that_will_not_do_is_refused_in_one_line(
        self, name: str, says: str, sqlite_url: str
    ) -> None:
        self.check_refused(self.create("nets:points", name, sqlite_url), says, sqlite_url)

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("nets:ALONE --dataset digits", "there is no recipe for nets:ALONE; give one with"),
            ("nets:ALONE", "dataset: nets:ALONE has none of its own; name one with --dataset"),
            ("nets:LOST --dataset digits", "nowhere.yaml: cannot be read: No such file"),
        ],
    )
    def test_what_neither_the_user_nor_the_architecture_names_is_asked_for(
        self, name: str, says: str, sqlite_url: str
    ) -> None:
        command = f"study create --architecture {name} --storage {sqlite_url}"
        self.check_refused(tiny_studies.hpo(command), says, sqlite_url)

    def check_refused(self, done: tiny_studies.Done, says: str, url: str) -> None:
        assert done.code == 2, done.err
        assert re.fullmatch(rf"error: .*{says}.*\n", done.err), done.err
        assert not Path(url.removeprefix("sqlite:///")).exists()

    def test_a_worker_with_another_version_of_the_file_refuses(
        self, sqlite_url: str, tmp_path: Path
    ) -> None:
        """Else it would leave out what it does not know and record the error of another network."""
        assert self.create("nets:points", "points:Points", sqlite_url).code == 0
        write(tmp_path / "older", FILES | {"nets.py": NETS.replace("width", "size")})
        command = ["worker", "--study", "nets.points", "--storage", sqlite_url, "--processes", "1"]
        worker = run_hpo(*command, cwd=tmp_path / "older")
        assert worker.returncode == 2
        assert "error: no parameter of nets:points named 'width'; known: " in worker.stderr
        assert show("nets.points", sqlite_url)["trials"]["running"] == 0

    def test_a_file_does_not_hide_what_is_installed(self, sqlite_url: str) -> None:
        Path("wave.py").write_text("raise RuntimeError('imported in place of the real one')")
        done = self.create("wave:nothing", "digits", sqlite_url)
        self.check_refused(done, r"no attribute in wave \(.*\) named 'nothing'", sqlite_url)
