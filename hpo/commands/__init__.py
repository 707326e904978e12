"""The command line: what `hpo COMMAND` does, and the tables that it prints."""
