"""The data set and the recipe of a new study: those of the user, else of the architecture."""

from pathlib import Path

from hpo.architectures import Architecture
from hpo.datasets import DataSet, load_dataset
from hpo.errors import InputError
from hpo.io import folders
from search_spaces import recipe
from search_spaces.recipe import Recipe


def find_dataset(name: str | None, entry: Architecture) -> tuple[str, DataSet]:
    """The name and the data set that `name` means; without `name`, the architecture's default.

    Raises:
        InputError: no data set has that name, the architecture has no default data set, or the
            data set is for another task than the architecture.
        DataError: the files of the data set are missing or damaged.
    """
    name = entry.dataset if name is None else name
    if name is None:
        raise InputError(f"dataset: {entry.name} has no default data set; name one with --dataset")
    data = load_dataset(name)
    if entry.task not in (None, data.task):
        raise InputError(
            f"dataset: {name} holds {data.task}, but {entry.name} needs {entry.task}; name "
            "another data set with --dataset"
        )
    return name, data


def find_recipe(entry: Architecture, space: Path | str | None) -> Recipe:
    """The recipe in the file `space`, or else the architecture's recipe.

    Raises:
        RecipeError: the recipe file is wrong.
        InputError: no file is given, and the architecture has no recipe.
    """
    if space is not None:
        return recipe.read(folders.found(space), entry.name)
    if (own := own_recipe(entry)) is None:
        raise InputError(f"there is no recipe for {entry.name}; give one with --space FILE")
    return own


def own_recipe(entry: Architecture) -> Recipe | None:
    """The recipe that comes with an architecture; None if the architecture has no recipe.

    A recipe file with one architecture may call it by another name. In a file with several, the
    architecture's name selects the recipe.

    Raises:
        RecipeError: the recipe file is wrong.
    """
    if entry.recipe is None:
        return recipe.bundled(entry.name)
    path = Path(entry.recipe)
    is_family = len(recipe.architectures(path)) > 1
    return recipe.read(path, entry.name if is_family else None)
