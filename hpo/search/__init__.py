"""How the next configuration is chosen and when a trial is stopped early."""
