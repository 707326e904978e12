"""Exports out and back."""
