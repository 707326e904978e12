"""Tables on a terminal of any width: nothing is cut."""

import io
import re
import sys
from typing import Any

import pytest

from hpo.commands import tables


class Terminal(io.StringIO):
    """A stdout that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def lines_on_terminal(
    monkeypatch: pytest.MonkeyPatch,
    width: int,
    head: tuple[str, ...],
    *rows: tuple[object, ...],
    optional: tuple[str, ...] = (),
) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stdout", Terminal())
    tables.print_table(head, rows, optional)
    printed = sys.stdout
    assert isinstance(printed, Terminal)
    return printed.getvalue().splitlines()


LONG = "convolutional-pair-with-shared-weights"
ROW = (LONG, "digit pairs", "1,192,601", "a report, and the table in it")
HEAD = ("architecture", "task", "parameters", "source")


def test_a_wide_terminal_shows_all_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    head, row = lines_on_terminal(monkeypatch, 100, HEAD, ROW, optional=("task",))
    assert head.split() == list(HEAD)
    assert re.split(r"\s{2,}", row) == list(ROW)


def test_the_last_column_breaks_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_on_terminal(monkeypatch, 76, HEAD, ROW)
    assert max(map(len, lines)) <= 76
    assert len(lines) > 2
    assert " ".join(" ".join(lines[1:]).split()) == " ".join(map(str, ROW))


@pytest.mark.parametrize("width", [70, 64])
def test_a_column_of_less_weight_gives_way(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    lines = lines_on_terminal(monkeypatch, width, HEAD, ROW, optional=("task",))
    words = " ".join(lines).split()
    assert max(map(len, lines)) <= width
    assert {LONG, "1,192,601", "source"} <= set(words)
    assert "task" not in words


def test_a_table_that_cannot_fit_runs_over(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_on_terminal(monkeypatch, 20, HEAD, ROW, optional=("task", "source"))
    assert [line.split() for line in lines] == [["architecture", "parameters"], [LONG, "1,192,601"]]


def test_no_name_of_the_zoo_is_cut_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    from hpo.architectures import architectures
    from hpo.reports.architectures import list_architectures

    entries = list_architectures()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "stdout", Terminal())
    tables.print_architectures(entries, as_json=False)
    printed = sys.stdout
    assert isinstance(printed, Terminal)
    words = printed.getvalue().split()
    assert set(architectures) <= set(words)
    assert {f"{entry.n_parameters:,}" for entry in entries} <= set(words)
    assert "…" not in printed.getvalue()


def trial(**values: Any) -> dict[str, Any]:
    whole = {"number": 3, "state": "complete", "validation_error": 0.25, "pruned_after": None}
    rest = {"n_epochs": 5, "n_attempts": 1, "train_s": 2.0, "failure": None}
    return whole | rest | {"params": {"dropout": 0.09999999999999999}} | values


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({}, ["complete", "25.00 %"]),
        (
            {"state": "pruned", "pruned_after": {"fold": 2, "epoch": 7}},
            ["pruned after epoch 7 of fold 2, at 25.00 %", "-"],
        ),
        (
            {"state": "pruned", "pruned_after": {"fold": None, "epoch": 7}},
            ["pruned after epoch 7 of all folds, at 25.00 %", "-"],
        ),
    ],
)
def test_a_pruned_trial_has_no_whole_error(
    capsys: pytest.CaptureFixture[str], values: dict[str, Any], shown: list[str]
) -> None:
    tables.print_trials([trial(**values)], as_json=False)
    row = capsys.readouterr().out.splitlines()[1]
    assert re.split(r"\s{2,}", row) == ["3", *shown, "5", "1", "2 s", "dropout=0.1"]
