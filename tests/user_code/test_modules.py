"""Networks and data of a user's own by `module:attribute`: what will do, and what is refused."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.support import tiny_studies
from tests.support.commands import run_hpo
from tests.support.own_code import POINTS, TINY, show, write
from tests.support.tiny_studies import must


NETS = """import torch
from torch import nn
from hpo import Architecture, Outputs
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
def halve(examples): return examples.subset(torch.arange(len(examples) // 2))
class Telling(nn.Module):
    def __init__(self, width=4, also="auxiliary"):
        super().__init__()
        self.also, self.answer = also, nn.Linear(392, 2)
    def forward(self, images):
        answers = self.answer(images.flatten(1))
        of_parts = answers[:, None].repeat(1, 2, 5)  # logits [N, 2, 10]
        return Outputs(answers, **{self.also: of_parts if self.also == "auxiliary" else -answers})
class Twofold(Telling):
    def forward(self, images): return self.answer(images.flatten(1)), images
def single(width=4):
    return nn.Sequential(good(width), nn.Linear(2, 1))
class Squeezed(Telling):
    def forward(self, images): return self.answer(images.flatten(1))[:, :1].squeeze()
class Decided(Telling):
    def forward(self, images): return self.answer(images.flatten(1)).argmax(1)
def swapped(width=4):
    return Telling(also="swapped")
def picky(width=4):
    if width == 2: raise ValueError("no twos")
    return good(width)
def move(examples, *, by=1):
    if by == 2: raise ValueError("no twos")
    return examples
LOSSY = Architecture(build=good, loss=lossy)
SHIFTED = Architecture(build=good, augment=shift)
OTHER = Architecture(build=good, task="tumours")
ALONE = Architecture(build=good)
LOST = Architecture(build=good, recipe="nowhere.yaml")
HALVED = Architecture(build=good, augment=halve)
MUTE = Architecture(build=good, auxiliary_loss=True)
ONE_WAY = Architecture(build=good, asymmetry_loss=True)
PARTS = Architecture(build=lambda width=4: Telling(), auxiliary_loss=True)
BOTH_WAYS = Architecture(build=swapped, asymmetry_loss=True)
FREE = Architecture(build=Telling, loss=lambda outputs, batch: outputs.auxiliary.square().mean())
PICKY = Architecture(build=picky, augment=move)
"""
ODD_POINTS = """import numpy as np
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
class Arrays(Odd):
    def changed(self, e): return Examples(e.inputs.numpy(), e.targets)
class ArrayTargets(Odd):
    def changed(self, e): return Examples(e.inputs, e.targets.numpy())
class Labelled(Odd):
    def changed(self, e): return Examples(e.inputs, e.targets, self.labels(e.targets))
class ArrayLabels(Labelled):
    def labels(self, targets): return targets[:, None].numpy()
class FewLabels(Labelled):
    def labels(self, targets): return targets[:3, None].repeat(1, 2)
class FlatLabels(Labelled):
    def labels(self, targets): return targets
class OneLabel(Labelled):
    def labels(self, targets): return targets[0]
class Sparse(Odd):
    def changed(self, e): return Examples(e.inputs.to_sparse(), e.targets)
class NoNumber(Odd):
    def changed(self, e): return Examples(e.inputs[0, 0], e.targets)
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
    "points.py": POINTS + ODD_POINTS,
    "raising.py": "raise RuntimeError('no\\nluck')",
    "leaving.py": "import sys; sys.exit(3)",
    "talking.py": "print('imported')\nfrom nets import good as build",
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
    "leaving:build": "importing leaving fails: SystemExit: 3; .* a script under if __name",
    "unfinished:build": "importing unfinished fails: SyntaxError: .*unfinished.py, line 1",
    "lacking:build": "importing lacking fails: ModuleNotFoundError: No module named 'not_there'",
    "nets:NUMBER": "should be a function or class that makes a network, .* its type is int",
    "nets:NETWORK": "its type is Linear",
    "nets:needy": "the factory of nets:needy needs depth: every parameter is a hyperparameter",
    "nets:nameless": r"the factory of nets:nameless takes \*\*options: hyperparameters have to",
    "nets:clashing": "nets:clashing has a hyperparameter momentum, but every training already has",
    "nets:text": "the factory of nets:text returns no torch module; it should return an nn.Module",
    "nets:refusing": "nets:refusing cannot be built with .*: KeyError: 'no such width'",
    "nets:points": r"cannot read its data \(float32 \[8, 2, 14, 14\]\) with .*: RuntimeError: mat1",
    "nets:single": r"answers 8 examples with float32 \[8, 1\]; it should return float32 \[8, 2\]",
    "nets:Squeezed": r"answers 8 examples with float32 \[8\]; it should return float32 \[8, 2\]",
    "nets:Decided": r"answers 8 examples with int64 \[8\]; it should return float32 \[8, 2\]",
    "nets:Twofold": "the network returns a tuple of Tensor, Tensor; .* hpo.Outputs",
    "nets:LOSSY": "nets:LOSSY cannot be trained on digits with .*: AttributeError: ",
    "nets:SHIFTED": "augment of nets:SHIFTED needs by: every parameter is a hyperparameter",
    "nets:HALVED": "augment of nets:HALVED makes 4 examples of 8; it should keep their number",
    "nets:Telling": "returns an output auxiliary, but its architecture says auxiliary_loss=False",
    "nets:swapped": "returns an output swapped, but its architecture says asymmetry_loss=False",
    "nets:MUTE": "returns no output auxiliary, but its architecture says auxiliary_loss=True",
    "nets:ONE_WAY": "returns no output swapped, but its architecture says asymmetry_loss=True",
    "nets:OTHER": "dataset: digits holds digit pairs, but nets:OTHER needs tumours; name another",
}
DATA_SETS = {
    "nowhere:Points": "data set nowhere:Points: the module nowhere is not installed",
    "points:Pionts": "did you mean Points",
    "points:needy": "points:needy cannot be made: TypeError: .*'folder'",
    "points:torch.pi": "its type is float",
    "points:torch.Tensor": "Tensor lacks name, task, default_train_size",
    "points:Without": "Without lacks max_test_size, draw_test; see hpo.DataSet",
    "points:Unread": "points:Unread has no fingerprint: OSError: no disk",
    "points:Doubles": "draw_train returns inputs of torch.float64; they should be float32",
    "points:DoubleTargets": r"returns targets of torch.float64 \[60\]; they should be classes",
    "points:Negative": "they should be classes from 0",
    "points:Holes": "returns values that are missing or infinite; leave such",
    "points:Short": "draw_train returns 30 inputs, 30 targets, not 60",
    "points:Arrays": "draw_train returns inputs of type ndarray, not a torch tensor",
    "points:ArrayTargets": "draw_train returns targets of type ndarray, not a torch tensor",
    "points:ArrayLabels": "draw_train returns auxiliary of type ndarray, not a torch tensor",
    "points:FewLabels": r"draw_train returns auxiliary labels \[3, 2\]; should be \[60, P\]",
    "points:FlatLabels": r"draw_train returns auxiliary labels \[60\]; should be \[60, P\]",
    "points:OneLabel": r"draw_train returns auxiliary labels \[\]; should be \[60, P\]",
    "points:Sparse": r"inputs as a tensor that is sparse \(.*\); .* dense tensor on the CPU",
    "points:NoNumber": "draw_train returns 0 inputs, 60 targets, not 60",
    "points:Pair": "draw_train returns a tuple; it should return hpo.Examples",
    "points:Random": "two draws of one size and seed differ",
    "points:Narrow": "points:Narrow cannot be drawn from: ValueError: Seed must be between",
    "points:OddError": "the error of the data set points:OddError is -1.0; it should be at least 0",
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

    def create(
        self, architecture: str, dataset: str, url: str, recipe: str = FILES["space.yaml"]
    ) -> tiny_studies.Done:
        space = Path(url.removeprefix("sqlite:///")).with_name("space.yaml")
        space.write_text(recipe.replace("NAME", architecture))
        names = ["--architecture", architecture, "--dataset", dataset, "--space", str(space)]
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

    @pytest.mark.parametrize("name", ["nets:PARTS", "nets:BOTH_WAYS", "nets:FREE"])
    def test_a_network_gives_what_its_architecture_promises(
        self, name: str, sqlite_url: str
    ) -> None:
        done = self.create(name, "digits", sqlite_url)
        assert done.code == 0, done.err

    @pytest.mark.parametrize(("parameter", "fails"), [("width", "built"), ("by", "trained")])
    @pytest.mark.parametrize(
        "written",
        [
            "{values: [1, 2, 3]}",
            "{type: int, values: [1, 2, 3]}",
            "{type: categorical, choices: [1, 2, 3]}",
        ],
    )
    def test_a_choice_that_will_not_do_is_found_at_creation(
        self, parameter: str, fails: str, written: str, sqlite_url: str
    ) -> None:
        recipe = f"{{architecture: NAME, parameters: {{{parameter}: {written}}}}}"
        done = self.create("nets:PICKY", "digits", sqlite_url, recipe)
        says = rf"nets:PICKY cannot be {fails} .*'{parameter}': 2.*: ValueError: no twos"
        self.check_refused(done, says, sqlite_url)
        assert self.create("nets:PICKY", "digits", sqlite_url, recipe.replace(" 2,", "")).code == 0

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
            ("nets:ALONE", "dataset: nets:ALONE has no default data set; name one with"),
            ("nets:LOST --dataset digits", "nowhere.yaml: cannot be read: No such file"),
        ],
    )
    def test_what_nobody_names_is_asked_for(self, name: str, says: str, sqlite_url: str) -> None:
        command = f"study create --architecture {name} --storage {sqlite_url}"
        self.check_refused(tiny_studies.hpo(command), says, sqlite_url)

    def test_what_a_module_prints_is_no_data(self, sqlite_url: str) -> None:
        done = self.create("talking:build", "digits", sqlite_url)
        assert done.code == 0, done.err
        assert json.loads(done.out)["name"] == "talking.build"
        assert "imported\n" in done.err

    def check_refused(self, done: tiny_studies.Done, says: str, url: str) -> None:
        assert done.code == 2, done.err
        assert re.fullmatch(rf"error: .*{says}.*\n", done.err), done.err
        assert not Path(url.removeprefix("sqlite:///")).exists()

    def test_a_trust_file_that_cannot_be_written_is_a_warning(
        self, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "taken").touch()
        monkeypatch.setenv("HPO_CONFIG_DIR", str(tmp_path / "taken" / "config"))
        done = self.create("nets:points", "points:Points", sqlite_url)
        assert done.code == 0
        assert "warning: cannot write the trust file" in done.err
        assert "start workers with --trust nets" in done.err

    def test_a_worker_with_another_version_of_the_file_refuses(
        self, sqlite_url: str, tmp_path: Path
    ) -> None:
        """Else it would leave out what it does not know and record the error of another network."""
        assert self.create("nets:points", "points:Points", sqlite_url).code == 0
        write(tmp_path / "older", FILES | {"nets.py": NETS.replace("width", "size")})
        command = ["worker", "--study", "nets.points", "--storage", sqlite_url, "--processes", "1"]
        command += ["--trust", "nets", "--trust", "points"]  # or it takes the files of the creation
        worker = run_hpo(*command, cwd=tmp_path / "older")
        assert worker.returncode == 2
        assert "error: no parameter of nets:points named 'width'; known: " in worker.stderr
        assert show("nets.points", sqlite_url)["trials"]["running"] == 0

    def test_a_file_does_not_hide_what_is_installed(self, sqlite_url: str) -> None:
        Path("alembic.py").write_text("raise RuntimeError('imported in place of the real one')")
        done = self.create("alembic:nothing", "digits", sqlite_url)
        self.check_refused(done, r"no attribute in alembic \(.*\) named 'nothing'", sqlite_url)
