"""Which requests the web servers of hpo answer.

A page of another site can send requests from the browser of somebody who visits it. If its name is
made to mean this machine (DNS rebinding), it can also read the answers. Such requests carry the
page's name in their header `Host`. So only names that mean this machine are answered.
"""

import functools
import ipaddress
import json
import re
import socket
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from hpo.errors import InputError


READING = ("GET", "HEAD", "OPTIONS")
"""The methods that change nothing."""

AGAINST_FRAMES = [
    ("X-Frame-Options", "DENY"),
    ("Content-Security-Policy", "frame-ancestors 'none'"),
]
"""Headers that keep browsers from showing an answer within a page of another site."""


def host_names(names: Iterable[str]) -> frozenset[str]:
    """Names of machines in the form in which a request is compared with them.

    Raises:
        InputError: a text is no name, or has more than a name, such as a port.
    """
    return frozenset(map(_checked, names))


def _checked(name: str) -> str:
    found, is_alone = _name_in(name), re.fullmatch(r"[^:\[\]]+", name)
    if found is None or not is_alone:
        raise InputError(
            f"{name!r} is no name of a machine; write the name alone, such as hpo.example.org"
        )
    return found


def is_from_here(environ: Mapping[str, Any], names: frozenset[str]) -> bool:
    """Whether a request calls this machine by an address, by its own name or by one of `names`."""
    host = _name_in(environ.get("HTTP_HOST", ""))
    if host is None:
        return False
    return host == "localhost" or host in names or _is_address(host) or host in _own_names()


def is_cross_site(environ: Mapping[str, Any], names: frozenset[str]) -> bool:
    """Whether a browser sent the request for a page that this server did not serve.

    A page that a proxy with one of `names` serves counts as this server's.
    """
    if environ.get("HTTP_SEC_FETCH_SITE", "none") not in ("none", "same-origin"):
        return True
    if "HTTP_ORIGIN" not in environ:
        return False
    origin = environ["HTTP_ORIGIN"].partition("://")[2]
    name = _name_in(origin)
    is_same = name is not None and origin.lower() == environ.get("HTTP_HOST", "").lower()
    return not (is_same or name in names)


def refuse(start_response: Any, status: str, reason: str) -> Iterable[bytes]:
    """Answer a request with a reason why it is refused, as a JSON object."""
    start_response(status, [("Content-Type", "application/json"), *AGAINST_FRAMES])
    return [json.dumps({"reason": reason}).encode()]


def _name_in(host: str) -> str | None:
    """The name in `name:port`, in lower case and without a final dot; None if there is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises an error for a wrong port
    except ValueError:
        return None
    if parts.netloc != host or parts.hostname is None or "@" in host:
        return None
    return parts.hostname.rstrip(".") or None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@functools.cache
def _own_names() -> frozenset[str]:
    """The names of this machine. Asking for the full name may take seconds without a network."""
    name = socket.gethostname().lower()
    return frozenset({name, f"{name}.local", socket.getfqdn().lower()})
