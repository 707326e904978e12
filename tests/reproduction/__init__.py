"""`hpo reproduce`."""
