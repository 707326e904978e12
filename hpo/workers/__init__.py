"""Workers: processes that claim work, do it and record it."""
