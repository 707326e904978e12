"""The content of an export, and its text as YAML or JSON."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import yaml

from hpo.protocol import Protocol
from hpo.registry import Registry
from hpo.settings import settings
from hpo.studies.lifecycle import Study
from hpo.studies.status import Best, Status
from search_spaces import recipe


FORMAT = 1
"""The version of the export format; `hpo.load` accepts no other."""


def document(
    study: Study, status: Status, best: Best, versions: list[dict[str, str]], file: str
) -> dict[str, Any]:
    """The content of an export as plain values; errors are fractions from 0 to 1.

    `versions` are the software versions that trained the best trial. `file` is the name of the
    export's file. The command under the key "repeat" may read its recipe from this file.
    """
    protocol = study.protocol
    return {
        "hpo_export": FORMAT,
        "study": study.name,
        "state": status.state,
        "architecture": protocol.architecture,
        "hyperparameters": best.params,
        "n_parameters": best.n_parameters,
        "trial": best.trial,
        "validation_error": best.validation_error,
        "test_error": None if best.test_error is None else _plain(asdict(best.test_error)),
        "conditions": protocol.frozen
        | {
            "fingerprint": protocol.fingerprint,
            "epochs": best.params.get("epochs", protocol.epochs),
            "batch_size": best.params.get("batch_size", protocol.batch_size),
            "trials": asdict(status.trials),
            "versions": versions,
        },
        "repeat": create_command(study.name, protocol, study.n_trials, file),
        "recipe": {
            "architecture": protocol.architecture,
            "parameters": protocol.space,
            "known": list(protocol.known),
        },
    }


def create_command(name: str, protocol: Protocol, n_trials: int, file: str) -> str:
    """The command that creates the same study, with each setting as an option.

    The command reads the recipe from the export `file`, unless the study uses a recipe of hpo.
    """
    values = {"architecture": protocol.architecture, "name": name, "trials": n_trials}
    parameters = protocol.search_space.names
    values |= {key: value for key, value in protocol.frozen.items() if key not in parameters}
    bundled = recipe.bundled(protocol.architecture)
    if bundled is None or (bundled.space, bundled.known) != (protocol.search_space, protocol.known):
        values["space"] = file
    return shlex.join(["hpo", "study", "create", *_options(values)])


def _options(values: Mapping[str, Any]) -> Iterator[str]:
    flags = {"architecture": "architecture"}
    flags |= {name: setting.flag for name, setting in settings().items()}
    for name, value in values.items():
        flag = flags[name]
        if isinstance(value, bool):
            yield f"--{flag}" if value else f"--no-{flag}"
        else:
            yield from (f"--{flag}", str(value))


def _as_yaml(exported: dict[str, Any]) -> str:
    # The width keeps the command on one line. The text is ASCII, which every stdout can encode.
    return yaml.safe_dump(exported, sort_keys=False, width=sys.maxsize)


def _as_json(exported: dict[str, Any]) -> str:
    return json.dumps(exported, indent=2) + "\n"


formats: Registry[Callable[[dict[str, Any]], str]] = Registry("format")
"""The text of an export, by the name of its format."""

formats.add("yaml", _as_yaml)
formats.add("json", _as_json)


def _plain(value: Any) -> Any:
    """Tuples become lists, which YAML can hold."""
    return json.loads(json.dumps(value))
