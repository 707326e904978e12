"""The tests: `make test`."""
