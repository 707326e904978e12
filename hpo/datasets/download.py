"""Files of known SHA-256 fetched into a folder from the first mirror that has them whole.

A file gets its name only when it is complete and right, by one rename: a broken download, a
killed process or two processes at once leave no wrong file behind.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from hpo.errors import DataError


CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 30


def download(folder: Path, checksums: Mapping[str, str], mirrors: Sequence[str]) -> Path:
    """Makes `folder` hold the files of `checksums` (name to SHA-256) and gives it back.

    What is there and right stays, without any use of the network; what is there and wrong is
    replaced. A mirror is the URL under which the files lie.

    Raises:
        DataError: no mirror has a file, or the folder cannot be written to.
    """
    for name, checksum in checksums.items():
        try:
            _fetch_one(folder, name, checksum, mirrors)
        except OSError as error:
            raise DataError(
                f"{name} cannot be kept in {folder}: {error.strerror or 'not writable'}; make room "
                "or give rights there, or set HPO_DATA_DIR to a folder that holds the files"
            ) from error
    return folder


def _fetch_one(folder: Path, name: str, checksum: str, mirrors: Sequence[str]) -> None:
    import pooch  # with requests slow to import, and needed here only
    from requests import RequestException

    pooch.get_logger().setLevel("WARNING")  # it would show whole URLs, passwords included
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{name}"
        try:
            pooch.retrieve(url, f"sha256:{checksum}", name, folder, downloader=_download_with_bar)
            return
        except (RequestException, ValueError) as error:  # ValueError: the wrong checksum
            failures.append(f"{_host(mirror)}: {_reason(error)}")
    raise DataError(
        f"{name} could not be downloaded ({'; '.join(failures)}); run `hpo data fetch mnist` "
        "where there is network, or set HPO_DATA_DIR to a folder that holds the files"
    )


def _download_with_bar(url: str, output_file: str, pooch_: object) -> None:
    """One file by HTTP with a progress bar on stderr; pooch calls it with these arguments."""
    from pooch import HTTPDownloader
    from tqdm import tqdm

    name = PurePosixPath(urlsplit(url).path).name
    # The total is a stand-in: a tqdm without one has no truth value, and pooch asks for it.
    with tqdm(desc=name, total=1, unit="B", unit_scale=True, file=sys.stderr) as bar:
        fetch = HTTPDownloader(
            progressbar=bar,
            chunk_size=2**16,
            timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
            headers={"Accept-Encoding": "identity"},  # the .gz itself, not what is in it
        )
        fetch(url, output_file, pooch_)
    Path(output_file).chmod(0o644)  # a temporary file is its owner's only; a cache may be shared


def _host(mirror: str) -> str:
    """The mirror without what may be secret: user name, password, query."""
    return urlsplit(mirror).hostname or "a mirror that is no URL"


def _reason(error: Exception) -> str:
    """A few words for what went wrong; the errors of requests are long and show the URL."""
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code}"
    words = {
        exceptions.ChunkedEncodingError: "connection cut off",
        exceptions.Timeout: "no answer in time",
        exceptions.SSLError: "no trusted certificate",
        exceptions.ConnectionError: "no connection",
        exceptions.RequestException: "not a usable address",
        ValueError: "wrong SHA-256",
    }
    return next(text for kind, text in words.items() if isinstance(error, kind))
