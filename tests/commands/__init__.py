"""The `hpo` command: what it does, and what it refuses."""
