"""Output for people: progress displays, the list of architectures, number formats."""
