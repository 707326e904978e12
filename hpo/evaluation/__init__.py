"""Errors of a configuration: cross-validation, and test runs over repeated seeds."""
