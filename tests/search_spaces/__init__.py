"""Recipes and the spaces in them."""
