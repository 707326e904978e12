"""The output of the commands: data on stdout as JSON or tables, messages on stderr.

`hpo --help` loads this module. Slow imports are therefore inside the functions.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

from hpo.io.stdout import data_stream, write_data
from hpo.io.streams import visible


if TYPE_CHECKING:
    from hpo.operations.databases import Finding
    from hpo.protocol import Protocol
    from hpo.reports.architectures import Entry
    from hpo.reproduction.reproduce import Reproduction
    from hpo.search.boundary_check import CrowdedEdge
    from hpo.studies.lifecycle import Study
    from hpo.studies.status import Best, Status


def say(message: str) -> None:
    """Print a message on stderr, because stdout holds only data."""
    print(visible(message), file=sys.stderr)


def print_json(data: Any) -> None:
    """Print data as JSON on stdout, in ASCII: other characters are escapes such as `\\u00e9`."""
    write_data(json.dumps(data, indent=2) + "\n")


def print_record(record: dict[str, Any], as_json: bool) -> None:
    """Print a record as JSON, or as a table with one row for each field."""
    if as_json:
        print_json(record)
    else:
        print_table(("", ""), ((key, str(value)) for key, value in record.items()))


def print_table(
    head: Sequence[str], rows: Iterable[Sequence[Any]], optional: Sequence[str] = ()
) -> None:
    """Print a table on stdout.

    Cells are plain text, never interpreted as rich's markup or by the terminal. No name and no
    number is cut. If the terminal is narrow, the cells of the last column are wrapped between
    words. If that is not enough, the columns `optional` are left out, in this order. A table that
    is still too wide runs on over the terminal's edge.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    stream = data_stream()
    is_terminal = stream is not None and stream.isatty()
    # Without a height, rich takes a dumb terminal to be 80 columns wide.
    console = Console(file=stream, width=None if is_terminal else 200, height=25)
    columns = [Column(name, [visible(str(row[n])) for row in rows]) for n, name in enumerate(head)]
    columns = _that_fit(columns, optional, console.width)
    console.width = max(console.width, _width(columns))
    table = Table(box=None, show_header=any(head), pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column.name, no_wrap=column is not columns[-1], overflow="fold")
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(Text, row))
    with console.capture() as capture:
        console.print(table)
    write_data("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


class Column(NamedTuple):
    """A column of a table: its name in the head, and its cells."""

    name: str
    cells: list[str]

    def least_width(self, *, wraps: bool) -> int:
        """The least width in which nothing is cut; if it `wraps`, it breaks between words."""
        from rich.cells import cell_len

        texts = (self.name, *self.cells)
        parts = [part for text in texts for part in (text.split() if wraps else text.splitlines())]
        return max(map(cell_len, parts), default=0)


def _width(columns: Sequence[Column]) -> int:
    """The least width of a table in which nothing is cut; two spaces separate the columns."""
    *others, last = columns
    least = [*(column.least_width(wraps=False) for column in others), last.least_width(wraps=True)]
    return sum(least) + 2 * len(others)


def _that_fit(columns: list[Column], optional: Sequence[str], width: int) -> list[Column]:
    """The columns without as many of the `optional` ones as the width has no room for."""
    for name in optional:
        if _width(columns) > width:
            columns = [column for column in columns if column.name != name]
    return columns


def print_study(study: "Study", as_json: bool) -> None:
    """Print a new study: its whole protocol as JSON, or a table of its settings."""
    if as_json:
        protocol = study.protocol.model_dump(mode="json")
        print_json({"name": study.name, "n_trials": study.n_trials} | protocol)
        return
    print_table(("", ""), _study_rows(study))


def _study_rows(study: "Study") -> Iterable[tuple[str, str]]:
    """The rows for a new study: a summary, then each setting."""
    protocol = study.protocol
    n_known, n_first = len(protocol.known), len(protocol.first)
    centre = ", 1 the space's centre" if n_first > n_known else ""
    yield "study", f"{study.name}: {protocol.architecture} on {protocol.dataset}"
    yield "fingerprint", protocol.fingerprint[:12]
    yield "parameters", ", ".join(protocol.search_space.names)
    yield "trials", f"{study.n_trials}, {n_known} of them known configurations{centre}"
    yield from _settings(protocol)


def _settings(protocol: "Protocol") -> Iterable[tuple[str, str]]:
    """The name and the value of each setting in a protocol, but for the data set."""
    from hpo.settings import settings

    for name, value in protocol.frozen.items():
        if name != "dataset":
            prefix = "up to " if name in protocol.search_space.names else ""
            shown = {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
            yield settings()[name].flag.replace("-", " "), f"{prefix}{shown}"


def print_studies(studies: "list[Status]", as_json: bool) -> None:
    """Print studies as JSON, or as a table with one row for each study."""
    from hpo.reports.formatting import percent

    if as_json:
        print_json([status.to_json() for status in studies])
        return
    print_table(
        ("study", "architecture", "data", "state", "trials", "validation error", "test error"),
        (
            (
                status.name,
                status.architecture,
                status.dataset,
                _state(status),
                f"{status.trials.finished}/{status.trials.target}",
                percent(status.best.validation_error if status.best else None),
                _test_error(status.best),
            )
            for status in studies
        ),
        optional=("architecture", "data", "validation error"),
    )


def _test_error(best: "Best | None") -> str:
    """The summary of the test runs, and how many of them failed; `-` before the first one."""
    from hpo.reports.formatting import summary

    n_failed = len(best.failed_test_runs) if best else 0
    measured = summary(best.test_error if best else None)
    return f"{measured}, {n_failed} failed" if n_failed else measured


def _state(status: "Status") -> str:
    return f"{status.state}, paused" if status.paused else status.state


def print_status(status: "Status", as_json: bool) -> None:
    """Print a study's status as JSON, or as tables.

    The tables show the results, the workers, and the ends of ranges that may be too narrow.
    """
    from hpo.reports.formatting import duration

    if as_json:
        print_json(status.to_json())
        return
    print_table(("", ""), _status_rows(status))
    if status.workers:
        print_table(
            ("worker", "doing", "epochs", "since", ""),
            (
                (w.name, w.doing, w.n_epochs, duration(w.since_s), "silent" if w.is_silent else "")
                for w in status.workers
            ),
        )
    if status.edges:
        print_table(("", ""), (("at an edge", _edge_text(edge)) for edge in status.edges))


def _edge_text(edge: "CrowdedEdge") -> str:
    from hpo.reports.formatting import value

    name, end = edge.parameter, "upper" if edge.edge == "high" else "lower"
    layer = "" if edge.layer is None else f"[{edge.layer}]"
    return (
        f"{name}{layer}: {edge.n_there} of the best {edge.n_best} trials near its {end} end "
        f"{value(edge.value)}; widen the range if possible"
    )


def _status_rows(status: "Status") -> Iterable[tuple[str, str]]:
    from hpo.reports.formatting import interval, percent, value
    from hpo.studies.results import reasons_of

    yield "study", f"{status.name}: {status.architecture} on {status.dataset}"
    yield "state", _state(status)
    yield "trials", ", ".join(f"{n} {state}" for state, n in asdict(status.trials).items())
    yield "protocol", ", ".join(f"{name} {value}" for name, value in _settings(status.protocol))
    if (best := status.best) is None:
        return
    yield "best trial", str(best.trial)
    yield from ((f"  {name}", value(parameter)) for name, parameter in best.params.items())
    yield "parameters", str(best.n_parameters)
    yield "validation error", percent(best.validation_error)
    yield "test error", _test_error(best)
    yield "95 % interval", interval(best.test_error)
    values = best.test_error.values if best.test_error else ()
    yield "each test run", ", ".join(percent(error) for error in values) or "-"
    yield from (("failed test runs", reason) for reason in reasons_of(best.failed_test_runs))


def print_trials(trials: list[dict[str, Any]], as_json: bool) -> None:
    """Print trials as JSON, or as a table with one row for each trial."""
    from hpo.foreign_code.failures import last_line
    from hpo.reports.formatting import duration, params, percent

    if as_json:
        print_json(trials)
        return
    print_table(
        ("trial", "state", "validation error", "epochs", "attempts", "time", "configuration"),
        (
            (
                trial["number"],
                _trial_state(trial),
                percent(None if trial["state"] == "pruned" else trial["validation_error"]),
                trial["n_epochs"],
                trial["n_attempts"],
                duration(trial["train_s"]),
                " · ".join(filter(None, (params(trial["params"]), last_line(trial["failure"])))),
            )
            for trial in trials
        ),
        optional=("attempts", "time", "epochs"),
    )


def _trial_state(trial: dict[str, Any]) -> str:
    """The state of a trial; for a pruned one, how far it came and its error until there."""
    from hpo.reports.formatting import percent

    if (after := trial["pruned_after"]) is None:
        return str(trial["state"])
    fold = "all folds" if after["fold"] is None else f"fold {after['fold']}"
    partial = percent(trial["validation_error"])
    return f"pruned after epoch {after['epoch']} of {fold}, at {partial}"


def print_architectures(entries: "list[Entry]", as_json: bool) -> None:
    """Print architectures as JSON, or as a table with one row for each architecture."""
    from hpo.reports.formatting import percent

    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    print_table(
        ("architecture", "task", "shared", "aux. loss", "parameters", "reported", "source"),
        (
            (
                entry.name,
                entry.task or "any",
                "yes" if entry.weight_sharing else "no",
                "yes" if entry.auxiliary_loss else "no",
                f"{entry.n_parameters:,}",
                percent(entry.reported["test_error"] if entry.reported else None),
                entry.source,
            )
            for entry in entries
        ),
        optional=("source", "task", "aux. loss", "shared"),
    )


REPRODUCTION_HEAD = (
    "architecture",
    "reported",
    "measured",
    "runs",
    "parameters reported / measured",
    "seconds reported / measured",
    "agrees",
)
LEAST_OF_REPRODUCTION = REPRODUCTION_HEAD[5:2:-1]
"""The columns of a reproduction that a narrow terminal does without, the first one first."""


def print_reproduction(results: "list[Reproduction]", as_json: bool) -> None:
    """Print reported and measured results as JSON, or as a table with one architecture a row."""
    records = [result.to_json() for result in results]
    if as_json:
        print_json(records)
    else:
        print_table(REPRODUCTION_HEAD, map(reproduction_row, records), LEAST_OF_REPRODUCTION)


def reproduction_row(record: dict[str, Any]) -> tuple[str, ...]:
    """The cells under `REPRODUCTION_HEAD` for one architecture, from its JSON record."""
    reported, measured, n_failed = record["reported"], record["measured"], len(record["failures"])
    n_runs = measured["n"] if measured else 0
    return (
        record["architecture"],
        _error(reported["test_error"], reported["std"]),
        _error(measured["mean"], measured["std"]) if measured else "-",
        f"{n_runs}, {n_failed} failed" if n_failed else str(n_runs),
        f"{_or_dash(reported['n_parameters'], ',')} / {record['n_parameters']:,}",
        f"{_or_dash(reported['train_s'], '.1f')} / {_or_dash(record['train_s'], '.1f')}",
        record["verdict"],
    )


def _error(mean: float | None, std: float | None) -> str:
    from hpo.reports.formatting import percent

    if mean is None or std is None:
        return percent(mean)
    return f"{100 * mean:.2f} ± {100 * std:.2f} %"


def _or_dash(number: float | None, format_spec: str) -> str:
    return "-" if number is None else format(number, format_spec)


def print_findings(findings: "list[Finding]", as_json: bool) -> None:
    """Print findings as JSON, or as a table with one row for each finding."""
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        print_table(
            ("", "", ""), ((finding.what, finding.verdict, finding.words) for finding in findings)
        )
