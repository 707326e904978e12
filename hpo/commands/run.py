"""`hpo worker`, `hpo reproduce`: commands that train; `hpo export`: what came of it."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from hpo.commands import tables
from hpo.commands.completion import architecture_names, study_names
from hpo.commands.options import Json, Storage, StudyName, option


run_app = typer.Typer()


@run_app.command()
def worker(
    study: Annotated[
        str | None,
        option("Default: the study that is least done.", autocompletion=study_names),
    ] = None,
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
    from hpo.events import final_error_logged
    from hpo.workers.command import run_worker

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
            metavar="[ARCHITECTURE]...",
            help="Default: all of which something is reported.",
            show_default=False,
            autocompletion=architecture_names,
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
    from hpo.export.export import export_study

    text = export_study(
        name, storage=storage, output=output, file_format=file_format, weights=weights
    )
    if output is None:
        sys.stdout.write(text)
    else:
        tables.say(f"wrote {output}")
    if weights is not None:
        tables.say(f"wrote {weights}")
