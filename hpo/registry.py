"""Things that are chosen by name: architectures, data sets, samplers, pruners."""

import difflib
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from hpo.errors import InputError


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
        raise InputError(unknown(self.kind, name, self._entries))

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """One line for a name that is not among the known ones: the nearest, else all of them."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return f"no {kind} named {name!r}; {hint}"
