"""Workers: events, supervision, names."""
