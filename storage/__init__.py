"""The SQL database: backends, hpo's tables and their migrations, studies, claims and leases.

This package knows neither networks nor data sets. `storage.claims` says how workers share a study.
"""
