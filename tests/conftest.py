"""What holds for every test."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# how long an example takes depends on what else the machine does
settings.register_profile(
    "ticker", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
# `make mutants`: the same few examples each time
settings.register_profile(
    "mutants", settings.get_profile("ticker"), max_examples=20, derandomize=True, database=None
)
settings.load_profile("ticker")
