"""Export the best configuration of a study, with all that is needed to use and repeat it.

An export can include trained weights. They come from repeating the first test run. The repeated
run's error is compared with the recorded error.
"""

import json
import os
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from hpo import events
from hpo.errors import HpoError, InputError
from hpo.export.formats import document, formats
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
    """The best configuration of a study as text in the `file_format` `yaml` or `json`.

    If `output` is given, the text is also written to this file. If `weights` is given, the first
    test run is repeated on the CPU, and the trained network is written to this file in the format
    safetensors. A warning is logged if the repeated run's error differs from the recorded error.

    Raises:
        StudyMissingError: no study has that name.
        HpoError: the study has no complete trial, or weights are requested and no test run is
            complete.
        InputError: the format is unknown, or a file cannot be written.
    """
    to_text = formats.get(file_format)
    for path in (output, weights):
        _check_writable(path)
    file = Path(output) if output else Path("best.yaml")  # what the user may call stdout's text
    with closing(open_database(storage)) as db:
        exported = _exported(db, open_study(db, name), weights, file)
    text = to_text(exported)
    if output is not None:
        write_whole(Path(output), lambda path: path.write_text(text, encoding="utf-8"))
    return text


def _exported(db: Database, study: Study, weights: Path | str | None, file: Path) -> dict[str, Any]:
    status = show(db, study)
    if status.best is None:
        raise HpoError(
            f"no trial of study {study.name!r} is complete yet, so there is nothing to export"
        )
    versions = recorded_versions(db, study, status.best.trial)
    exported = document(study, status, status.best, versions, file.name)
    if weights is not None:
        folder = file.absolute().parent
        exported["weights"] = _write_weights(db, study, status.best, Path(weights), folder)
    return exported


def recorded_versions(db: Database, study: Study, trial: int) -> list[dict[str, str]]:
    """The different software versions of the machines that trained a trial and its test runs.

    Each entry has the form of `hpo.machine.versions()`.
    """
    claim_ids = {row.id for row in studies.work(db, study.id) if row.trial == trial}
    curves = studies.curves(db, study.id)
    recorded = dict.fromkeys(curve.versions for curve in curves if curve.claim_id in claim_ids)
    return [json.loads(versions) for versions in recorded]


def _check_writable(path: Path | str | None) -> None:
    """Check before minutes of training that a file can be written."""
    if path is None:
        return
    target = Path(path).absolute()
    try:
        is_folder = target.is_dir()
        with tempfile.TemporaryFile(dir=target.parent, prefix=f".{target.name}."):
            pass
    except OSError as error:
        raise InputError(
            f"cannot write {path}: its folder is missing or cannot be written ({error.strerror})"
        ) from error
    if is_folder:
        raise InputError(f"cannot write {path}: it is a folder")


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file atomically: other programs see the complete file or no change.

    `write` gets the path of a temporary file in the same folder, which then replaces `path`.

    Raises:
        InputError: the file cannot be written.
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
    db: Database, study: Study, best: Best, path: Path, folder: Path
) -> dict[str, Any]:
    """Repeat the first test run and write its network; warn if its error differs from the record.

    Returns the entry `weights` of the export. The path in it is relative to `folder`.
    """
    from safetensors.torch import save_file
    from torch import contiguous_format

    from hpo.export.load import network, test_run

    if not (runs := test_runs(studies.work(db, study.id), best.trial)):
        raise HpoError(f"study {study.name!r} has no test run yet, so there are no weights")
    seed, recorded = runs[0].seed, recorded_error(runs[0])
    training, split = test_run(study.protocol, best.trial, best.params, seed)
    if (error := training.curve[-1]) != recorded:
        message = (
            f"trained again, test run {seed} has error {error:.4f}; recorded is {recorded:.4f} "
            "(another kind of machine or other versions)"
        )
        events.warn("weights_differ", message, study=study.name, seed=seed)
    model = network(split.standardize, training.model)
    tensors = {  # safetensors needs contiguous tensors that share no memory
        name: tensor.clone(memory_format=contiguous_format)
        for name, tensor in model.state_dict().items()
    }
    write_whole(path, lambda temporary: save_file(tensors, temporary))
    return {"file": os.path.relpath(path.absolute(), folder), "seed": seed, "test_error": error}
