"""Networks and data sets of a user."""
