"""A wrong command line, or one that cannot be done, says what is wrong and does nothing."""

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.bad_input import (
    CONFLICT,
    CREATE,
    INPUT,
    MISSING,
    STORAGE,
    check_refused,
    contents,
    the_error,
)
from tests.support.commands import HPO, TIMEOUT_S, clean_environment, run_hpo
from tests.support.tiny_studies import hpo


pytestmark = pytest.mark.usefixtures("workplace")


WRONG_COMMANDS = {
    "study delete made": "'made': add --yes",
    "study delete made --no": "--no",
    "study extend made": "'--trials'",
    "study extend made --trials 2": "trials: 2 .* 3 to 1000000",
    "study extend made --trials 0": "trials: 0 ",
    "study extend made --trials -3": "trials: -3 ",
    "study extend made --trials 1000001": "trials: 1000001 ",
    "study extend made --trials x": "'--trials'",
    "worker --study made --processes 0": "processes: .* at least 1.* 0",
    "worker --study made --processes -2": "processes: .* at least 1",
    "worker --study made --processes x": "'--processes'",
    "worker --study made --max-trials 0": "max_trials: .* at least 1.* 0",
    "worker --study made --max-trials -1": "max_trials: .* at least 1",
    "worker --study made --timeout 0": "timeout: .* above 0",
    "worker --study made --timeout -1": "timeout: .* above 0",
    "worker --study made --timeout nan": "timeout: .* above 0",
    "worker --study made --timeout x": "'--timeout'",
    "worker --study made --device tpu": "device.*'tpu'.*cpu",
    "worker --study made --device ''": "device.*''.* auto, cpu, cuda",
    "worker made": "made.* hpo worker --help",
    "export made --format xml": "format .*'xml'.*yaml",
    "export made -o none/best.yaml": "none/best.yaml.* folder",
    "export made -o .": "cannot write .",
    "export made --weights none/best.safetensors": "cannot write none/best.safetensors",
    "export made --weights .": "cannot write .",
    "export made -o best --weights ./best": "best and best are one file, .* name two files",
    "export made -o hpo.db": "cannot write hpo.db: it is the database",
    "export made --weights ./hpo.db": "cannot write hpo.db: it is the database",
    "export": "'name'; see: hpo export --help",
    "study": "hpo study --help",
    "study lst": "'lst'.*'list'",
    "study show": "'name'; see: hpo study show --help",
    "study show made fixed": "fixed",
    "study list --jsn": "--jsn .*--json",
    "studdy": "'studdy'.*'study'.* hpo --help",
    "architectures --verbose": "--verbose",
    "data": "hpo data --help",
    "data fetch": "'dataset'",
    "data fetch mnits": "'mnits'.* mnist",
    "dashboard --port 0": "'--port'",
    "dashboard --port 99999": "'--port'",
    "dashboard --port http": "'--port'",
    "--storage sqlite:///hpo.db study list": "--storage",
}


@pytest.mark.parametrize(("command", "says"), WRONG_COMMANDS.items())
def test_a_wrong_command_line_says_what_is_wrong(command: str, says: str) -> None:
    check_refused(command, INPUT, says)


def test_a_fixed_space_has_no_more_configurations_to_extend_to() -> None:
    check_refused(
        "study extend fixed --trials 2",
        CONFLICT,
        "has only 1 configurations; choose at most that many trials",
    )


@pytest.mark.parametrize("flags", ["", "--format json", "-o best.yaml", "--weights best.st"])
def test_there_is_nothing_to_export_before_a_trial_is_complete(flags: str) -> None:
    check_refused(f"export made {flags}", 1, "no trial of study 'made' is complete yet")


@pytest.mark.parametrize(
    "command",
    [
        "study show nope",
        "study show ''",
        "study show 😀",
        "study trials nope --json",
        "study extend nope --trials 5",
        "study delete nope --yes",
        "export nope",
        "worker --study nope",
        "worker --study nope --processes 2",
    ],
)
def test_a_study_that_is_not_there_is_not_found(command: str) -> None:
    check_refused(command, MISSING, "^no study named .* in sqlite:///hpo.db; see: hpo study list$")


REAL: dict[str, tuple[str, int, Mapping[str, str]]] = {
    "usage": ("study create", INPUT, {}),
    "not found": ("study show nope", MISSING, {}),
    "storage": ("study list", STORAGE, {"HPO_STORAGE": "sqlite:///notes.txt"}),
}


@pytest.mark.parametrize(("command", "code", "env"), REAL.values(), ids=list(REAL))
def test_the_installed_command_behaves_the_same(
    command: str, code: int, env: Mapping[str, str]
) -> None:
    before = contents(Path.cwd())
    done = run_hpo(*command.split(), env=env)
    the_error(done.stdout, done.stderr)
    assert done.returncode == code
    assert contents(Path.cwd()) == before


def test_a_device_that_this_machine_lacks_is_named() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    done = hpo("worker --study made --device cuda --processes 1")
    assert done.code == INPUT
    assert re.search("error: device: .*CUDA.* cpu or auto\n$", done.err)


def test_a_reader_that_leaves_early_sees_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer) as output:
        done = subprocess.run(
            [HPO, "architectures", "--json"],
            stdout=output,
            stderr=subprocess.PIPE,
            env=clean_environment(),
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "")


def hear_sigint() -> None:
    """A shell that starts its jobs in the background has them ignore SIGINT, children included."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupted_command_leaves_without_a_traceback(workplace: Path) -> None:
    """The command is stopped where it waits: it reads its recipe from a pipe."""
    os.mkfifo(workplace / "pipe")
    command = [str(HPO), *CREATE.split(), "--space", "pipe"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        env=clean_environment(),
        text=True,
        cwd=workplace,
        preexec_fn=hear_sigint,
    )
    with (workplace / "pipe").open("w"):  # waits until the command has opened it too
        process.send_signal(signal.SIGINT)
    # Closing the pipe ends a read that began a moment after the signal.
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, errors) == (130, "")


ODD_NAMES = (
    "''",
    "'a b'",
    "../made",
    "MADE",
    "made.",
    "'made '",
    "%",
    "'; --'",
    "é",
    "😀",
    "x" * 999,
)
NAMED = ("study show", "study trials", "study delete --yes", "study extend --trials 9", "export")


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *((command, "é") for command in (*NAMED, "worker --study")),
        *(("export", n) for n in ODD_NAMES),
    ],
)
def test_a_name_of_any_kind_is_looked_for_and_not_found(command: str, name: str) -> None:
    check_refused(f"{command} {name}", MISSING, "^no study named .* in sqlite:///hpo.db; see: ")


UNWRITABLE = (
    "none/best.yaml",
    ".",
    "/proc/best.yaml",
    "/dev/null/best.yaml",
    "notes.txt/x",
    "x" * 300,
)


@pytest.mark.parametrize("flag", ["-o", "--weights"])
@pytest.mark.parametrize("path", UNWRITABLE)
def test_what_cannot_be_written_is_said_before_anything_is_done(flag: str, path: str) -> None:
    """Before the study is even looked for: it has nothing to export."""
    check_refused(f"export made {flag} {path}", INPUT, "^cannot write ")
