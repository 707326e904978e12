"""Repeat the test runs of the reports' own configurations, without a search."""
