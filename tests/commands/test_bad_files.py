"""Damaged data files and edited exports are told in one line."""

import copy
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpo.datasets import make_once
from tests.support.bad_input import CREATE, INPUT, check_refused
from tests.support.commands import clean_environment, without_roots_rights
from tests.support.tiny_studies import must, tiny_flags, write_recipe


pytestmark = pytest.mark.usefixtures("workplace")


MNIST = os.environ.get("HPO_DATA_DIR")
IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


@pytest.fixture
def mnist(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MNIST's files as links in a folder of the test's own, the one that hpo looks in."""
    if not MNIST:
        pytest.skip("HPO_DATA_DIR names no folder with MNIST")
    own = workplace / "mnist"
    own.mkdir()
    for path in Path(MNIST).rglob("*-ubyte.gz"):
        (own / path.name).symlink_to(path)
    monkeypatch.setenv("HPO_DATA_DIR", str(own))
    make_once.cache_clear()  # what an earlier test has read is not asked for again
    return own


def test_a_missing_file_of_mnist_is_named(mnist: Path) -> None:
    (mnist / LABELS).unlink()
    check_refused(f"{CREATE} --dataset mnist", INPUT, rf"{LABELS} missing in .*HPO_DATA_DIR")


def test_a_truncated_file_of_mnist_is_named(mnist: Path) -> None:
    whole = (mnist / LABELS).read_bytes()
    (mnist / LABELS).unlink()
    (mnist / LABELS).write_bytes(whole[:-100])
    check_refused(f"{CREATE} --dataset mnist", INPUT, f"{LABELS} is damaged, .* replace it")
    check_refused("data fetch mnist", INPUT, f"{LABELS} is damaged")


def test_swapped_files_of_mnist_are_named(mnist: Path) -> None:
    (mnist / IMAGES).rename(mnist / "aside")
    (mnist / LABELS).rename(mnist / IMAGES)
    (mnist / "aside").rename(mnist / LABELS)
    check_refused(f"{CREATE} --dataset mnist", INPUT, f"{IMAGES} holds {LABELS}")


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "HPO_DATA_DIR"])
def test_a_folder_that_this_user_may_not_enter_holds_no_mnist(
    variable: str, workplace: Path
) -> None:
    closed = workplace / "closed"
    closed.mkdir(mode=0)
    program = "from hpo.datasets.mnist_files import find, is_here; is_here() and find()"
    done = subprocess.run(
        [*without_roots_rights(), sys.executable, "-c", program],
        env=clean_environment() | {variable: str(closed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PermissionError" not in done.stderr
    assert done.returncode == 0 or "DataError: " in done.stderr


def test_an_empty_folder_is_no_mnist(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_DATA_DIR", str(workplace))
    check_refused("data fetch mnist", INPUT, f"{IMAGES}, .* missing in .*HPO_DATA_DIR")


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "one byte": lambda whole: b"\x1f",
    "no gzip": lambda whole: b"to do: MNIST\n" * 100,
    "a gzip header before noise": lambda whole: whole[:10] + bytes(range(256)),
    "another gzip": lambda whole: gzip.compress(b"\0\0\x08\x01\0\0\0\x01\x07"),
    "one bit": lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]),
    "too much": lambda whole: whole + b"\0",
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=list(DAMAGED))
def test_a_damaged_file_of_mnist_is_named(mnist: Path, damage: Callable[[bytes], bytes]) -> None:
    damaged = damage((mnist / LABELS).read_bytes())
    (mnist / LABELS).unlink()
    (mnist / LABELS).write_bytes(damaged)
    check_refused("data fetch mnist", INPUT, f"{LABELS} is damaged, .* replace it")


def test_a_folder_in_the_place_of_a_file_of_mnist_is_none(mnist: Path) -> None:
    (mnist / LABELS).unlink()
    (mnist / LABELS).mkdir()
    check_refused("data fetch mnist", INPUT, f"{LABELS} missing in ")


@pytest.mark.parametrize("place", ["notes.txt", "nowhere", "/dev/null", "hpo.db"])
def test_a_data_folder_that_is_none_is_told(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPO_DATA_DIR", place)
    make_once.cache_clear()
    check_refused("data fetch mnist", INPUT, rf"missing in {place} \(HPO_DATA_DIR\); put")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `hpo export` gives of a small study."""
    folder = tmp_path_factory.mktemp("exported")
    url = f"sqlite:///{folder / 'hpo.db'}"
    flags = tiny_flags(epochs=1, repeats=1)
    create = ["study", "create", "--architecture", "siamese"]
    must(*create, "--space", write_recipe(folder), "--trials", "1", *flags, "--storage", url)
    must("worker", "--study", "siamese", "--processes", "1", "--storage", url)
    found: dict[str, Any] = json.loads(
        must("export", "siamese", "--format", "json", "--storage", url)
    )
    return found


EDITS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no recipe": (lambda e: e.pop("recipe"), "recipe is missing"),
    "a recipe that is text": (lambda e: e.update(recipe="mine"), "recipe: 'mine' is not a map"),
    "a recipe of another": (
        lambda e: e["recipe"].update(architecture="fc"),
        "holds architecture fc, not 'siamese'",
    ),
    "no space": (lambda e: e["recipe"].pop("parameters"), "parameters is missing"),
    "half a range": (
        lambda e: e["recipe"]["parameters"]["learning_rate"].pop("low"),
        "learning_rate: low is missing",
    ),
    "an unknown parameter": (
        lambda e: e["recipe"]["parameters"].update(droput=0.1),
        "no parameter of siamese named 'droput'",
    ),
    "a known one outside the space": (
        lambda e: e["recipe"].update(known=[{"learning_rate": 5.0, "channels": [2, 2, 4]}]),
        r"known\[0\].*5.0 is outside",
    ),
    "more in the recipe": (lambda e: e["recipe"].update(colour=1), "unknown key 'colour'"),
}


@pytest.mark.parametrize("form", ["yaml", "json"])
@pytest.mark.parametrize(("edit", "says"), EDITS.values(), ids=list(EDITS))
def test_an_edited_export_makes_no_study(
    exported: dict[str, Any], edit: Callable[[dict[str, Any]], object], says: str, form: str
) -> None:
    edit(edited := copy.deepcopy(exported))
    text = json.dumps(edited) if form == "json" else yaml.safe_dump(edited)
    Path(f"best.{form}").write_text(text)
    check_refused(f"{CREATE} --space best.{form}", INPUT, says)
