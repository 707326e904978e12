"""Operate hpo: check the machine and the database, copy studies, serve the dashboard."""
