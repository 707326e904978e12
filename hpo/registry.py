"""Things that are chosen by name: architectures, data sets, samplers, pruners.

Those of other people are found, too, where a registry is open: by the name under which an installed
package offers them as an entry point, or as `package.module:attribute`. Their code is imported when
such a name is asked for, never before. A name of hpo's own always means hpo's own.
"""

import difflib
import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Generic, TypeVar

from hpo.errors import HpoError, InputError


T = TypeVar("T")


class Registry(Generic[T]):
    """Named entries of one kind; a name is given once and an unknown one lists near ones."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Enter `entry` under `name`.

        Raises:
            ValueError: the name is taken, which is a mistake in the program.
        """
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> T:
        """The entry of that name.

        Raises:
            InputError: there is none; the message names the nearest.
        """
        if name in self._entries:
            return self._entries[name]
        raise InputError(unknown(self.kind, name, self))

    def check_own(self, name: str) -> None:
        """See that the name means an entry of hpo's own; nothing is imported or looked for.

        Raises:
            InputError: it would be found elsewhere, if anywhere.
        """
        if name not in self._entries:
            raise InputError(
                f"{self.kind} {name!r} is not hpo's own, and no other code is to run here "
                "(--no-foreign-code)"
            )

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)


class OpenRegistry(Registry[T]):
    """A registry that also finds what other packages hold.

    They offer it in the entry-point group `group`; `adopt(name, found)` makes an entry of what was
    found, or raises an InputError.
    """

    def __init__(self, kind: str, *, group: str, adopt: Callable[[str, object], T]) -> None:
        super().__init__(kind)
        self.group = group
        self._adopt = adopt
        self._found: dict[str, T] = {}

    def get(self, name: str) -> T:
        """The entry of that name: hpo's own, else a package's, else what `module:attribute` names.

        Raises:
            InputError: there is none, two packages offer one, or what was found will not do.
        """
        if name in self._entries:
            return self._entries[name]
        if name not in self._found:
            self._found[name] = self._adopt(name, self._find(name))
        return self._found[name]

    def offers(self) -> dict[str, list[EntryPoint]]:
        """What installed packages offer, by name; nothing is imported."""
        found: dict[str, list[EntryPoint]] = {}
        for point in sorted(entry_points(group=self.group), key=lambda point: point.name):
            found.setdefault(point.name, []).append(point)
        return found

    def is_known(self, name: str) -> bool:
        """Whether this machine knows where to look for the name, be it in vain."""
        return name in self._entries or ":" in name or name in self.offers()

    def _find(self, name: str) -> object:
        if ":" in name:
            _look_in_working_folder()
            return _attribute(f"{self.kind} {name}", name)
        offers = self.offers()
        if name not in offers:
            raise InputError(unknown(self.kind, name, [*self, *offers]))
        if len(offers[name]) > 1:
            each = " or ".join(f"{point.value} of {origin(point)}" for point in offers[name])
            raise InputError(f"{self.kind} {name} is offered twice: say which one you mean, {each}")
        (point,) = offers[name]
        value = re.sub(r"\s|\[.*", "", point.value)  # extras, which would stand in brackets
        return _attribute(f"{self.kind} {name} ({value})", value)


def origin(point: EntryPoint) -> str:
    """The package that offers an entry point, with its version."""
    return "a package" if point.dist is None else f"{point.dist.name} {point.dist.version}"


@contextmanager
def foreign(what: str) -> Iterator[None]:
    """Around code that is not ours: whatever it raises becomes one line that begins with `what`.

    What it prints goes to stderr, because our stdout is data.

    Raises:
        InputError: it raised something else than an error of hpo.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except HpoError:
        raise
    except (Exception, SystemExit) as error:  # a script may well call sys.exit when imported
        words = " ".join(str(error).split())
        raise InputError(f"{what}: {type(error).__name__}: {words}") from error


def _look_in_working_folder() -> None:
    """Python does not look there for modules where it was started by a script such as `hpo`."""
    with suppress(FileNotFoundError):  # the folder was deleted meanwhile
        folder = str(Path.cwd())
        if folder not in sys.path:
            sys.path.append(folder)  # at the end: nothing that is installed is hidden
    importlib.invalidate_caches()  # a notebook may just have written the file


def _attribute(what: str, name: str) -> object:
    """What `module:attribute` names; the attribute may have parts, as in `module:Class.method`."""
    if not re.fullmatch(r"\w+(\.\w+)*:\w+(\.\w+)*", name) or ".py:" in name:
        raise InputError(f"{what}: name it as package.module:attribute, such as mynet:build")
    module_name, _, path = name.partition(":")
    found: object = _module(what, module_name)
    for part in path.split("."):
        with foreign(f"{what}: {part} cannot be had"):
            if not hasattr(found, part):
                raise InputError(f"{what}: {unknown(_place(found), part, _public(found))}")
            found = getattr(found, part)
    return found


def _module(what: str, name: str) -> ModuleType:
    try:
        with foreign(f"{what}: importing {name} fails"):
            return importlib.import_module(name)
    except InputError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and f"{name}.".startswith(f"{cause.name}."):
            raise InputError(
                f"{what}: the module {cause.name} is not installed on this machine; install the "
                "package that holds it, or start hpo in its folder"
            ) from error
        raise


def _place(found: object) -> str:
    file = getattr(found, "__file__", None)
    return f"attribute in {getattr(found, '__name__', found)}" + (f" ({file})" if file else "")


def _public(found: object) -> list[str]:
    """The names in it that might have been meant."""
    members = getattr(found, "__dict__", {}).items()
    return [name for name, each in members if name[0] != "_" and not isinstance(each, ModuleType)]


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """One line for a name that is not among the known ones: the nearest, else all of them."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return f"no {kind} named {name!r}; {hint}"
