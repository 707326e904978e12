"""Each command's help."""

import pytest

from tests.support.tiny_studies import hpo, must


COMMANDS = (
    "",
    "study",
    "study create",
    "study list",
    "study show",
    "study trials",
    "study extend",
    "study rename",
    "study pause",
    "study resume",
    "study copy",
    "study delete",
    "worker",
    "export",
    "architectures",
    "reproduce",
    "data",
    "data fetch",
    "storage",
    "storage check",
    "storage upgrade",
    "storage purge",
    "dashboard",
    "doctor",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_holds_an_example(command: str) -> None:
    done = hpo(*command.split(), "--help")
    assert done.code == 0
    assert done.err == ""
    if command not in ("study", "data", "storage"):
        assert f"hpo {command or 'study create'} " in " ".join(done.out.split())
        assert "Example: hpo" in done.out or "Begin with: hpo" in done.out


def test_no_command_shows_the_help() -> None:
    assert must("") == must("--help")
