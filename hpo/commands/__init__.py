"""The commands of `hpo`, their options, and the tables that they print."""
