"""The SQL database: the engine of each backend, our tables and their migrations, claims and leases.

Knows neither networks nor data: a piece of work is a number here. See `storage.claims` for the
protocol by which workers share a study.
"""
