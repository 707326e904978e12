"""A damaged or edited export is refused in one line, and nothing in it is run."""

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import hpo
from hpo.errors import InputError
from tests.support.tiny_studies import RECIPE, TINY, write_recipe


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole export, with weights."""
    folder = tmp_path_factory.mktemp("study")
    url = f"sqlite:///{folder / 'hpo.db'}"
    space = write_recipe(folder)
    hpo.create_study("siamese", storage=url, space=space, trials=2, **TINY)
    hpo.run_worker("siamese", storage=url)
    path = folder / "export" / "best.yaml"
    path.parent.mkdir()
    weights = path.with_name("best.safetensors")
    hpo.export_study("siamese", storage=url, output=path, weights=weights)
    return path.parent


@pytest.fixture
def exported(whole: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(whole, tmp_path / "copy")) / "best.yaml"


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def edit(path: Path) -> None:
        content = read(path)
        change(content)
        path.write_text(yaml.safe_dump(content))

    return edit


def reweighted(
    path: Path, change: Callable[[str, torch.Tensor], torch.Tensor], prefix: str = ""
) -> None:
    """Change all weights of an export, or their names."""
    file = path.with_name("best.safetensors")
    tensors = {prefix + name: change(name, tensor) for name, tensor in load_file(file).items()}
    save_file(tensors, file)


def sparse_means(path: Path) -> None:
    """Weights whose means are many, in a file that takes no room: it is one hole."""
    header = {"0.mean": {"dtype": "F32", "shape": [2**26], "data_offsets": [0, 2**28]}}
    written = json.dumps(header).encode()
    with path.with_name("best.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(written)) + written)
        file.truncate(8 + len(written) + 2**28)


def many_tensors(path: Path) -> None:
    """Weights of many empty tensors, each of which takes time to load."""
    header = {f"{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(1_000)}
    written = json.dumps(header).encode()
    content = struct.pack("<Q", len(written)) + written
    path.with_name("best.safetensors").write_bytes(content)


def as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "not there": (lambda p: p.unlink(), "cannot read .*No such file"),
    "a text": (lambda p: p.write_text("hello"), "is not an export of a study; make one with: hpo"),
    "empty": (lambda p: p.write_text(""), "is not an export"),
    "no YAML": (lambda p: p.write_text("a: ["), "cannot read "),
    "no text": (lambda p: p.write_bytes(b"\xff\xfe\x00"), "cannot read "),
    "a recipe": (lambda p: p.write_text(RECIPE), "is not an export"),
    "another format": (edited(lambda e: e.update(hpo_export=2)), "is not an export"),
    "no architecture": (edited(lambda e: e.pop("architecture")), "architecture .* missing"),
    "no hyperparameters": (edited(lambda e: e.pop("hyperparameters")), "hyperparameters .* missin"),
    "an unknown architecture": (
        edited(lambda e: e.update(architecture="siamse")),
        "no architecture named 'siamse'; did you mean siamese",
    ),
    "an unknown parameter": (
        edited(lambda e: e["hyperparameters"].update(droput=0.1)),
        "no parameter of siamese named 'droput'; did you mean dropout",
    ),
    "a wrong parameter": (
        edited(lambda e: e["hyperparameters"].update(merge="sum")),
        "merge is 'sum'; allowed",
    ),
    "too few channels": (
        edited(lambda e: e["hyperparameters"].update(channels=[2, 4])),
        "siamese cannot be built",
    ),
    "other channels": (
        edited(lambda e: e["hyperparameters"].update(channels=[8, 8, 8])),
        "the weights in .* cannot be used",
    ),
    "a layer without end": (
        edited(lambda e: e["hyperparameters"].update(channels=[2, 4, 200_000_000])),
        "the network would hold more than",
    ),
    "layers without end and no weights": (
        edited(lambda e: (e.pop("weights"), e["hyperparameters"].update(channels=[10**6] * 3))),
        "the network would hold more than",
    ),
    "a layer below 0": (
        edited(lambda e: e["hyperparameters"].update(channels=[2, 4, -5])),
        "siamese cannot be built",
    ),
    "a layer of text": (
        edited(lambda e: e["hyperparameters"].update(channels=["x" * 900] * 3)),
        "siamese cannot be built .* characters left out",
    ),
    "a version that is a truth": (edited(lambda e: e.update(hpo_export=True)), "is not an export"),
    "a number of base 60 without end": (
        lambda p: p.write_text(p.read_text() + f"x: {':'.join(['1'] * 400)}.0\n"),
        "cannot read .*not YAML",
    ),
    "a pipe": (as_pipe, "cannot read .*best.yaml: it is no regular file"),
    "a pipe for weights": (
        lambda p: as_pipe(p.with_name("best.safetensors")),
        "the weights in .* cannot be used: it is no regular file",
    ),
    "a device for weights": (
        edited(lambda e: e["weights"].update(file="/dev/zero")),
        "the weights in /dev/zero cannot be used: it is no regular file",
    ),
    "a zero in the name of the weights": (
        edited(lambda e: e["weights"].update(file="a\0b")),
        "the weights in .* cannot be used: embedded null",
    ),
    "a name of two lines": (
        edited(lambda e: e.update(architecture="a\nb:c")),
        "architecture 'a.nb:c': name it as package.module:attribute",
    ),
    "means without end": (sparse_means, "standardize more than 10,000,000 features"),
    "tensors without end": (many_tensors, "they are 1,000 tensors, but the network has"),
    "escape sequences in the name of the weights": (
        edited(lambda e: e["weights"].update(file="a\n\x1b[31m")),
        r"the weights in .*/a\\n\\x1b\[31m cannot be used: No such file",
    ),
    "weights gone": (
        lambda p: p.with_name("best.safetensors").unlink(),
        "the weights in .*best.safetensors cannot be used: No such file",
    ),
    "weights cut short": (
        lambda p: p.with_name("best.safetensors").write_bytes(b"abc"),
        "the weights in .* cannot be used",
    ),
    "weights that are a pickle": (
        lambda p: torch.save({"0.mean": torch.zeros(())}, p.with_name("best.safetensors")),
        "the weights in .* cannot be used",
    ),
    "weights of another type": (
        lambda p: reweighted(p, lambda name, tensor: tensor.int()),
        "the weights in .* cannot be used: .* has the dtype torch.int32, not torch.float32",
    ),
    "weights of another shape": (
        lambda p: reweighted(p, lambda name, tensor: tensor.flatten()),
        "the weights in .* cannot be used: .* size mismatch",
    ),
    "a weight of another name": (
        lambda p: reweighted(p, lambda name, tensor: tensor, "extra."),
        "the weights in .* cannot be used: .* (Missing|Unexpected) key",
    ),
    "a folder for weights": (
        edited(lambda e: e["weights"].update(file=".")),
        "the weights in .* cannot be used",
    ),
    "a key twice": (lambda p: p.write_text(p.read_text() + "trial: 7\n"), "'trial' occurs twice"),
    "anchors": (lambda p: p.write_text(p.read_text() + "x: &x 1\n"), "anchors and aliases"),
    "no end": (lambda p: p.write_text("[" * 200_000), "nested more than 20 levels deep"),
    "weights of no name": (edited(lambda e: e.update(weights=True)), "weights should name a file"),
}


@pytest.mark.parametrize(("damage", "says"), DAMAGE.values(), ids=list(DAMAGE))
def test_a_damaged_export_is_refused_in_one_line(
    exported: Path, damage: Callable[[Path], object], says: str
) -> None:
    damage(exported)
    with pytest.raises(InputError, match=says) as refused:
        hpo.load(exported)
    assert len(str(refused.value).splitlines()) == 1


def test_a_small_number_in_json_is_a_number(exported: Path) -> None:
    """YAML would take JSON's 1e-07 for a word."""
    found = read(exported) | {"weights": None}
    found["hyperparameters"]["dropout"] = 1e-07
    exported.with_suffix(".json").write_text(json.dumps(found))
    model = hpo.load(exported.with_suffix(".json"))
    assert 1e-07 in {each.p for each in model.modules() if isinstance(each, torch.nn.Dropout)}
