"""For whoever keeps it running: checks of the machine and the database, copies, the dashboard."""
