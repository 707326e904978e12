"""Alembic's migrations of hpo's tables.

Workers of an older version may work while a newer version upgrades the tables. So a migration only
adds tables, indexes, and columns that may be null or have a default in the database. It never
renames, drops or narrows anything that an older version reads or writes.

Not every database can undo a change of a table. So each migration can be run again after it was
interrupted.
"""
