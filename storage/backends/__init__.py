"""The kinds of database that can hold studies."""
