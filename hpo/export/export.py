"""The best configuration as a file: all that is needed to use it and to repeat it.

Files are written whole, then renamed. Weights are those of the first test run, trained again and
compared with what was recorded.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from hpo.errors import HpoError, InputError
from hpo.export.formats import document, to_text
from hpo.studies.lifecycle import Study, open_database, open_study
from hpo.studies.status import Best, recorded_error, show, test_runs
from storage import studies
from storage.engine import Database


def export_study(
    name: str,
    *,
    storage: str | None = None,
    output: Path | str | None = None,
    file_format: str = "yaml",
    weights: Path | str | None = None,
) -> str:
    """The best configuration of a study as YAML or JSON text, also written to `output`.

    With `weights` the trained network of the first test run is written there as safetensors.

    Raises:
        StudyMissingError: there is no such study.
        HpoError: no trial of it is complete, or the weights cannot be made as recorded.
        InputError: a file cannot be written.
    """
    if file_format not in ("yaml", "json"):
        raise InputError(f"format: should be yaml or json, but it is {file_format!r}")
    for path in (output, weights):
        _check_writable(path)
    file = Path(output) if output else Path("best.yaml")
    with closing(open_database(storage)) as db:
        exported = _exported(db, open_study(db, name), weights, file)
    text = to_text(exported, file_format)
    if output is not None:
        write_whole(Path(output), lambda path: path.write_text(text, encoding="utf-8"))
    return text


def _exported(db: Database, study: Study, weights: Path | str | None, file: Path) -> dict[str, Any]:
    status = show(db, study)
    if status.best is None:
        raise HpoError(
            f"no trial of study {study.name!r} is complete yet, so there is nothing to export"
        )
    made_with = recorded_versions(db, study, status.best.trial)
    exported = document(study, status, status.best, made_with, file.name)
    if weights is not None:
        base = file.absolute().parent
        exported["weights"] = _write_weights(db, study, status.best, Path(weights), base)
    return exported


def recorded_versions(db: Database, study: Study, trial: int) -> list[dict[str, str]]:
    """The versions that made a trial's errors: one entry, or one for each that took part."""
    work = {each.id for each in studies.work(db, study.id) if each.trial == trial}
    curves = studies.curves(db, study.id)
    found = dict.fromkeys(curve.versions for curve in curves if curve.claim_id in work)
    return [json.loads(versions) for versions in found]


def _check_writable(path: Path | str | None) -> None:
    """Say at once, not after minutes of training, that a file cannot be written."""
    if path is None:
        return
    place = Path(path).absolute()
    try:
        is_folder = place.is_dir()
        with tempfile.TemporaryFile(dir=place.parent, prefix=f".{place.name}."):
            pass
    except OSError as error:
        raise InputError(
            f"cannot write {path}: its folder is missing or cannot be written ({error.strerror})"
        ) from error
    if is_folder:
        raise InputError(f"cannot write {path}: it is a folder")


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place, then move it there: a reader sees all of it or none.

    Raises:
        InputError: the disk refuses.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
        os.close(handle)
        try:
            write(Path(name))
            Path(name).chmod(0o644)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def _write_weights(
    db: Database, study: Study, best: Best, path: Path, base: Path
) -> dict[str, Any]:
    """Train the first test run again, see that its error is the recorded one, write its network."""
    from safetensors.torch import save_file
    from torch import contiguous_format

    from hpo.export.load import network, test_run

    if not (runs := test_runs(studies.work(db, study.id), best.trial)):
        raise HpoError(f"study {study.name!r} has no test run yet, so there are no weights")
    seed, recorded = runs[0].seed, recorded_error(runs[0])
    training, split = test_run(study.protocol, best.trial, best.params, seed)
    if (found := training.curve[-1]) != recorded:
        print(
            f"warning: trained again, test run {seed} has error {found:.4f}; recorded is "
            f"{recorded:.4f} (another kind of machine or other versions)",
            file=sys.stderr,
        )
    model = network(split.standardize, training.model)
    tensors = {  # tied ones apart, all laid out as safetensors wants them
        name: tensor.clone(memory_format=contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    write_whole(path, lambda place: save_file(tensors, place))
    return {"file": os.path.relpath(path.absolute(), base), "seed": seed, "test_error": found}
