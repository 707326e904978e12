"""Benchmarks. README.md says what each of them measures."""
