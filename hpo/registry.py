"""Registries: architectures, data sets, samplers and pruners by name.

An `OpenRegistry` also finds entries outside hpo. Such an entry has the name of an entry point that
an installed package offers, or a name of the form `package.module:attribute`. Its code is imported
when the entry is requested, never before, and only if `hpo.foreign_code.trust` allows it. If hpo
and a package use the same name, the name means the entry of hpo.
"""

import difflib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from types import MethodType, ModuleType
from typing import Generic, TypeVar

from hpo.errors import HpoError, InputError
from hpo.foreign_code import trust
from hpo.foreign_code.failures import describe, is_interrupt, message_of
from hpo.words import NAMES


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
        self._offered: dict[str, str] = {}
        self._adopted: dict[str, tuple[object, T]] = {}

    def get(self, name: str) -> T:
        """The entry named `name`.

        The entry is part of hpo, or an installed package offers it. A name of the form
        `module:attribute` is imported. After a reload of its module, the entry is a new one.

        Raises:
            InputError: no entry has that name, two packages offer the name, the code may not or
                cannot be imported, or the imported object is not a valid entry.
        """
        if name in self._entries:
            return self._entries[name]
        self.check_foreign(name)
        candidate = self._find(name)
        if name not in self._adopted or not _is_same(self._adopted[name][0], candidate):
            self._adopted[name] = candidate, self._adopt(name, candidate)
        return self._adopted[name][1]

    def check_foreign(self, name: str) -> None:
        """Check that the entry may be used where `--no-foreign-code` holds; imports nothing.

        Raises:
            InputError: the entry is not part of hpo, and the command allows no other code.
        """
        if name not in self._entries:
            trust.check_foreign(f"{self.kind} {name!r}")

    def offers(self) -> dict[str, list[EntryPoint]]:
        """The entry points of installed packages, by name; imports nothing.

        What lies in the working folder is not installed, even if Python looks for modules there:
        files of others may have come with a database or an export.
        """
        offers: dict[str, list[EntryPoint]] = {}
        for point in sorted(entry_points(group=self.group), key=lambda point: point.name):
            if not _is_in_working_folder(point):
                offers.setdefault(point.name, []).append(point)
        return offers

    def is_known(self, name: str) -> bool:
        """Whether `get` can look up the name; loading the entry may still fail."""
        return name in self._entries or ":" in name or name in self.offers()

    def _find(self, name: str) -> object:
        what = f"{self.kind} {name if name.isprintable() else ascii(name)}"
        if ":" in name:
            return _attribute(what, name, is_offered=False)
        if name not in self._offered:
            self._offered[name] = self._offer(name)
        return _attribute(f"{what} ({self._offered[name]})", self._offered[name], is_offered=True)

    def _offer(self, name: str) -> str:
        """The name `module:attribute` of the object that an installed package offers."""
        offers = self.offers()
        if name not in offers:
            # A path such as ./mynet.py is a module, too.
            module, _, attribute = name.removeprefix("./").replace("/", ".").rpartition(".")
            if re.fullmatch(r"\w+(\.\w+)*", module) and attribute.isidentifier():
                example = f"{module}:{'build' if attribute == 'py' else attribute}"
                raise InputError(
                    f"no {self.kind} named {name!r}; name an object of a module with a colon: "
                    f"{example}"
                )
            message = unknown(self.kind, name, [*self, *offers])
            own = "" if message.endswith("?") else "; name your own as package.module:attribute"
            raise InputError(message + own)
        if len(offers[name]) > 1:
            choices = " or ".join(f"{point.value} of {origin(point)}" for point in offers[name])
            raise InputError(f"{self.kind} {name} is offered twice; name one directly: {choices}")
        (point,) = offers[name]
        return re.sub(r"\s|\[.*", "", point.value)  # drops extras, as in "a:b [extra]"


def origin(point: EntryPoint) -> str:
    """The name and version of the package that offers an entry point."""
    return "a package" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _is_in_working_folder(point: EntryPoint) -> bool:
    folder = None if point.dist is None else os.path.realpath(str(point.dist.locate_file("")))
    return folder is not None and folder == trust.working_folder()


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


def _attribute(what: str, name: str, *, is_offered: bool) -> object:
    """The object `module:attribute`, or a part of it such as `module:Class.method`.

    `what` begins the message of an error. Unless an installed package offers the object, every
    module on the way has to be trusted: `mynet:os.system` is code of `os`, not of `mynet`.
    """
    if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", name) or ".py:" in name:
        raise InputError(f"{what}: name it as package.module:attribute, such as mynet:build")
    module_name, _, path = name.partition(":")
    if not is_offered:
        trust.check(what, module_name)
    value: object = _module(what, module_name)
    for part in path.split("."):
        value = _part(what, value, part)
        if not is_offered and (definer := _defining_module(value)) is not None:
            trust.check(what, definer)
    return value


def _part(what: str, owner: object, name: str) -> object:
    """The attribute of a module or object; `what` begins the message of an error."""
    if name.startswith("__"):
        raise InputError(f"{what}: {name} is internal to Python; name a function or a class")
    with user_code(f"{what}: cannot get {name}"):
        if not hasattr(owner, name):
            raise InputError(f"{what}: {unknown(_location(owner), name, _public_names(owner))}")
        return getattr(owner, name)


def _defining_module(value: object) -> str | None:
    """The module whose code a module, class or function is; None for other objects.

    A partial call, such as `partial(subprocess.run)`, is code of the function that it calls.
    """
    while isinstance(value, partial):
        value = value.func
    if isinstance(value, ModuleType):
        return value.__name__
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return None
    module = getattr(value, "__module__", None)
    return module if isinstance(module, str) else "builtins"  # such as the method of a list


def _is_same(left: object, right: object) -> bool:
    """Whether two imported objects are one; each look-up of a method gives another object."""
    return left is right or (isinstance(left, MethodType) and left == right)


def _module(what: str, name: str) -> ModuleType:
    try:
        with user_code(f"{what}: importing {name} fails"):
            return importlib.import_module(name)
    except InputError as error:
        cause = error.__cause__
        if isinstance(cause, SystemExit):
            raise InputError(
                f"{error}; the module ends the program when it is imported: put what is a script "
                "under if __name__ == '__main__':"
            ) from error
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
    Without them, the words of other programs for names of this kind are used.
    """
    names = list(known)
    if (synonym := (synonyms or NAMES.get(kind, {})).get(name.lower())) in names:
        return f"no {kind} named {name!r}; hpo calls it {synonym}"
    same = [known for known in names if known.lower() == name.lower()]
    similar = same or difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(similar)}?" if similar else f"known: {', '.join(names)}"
    return f"no {kind} named {name!r}; {hint}"
