"""The commands `hpo worker`, `hpo reproduce` and `hpo export`."""

from pathlib import Path
from typing import Annotated

import typer

from hpo.commands import tables
from hpo.commands.completion import architecture_names, study_names
from hpo.commands.options import Json, NoForeignCode, Storage, StudyName, Trust, option
from hpo.commands.waiting import explained
from hpo.io.stdout import write_data


run_app = typer.Typer()


@run_app.command()
def worker(
    study: Annotated[
        str | None,
        option(
            "Study to work on. Default: always the least complete study.",
            autocompletion=study_names,
        ),
    ] = None,
    processes: Annotated[
        int | None, option("Number of worker processes. Default: one on each core.")
    ] = None,
    device: Annotated[
        str, option("Device for training: auto, cpu or cuda. Default: auto.")
    ] = "auto",
    max_trials: Annotated[
        int | None, option("Trials per process before it exits. Default: no limit.")
    ] = None,
    timeout: Annotated[
        float | None, option("Seconds after which no new work starts. Default: no limit.")
    ] = None,
    wait: Annotated[
        bool, option("Wait for new work instead of exiting when all is done.", "--wait")
    ] = False,
    storage_timeout: Annotated[
        float,
        option("Seconds without an answer of the database before a worker exits. Default: 300."),
    ] = 300.0,
    max_failures: Annotated[
        int, option("Failed trials in a row before a worker exits. Default: 10.")
    ] = 10,
    trust: Trust = None,
    no_foreign_code: NoForeignCode = False,
    log_format: Annotated[
        str,
        option("Format of stderr: text, or json with one event per line. Default: text."),
    ] = "text",
    metrics_port: Annotated[
        int | None,
        option(
            "Port for /metrics (Prometheus) and /healthz. Default: not served.", min=1, max=65535
        ),
    ] = None,
    metrics_host: Annotated[
        str, option("Address for --metrics-port. Default: 127.0.0.1.")
    ] = "127.0.0.1",
    storage: Storage = None,
) -> None:
    """Train a study's trials and test runs until the study is complete.

    Example: hpo worker --study siamese --processes 4
    """
    from hpo.events import final_error_logged
    from hpo.io import streams
    from hpo.workers.command import run_worker

    streams.protect(has_data=False)
    with final_error_logged(log_format):
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
            trust=trust or (),
            foreign_code=not no_foreign_code,
            progress=True,
            log_format=log_format,
            metrics_port=metrics_port,
            metrics_host=metrics_host,
        )


@run_app.command()
def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ARCHITECTURE",
            help="Architectures. Default: all that have a report.",
            show_default=False,
            autocompletion=architecture_names,
        ),
    ] = None,
    repeats: Annotated[
        int | None,
        option("Test runs per architecture. Default: as many as in its report, else 15."),
    ] = None,
    processes: Annotated[
        int | None, option("Number of runs at the same time. Default: one on each core.")
    ] = None,
    precision: Annotated[
        str,
        option(
            "Number format of the forward pass in training: float32 or bfloat16. Default: float32."
        ),
    ] = "float32",
    device: Annotated[str, option("Device for training: auto, cpu or cuda. Default: cpu.")] = "cpu",
    as_json: Json = False,
) -> None:
    """Repeat the test runs of the configurations in the reports and compare the errors.

    A measured mean error agrees with the reported one if it is lower, or at most two reported
    standard deviations higher.

    Example: hpo reproduce siamese --repeats 5
    """
    with explained("loading torch and the reports' configurations"):
        from hpo.reproduction.reproduce import reproduce as run_again

    outcome = run_again(
        names or (),
        repeats=repeats,
        processes=processes,
        precision=precision,
        device=device,
        progress=True,
    )
    tables.print_reproduction(outcome.results, as_json)
    if outcome.ended_by is not None:
        raise outcome.ended_by


@run_app.command()
def export(
    name: StudyName,
    file_format: Annotated[
        str, option("Format: yaml or json. Default: yaml.", "--format")
    ] = "yaml",
    output: Annotated[
        Path | None, option("File to write. Default: stdout.", "--output", "-o")
    ] = None,
    weights: Annotated[
        Path | None,
        option("File for the trained network of test run 0 (safetensors). Default: not written."),
    ] = None,
    trust: Trust = None,
    no_foreign_code: NoForeignCode = False,
    storage: Storage = None,
) -> None:
    """Export a study's best configuration, with all that is needed to use and repeat it.

    For --weights, test run 0 is trained again. The weights are written if the network, loaded in a
    new process, gives the same answers.

    Example: hpo export siamese -o best.yaml --weights best.safetensors
    """
    with explained("loading what reads and exports studies"):
        from hpo.export.export import export_study
        from hpo.io.files import STDOUT, Output, check_distinct

    if output is None and weights is not None:
        check_distinct([Output(STDOUT), Output(weights)])
    text = export_study(
        name,
        storage=storage,
        output=output,
        file_format=file_format,
        weights=weights,
        trust=trust or (),
        foreign_code=not no_foreign_code,
    )
    if output is None:
        write_data(text)
    else:
        tables.say(f"wrote {output}")
    if weights is not None:
        tables.say(f"wrote {weights}")
