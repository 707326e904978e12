"""Studies: their settings, creation, life and state."""
