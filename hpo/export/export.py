"""Export the best configuration of a study, with all that is needed to use and repeat it.

An export can include trained weights. They come from repeating the first test run. The repeated
run's error is compared with the recorded error.
"""

import json
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from hpo import events
from hpo.arguments import checked
from hpo.errors import HpoError, InputError, StoppedError
from hpo.export.formats import document, formats
from hpo.foreign_code.trust import decide, decided
from hpo.io import files, folders
from hpo.io.files import Output
from hpo.studies.damage import damage_reported
from hpo.studies.lifecycle import Study, open_database, open_study
from hpo.studies.status import Best, recorded_error, show, test_runs
from hpo.subprocesses.spawn import signal_handler
from storage import studies
from storage.engine import Database
from storage.studies import WorkRow


ToText = Callable[[dict[str, Any]], str]
"""Makes the text of an export from its content."""


class Recorded(NamedTuple):
    """What a database holds for an export: its content, the best trial, its first test run."""

    study: Study
    best: Best
    content: dict[str, Any]
    first_run: WorkRow | None


@checked
@folders.kept()
def export_study(
    name: str,
    *,
    storage: str | None = None,
    output: Path | str | None = None,
    file_format: str = "yaml",
    weights: Path | str | None = None,
    trust: Sequence[str] = (),
    foreign_code: bool = True,
) -> str:
    """The best configuration of a study as text in the `file_format` `yaml` or `json`.

    If `output` is given, the text is also written to this file. If `weights` is given, the first
    test run is repeated on the CPU, and the trained network is written to this file in the format
    safetensors. Before anything is written, a new process loads the export and must give the same
    answers as the trained network. A warning is logged if the repeated run's error differs from the
    recorded error.

    The repeated run imports the network and the data set. `trust` names modules that it may import,
    besides those in `HPO_TRUST` and those that you have named for this database in `create_study`.
    Without `foreign_code`, it imports only hpo's own.

    Raises:
        StudyMissingError: no study has that name.
        HpoError: the study has no complete trial, or weights are requested and no test run is
            complete, or the loaded network answers otherwise than the trained one.
        InputError: the format is unknown, a file cannot be written, or the repeated run needs a
            module that is not trusted.
        StoppedError: SIGTERM requested a stop; nothing is left behind.
    """
    decision = decide(trust, foreign_code=foreign_code)
    to_text = formats.get(file_format)
    text_output, weights_output = _output(output), _output(weights)
    outputs = [each for each in (text_output, weights_output) if each is not None]
    files.check_distinct(outputs)
    # The file that the user may write stdout's text to.
    file = text_output.absolute if text_output else (folders.working() or Path("/")) / "best.yaml"
    with closing(open_database(storage)) as db:
        _check_not_database(db, outputs)
        recorded = _recorded(db, name, file.name)
        decision = decision.of(db.url)
    contents = []
    text = to_text(recorded.content)
    with signal_handler(_stop, signal.SIGTERM):  # Python's own would leave temporary files behind
        if weights_output is not None:
            path = os.path.relpath(weights_output.absolute, file.parent)
            with decided(decision):
                text, tensors = _with_weights(recorded, path, to_text)
            contents.append((weights_output, tensors))
        if text_output is not None:
            contents.append((text_output, text.encode()))
        files.write(contents)
    return text


def _stop(number: int, frame: object) -> NoReturn:
    raise StoppedError(number, "stopped before the export was written")


def _output(path: Path | str | None) -> Output | None:
    return None if path is None else Output(path)


def _check_not_database(db: Database, outputs: Sequence[Output]) -> None:
    database = db.backend.file(db.url)
    for output in outputs:
        if database is not None and output.identity == files.identity(database):
            raise InputError(
                f"cannot write {output.path}: it is the database of the study; name another file"
            )


def _recorded(db: Database, name: str, file_name: str) -> Recorded:
    """Read what the database holds for the export that is called `file_name`."""
    study = open_study(db, name)
    status = show(db, study)
    if status.best is None:
        raise HpoError(
            f"no trial of study {study.name!r} is complete yet, so there is nothing to export"
        )
    versions = recorded_versions(db, study, status.best.trial)
    content = document(study, status, status.best, versions, file_name)
    runs = test_runs(studies.work(db, study.id), status.best.trial)
    return Recorded(study, status.best, content, runs[0] if runs else None)


def recorded_versions(db: Database, study: Study, trial: int) -> list[dict[str, str]]:
    """The different software versions of the machines that trained a trial and its test runs.

    Each entry has the form of `hpo.machine.versions()`.
    """
    with damage_reported(study.name):
        claim_ids = {row.id for row in studies.work(db, study.id) if row.trial == trial}
        curves = studies.curves(db, study.id)
        recorded = dict.fromkeys(curve.versions for curve in curves if curve.claim_id in claim_ids)
        return [json.loads(versions) for versions in recorded]


def _with_weights(recorded: Recorded, path: str, to_text: ToText) -> tuple[str, bytes]:
    """The text of an export with weights in the file `path`, and the content of that file.

    The first test run is trained again; a warning is logged if its error differs from the record.
    """
    from hpo.export import comparison  # loads torch
    from hpo.export.load import network
    from hpo.export.weights import draw_inputs, serialize, train_again
    from hpo.studies.checks import check_allowed

    study, best, run = recorded.study, recorded.best, recorded.first_run
    if run is None:
        raise HpoError(f"study {study.name!r} has no test run yet, so there are no weights")
    check_allowed(study.protocol)
    training = train_again(study, best.trial, best.params, run.seed)
    _warn_of_difference(study, run, training.curve[-1])
    trained = network(training.split.standardize, training.model)
    tensors = serialize(trained)

    def text(file: str) -> str:
        entry = {"file": file, "seed": run.seed, "test_error": training.curve[-1]}
        return to_text(recorded.content | {"weights": entry})

    inputs = draw_inputs(study.protocol, run.seed)
    comparison.check(text(comparison.WEIGHTS), tensors, trained, inputs)
    return text(path), tensors


def _warn_of_difference(study: Study, run: WorkRow, error: float) -> None:
    """Log a warning if the repeated test run has another error than the recorded one."""
    if error != (recorded := recorded_error(run)):
        message = (
            f"trained again, test run {run.seed} has error {error:.4f}; recorded is "
            f"{recorded:.4f} (another kind of machine or other versions)"
        )
        events.warn("weights_differ", message, study=study.name, seed=run.seed)
