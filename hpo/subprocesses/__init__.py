"""Processes that are started here: how they start, how they stop, a pool of them."""
