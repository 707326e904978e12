"""Standard streams that are closed, full or unread, and text that would change a terminal."""

import subprocess
import sys

import pytest

from hpo.io.streams import one_line, visible
from tests.support.commands import HPO, clean_environment


LOADED = "import sys; from hpo.io import streams; streams.protect(); "
"""What a command does first; the tests then write to the streams, which loads nothing slow."""


def shell(script: str, redirections: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a Python script with a shell's redirections."""
    return subprocess.run(
        ["bash", "-c", f'exec "$0" -c "$1" {redirections}', sys.executable, LOADED + script],
        env=clean_environment(variables),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("± 1.00 % · größe", "± 1.00 % · größe"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\x9b2J", r"\x9b2J"),
        ("good\rbad\b", r"good\rbad\x08"),
        ("a\nb", r"a\nb"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("zero\u200bwidth\u2028", r"zero\u200bwidth\u2028"),
        ("byte \udcff", r"byte \udcff"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_a_terminal_gets_only_printable_characters(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_a_message_is_one_line() -> None:
    assert one_line(" two\r\n lines \x1b[2J\x85") == r"two lines \x1b[2J"


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", "<&- >&-"])
def test_data_that_cannot_be_written_are_an_error(redirection: str) -> None:
    script = """
try: print("data", flush=True)
except streams.OutputError as error: print(error.exit_code, error, file=sys.stderr)
print("more data")
"""
    done = shell(script, redirection)
    assert done.returncode == 0, "Python's own flush at exit finds nothing left to write"
    assert done.stderr.startswith("1 cannot write to stdout: ")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_left_is_told_apart() -> None:
    script = """
try: print("data" * 99999, flush=True)
except BrokenPipeError: print("left", file=sys.stderr)
"""
    done = shell(script, "> >(exec true)")
    assert (done.returncode, done.stderr) == (0, "left\n")


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "2> >(exec true)"])
def test_messages_that_cannot_be_written_fail_nothing(redirection: str) -> None:
    script = "[print('message' * 9999, file=sys.stderr, flush=True) for _ in '123']; print('data')"
    done = shell(script, redirection)
    assert (done.returncode, done.stdout) == (0, "data\n")


def test_prints_of_a_worker_that_cannot_be_written_fail_nothing() -> None:
    script = "streams.protect(has_data=False); print('printed' * 9999, flush=True)"
    done = shell(script, "> /dev/full")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("stream", [1, 2])
def test_a_file_never_becomes_a_closed_stream(stream: int) -> None:
    script = "print(open('/dev/zero').fileno() > 2, file=sys.stderr if sys.argv[1:] else None)"
    done = shell(script, f"{stream}>&-" if stream == 2 else "1 1>&-")
    assert done.stdout + done.stderr == "True\n"


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", r"\xb1 \u20ac"), ("latin-1", "± €")])
def test_characters_that_an_encoding_lacks_become_escapes(encoding: str, shown: str) -> None:
    expected = shown.encode(encoding, errors="backslashreplace")
    done = subprocess.run(
        [sys.executable, "-c", LOADED + "print('\\u00b1 \\u20ac')"],
        env=clean_environment({"PYTHONIOENCODING": encoding}),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, expected, b"")


@pytest.mark.parametrize(
    ("redirection", "code", "errors"),
    [
        (">/dev/full", 1, "error: cannot write to stdout: No space left on device\n"),
        (">&-", 1, "error: cannot write to stdout: Bad file descriptor\n"),
        ("2>&-", 0, ""),
    ],
)
def test_a_command_ends_with_the_right_code(redirection: str, code: int, errors: str) -> None:
    done = subprocess.run(
        ["bash", "-c", f'exec "$0" --version {redirection}', HPO],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, errors)
    assert done.stdout.startswith("hpo ") == (code == 0)


@pytest.mark.parametrize("harm", ["sys.stdout = None", "sys.stdout.close()"])
@pytest.mark.parametrize(("then", "code"), [("None", 0), ("raise InputError('wrong')", 2)])
def test_a_network_that_removes_stdout_changes_no_exit_code(
    harm: str, then: str, code: int
) -> None:
    program = f"""
import sys, cli
from hpo.errors import InputError
def app(*args, **options):
    {harm}
    {then}
cli.app = app
cli.main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program, "study"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, "error: wrong\n" if code else "")
