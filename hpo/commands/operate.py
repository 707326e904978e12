"""The commands that set up, check and serve hpo, and list its architectures."""

from typing import Annotated

import typer

from hpo.commands import tables
from hpo.commands.options import Json, Storage, option
from hpo.commands.waiting import explained


operate_app = typer.Typer()
data_app = typer.Typer(help="Download the files of data sets.")
storage_app = typer.Typer(help="Check the database of studies, or repair it.")
operate_app.add_typer(data_app, name="data")
operate_app.add_typer(storage_app, name="storage")


@operate_app.command()
def architectures(as_json: Json = False) -> None:
    """List the architectures for which a study can be created.

    Example: hpo architectures --json
    """
    with explained("building every network to count its parameters; this loads torch"):
        from hpo.reports.architectures import list_architectures

        entries = list_architectures()
    tables.print_architectures(entries, as_json)


@data_app.command("fetch")
def data_fetch(
    dataset: Annotated[
        str,
        typer.Argument(
            help="Data set: mnist, digits, disk or package.module:factory.", show_default=False
        ),
    ],
) -> None:
    """Download the files of a data set that are not on this machine yet.

    Example: hpo data fetch mnist
    """
    from hpo.datasets import fetch
    from hpo.foreign_code.trust import own_word

    with own_word():
        folder = fetch(dataset)
    tables.say(f"{dataset} needs no files" if folder is None else f"{dataset} is in {folder}")


@operate_app.command()
def dashboard(
    host: Annotated[str, option("Address to listen on. Default: 127.0.0.1.")] = "127.0.0.1",
    port: Annotated[int, option("Port to listen on. Default: 8080.", min=1, max=65535)] = 8080,
    allow_host: Annotated[
        list[str] | None,
        option(
            "Another name by which browsers reach the dashboard, such as that of a proxy; may be "
            "repeated. Default: addresses, localhost, --host and this machine's name."
        ),
    ] = None,
    storage: Storage = None,
) -> None:
    """Serve optuna-dashboard on the database until Ctrl-C. The dashboard has no login.

    It can delete studies and write notes. It does not create or rename studies or end trials: use
    the commands of hpo for that.

    Example: hpo dashboard --port 8080
    """
    from hpo.operations.dashboard import serve

    serve(storage, host=host, port=port, allow_hosts=allow_host or ())


@storage_app.command("check")
def storage_check(storage: Storage = None, as_json: Json = False) -> None:
    """Check the database and the records of all its studies, without changing anything.

    Example: hpo storage check
    """
    with explained("checking the database and each study"):
        from hpo.operations.databases import check_storage

        check = check_storage(storage)
    tables.print_findings(check.findings, as_json)
    if check.unusable is not None:
        raise check.unusable
    if not check.is_good:
        raise typer.Exit(1)


@storage_app.command("upgrade")
def storage_upgrade(storage: Storage = None) -> None:
    """Upgrade the tables to the versions that this program needs; workers can keep working.

    Example: hpo storage upgrade
    """
    from hpo.operations.databases import upgrade_storage

    for upgraded in upgrade_storage(storage):
        tables.say(f"tables of {upgraded.package}: {upgraded.upgrade_path}")


@storage_app.command("purge")
def storage_purge(
    name: Annotated[str, typer.Argument(help="Name of the lost study.", show_default=False)],
    yes: Annotated[bool, option("Confirm that the records are deleted.", "--yes")] = False,
    storage: Storage = None,
) -> None:
    """Delete hpo's records of a study that another program deleted or renamed.

    `hpo storage check` lists such studies. Optuna's tables are not changed.

    Example: hpo storage purge siamese --yes
    """
    from hpo.errors import InputError
    from hpo.operations.databases import purge_study

    if not yes:
        raise InputError(f"this deletes all that hpo recorded for {name!r}: add --yes")
    purge_study(name, storage)
    tables.say(f"deleted the records of {name}")


@operate_app.command()
def doctor(storage: Storage = None, as_json: Json = False) -> None:
    """Check versions, cores, device, storage and data, and say how to repair what is wrong.

    Example: hpo doctor
    """
    with explained("checking this machine and the database; this loads torch"):
        from hpo.operations.doctor import examine

        findings = examine(storage)
    tables.print_findings(findings, as_json)
    if any(finding.verdict == "bad" for finding in findings):
        raise typer.Exit(1)
