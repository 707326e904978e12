"""Shell completion: the names of studies and of architectures."""

from collections.abc import Iterable

import typer


def study_names(context: typer.Context, incomplete: str) -> list[str]:
    """The studies whose names begin with `incomplete`; none if the database cannot be read.

    A name that could change the terminal is left out.
    """
    from contextlib import closing

    from hpo.studies.lifecycle import open_database
    from storage import studies
    from storage.errors import StorageError

    try:
        with closing(open_database(context.params.get("storage"))) as db:
            names = [row.name for row in studies.all_studies(db) if row.name.isprintable()]
    except StorageError:
        return []  # a shell shows no error while it completes a word
    return _beginning(incomplete, names)


def architecture_names(incomplete: str) -> list[str]:
    """The architectures whose names begin with `incomplete`.

    These are the architectures with a recipe of hpo, and those that installed packages offer. The
    registry of architectures is not read, because it loads torch, which takes seconds.
    """
    from importlib.metadata import entry_points

    from search_spaces import recipe

    offered = [point.name for point in entry_points(group="hpo.architectures")]
    return _beginning(incomplete, [*recipe.bundled_names(), *offered])


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
