"""Benchmarks: programs that print figures, never part of pass or fail."""
