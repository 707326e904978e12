"""Studies: create, check, estimate, change and show them."""
