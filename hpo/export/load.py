"""Load the network of an export."""

import math
import stat
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hpo.architectures import architectures
from hpo.arguments import checked
from hpo.errors import InputError
from hpo.foreign_code.failures import MAX_LINE_LENGTH, shortened
from hpo.foreign_code.trust import decide, decided
from hpo.io import folders
from hpo.io.streams import visible
from hpo.registry import unknown
from hpo.training.config import TrainingConfig, hyperparameters
from hpo.training.split import Standardize
from search_spaces import RecipeError, yaml_file


MAX_UNTRAINED = 500_000_000
"""Largest number of weights of a network that comes without a file of weights (2 GB).

A network with weights may also hold as many as their file has bytes on the disk.
"""

MAX_FEATURES = 10_000_000
"""Largest number of features that an export standardizes one by one."""


@checked
@folders.kept()
def load(path: Path | str, *, trust: Sequence[str] = (), foreign_code: bool = True) -> nn.Module:
    """Build the network of an export, in evaluation mode.

    If the export names a file of weights, the network is trained: it loads the weights, takes raw
    inputs and standardizes them as in training. The path of that file is relative to the export's
    folder. Otherwise the network is untrained and does not standardize its inputs. A network of
    hpo returns `Outputs`; any other network returns the result of its own `forward`.

    An export may name an architecture outside hpo, whose code is then imported and run. This is
    done only if you have named its module yourself: in `create_study` or `hpo study create`, in
    `HPO_TRUST`, or in `trust`, a list of modules and packages. Without `foreign_code`, only hpo's
    own architectures are loaded.

    Raises:
        InputError: the file is not an export or is damaged, its architecture is not installed or
            not trusted, its network is too large, or its weights are missing or do not fit the
            network.
    """
    with decided(decide(trust, foreign_code=foreign_code)):
        return load_allowed(Path(path))


def load_allowed(path: Path) -> nn.Module:
    """Load as `load` does, with the code that the running command may import."""
    exported = _read(path)
    config = _config(path, exported)
    if (weights := exported.get("weights")) is None:
        return network(Standardize(), config.try_build(MAX_UNTRAINED)).eval()
    file = _weights_file(path, weights)
    n_bytes = file.stat().st_blocks * 512  # a file's size may be many times what it holds
    model = config.try_build(max(MAX_UNTRAINED, n_bytes))
    return _trained(model, path, file).eval()


def network(standardize: Standardize, model: nn.Module) -> nn.Sequential:
    """A network that standardizes its inputs and passes them to `model`."""
    return nn.Sequential(standardize, model)


def _read(path: Path) -> dict[str, Any]:
    if (reason := _unusable(path)) is not None:
        raise InputError(f"cannot read {path}: {reason}")
    try:
        exported = yaml_file.read(path)
    except RecipeError as error:
        raise InputError(f"cannot read {path}: {error}") from error
    version = exported.get("hpo_export") if isinstance(exported, dict) else None
    if not isinstance(exported, dict) or version != 1 or isinstance(version, bool):
        raise InputError(f"{path} is not an export of a study; make one with: hpo export NAME")
    return exported


def _config(path: Path, exported: dict[str, Any]) -> TrainingConfig:
    name, params = exported.get("architecture"), exported.get("hyperparameters")
    if not isinstance(name, str) or not isinstance(params, dict):
        raise InputError(
            f"{path}: architecture or hyperparameters are missing; export the study again"
        )
    architecture = architectures.get(name)
    known = hyperparameters(architecture)
    for parameter in params:
        if parameter not in known:
            raise InputError(f"{path}: {unknown(f'parameter of {name}', str(parameter), known)}")
    return TrainingConfig(architecture=architecture, params=params, epochs=1, batch_size=2)


def _weights_file(path: Path, weights: Any) -> Path:
    """The file of weights that the entry `weights` of the export at `path` names."""
    if not isinstance(weights, dict) or not isinstance(weights.get("file"), str):
        raise InputError(f"{path}: weights should name a file")
    file: Path = folders.found(path).absolute().parent / weights["file"]
    if (reason := _unusable(file)) is not None:
        raise _unusable_weights(path, file, reason)
    return file


def _unusable(file: Path) -> str | None:
    """Why a file cannot be read; None if it can. Reading a pipe would wait for its writer."""
    try:
        return None if stat.S_ISREG(file.stat().st_mode) else "it is no regular file"
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)


def _trained(model: nn.Module, path: Path, file: Path) -> nn.Module:
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    try:
        with safe_open(file, "pt") as opened:
            _check_number(opened.keys(), model)
        tensors = load_file(file)
        # The network has one mean for each feature or one for all, as the file shows.
        shapes = [tensors[name].shape if name in tensors else () for name in ("0.mean", "0.std")]
        if any(math.prod(shape) > MAX_FEATURES for shape in shapes):
            raise TypeError(f"they standardize more than {MAX_FEATURES:,} features")
        trained = network(Standardize(*map(torch.zeros, shapes)), model)
        _check_types(tensors, trained.state_dict())
        trained.load_state_dict(tensors)
    except (OSError, SafetensorError, RuntimeError, MemoryError, TypeError, LookupError) as error:
        raise _unusable_weights(path, file, str(error)) from error
    return trained


def _unusable_weights(path: Path, file: Path, reason: str) -> InputError:
    line = shortened(" ".join(reason.split()), MAX_LINE_LENGTH)
    shown = visible(str(file))  # the export has chosen the name
    return InputError(f"{path}: the weights in {shown} cannot be used: {line}")


def _check_number(names: Collection[str], model: nn.Module) -> None:
    """Check that a file has no more tensors than the network; each takes time to load."""
    n = len(model.state_dict()) + 2  # the mean and the standard deviation
    if len(names) > n:
        raise TypeError(f"they are {len(names):,} tensors, but the network has {n:,}")


def _check_types(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Check that no weight needs a conversion, which torch would do silently."""
    for name, tensor in tensors.items():
        if name in expected and tensor.dtype != expected[name].dtype:
            raise TypeError(f"{name} has the dtype {tensor.dtype}, not {expected[name].dtype}")
