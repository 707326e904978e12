"""The data set and the recipe of a new study: the user's, else the architecture's own."""

from pathlib import Path

from hpo.architectures import Architecture
from hpo.datasets import DataSet, load_dataset
from hpo.errors import InputError
from search_spaces import recipe
from search_spaces.recipe import Recipe


def find_dataset(name: str | None, entry: Architecture) -> tuple[str, DataSet]:
    """The data set of that name, else the architecture's own, under the name that finds it again.

    Raises:
        InputError: there is none, or it is made for another task.
        DataError: its files are missing or damaged.
    """
    name = entry.dataset if name is None else name
    if name is None:
        raise InputError(f"dataset: {entry.name} has none of its own; name one with --dataset")
    data = load_dataset(name)
    if entry.task not in (None, data.task):
        raise InputError(
            f"dataset: {name} holds {data.task}, but {entry.name} is made for {entry.task}"
        )
    return name, data


def find_recipe(entry: Architecture, space: Path | str | None) -> Recipe:
    """The recipe in the file `space`, else the architecture's own.

    Raises:
        RecipeError: the file is wrong.
        InputError: there is no file and no recipe.
    """
    if space is not None:
        return recipe.read(Path(space), entry.name)
    if (found := own_recipe(entry)) is None:
        raise InputError(f"there is no recipe for {entry.name}; give one with --space FILE")
    return found


def own_recipe(entry: Architecture) -> Recipe | None:
    """The recipe that comes with an architecture; None where there is none.

    In a file that holds a single one it need not be called by the name that was asked for.

    Raises:
        RecipeError: the file is wrong.
    """
    if entry.recipe is None:
        return recipe.bundled(entry.name)
    path = Path(entry.recipe)
    is_family = len(recipe.architectures(path)) > 1
    return recipe.read(path, entry.name if is_family else None)
