"""Alembic's migrations of our tables.

A worker of an older version may be at work while a newer version upgrades the tables under it, so
a migration only adds: tables, indexes, columns that may be null or have a default in the database.
None renames, drops or narrows what an older version reads or writes. Each can be gone on with after
it was cut off in the middle, since not every database undoes a statement that changes a table.
"""
