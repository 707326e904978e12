"""Recipes and their reader. A recipe is the search space of an architecture, in a YAML file.

`search_spaces.recipe` reads the files. `search_spaces.space` represents a search space. This
package imports neither torch nor anything of `hpo` but `hpo.errors`. It imports PyYAML and Optuna
only when they are used.
"""

from search_spaces.errors import RecipeError


__all__ = ["RecipeError"]
