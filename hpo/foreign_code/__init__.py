"""Code of the user and of other packages: which modules hpo may import, and what they raise."""
