"""Check, upgrade and copy of databases."""
