"""Download of files with known SHA-256, from the first mirror that serves each file correctly.

A file is renamed to its final name only after its checksum is verified. A broken download, a
killed process or two concurrent processes therefore leave no wrong file behind.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from hpo.errors import DataError


CONNECT_TIMEOUT_S = 10
"""Seconds to wait for a connection before the next mirror is tried."""
READ_TIMEOUT_S = 30
"""Seconds without data before the next mirror is tried."""


def download(folder: Path, checksums: Mapping[str, str], mirrors: Sequence[str]) -> Path:
    """Download the files of `checksums` that are missing from `folder`, and return `folder`.

    A correct file is kept without any use of the network. A file with the wrong checksum is
    replaced.

    Args:
        folder: where the files are stored; created if it is missing.
        checksums: maps each file name to its SHA-256.
        mirrors: base URLs, tried in this order for each file.

    Raises:
        DataError: no mirror serves a file correctly, or the folder is not writable.
    """
    for name, checksum in checksums.items():
        try:
            _fetch_one(folder, name, checksum, mirrors)
        except OSError as error:
            raise DataError(
                f"{name} cannot be stored in {folder}: {error.strerror or 'not writable'}; free "
                "disk space or grant write permission there, or set HPO_DATA_DIR to a folder that "
                "holds the files"
            ) from error
    return folder


def _fetch_one(folder: Path, name: str, checksum: str, mirrors: Sequence[str]) -> None:
    import pooch  # imported here because pooch and requests are slow to import
    from requests import RequestException

    pooch.get_logger().setLevel("WARNING")  # at INFO, pooch logs URLs including passwords
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
        "on a machine with network access, or set HPO_DATA_DIR to a folder that holds the files"
    )


def _download_with_bar(url: str, output_file: str, pooch_: object) -> None:
    """Download one file by HTTP with a progress bar on stderr; the arguments are pooch's."""
    from pooch import HTTPDownloader
    from tqdm import tqdm

    name = PurePosixPath(urlsplit(url).path).name
    # total=1 is a placeholder: pooch evaluates bool(bar), which tqdm rejects without a total.
    with tqdm(desc=name, total=1, unit="B", unit_scale=True, file=sys.stderr) as bar:
        fetch = HTTPDownloader(
            progressbar=bar,
            chunk_size=2**16,
            timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
            headers={"Accept-Encoding": "identity"},  # keep the .gz file, do not decompress it
        )
        fetch(url, output_file, pooch_)
    # Temporary files are readable by their owner only, but other users may share the cache.
    Path(output_file).chmod(0o644)


def _host(mirror: str) -> str:
    """The host name of the mirror; user name, password and query may be secret."""
    return urlsplit(mirror).hostname or "a mirror that is no URL"


def _reason(error: Exception) -> str:
    """A short description of the error; messages of requests are long and contain the URL."""
    from requests import exceptions

    if isinstance(error, exceptions.HTTPError) and error.response is not None:
        return f"HTTP {error.response.status_code}"
    descriptions = {
        exceptions.ChunkedEncodingError: "connection cut off",
        exceptions.Timeout: "timeout",
        exceptions.SSLError: "no trusted certificate",
        exceptions.ConnectionError: "no connection",
        exceptions.RequestException: "not a usable address",
        ValueError: "wrong SHA-256",
    }
    return next(text for kind, text in descriptions.items() if isinstance(error, kind))
