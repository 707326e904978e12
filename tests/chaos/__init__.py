"""Studies under faults: workers killed, stopped and cut off while they work, on every database.

`make chaos` runs all of it and writes its figures into docs/reliability.md.
"""
