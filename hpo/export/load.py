"""Load the network of an export."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hpo import folders
from hpo.architectures import architectures
from hpo.arguments import checked
from hpo.errors import InputError
from hpo.registry import unknown
from hpo.training.config import TrainingConfig, hyperparameters
from hpo.training.split import Standardize
from search_spaces import RecipeError, yaml_file


@checked
@folders.kept()
def load(path: Path | str) -> nn.Module:
    """Build the network of an export, in evaluation mode.

    If the export names a file of weights, the network is trained: it loads the weights, takes raw
    inputs and standardizes them as in training. The path of that file is relative to the export's
    folder. Otherwise the network is untrained and does not standardize its inputs. A network of
    hpo returns `Outputs`; any other network returns the result of its own `forward`.

    If the export names an architecture outside hpo, the code of this architecture is imported and
    run.

    Raises:
        InputError: the file is not an export or is damaged, its architecture is not installed, or
            its weights are missing or do not fit the network.
    """
    path = Path(path)
    exported = _read(path)
    config = _config(path, exported)
    if (weights := exported.get("weights")) is None:
        return network(Standardize(), config.try_build()).eval()
    return _trained(config.try_build(), path, weights).eval()


def network(standardize: Standardize, model: nn.Module) -> nn.Sequential:
    """A network that standardizes its inputs and passes them to `model`."""
    return nn.Sequential(standardize, model)


def _read(path: Path) -> dict[str, Any]:
    try:
        exported = yaml_file.read(path)
    except RecipeError as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if not isinstance(exported, dict) or exported.get("hpo_export") != 1:
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


def _trained(model: nn.Module, path: Path, weights: Any) -> nn.Module:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not isinstance(weights, dict) or not isinstance(weights.get("file"), str):
        raise InputError(f"{path}: weights should name a file")
    file = folders.found(path).absolute().parent / weights["file"]
    try:
        tensors = load_file(file)
        # The network has one mean for each feature or one for all, as the file shows.
        shapes = [tensors[name].shape if name in tensors else () for name in ("0.mean", "0.std")]
        trained = network(Standardize(*map(torch.zeros, shapes)), model)
        _check_types(tensors, trained.state_dict())
        trained.load_state_dict(tensors)
    except (OSError, SafetensorError, RuntimeError, TypeError) as error:
        message = f"{path}: the weights in {file} cannot be used: {error}"
        raise InputError(" ".join(message.split())) from error
    return trained


def _check_types(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Check that no weight needs a conversion, which torch would do silently."""
    for name, tensor in tensors.items():
        if name in expected and tensor.dtype != expected[name].dtype:
            raise TypeError(f"{name} has the dtype {tensor.dtype}, not {expected[name].dtype}")
