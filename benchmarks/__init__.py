"""Measurements; README.md tells what they showed."""
