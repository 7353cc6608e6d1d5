"""``ticker load``: many simulated viewers, what they saw, and whether it was right."""
