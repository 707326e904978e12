"""The `hpo` command: parse, one call into hpo, print. Nothing slow is imported up here."""

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from hpo import screen


app = typer.Typer(
    help="""Compare neural network architectures fairly: the same search for each, the test set
never chooses, results with intervals.

Begin with: hpo study create --architecture siamese --dataset digits; hpo worker --study siamese""",
    add_completion=False,
    pretty_exceptions_enable=False,
)
study_app = typer.Typer(help="Create, list, show, extend, pause, copy and delete studies.")
data_app = typer.Typer(help="Fetch the files of data sets.")
storage_app = typer.Typer(help="Check the database of studies, upgrade its tables.")
app.add_typer(study_app, name="study")
app.add_typer(data_app, name="data")
app.add_typer(storage_app, name="storage")

Storage = Annotated[
    str | None,
    typer.Option(
        envvar="HPO_STORAGE",
        help="URL of the database. Default: sqlite:///hpo.db in the working folder.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="The study's name.", show_default=False)]


def option(help_text: str, *names: str, **more: Any) -> Any:
    """An option whose default is said in its help, if anywhere."""
    return typer.Option(*names, help=help_text, show_default=False, **more)


@study_app.command("create")
def study_create(
    architecture: Annotated[
        str, option("What to search: a name of `hpo architectures`, or package.module:factory.")
    ],
    name: Annotated[str | None, option("Default: the architecture.")] = None,
    dataset: Annotated[
        str | None,
        option("mnist, digits, disk or package.module:factory. Default: the architecture's."),
    ] = None,
    space: Annotated[
        Path | None, option("A recipe of your own. Default: the architecture's.")
    ] = None,
    trials: Annotated[int | None, option("Budget. Default: 50, or all points of a grid.")] = None,
    folds: Annotated[int | None, option("Default: 5.")] = None,
    epochs: Annotated[int | None, option("Default: the recipe's, else 25.")] = None,
    batch_size: Annotated[int | None, option("Default: the recipe's, else 100.")] = None,
    precision: Annotated[
        str | None, option("Of the training pass: float32, bfloat16. Default: float32.")
    ] = None,
    confirm: Annotated[int | None, option("Trials to confirm; only 0 so far.")] = None,
    repeats: Annotated[int | None, option("Test runs of the chosen trial. Default: 15.")] = None,
    max_attempts: Annotated[int | None, option("Tries at work that kills. Default: 3.")] = None,
    train_size: Annotated[int | None, option("Examples. Default: the data set's.")] = None,
    test_size: Annotated[int | None, option("Examples. Default: the data set's.")] = None,
    sampler: Annotated[str | None, option("tpe, random, grid, gp, cmaes. Default: tpe.")] = None,
    pruner: Annotated[
        str | None, option("forgiving, hyperband, median, none. Default: forgiving.")
    ] = None,
    centre: Annotated[
        bool,
        option("Try the space's centre after the known configurations.", "--centre/--no-centre"),
    ] = True,
    seed: Annotated[int | None, option("Default: 0.")] = None,
    lease: Annotated[
        float | None, option("Seconds until a silent worker's work is taken over. Default: 60.")
    ] = None,
    if_not_exists: Annotated[
        bool, option("Keep a study of that name as it is.", "--if-not-exists")
    ] = False,
    dry_run: Annotated[
        bool, option("Check everything, say what it would cost.", "--dry-run")
    ] = False,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Freeze a study: its search space, data, folds, budget and seeds.

    Example: hpo study create --architecture siamese --trials 50
    """
    given = {
        "name": name,
        "dataset": dataset,
        "space": space,
        "trials": trials,
        "folds": folds,
        "epochs": epochs,
        "batch_size": batch_size,
        "precision": precision,
        "confirm": confirm,
        "repeats": repeats,
        "max_attempts": max_attempts,
        "train_size": train_size,
        "test_size": test_size,
        "sampler": sampler,
        "pruner": pruner,
        "centre": centre,
        "seed": seed,
        "lease_s": lease,
    }
    settings = {key: value for key, value in given.items() if value is not None}
    if dry_run:
        from hpo.studies.cost import estimate

        screen.print_record(asdict(estimate(architecture, **settings)), as_json)
        return
    from hpo.studies.lifecycle import create_study

    study = create_study(architecture, storage=storage, if_not_exists=if_not_exists, **settings)
    screen.print_study(study, as_json)
    screen.say(f"next: hpo worker --study {study.name}")


@study_app.command("list")
def study_list(storage: Storage = None, as_json: Json = False) -> None:
    """List the studies of a database.

    Example: hpo study list --json
    """
    from hpo.studies.status import list_studies

    screen.print_studies(list_studies(storage), as_json)


@study_app.command("show")
def study_show(name: Name, storage: Storage = None, as_json: Json = False) -> None:
    """Show how a study stands: its state, its best configuration, who works on it.

    Example: hpo study show siamese --json
    """
    from hpo.studies.status import show_study

    screen.print_status(show_study(name, storage), as_json)


@study_app.command("trials")
def study_trials(name: Name, storage: Storage = None, as_json: Json = False) -> None:
    """List a study's trials with their configurations and errors.

    Example: hpo study trials siamese --json
    """
    from hpo.studies.status import study_trials as trials

    screen.print_trials(trials(name, storage), as_json)


@study_app.command("extend")
def study_extend(
    name: Name,
    trials: Annotated[int, option("The new total.")],
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Raise a study's budget; the choice is made again when the search is over.

    Example: hpo study extend siamese --trials 100
    """
    from hpo.studies.lifecycle import extend_study

    study = extend_study(name, trials, storage)
    screen.print_record({"name": study.name, "n_trials": study.n_trials}, as_json)


@study_app.command("pause")
def study_pause(name: Name, storage: Storage = None, as_json: Json = False) -> None:
    """Give out no more of a study's work until it is resumed; what is under way goes on.

    Example: hpo study pause siamese
    """
    from hpo.studies.lifecycle import pause_study

    study = pause_study(name, storage)
    screen.print_record({"name": study.name, "paused": study.paused}, as_json)


@study_app.command("resume")
def study_resume(name: Name, storage: Storage = None, as_json: Json = False) -> None:
    """Give out a paused study's work again.

    Example: hpo study resume siamese
    """
    from hpo.studies.lifecycle import resume_study

    study = resume_study(name, storage)
    screen.print_record({"name": study.name, "paused": study.paused}, as_json)


@study_app.command("copy")
def study_copy(
    name: Name,
    to: Annotated[str, option("URL of the database to copy it to.")],
    new_name: Annotated[str | None, option("Its name there. Default: the same.", "--name")] = None,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Copy a study with all that was recorded for it to another database, where it can go on.

    Example: hpo study copy siamese --to postgresql://user:password@host/database
    """
    from hpo.upkeep import copy_study

    copied = copy_study(name, to, storage, new_name=new_name, progress=True)
    screen.print_record(asdict(copied), as_json)


@study_app.command("delete")
def study_delete(
    name: Name,
    yes: Annotated[bool, option("Really delete all that was recorded.", "--yes")] = False,
    storage: Storage = None,
) -> None:
    """Delete a study and everything that was recorded for it.

    Example: hpo study delete siamese --yes
    """
    from hpo.errors import InputError
    from hpo.studies.lifecycle import delete_study

    if not yes:
        raise InputError(f"this deletes all that was recorded for {name!r}: add --yes")
    delete_study(name, storage)
    screen.say(f"deleted {name}")


@app.command()
def worker(
    study: Annotated[str | None, option("Default: the study that is least done.")] = None,
    processes: Annotated[int | None, option("Workers side by side. Default: all cores.")] = None,
    device: Annotated[str, option("auto, cpu or cuda. Default: auto.")] = "auto",
    max_trials: Annotated[int | None, option("Each process leaves after so many.")] = None,
    timeout: Annotated[float | None, option("Seconds after which no new work begins.")] = None,
    wait: Annotated[bool, option("Stay for new work.", "--wait")] = False,
    storage_timeout: Annotated[
        float, option("Seconds to wait for a database that is away. Default: 300.")
    ] = 300.0,
    max_failures: Annotated[
        int, option("Leave after so many failed trials in a row. Default: 10.")
    ] = 10,
    no_foreign_code: Annotated[
        bool, option("Refuse networks and data that are not hpo's own.", "--no-foreign-code")
    ] = False,
    log_format: Annotated[
        str, option("text, or json: an event a line on stderr. Default: text.")
    ] = "text",
    metrics_port: Annotated[
        int | None, option("Serve /metrics (Prometheus) and /healthz there.", min=1, max=65535)
    ] = None,
    metrics_host: Annotated[str, option("Default: 127.0.0.1.")] = "127.0.0.1",
    storage: Storage = None,
) -> None:
    """Work on a study until it is complete.

    Example: hpo worker --study siamese --processes 4
    """
    from hpo.events import errors_told
    from hpo.processes import run_worker

    with errors_told(log_format):
        run_worker(
            study,
            storage=storage,
            processes=processes,
            device=device,
            max_trials=max_trials,
            timeout=timeout,
            wait=wait,
            storage_timeout=storage_timeout,
            max_failures=max_failures,
            foreign_code=not no_foreign_code,
            progress=True,
            log_format=log_format,
            metrics_port=metrics_port,
            metrics_host=metrics_host,
        )


@app.command()
def export(
    name: Name,
    file_format: Annotated[str, option("yaml or json. Default: yaml.", "--format")] = "yaml",
    output: Annotated[Path | None, option("Default: stdout.", "--output", "-o")] = None,
    weights: Annotated[
        Path | None, option("Also write the trained network of test run 0, as safetensors.")
    ] = None,
    storage: Storage = None,
) -> None:
    """Export the best configuration, with all that is needed to use and repeat it.

    Example: hpo export siamese -o best.yaml --weights best.safetensors
    """
    from hpo.export import export_study

    text = export_study(
        name, storage=storage, output=output, file_format=file_format, weights=weights
    )
    if output is None:
        sys.stdout.write(text)
    else:
        screen.say(f"wrote {output}")
    if weights is not None:
        screen.say(f"wrote {weights}")


@app.command()
def architectures(as_json: Json = False) -> None:
    """List the networks that can be searched.

    Example: hpo architectures --json
    """
    from hpo.zoo import list_architectures

    screen.print_architectures(list_architectures(), as_json)


@app.command()
def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ARCHITECTURE]...",
            help="Default: all of which something is reported.",
            show_default=False,
        ),
    ] = None,
    repeats: Annotated[
        int | None, option("Test runs of each. Default: the report's, else 15.")
    ] = None,
    processes: Annotated[int | None, option("Runs side by side. Default: all cores.")] = None,
    precision: Annotated[
        str, option("Of the training pass: float32, bfloat16. Default: float32.")
    ] = "float32",
    device: Annotated[str, option("auto, cpu or cuda. Default: cpu.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Run the reports' own configurations again, without a search: reported beside measured.

    A measured mean agrees if it is within two reported standard deviations of the reported one,
    or better.

    Example: hpo reproduce siamese --repeats 5
    """
    from hpo.reproduction import reproduce as run_again

    outcome = run_again(
        names or (),
        repeats=repeats,
        processes=processes,
        precision=precision,
        device=device,
        progress=True,
    )
    screen.print_reproduction(outcome.results, as_json)
    if outcome.ended_by is not None:
        raise outcome.ended_by


@data_app.command("fetch")
def data_fetch(
    dataset: Annotated[
        str, typer.Argument(help="A name, or package.module:factory.", show_default=False)
    ],
) -> None:
    """See that a data set's files are on this machine, downloading what is missing.

    Example: hpo data fetch mnist
    """
    from hpo.datasets import fetch

    folder = fetch(dataset)
    screen.say(f"{dataset} needs no files" if folder is None else f"{dataset} is in {folder}")


@app.command()
def dashboard(
    host: Annotated[str, option("Default: 127.0.0.1. It has no login.")] = "127.0.0.1",
    port: Annotated[int, option("Default: 8080.", min=1, max=65535)] = 8080,
    storage: Storage = None,
) -> None:
    """Serve optuna-dashboard on the database.

    Example: hpo dashboard --port 8080
    """
    from hpo.dashboard import serve

    serve(storage, host=host, port=port)


@storage_app.command("check")
def storage_check(storage: Storage = None, as_json: Json = False) -> None:
    """Look at the database, and audit every study in it; changes nothing.

    Example: hpo storage check
    """
    from hpo.upkeep import check_storage

    check = check_storage(storage)
    screen.print_findings(check.findings, as_json)
    if check.unusable is not None:
        raise check.unusable
    if not check.is_good:
        raise typer.Exit(1)


@storage_app.command("upgrade")
def storage_upgrade(storage: Storage = None) -> None:
    """Bring the tables to the versions of this program; workers may go on meanwhile.

    Example: hpo storage upgrade
    """
    from hpo.upkeep import upgrade_storage

    for tables in upgrade_storage(storage):
        screen.say(f"tables of {tables.package}: {tables.way}")


@app.command()
def doctor(storage: Storage = None, as_json: Json = False) -> None:
    """Check versions, cores, storage and data, and say what mends what is wrong.

    Example: hpo doctor
    """
    from hpo.doctor import examine

    findings = examine(storage)
    screen.print_findings(findings, as_json)
    if any(finding.verdict == "bad" for finding in findings):
        raise typer.Exit(1)


def main() -> None:
    """Run the command; a mistake of the user's is one line on stderr and an exit code."""
    arguments = sys.argv[1:] or ["--help"]
    try:
        code = app(arguments, prog_name="hpo", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if not isinstance(code, int):
            raise
        fail(complaint(error), code)
    finally:
        settle_stderr()


def settle_stderr() -> None:
    """Let what nobody reads any more be lost: Python would leave with a code of its own for it."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def complaint(error: Exception) -> str:
    """What is wrong; where the command line itself is, also where to look it up."""
    words: str = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    return words if context is None else f"{words.rstrip('.?')}; see: {context.command_path} --help"


def fail(words: str, code: int) -> NoReturn:
    """Leave with one line on stderr."""
    print(f"error: {' '.join(words.split())}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
