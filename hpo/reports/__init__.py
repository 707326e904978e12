"""What people look at: progress, listings and how numbers are written."""
