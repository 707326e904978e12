"""The rule that decides which modules outside hpo a command may import.

A study and an export name a network and a data set, and somebody else may have chosen the names.
For a name of the form `module:attribute`, hpo imports the module in three cases only:

- The user names it now, by `hpo study create`, `hpo.create_study`, `hpo reproduce` or `hpo data
  fetch`. Creating the study also records the module in the user's trust file.
- The trust file has a record of it for this database, and Python finds it in the same folder.
  `hpo.load` has no database and takes the records of all.
- `--trust`, the variable `HPO_TRUST` or the argument `trust` names it for this command.

Whoever trusts a package trusts the modules inside it. A module of the standard library is never
used. A network or data set that an installed package offers by an entry point needs no trust.
"""

import hashlib
import importlib
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from importlib.machinery import PathFinder
from importlib.util import find_spec
from inspect import getattr_static
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hpo.errors import InputError
from hpo.foreign_code import trust_file
from hpo.foreign_code.trust_file import Record, folder_of
from hpo.io import folders


if TYPE_CHECKING:
    from sqlalchemy.engine import URL


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What one command may import.

    named: the modules that the user trusts for this command.
    database: the database whose records in the trust file count; None for those of all.
    foreign_code: whether anything outside hpo may be imported.
    folder: the folder to find `named` modules in that are not installed; None for no folder.
    used: the modules that were used so far, if the user names them now; otherwise None.
    """

    named: Sequence[str] = ()
    database: str | None = None
    foreign_code: bool = True
    folder: str | None = None
    used: set[str] | None = None

    def of(self, url: "URL") -> Self:
        """The same decision for the studies of the database at `url`."""
        return replace(self, database=database_name(url))

    def to_json(self) -> str:
        """The decision as text, for another process."""
        return json.dumps(asdict(replace(self, used=None)))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The decision that `to_json` wrote."""
        return cls(**json.loads(text))

    def allows(self, module: str) -> bool:
        """Whether the module may be imported; if so, its folder is searched from now on."""
        if self.used is not None or any(_is_inside(module, name) for name in self.named):
            _search(module, self.folder)
            return True
        folders = _trusted_folders(module, self.database)
        if not folders:
            return False
        _search(module, self.folder if self.folder in folders else folders[-1])
        found = _found_in(module)
        return found is None or found in folders


_decision: ContextVar[Decision | None] = ContextVar("decision", default=None)


def decide(trust: Sequence[str] = (), *, foreign_code: bool = True) -> Decision:
    """The decision of a command: `trust` and `HPO_TRUST` name modules, separated by commas.

    Without `foreign_code`, both are ignored.

    Raises:
        InputError: a name is no module's name, or names a module of the standard library.
    """
    if not foreign_code:
        return Decision(foreign_code=False)
    listed = [trust] if isinstance(trust, str) else list(trust)
    named = [_checked(name) for entry in listed for name in str(entry).split(",")]
    variable = os.environ.get("HPO_TRUST", "")
    named += [_checked(name, "HPO_TRUST") for name in variable.split(",") if name.strip()]
    return Decision(named=tuple(named), folder=working_folder())


def current() -> Decision:
    """The decision of the running command; outside a command, `decide()`."""
    return _decision.get() or decide()


@contextmanager
def decided(decision: Decision) -> Iterator[None]:
    """A context in which the decision holds."""
    token = _decision.set(decision)
    try:
        yield
    finally:
        _decision.reset(token)


@contextmanager
def own_word() -> Iterator[set[str]]:
    """A context for names that the user types now; yields the modules that are used for them."""
    used: set[str] = set()
    with decided(Decision(folder=working_folder(), used=used)):
        yield used


def record(url: "URL", modules: Iterable[str]) -> str | None:
    """Record modules in the trust file, for the database at `url`.

    Returns a warning if the file cannot be written: the study exists already.

    Raises:
        InputError: the trust file is damaged, or other users can change it.
    """
    names = sorted(modules)
    if not names:
        return None
    try:
        trust_file.add(database_name(url), [_record_of(name) for name in names])
    except OSError as error:
        return (
            f"cannot write the trust file {trust_file.location()}: {error}; start workers with "
            f"{_flags(names)}, or set HPO_CONFIG_DIR to a folder of yours"
        )
    return None


def database_name(url: "URL") -> str:
    """The name of a database in the trust file: its URL without user, password and options."""
    from sqlalchemy.engine import URL

    backend = url.get_backend_name()
    if backend == "sqlite":
        return f"sqlite:///{os.path.realpath(str(url.database))}"
    sockets = {key: value for key, value in url.query.items() if key in ("host", "unix_socket")}
    plain = URL.create(backend, host=url.host, port=url.port, database=url.database, query=sockets)
    return plain.render_as_string()


def check_foreign(what: str) -> None:
    """Check that code outside hpo may be imported at all; `what` begins the message.

    Raises:
        InputError: the command was started with `--no-foreign-code`.
    """
    if not current().foreign_code:
        raise InputError(f"{what} is not part of hpo; --no-foreign-code allows no other code")


def check(what: str, *modules: str) -> None:
    """Check that the modules may be imported and used; `what` begins the message.

    Raises:
        InputError: a module is not trusted or belongs to the standard library, or the trust file
            cannot be used. The message names the option that trusts the modules.
    """
    check_foreign(what)
    decision = current()
    for module in modules:
        _check_not_standard(what, module)
    if decision.used is not None:
        trust_file.records(None)  # a damaged file is told before the study exists
        decision.used.update(modules)
    refused = [module for module in dict.fromkeys(modules) if not decision.allows(module)]
    if refused:
        names = " and ".join(_described(module, decision.database) for module in refused)
        place = "" if decision.database is None else " for this database"
        raise InputError(
            f"{what}: you have not trusted {names}{place}; if you would run this code, add "
            f"{_flags(refused)} (in Python: trust={refused})"
        )


def _described(module: str, database: str | None) -> str:
    """The module and where it is found, as an error message shows it."""
    found, folders = _found_in(module), _trusted_folders(module, database)
    if found is None:
        return f"the module {module}"
    elsewhere = f" (you trusted it in {folders[-1]})" if folders else ""
    return f"the module {module} in {found}{elsewhere}"


def _flags(modules: Iterable[str]) -> str:
    return " ".join(f"--trust {module}" for module in modules)


def _checked(name: str, what: str = "trust") -> str:
    name = name.strip()
    if not re.fullmatch(r"\w+(\.\w+)*", name) or name.endswith(".py"):
        raise InputError(f"{what}: {name!r} is not a module's name, such as mynet or mylib.nets")
    _check_not_standard(what, name)
    return name


def _check_not_standard(what: str, module: str) -> None:
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise InputError(
            f"{what}: {module} belongs to Python's standard library, which has no network and no "
            "data set; name a module of your own or of a package"
        )


def _is_inside(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")


def _trusted_folders(module: str, database: str | None) -> list[str | None]:
    records = trust_file.records(database)
    return [record.folder for record in records if _is_inside(module, record.module)]


def _record_of(module: str) -> Record:
    file = _path_of(sys.modules.get(module))
    if file is None:
        return Record(module=module, file=None, sha256=None)
    path = Path(file).absolute()
    return Record(module=module, file=str(path), sha256=_digest(path))


def _path_of(module: object) -> str | None:
    """The path of a module's file; None without one.

    A module may have replaced itself by an object that computes its attributes.
    """
    file = getattr_static(module, "__file__", None)
    return file if isinstance(file, str) else None


def _digest(path: Path) -> str | None:
    """The SHA-256 of a file in hexadecimal; None if the path leads into a zip file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def working_folder() -> str | None:
    """The folder in which hpo was called, without links in its path; None if it was deleted."""
    folder = folders.working()
    return None if folder is None else os.path.realpath(folder)


def _search(module: str, folder: str | None) -> None:
    """Let Python find a module in a folder, unless Python finds the module without it."""
    if module in sys.modules:
        return
    importlib.invalidate_caches()  # a notebook may have written the file a moment ago
    if folder is not None and folder not in sys.path and _found_in(module) is None:
        sys.path.append(folder)  # at the end, so that installed packages take precedence


def _found_in(module: str) -> str | None:
    """The folder in which Python finds the module, as in `folder_of`; imports nothing.

    None if Python does not find it, and for a module without a file.
    """
    search: Sequence[str] | None = None
    for name in accumulate(module.split("."), "{}.{}".format):
        file, search = _file_of(name, search)
        if file is not None:
            return folder_of(name, file)
        if search is None:
            return None
    return None


def _file_of(name: str, search: Sequence[str] | None) -> tuple[str | None, Sequence[str] | None]:
    """The file of a module, and the folders of its submodules; `search` are its parent's folders.

    A package without `__init__.py` has folders but no file.
    """
    if (loaded := sys.modules.get(name)) is not None:
        return _path_of(loaded), getattr_static(loaded, "__path__", None)
    try:
        spec = find_spec(name) if search is None else PathFinder.find_spec(name, search)
    except (ImportError, ValueError):
        return None, None
    if spec is None:
        return None, None
    return spec.origin if spec.has_location else None, spec.submodule_search_locations
