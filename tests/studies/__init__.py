"""Studies: what they are frozen as, and their pause."""
