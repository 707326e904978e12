"""The reports' own configurations, run again without a search."""
