"""Outputs go where their paths lead, whole or not at all."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hpo.errors import InputError
from hpo.io import files
from hpo.io.files import Output


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: str | Path, content: bytes = b"new") -> None:
    files.write([(Output(path), content)])


def mode(path: str | Path) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_mode_of_the_umask(umask: int, expected: int) -> None:
    before = os.umask(umask)
    try:
        write("best")
    finally:
        os.umask(before)
    assert mode("best") == expected


@pytest.mark.parametrize("given", [0o600, 0o640, 0o755])
def test_a_replaced_file_keeps_its_mode(folder: Path, given: int) -> None:
    Path("best").write_bytes(b"old")
    Path("best").chmod(given)
    with Path("best").open("rb") as reader:
        write("best")
        assert reader.read() == b"old", "who reads it meanwhile reads one or the other"
    assert (mode("best"), Path("best").read_bytes()) == (given, b"new")
    assert names(folder) == ["best"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to another user")
def test_a_replaced_file_keeps_its_owner() -> None:
    Path("best").touch()
    os.chown("best", 12, 34)
    write("best")
    assert (Path("best").stat().st_uid, Path("best").stat().st_gid) == (12, 34)


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_stays_and_its_file_is_written(folder: Path, exists: bool) -> None:
    target = folder / "there" / "real"
    target.parent.mkdir()
    if exists:
        target.write_bytes(b"old")
    Path("first").symlink_to("second")
    Path("second").symlink_to("there/real")
    write("first")
    assert target.read_bytes() == b"new"
    assert Path("first").is_symlink()
    assert Path("second").is_symlink()
    assert names(target.parent) == ["real"]


def test_a_pipe_is_written_to(folder: Path) -> None:
    os.mkfifo("pipe")
    Path("link").symlink_to("pipe")
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(Path("pipe").read_bytes()))
    reader.start()
    content = b"x" * 300_000  # more than a pipe holds at once
    write("link", content)
    reader.join()
    assert received == [content]
    assert Path("pipe").is_fifo()
    assert names(folder) == ["link", "pipe"]


def test_a_device_stays_one() -> None:
    Path("link").symlink_to(os.devnull)
    before = Path(os.devnull).stat()
    write("link")
    write(os.devnull)
    assert Path(os.devnull).stat().st_rdev == before.st_rdev
    assert Path(os.devnull).is_char_device()


def test_an_open_file_is_written_where_it_stands(folder: Path) -> None:
    with Path("log").open("wb", buffering=0) as log:
        log.write(b"before ")
        Path("link").symlink_to(f"/dev/fd/{log.fileno()}")
        write("link")
        write(f"/proc/self/fd/{log.fileno()}", b" twice")
    assert Path("log").read_bytes() == b"before new twice"
    assert names(folder) == ["link", "log"]


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_stdout_is_meant_also_while_it_is_reserved(path: str) -> None:
    Path("link").symlink_to("/dev/stdout")
    program = f"""
from hpo.io import files, stdout
with stdout.reserved():
    print("a network's own")
    files.write([(files.Output({path!r}), b"data")])
"""
    log = Path("log")
    log.write_bytes(b"before ")
    with log.open("ab") as output:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=output, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (0, b"a network's own\n")
    assert log.read_bytes() == b"before data", "it is appended, as the shell was told"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("none/best", "its folder is missing or cannot be written"),
        (".", "it is a folder"),
        ("/dev/fd/999", "Bad file descriptor"),
        ("/dev/fd/0/x", "Not a directory|cannot be written"),
        ("circle", "Too many levels of symbolic links"),
        ("x" * 300, "File name too long"),
    ],
)
def test_what_cannot_be_written_is_said_at_once(folder: Path, path: str, says: str) -> None:
    Path("circle").symlink_to("circle")
    with pytest.raises(InputError, match=f"^cannot write .*: .*({says})"):
        Output(path)
    assert names(folder) == ["circle"]


def test_a_deleted_working_folder_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "gone").mkdir()
    monkeypatch.chdir(folder / "gone")
    (folder / "gone").rmdir()
    with pytest.raises(InputError, match=r"^cannot write best: the working folder was deleted"):
        Output("best")


def test_a_file_open_for_reading_alone_is_refused() -> None:
    Path("input").write_bytes(b"kept")
    with (
        Path("input").open("rb") as opened,
        pytest.raises(InputError, match="Bad file descriptor"),
    ):
        Output(f"/dev/fd/{opened.fileno()}")
    assert Path("input").read_bytes() == b"kept"


def test_a_pipe_without_a_reader_ends_in_one_line(folder: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    output = Output(f"/dev/fd/{writer}")
    with pytest.raises(InputError, match=rf"^cannot write /dev/fd/{writer}: Broken pipe$"):
        files.write([(Output("best"), b"new"), (output, b"new")])
    os.close(writer)
    assert names(folder) == []


def test_a_full_device_leaves_the_other_output_as_it_was(folder: Path) -> None:
    Path("best").write_bytes(b"old")
    outputs = [(Output("best"), b"new"), (Output("/dev/full"), b"new")]
    with pytest.raises(InputError, match=r"^cannot write /dev/full: No space left on device$"):
        files.write(outputs)
    assert Path("best").read_bytes() == b"old"
    assert names(folder) == ["best"]


def test_the_working_folder_counts_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output("best")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    files.write([(output, b"new")])
    assert (folder / "best").read_bytes() == b"new"


def same_pairs(folder: Path) -> dict[str, tuple[str, str]]:
    (folder / "there").mkdir()
    (folder / "file").touch()
    os.link("file", "hard")
    Path("soft").symlink_to("file")
    Path("dangling").symlink_to("there/new")
    os.mkfifo("pipe")
    return {
        "equal": ("new", "new"),
        "roundabout": ("new", "there/../new"),
        "hard link": ("file", "hard"),
        "symbolic link": ("soft", "file"),
        "link to no file": ("dangling", "there/new"),
        "pipe": ("pipe", "./pipe"),
    }


def test_two_outputs_on_one_file_are_refused(folder: Path) -> None:
    for first, second in same_pairs(folder).values():
        with pytest.raises(InputError, match="are one file"):
            files.check_distinct([Output(first), Output(second)])


def test_two_outputs_may_go_nowhere() -> None:
    files.check_distinct([Output(os.devnull), Output(os.devnull), Output("a"), Output("b")])
