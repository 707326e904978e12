"""Recipes: what is searched for each architecture, one YAML file a family, and their reader.

`search_spaces.recipe` reads files, `search_spaces.space` holds the space itself. This package
imports neither the service nor torch, and loads PyYAML and Optuna only where they are used.
"""

from search_spaces.errors import RecipeError


__all__ = ["RecipeError"]
