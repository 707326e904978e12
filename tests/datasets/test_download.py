"""Finding, downloading and checking data files, against mirrors served on this machine."""

import hashlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from hpo.datasets import fetch
from hpo.datasets.download import download
from hpo.datasets.mnist_files import CHECKSUMS, find
from hpo.errors import DataError


FILES = {"images.gz": bytes(range(256)) * 800, "labels.gz": b"labels" * 50}
KNOWN = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
CUT_AFTER = 5_000  # bytes
MNIST = os.environ.get("HPO_DATA_DIR")
needs_mnist = pytest.mark.skipif(not MNIST, reason="HPO_DATA_DIR names no folder with MNIST")

StartMirror = Callable[..., "Mirror"]


class Mirror:
    """A web server for some files, with one way of going wrong; counts what is asked of it."""

    def __init__(self, files: dict[str, bytes], fault: str = "") -> None:
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(files, fault, self.asked))
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}/"

    @contextmanager
    def serving(self) -> Iterator["Mirror"]:
        thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def _handler(files: dict[str, bytes], fault: str, asked: list[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.removeprefix("/")
            asked.append(name)
            if fault == "error":
                self.send_error(503)
                return
            content = files[name][::-1] if fault == "wrong" else files[name]
            self.send_response(200)
            if fault != "no length":
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            cut = fault == "cut" and len(content) > CUT_AFTER
            self.wfile.write(content[:CUT_AFTER] if cut else content)

        def log_message(self, *_: object) -> None:
            """Says nothing: stderr is what the tests look at."""

    return Handler


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[StartMirror]:
    """Starts mirrors that end with the test."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ExitStack() as stack:

        def start_mirror(fault: str = "", files: dict[str, bytes] = FILES) -> Mirror:
            return stack.enter_context(Mirror(files, fault).serving())

        yield start_mirror


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder is an empty one, and no data folder is given."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HPO_DATA_DIR", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def unreachable() -> Iterator[str]:
    """A URL at which nobody listens: the port is taken, but not for connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def put(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def data_error(action: Callable[[], object]) -> str:
    """The message of the `DataError`, which is one line."""
    with pytest.raises(DataError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    return message


class TestDownload:
    def test_files_arrive_whole_and_a_bar_on_stderr_names_them(
        self, tmp_path: Path, start: StartMirror, capsys: pytest.CaptureFixture[str]
    ) -> None:
        folder = tmp_path / "new" / "folder"
        assert download(folder, KNOWN, [start().url]) == folder
        assert contents(folder) == FILES
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "images.gz: 100%" in printed.err
        assert "labels.gz: 100%" in printed.err

    def test_a_server_that_tells_no_length_is_good_enough(
        self, tmp_path: Path, start: StartMirror
    ) -> None:
        download(tmp_path, KNOWN, [start("no length").url])
        assert contents(tmp_path) == FILES

    def test_a_mirror_may_be_given_without_the_last_slash(
        self, tmp_path: Path, start: StartMirror
    ) -> None:
        download(tmp_path, KNOWN, [start().url.rstrip("/")])
        assert contents(tmp_path) == FILES

    def test_other_users_may_read_what_was_downloaded(
        self, tmp_path: Path, start: StartMirror
    ) -> None:
        download(tmp_path, KNOWN, [start().url])
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o644}

    def test_what_is_there_is_not_asked_for_again(
        self, tmp_path: Path, start: StartMirror, capsys: pytest.CaptureFixture[str]
    ) -> None:
        mirror = start()
        put(tmp_path, {"images.gz": FILES["images.gz"]})
        download(tmp_path, KNOWN, [mirror.url])
        assert mirror.asked == ["labels.gz"]
        assert "images.gz" not in capsys.readouterr().err

    def test_a_damaged_file_in_the_folder_is_replaced(
        self, tmp_path: Path, start: StartMirror
    ) -> None:
        put(tmp_path, FILES | {"images.gz": FILES["images.gz"][:100]})
        download(tmp_path, KNOWN, [start().url])
        assert contents(tmp_path) == FILES

    @pytest.mark.parametrize("fault", ["cut", "wrong", "error"])
    def test_the_next_mirror_helps_out(
        self, tmp_path: Path, start: StartMirror, fault: str
    ) -> None:
        bad, good = start(fault), start()
        download(tmp_path, KNOWN, [bad.url, good.url])
        assert contents(tmp_path) == FILES
        assert "images.gz" in bad.asked
        assert "images.gz" in good.asked

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [("cut", "connection cut off"), ("wrong", "wrong SHA-256"), ("error", "HTTP 503")],
    )
    def test_where_no_mirror_is_good_nothing_is_kept(
        self, tmp_path: Path, start: StartMirror, fault: str, reason: str
    ) -> None:
        mirror = start(fault)
        message = data_error(lambda: download(tmp_path, KNOWN, [mirror.url, mirror.url]))
        assert message.startswith("images.gz could not be downloaded")
        assert message.count(reason) == 2
        assert contents(tmp_path) == {}

    def test_a_failed_download_leaves_the_old_file_alone(
        self, tmp_path: Path, start: StartMirror
    ) -> None:
        put(tmp_path, {"images.gz": b"old"})
        data_error(lambda: download(tmp_path, KNOWN, [start("cut").url]))
        assert contents(tmp_path) == {"images.gz": b"old"}

    def test_an_unreachable_mirror_says_what_to_do(self, tmp_path: Path, unreachable: str) -> None:
        message = data_error(lambda: download(tmp_path, KNOWN, [unreachable]))
        assert "127.0.0.1: no connection" in message
        assert "set HPO_DATA_DIR" in message
        assert "`hpo data fetch mnist`" in message

    @pytest.mark.parametrize("mirror", ["no-url", "ftp://127.0.0.1/mnist", "http://:80/"])
    def test_a_mirror_that_is_no_web_address_is_named(self, tmp_path: Path, mirror: str) -> None:
        assert "not a usable address" in data_error(lambda: download(tmp_path, KNOWN, [mirror]))

    def test_a_password_in_the_address_is_never_shown(
        self, tmp_path: Path, start: StartMirror, capfd: pytest.CaptureFixture[str]
    ) -> None:
        good, bad = start(), start("error")
        download(tmp_path, KNOWN, [f"http://me:secret@{good.host}/"])
        empty = tmp_path / "empty"
        message = data_error(lambda: download(empty, KNOWN, [f"http://me:secret@{bad.host}/"]))
        printed = capfd.readouterr()
        assert "secret" not in message + printed.out + printed.err

    def test_a_folder_that_cannot_be_made_is_named(
        self, tmp_path: Path, start: StartMirror
    ) -> None:
        (tmp_path / "file").write_text("in the way")
        folder = tmp_path / "file" / "mnist"
        message = data_error(lambda: download(folder, KNOWN, [start().url]))
        assert f"cannot be stored in {folder}" in message
        assert "HPO_DATA_DIR" in message

    def test_two_downloads_at_once_end_well(self, tmp_path: Path, start: StartMirror) -> None:
        url = start().url
        with ThreadPoolExecutor(4) as threads:
            downloads = [threads.submit(download, tmp_path, KNOWN, [url]) for _ in range(4)]
        assert [one.result() for one in downloads] == [tmp_path] * 4
        assert contents(tmp_path) == FILES


class TestGivenFolder:
    @pytest.mark.parametrize("place", ["", "mnist"])
    def test_files_may_lie_in_it_or_in_a_subfolder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
    ) -> None:
        put(tmp_path / place)
        monkeypatch.setenv("HPO_DATA_DIR", str(tmp_path))
        assert find(KNOWN) == tmp_path / place

    def test_a_missing_file_is_named_and_never_downloaded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: StartMirror
    ) -> None:
        mirror = start()
        put(tmp_path / "mnist", {"images.gz": FILES["images.gz"]})
        monkeypatch.setenv("HPO_DATA_DIR", str(tmp_path))
        monkeypatch.setenv("HPO_MNIST_MIRROR", mirror.url)
        message = data_error(lambda: find(KNOWN))
        assert message.startswith(f"labels.gz missing in {tmp_path / 'mnist'} (HPO_DATA_DIR)")
        assert mirror.asked == []

    def test_a_folder_that_does_not_exist_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HPO_DATA_DIR", str(tmp_path / "nowhere"))
        message = data_error(lambda: fetch("mnist"))
        assert all(name in message for name in CHECKSUMS)
        assert f"missing in {tmp_path / 'nowhere'}" in message

    @pytest.mark.parametrize("content", [b"", FILES["labels.gz"][:-1], b"another file"])
    def test_a_damaged_or_foreign_file_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
    ) -> None:
        put(tmp_path, FILES | {"labels.gz": content})
        monkeypatch.setenv("HPO_DATA_DIR", str(tmp_path))
        message = data_error(lambda: find(KNOWN))
        assert message.startswith(f"{tmp_path / 'labels.gz'} is damaged")
        assert "replace it" in message

    def test_swapped_files_are_told_apart(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        swapped = {"images.gz": FILES["labels.gz"], "labels.gz": FILES["images.gz"]}
        put(tmp_path, swapped)
        monkeypatch.setenv("HPO_DATA_DIR", str(tmp_path))
        assert "images.gz holds labels.gz" in data_error(lambda: find(KNOWN))


class TestCacheFolder:
    def test_an_empty_cache_is_filled_from_the_sites_own_mirror_once(
        self, empty_cache: Path, monkeypatch: pytest.MonkeyPatch, start: StartMirror
    ) -> None:
        mirror = start()
        monkeypatch.setenv("HPO_MNIST_MIRROR", mirror.url)
        assert find(KNOWN) == find(KNOWN) == empty_cache / "hpo" / "mnist"
        assert contents(empty_cache / "hpo" / "mnist") == FILES
        assert sorted(mirror.asked) == sorted(FILES)

    def test_an_empty_setting_counts_as_none(
        self, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(empty_cache / "hpo" / "mnist")
        monkeypatch.setenv("HPO_DATA_DIR", "")
        assert find(KNOWN) == empty_cache / "hpo" / "mnist"

    def test_the_true_checksums_refuse_other_files(
        self, empty_cache: Path, monkeypatch: pytest.MonkeyPatch, start: StartMirror
    ) -> None:
        monkeypatch.setenv("HPO_MNIST_MIRROR", start(files=dict.fromkeys(CHECKSUMS, b"x")).url)
        assert "wrong SHA-256" in data_error(lambda: fetch("mnist"))
        assert contents(empty_cache / "hpo" / "mnist") == {}


@needs_mnist
class TestTrueMnist:
    @pytest.fixture
    def files(self) -> dict[str, bytes]:
        folder = fetch("mnist")
        assert folder is not None
        return {name: (folder / name).read_bytes() for name in CHECKSUMS}

    def test_fetch_downloads_it_into_the_cache(
        self,
        files: dict[str, bytes],
        empty_cache: Path,
        monkeypatch: pytest.MonkeyPatch,
        start: StartMirror,
    ) -> None:
        monkeypatch.setenv("HPO_MNIST_MIRROR", start(files=files).url)
        assert fetch("mnist") == empty_cache / "hpo" / "mnist"
        assert contents(empty_cache / "hpo" / "mnist") == files

    def test_a_truncated_file_is_refused(
        self, files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = "train-images-idx3-ubyte.gz"
        put(tmp_path, files | {name: files[name][:-1000]})
        monkeypatch.setenv("HPO_DATA_DIR", str(tmp_path))
        assert f"{name} is damaged" in data_error(lambda: fetch("mnist"))

    def test_test_labels_in_place_of_training_labels_are_refused(
        self, files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(tmp_path, files)
        labels = "t10k-labels-idx1-ubyte.gz"
        shutil.copy(tmp_path / labels, tmp_path / "train-labels-idx1-ubyte.gz")
        monkeypatch.setenv("HPO_DATA_DIR", str(tmp_path))
        assert f"holds {labels}" in data_error(lambda: fetch("mnist"))
