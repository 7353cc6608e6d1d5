"""What holds for every test."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from hypothesis import HealthCheck, Phase, settings

# how long an example takes depends on what else the machine does
settings.register_profile(
    "ticker", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
# `make mutants`: the same few examples each time, and the first that fails is enough
settings.register_profile(
    "mutants",
    settings.get_profile("ticker"),
    max_examples=20,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
)
settings.load_profile("ticker")

# what processes that are killed leave in shared memory goes with the tests
_runtime = tempfile.mkdtemp(prefix="ticker-tests-")
os.environ["RUNTIME_DIRECTORY"] = _runtime
atexit.register(shutil.rmtree, _runtime, ignore_errors=True)
