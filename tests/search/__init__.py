"""Samplers, pruners and what a search promises."""
