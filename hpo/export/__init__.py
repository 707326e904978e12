"""The best configuration as a file, and back as a network."""
