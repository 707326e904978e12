"""Compare neural network architectures fairly: same search, same folds, repeated test runs.

    import hpo

    hpo.create_study("siamese", dataset="digits", trials=10)
    hpo.run_worker("siamese")
    print(hpo.show_study("siamese").best)
    hpo.export_study("siamese", output="best.yaml")
    model = hpo.load("best.yaml")

Your own networks and data use these classes (see `examples/`):

- `hpo.Architecture` holds a function that builds networks, and the properties of the architecture.
- `hpo.Outputs` holds the outputs of a network.
- `hpo.DataSet` is the interface of a data set, and `hpo.Examples` holds the examples drawn from it.

A study names them as `package.module:attribute`.

A public name is imported at its first use. `import hpo` alone loads neither torch nor optuna.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from hpo.architectures import Architecture, Outputs
    from hpo.datasets import DataSet, Examples
    from hpo.errors import HpoError
    from hpo.export.export import export_study
    from hpo.export.load import load
    from hpo.machine import __version__
    from hpo.operations.databases import check_storage, copy_study, upgrade_storage
    from hpo.studies.lifecycle import (
        create_study,
        delete_study,
        extend_study,
        pause_study,
        rename_study,
        resume_study,
    )
    from hpo.studies.status import list_studies, show_study
    from hpo.studies.trials import study_trials
    from hpo.workers.command import run_worker

__all__ = [
    "Architecture",
    "DataSet",
    "Examples",
    "HpoError",
    "Outputs",
    "__version__",
    "check_storage",
    "copy_study",
    "create_study",
    "delete_study",
    "export_study",
    "extend_study",
    "list_studies",
    "load",
    "pause_study",
    "rename_study",
    "resume_study",
    "run_worker",
    "show_study",
    "study_trials",
    "upgrade_storage",
]

_PUBLIC_NAMES = {
    "architectures": ("Architecture", "Outputs"),
    "datasets": ("DataSet", "Examples"),
    "errors": ("HpoError",),
    "export.export": ("export_study",),
    "export.load": ("load",),
    "machine": ("__version__",),
    "operations.databases": ("check_storage", "copy_study", "upgrade_storage"),
    "studies.lifecycle": (
        "create_study",
        "delete_study",
        "extend_study",
        "pause_study",
        "rename_study",
        "resume_study",
    ),
    "studies.status": ("list_studies", "show_study"),
    "studies.trials": ("study_trials",),
    "workers.command": ("run_worker",),
}
"""The public names of each module, by the module's name within `hpo`."""


def __getattr__(name: str) -> Any:
    for module, names in _PUBLIC_NAMES.items():
        if name in names:
            return getattr(import_module(f"hpo.{module}"), name)
    raise AttributeError(f"module 'hpo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
