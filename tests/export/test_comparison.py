"""An export whose network would answer otherwise than the trained one is refused, with the reason.

Most networks here are compared within this process: a second network stands for the loaded one.
"""

import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

import hpo
from hpo.errors import HpoError, StoppedError
from hpo.export import comparison
from hpo.export.load import network
from hpo.export.state import describe
from hpo.export.weights import serialize
from hpo.training.split import Standardize
from tests.support import tiny_studies
from tests.support.own_code import POINTS, TINY, write
from tests.support.tiny_studies import must


class Net(nn.Module):
    """A network of three numbers; `make` gives it what a test is about."""

    def __init__(self, make: Callable[["Net"], object] = lambda net: None) -> None:
        super().__init__()
        self.line = nn.Linear(3, 2)
        self.inner = nn.Sequential(nn.Identity(), nn.Identity())
        make(self)

    def forward(self, points: Tensor) -> Tensor:
        return self.line(points)  # type: ignore[no-any-return]


class Average:
    """No module, but it keeps a tensor."""

    def __init__(self) -> None:
        self.parts = {"mean": torch.randn(3)}


class Slotted:
    """It keeps a tensor, but has no `__dict__`."""

    __slots__ = ("mean",)

    def __init__(self) -> None:
        self.mean = torch.randn(3)

    def centred(self, points: Tensor) -> Tensor:
        return points - self.mean


def centring() -> Callable[[Tensor], Tensor]:
    mean = torch.randn(3)
    return lambda points: points - mean


def remembering() -> Callable[[Tensor], Tensor]:
    def centred(points: Tensor, mean: Tensor = torch.randn(3)) -> Tensor:  # noqa: B008
        return points - mean

    return centred


def hooked(net: Net) -> None:
    mean = torch.randn(3)
    net.line.register_forward_pre_hook(lambda _, points: (points[0] - mean,))


def hidden_in_an_inner_module(net: Net) -> None:
    net.inner[1].scale = torch.randn(1)


def not_persistent(net: Net) -> None:
    net.register_buffer("mask", torch.randn(3), persistent=False)


UNSAVED: dict[str, tuple[Callable[[Net], object], list[str]]] = {
    "a plain tensor": (lambda net: setattr(net, "m", torch.randn(2)), ["m"]),
    "in a list": (lambda net: setattr(net, "m", [torch.zeros(1), torch.randn(2)]), ["m[1]"]),
    "in a dict": (lambda net: setattr(net, "m", {"a": (torch.randn(2),)}), ["m['a'][0]"]),
    "in an object": (lambda net: setattr(net, "m", Average()), ["m.parts['mean']"]),
    "in slots": (lambda net: setattr(net, "m", Slotted()), ["m.mean"]),
    "of a method": (lambda net: setattr(net, "m", Slotted().centred), ["m.mean"]),
    "outside of a function": (lambda net: setattr(net, "m", centring()), ["m.mean"]),
    "a default value": (lambda net: setattr(net, "m", remembering()), ["m.mean"]),
    "in a partial": (lambda net: setattr(net, "m", partial(torch.add, torch.randn(3))), ["m[0]"]),
    "an array": (lambda net: setattr(net, "m", np.random.rand(2)), ["m"]),  # noqa: NPY002
    "a number": (lambda net: setattr(net, "m", random.random()), ["m"]),
    "a generator": (lambda net: setattr(net, "m", torch.Generator()), ["m"]),
    "modules in a list": (
        lambda net: setattr(net, "m", [nn.Linear(1, 1)]),
        ["m[0].weight", "m[0].bias"],
    ),
    "a buffer that is not persistent": (not_persistent, ["mask"]),
    "in an inner module": (hidden_in_an_inner_module, ["inner.1.scale"]),
}


@pytest.mark.parametrize(("make", "names"), UNSAVED.values(), ids=list(UNSAVED))
def test_a_value_that_is_not_saved_is_named(
    make: Callable[[Net], object], names: list[str]
) -> None:
    trained, loaded = Net(make), Net(make)
    loaded.load_state_dict(trained.state_dict())
    for generator in vars(trained).values():
        if isinstance(generator, torch.Generator):
            generator.seed()
    assert unsaved(trained, loaded) == names


def test_what_a_hook_keeps_is_named() -> None:
    trained, loaded = Net(hooked), Net(hooked)
    loaded.load_state_dict(trained.state_dict())
    assert unsaved(trained, loaded) == ["line._forward_pre_hooks[0].mean"]


class Unprintable:
    def __repr__(self) -> str:
        raise ZeroDivisionError


def test_a_value_without_a_text_does_no_harm() -> None:
    assert "m" in describe(Net(lambda net: setattr(net, "m", {1, Unprintable()})))


def unsaved(trained: nn.Module, loaded: nn.Module) -> list[str]:
    states = describe(trained), describe(loaded)
    return comparison.unsaved_names(*states, saved=trained.state_dict())


def test_the_network_s_tensors_are_named_first() -> None:
    trained = {"calls": "1", "net:STATE": "tensor 1", "mean": "tensor 1", "line": "tensor 1"}
    loaded = {name: text.replace("1", "2") for name, text in trained.items()}
    names = comparison.unsaved_names(trained, loaded, saved={"line"})
    assert names == ["mean", "calls", "net:STATE"]


class Counting(Net):
    """Keeps its state in the class."""

    mean: Tensor | None = None


def test_state_in_the_class_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Counting()
    before = describe(net)
    monkeypatch.setattr(Counting, "mean", torch.ones(1))
    names = comparison.unsaved_names(describe(net), before, saved=net.state_dict())
    assert names == [f"{__name__}:Counting.mean"]


def normed() -> nn.Module:
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    second.weight = first.weight
    normed = (weight_norm(nn.Linear(3, 4)), spectral_norm(nn.Linear(4, 4)), nn.BatchNorm1d(4))
    return nn.Sequential(first, second, *normed, nn.Linear(4, 2))


SAVED: dict[str, Callable[[], nn.Module]] = {
    "normed and tied": normed,
    "double": lambda: nn.Linear(3, 2).double(),
    "half": lambda: nn.Linear(3, 2).half(),
    "complex": lambda: nn.Linear(3, 2, dtype=torch.complex64),
    "recurrent": lambda: nn.LSTM(3, 2),
}


@pytest.mark.parametrize("make", SAVED.values(), ids=list(SAVED))
def test_what_a_state_dict_holds_is_saved(make: Callable[[], nn.Module]) -> None:
    trained, loaded = make(), make()
    for weight in trained.parameters():
        weight.grad = torch.ones_like(weight)
    loaded.load_state_dict(trained.state_dict())
    assert unsaved(trained, loaded) == []
    assert serialize(network(Standardize(), trained))


def buffer(make: Callable[[], Tensor]) -> Callable[[Net], object]:
    return lambda net: net.inner[0].register_buffer("kept", make())


class Extra(nn.Identity):
    """Its extra state is no tensor."""

    def get_extra_state(self) -> Any:
        return {"seen": 3}


UNSERIALIZABLE: dict[str, tuple[Callable[[Net], object], str]] = {
    "a dict": (
        lambda net: net.inner.append(Extra()),
        "inner.2._extra_state is a dict.*; let get_extra_state return a tensor",
    ),
    "sparse": (buffer(lambda: torch.eye(3).to_sparse()), "inner.0.kept .*torch.sparse_coo"),
    "sparse rows": (
        buffer(lambda: torch.eye(3).to_sparse_csr()),
        "inner.0.kept .*torch.sparse_csr",
    ),
    "complex128": (
        buffer(lambda: torch.ones(2, dtype=torch.complex128)),
        "inner.0.kept .*complex128",
    ),
    "quantised": (
        buffer(lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)),
        "inner.0.kept .*qint8",
    ),
    "without memory": (buffer(lambda: torch.ones(2, device="meta")), "inner.0.kept "),
}


@pytest.mark.filterwarnings("ignore")  # torch warns of its sparse and quantised tensors
@pytest.mark.parametrize(("make", "says"), UNSERIALIZABLE.values(), ids=list(UNSERIALIZABLE))
def test_what_a_file_of_weights_cannot_hold_is_named(
    make: Callable[[Net], object], says: str
) -> None:
    with pytest.raises(HpoError, match=f"^the weights cannot be saved: {says}") as refused:
        serialize(network(Standardize(), Net(make)))
    assert len(str(refused.value).splitlines()) == 1


class TestAnswers:
    def test_a_network_may_draw_when_it_answers(self) -> None:
        class Drawing(Net):
            def forward(self, points: Tensor) -> Tensor:
                noise = random.random() + np.random.rand()  # noqa: NPY002
                return functional.dropout(self.line(points), 0.5) + noise

        drawing, inputs = Drawing(), torch.rand(450, 3)
        before = random.getstate()
        first, second = (comparison.answers(drawing, inputs) for _ in range(2))
        assert random.getstate() == before, "the program's own numbers are not disturbed"
        assert first[0].shape == (450, 2)
        assert comparison.are_equal(first, second)

    @pytest.mark.parametrize(
        ("change", "is_equal"), [(0.0, True), (1e-6, True), (1e-2, False), (torch.inf, False)]
    )
    def test_only_rounding_is_the_same(self, change: float, is_equal: bool) -> None:
        expected = torch.rand(9, 2)
        found = expected.clone()
        found[4, 1] += change
        assert comparison.are_equal([expected], [found]) is is_equal

    def test_a_large_offset_hides_no_difference(self) -> None:
        expected = 10_000 + torch.rand(9, 2)
        assert not comparison.are_equal([expected], [expected.flip(0)])


NETS = """\
import torch
from torch import nn
print("nets is imported")
class Centred(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.line, self.means = nn.Linear(3, 2), []
    def forward(self, points):
        print("an answer")
        if self.training:
            self.means = [points.mean(0).detach()]
        return self.line(points - self.means[0])
class Drifting(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.line = nn.Linear(3, 2)
        self.register_buffer("answered", torch.zeros(()))
    def forward(self, points):
        if not self.training:
            self.answered += 1
        return self.line(points * self.answered)
class Sound(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.wave, self.line = nn.Linear(3, 4, dtype=torch.complex64), nn.Linear(4, 2)
        self.calls = 0
    def forward(self, points):
        print("an answer")
        self.calls += 1
        return nn.functional.dropout(self.line(self.wave(points + 0j).abs()), 0.1)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, which is the working folder."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("kept_nets", "kept_points"):  # those of another test's folder
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.chdir(write(tmp_path, {"kept_nets.py": NETS, "kept_points.py": POINTS}))
    return tmp_path


def search(name: str) -> None:
    Path("space.yaml").write_text(f"{{architecture: {name}, parameters: {{learning_rate: 0.01}}}}")
    create = ["study", "create", "--architecture", name, "--dataset", "kept_points:Points"]
    must(*create, "--name", "own", "--space", "space.yaml", *TINY)
    hpo.run_worker("own")


@contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    before = sorted(folder.iterdir())
    yield
    assert [path for path in sorted(folder.iterdir()) if path not in before] == []


def test_an_export_that_would_fail_is_refused(folder: Path) -> None:
    search("kept_nets:Centred")
    with nothing_left(folder):
        done = tiny_studies.hpo("export own -o best.yaml --weights best.safetensors")
    assert (done.code, done.out) == (1, "")
    error = done.err.splitlines()[-1]
    assert re.search(r"fails \(IndexError: .*\): means\[0\] is not saved; keep", error), error
    assert "training test run 0 again" in done.err


def test_a_network_that_answering_changes_is_refused(folder: Path) -> None:
    search("kept_nets:Drifting")
    with nothing_left(folder), pytest.raises(HpoError, match=r"answering changes answered$"):
        hpo.export_study("own", output="best.yaml", weights="best.safetensors")


def test_an_export_that_is_terminated_leaves_nothing_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, {"stopped_nets.py": NETS})
    search("stopped_nets:Sound")
    (folder / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "temporary"))
    stopping = "import os, signal, time\nos.kill(os.getppid(), signal.SIGTERM)\ntime.sleep(600)\n"
    (folder / "stopped_nets.py").write_text(stopping)  # this process has imported it already
    with nothing_left(folder), pytest.raises(StoppedError, match=r"^stopped before") as stopped:
        hpo.export_study("own", output="best.yaml", weights="best.safetensors")
    assert stopped.value.exit_code == 143
    assert list((folder / "temporary").iterdir()) == []


@pytest.mark.usefixtures("folder")
def test_a_true_export_is_written_and_printing_does_no_harm() -> None:
    search("kept_nets:Sound")
    done = tiny_studies.hpo("export own --weights best.safetensors")
    assert done.code == 0, done.err
    Path("best.yaml").write_text(done.out)
    assert "an answer" in done.err
    model = hpo.load("best.yaml")
    assert model(torch.rand(5, 3)).shape == (5, 2)
