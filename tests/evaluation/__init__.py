"""Cross-validation and test runs."""
