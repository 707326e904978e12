"""Registries: architectures, data sets, samplers and pruners by name.

An `OpenRegistry` also finds entries outside hpo. Such an entry has the name of an entry point that
an installed package offers, or a name of the form `package.module:attribute`. Its code is imported
when the entry is requested, never before. If hpo and a package use the same name, the name means
the entry of hpo.
"""

import difflib
import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Generic, TypeVar

from hpo import folders
from hpo.errors import HpoError, InputError
from hpo.failures import describe, is_interrupt, message_of


T = TypeVar("T")


class Registry(Generic[T]):
    """The entries of one kind by name; `kind` names the kind in messages."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Register `entry` under `name`.

        Raises:
            ValueError: the name is taken, which is a mistake in the program.
        """
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> T:
        """The entry named `name`.

        Raises:
            InputError: no entry has that name; the message suggests similar names.
        """
        if name in self._entries:
            return self._entries[name]
        raise InputError(unknown(self.kind, name, self))

    def check_own(self, name: str) -> None:
        """Check that the entry named `name` is part of hpo, without importing any other code.

        Raises:
            InputError: the entry is not part of hpo.
        """
        if name not in self._entries:
            raise InputError(
                f"{self.kind} {name!r} is not part of hpo; --no-foreign-code allows no other code"
            )

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)


class OpenRegistry(Registry[T]):
    """A registry that also finds entries in other packages.

    Packages offer entries in the entry-point group `group`. `adopt(name, candidate)` turns an
    imported object into an entry, or raises an `InputError`.
    """

    def __init__(self, kind: str, *, group: str, adopt: Callable[[str, object], T]) -> None:
        super().__init__(kind)
        self.group = group
        self._adopt = adopt
        self._adopted: dict[str, T] = {}

    def get(self, name: str) -> T:
        """The entry named `name`.

        The entry is part of hpo, or an installed package offers it. A name of the form
        `module:attribute` is imported.

        Raises:
            InputError: no entry has that name, two packages offer the name, the code cannot be
                imported, or the imported object is not a valid entry.
        """
        if name in self._entries:
            return self._entries[name]
        if name not in self._adopted:
            self._adopted[name] = self._adopt(name, self._find(name))
        return self._adopted[name]

    def offers(self) -> dict[str, list[EntryPoint]]:
        """The entry points of installed packages, by name; imports nothing."""
        offers: dict[str, list[EntryPoint]] = {}
        for point in sorted(entry_points(group=self.group), key=lambda point: point.name):
            offers.setdefault(point.name, []).append(point)
        return offers

    def is_known(self, name: str) -> bool:
        """Whether `get` can look up the name; loading the entry may still fail."""
        return name in self._entries or ":" in name or name in self.offers()

    def _find(self, name: str) -> object:
        if ":" in name:
            _search_working_folder()
            return _attribute(f"{self.kind} {name}", name)
        offers = self.offers()
        if name not in offers:
            raise InputError(unknown(self.kind, name, [*self, *offers]))
        if len(offers[name]) > 1:
            choices = " or ".join(f"{point.value} of {origin(point)}" for point in offers[name])
            raise InputError(f"{self.kind} {name} is offered twice; name one directly: {choices}")
        (point,) = offers[name]
        value = re.sub(r"\s|\[.*", "", point.value)  # drops extras, as in "a:b [extra]"
        return _attribute(f"{self.kind} {name} ({value})", value)


def origin(point: EntryPoint) -> str:
    """The name and version of the package that offers an entry point."""
    return "a package" if point.dist is None else f"{point.dist.name} {point.dist.version}"


@contextmanager
def user_code(failure: str) -> Iterator[None]:
    """Run code of the user or of another package: turn its exceptions into an `InputError`.

    The message begins with `failure`, for example "data set x cannot be made". An `HpoError` with a
    message and Ctrl-C are raised unchanged. The block's output on stdout goes to stderr, because
    hpo's stdout holds only data.

    Raises:
        InputError: the block raised another exception.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except BaseException as error:  # a script may call sys.exit when it is imported
        is_explained = isinstance(error, HpoError) and message_of(error) != describe(error)
        if is_explained or is_interrupt(error):
            raise
        raise InputError(f"{failure}: {describe(error)}") from error


def _search_working_folder() -> None:
    """Let Python import modules from the working folder, which a script such as `hpo` does not."""
    folder = folders.working()
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))  # at the end, so that installed packages take precedence
    importlib.invalidate_caches()  # a notebook may have written the file a moment ago


def _attribute(what: str, name: str) -> object:
    """The object `module:attribute`, or a part of it such as `module:Class.method`.

    `what` begins the message of an error.
    """
    if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", name) or ".py:" in name:
        raise InputError(f"{what}: name it as package.module:attribute, such as mynet:build")
    module_name, _, path = name.partition(":")
    value: object = _module(what, module_name)
    for part in path.split("."):
        with user_code(f"{what}: cannot get {part}"):
            if not hasattr(value, part):
                raise InputError(f"{what}: {unknown(_location(value), part, _public_names(value))}")
            value = getattr(value, part)
    return value


def _module(what: str, name: str) -> ModuleType:
    try:
        with user_code(f"{what}: importing {name} fails"):
            return importlib.import_module(name)
    except InputError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and f"{name}.".startswith(f"{cause.name}."):
            raise InputError(
                f"{what}: the module {cause.name} is not installed on this machine; install the "
                "package that holds it, or start hpo in its folder"
            ) from error
        raise


def _location(owner: object) -> str:
    file = getattr(owner, "__file__", None)
    return f"attribute in {getattr(owner, '__name__', owner)}" + (f" ({file})" if file else "")


def _public_names(owner: object) -> list[str]:
    """The public attributes of a module or class, without the modules that it imports."""
    attributes = getattr(owner, "__dict__", {}).items()
    return [
        name
        for name, value in attributes
        if not name.startswith("_") and not isinstance(value, ModuleType)
    ]


def unknown(
    kind: str, name: str, known: Iterable[str], synonyms: Mapping[str, str] | None = None
) -> str:
    """The message for an unknown name: it suggests similar known names, or else lists them all.

    If `synonyms` has the name of one of the known ones for it, the message suggests only that one.
    """
    names = list(known)
    if (synonym := (synonyms or {}).get(name)) in names:
        return f"no {kind} named {name!r}; hpo calls it {synonym}"
    similar = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(similar)}?" if similar else f"known: {', '.join(names)}"
    return f"no {kind} named {name!r}; {hint}"
