"""The commands of `hpo study`: create, list, show, extend, rename, copy and delete studies."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from hpo.commands import tables
from hpo.commands.completion import architecture_names
from hpo.commands.options import Json, Storage, StudyName, option, with_settings
from hpo.commands.waiting import explained


study_app = typer.Typer(help="Create, list, show, extend, rename, pause, copy and delete studies.")


@study_app.command("create")
@with_settings
def study_create(
    positional: Annotated[
        str | None,
        typer.Argument(
            metavar="ARCHITECTURE",
            help="Architecture, in place of --architecture.",
            show_default=False,
            autocompletion=architecture_names,
        ),
    ] = None,
    architecture: Annotated[
        str | None,
        option(
            "Architecture: a name listed by `hpo architectures`, or package.module:factory.",
            autocompletion=architecture_names,
        ),
    ] = None,
    *,
    if_not_exists: Annotated[
        bool,
        option(
            "Keep an existing study of this name. It is an error if its settings differ.",
            "--if-not-exists",
        ),
    ] = False,
    dry_run: Annotated[
        bool, option("Check everything and estimate the cost; create nothing.", "--dry-run")
    ] = False,
    storage: Storage = None,
    as_json: Json = False,
    **settings: Any,
) -> None:
    """Create a study and fix its search space, data, folds, number of trials and seeds.

    Example: hpo study create siamese --trials 50
    """
    name = _one_architecture(positional, architecture)
    if dry_run:
        with explained("checking the study and timing an epoch; this loads torch"):
            from hpo.studies.cost import estimate

            cost = estimate(name, **settings)
        tables.print_record(asdict(cost), as_json)
        return
    with explained("checking the study: its settings, data and network; this loads torch"):
        from hpo.studies.lifecycle import create_study

        study = create_study(name, storage=storage, if_not_exists=if_not_exists, **settings)
    tables.print_study(study, as_json)
    tables.say(f"next: hpo worker --study {study.name}")


def _one_architecture(positional: str | None, architecture: str | None) -> str:
    from hpo.errors import InputError

    if positional is not None and architecture is not None:
        raise InputError(
            f"the architecture is given twice: {positional} and --architecture {architecture}; "
            "leave one out"
        )
    name = architecture if positional is None else positional
    if name is None:
        raise InputError(
            "name an architecture, as in: hpo study create siamese; hpo architectures lists them"
        )
    return name


@study_app.command("list")
def study_list(storage: Storage = None, as_json: Json = False) -> None:
    """List the studies of a database.

    Example: hpo study list --json
    """
    from hpo.studies.status import list_studies

    tables.print_studies(list_studies(storage), as_json)


@study_app.command("show")
def study_show(name: StudyName, storage: Storage = None, as_json: Json = False) -> None:
    """Show a study's state, best configuration and workers.

    Example: hpo study show siamese --json
    """
    from hpo.studies.status import show_study

    tables.print_status(show_study(name, storage), as_json)


@study_app.command("trials")
def study_trials(name: StudyName, storage: Storage = None, as_json: Json = False) -> None:
    """List a study's trials with their configurations and errors.

    Example: hpo study trials siamese --json
    """
    from hpo.studies.trials import study_trials as trials

    tables.print_trials(trials(name, storage), as_json)


@study_app.command("extend")
def study_extend(
    name: StudyName,
    trials: Annotated[int, option("New total number of trials.")],
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Raise a study's number of trials. The best trial is chosen again after the new trials.

    Example: hpo study extend siamese --trials 100
    """
    from hpo.studies.lifecycle import extend_study

    study = extend_study(name, trials, storage)
    tables.print_record({"name": study.name, "n_trials": study.n_trials}, as_json)


@study_app.command("pause")
def study_pause(name: StudyName, storage: Storage = None, as_json: Json = False) -> None:
    """Pause a study: workers finish started trials and test runs, and start no new ones.

    Example: hpo study pause siamese
    """
    from hpo.studies.lifecycle import pause_study

    study = pause_study(name, storage)
    tables.print_record({"name": study.name, "paused": study.paused}, as_json)


@study_app.command("resume")
def study_resume(name: StudyName, storage: Storage = None, as_json: Json = False) -> None:
    """Resume a paused study: workers start its work again.

    Example: hpo study resume siamese
    """
    from hpo.studies.lifecycle import resume_study

    study = resume_study(name, storage)
    tables.print_record({"name": study.name, "paused": study.paused}, as_json)


@study_app.command("rename")
def study_rename(
    name: StudyName,
    new_name: Annotated[str, typer.Argument(help="New name of the study.", show_default=False)],
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Give a study another name. Its workers have to be stopped, or the study paused.

    If another program has renamed the study in Optuna's tables, name its old name and the name that
    it has there: hpo's records then belong to it again. A new name changes no later trial.

    Example: hpo study rename siamese siamese-first
    """
    from hpo.studies.lifecycle import rename_study

    rename_study(name, new_name, storage)
    tables.print_record({"name": new_name, "former_name": name}, as_json)


@study_app.command("copy")
def study_copy(
    name: StudyName,
    to: Annotated[str, option("URL of the database to copy the study to.")],
    new_name: Annotated[
        str | None, option("Name of the copy. Default: the study's name.", "--name")
    ] = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Copy a study with all its records to another database, where workers can continue it.

    Example: hpo study copy siamese --to postgresql://user:password@host/database
    """
    from hpo.operations.databases import copy_study

    copied = copy_study(name, to, storage, new_name=new_name, progress=True)
    tables.print_record(asdict(copied), as_json)


@study_app.command("delete")
def study_delete(
    name: StudyName,
    yes: Annotated[bool, option("Confirm that all records are deleted.", "--yes")] = False,
    storage: Storage = None,
) -> None:
    """Delete a study and all its records.

    Example: hpo study delete siamese --yes
    """
    from hpo.errors import InputError
    from hpo.studies.lifecycle import delete_study

    if not yes:
        raise InputError(f"this deletes all that was recorded for {name!r}: add --yes")
    delete_study(name, storage)
    tables.say(f"deleted {name}")
