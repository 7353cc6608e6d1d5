"""What holds for every test."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from hypothesis import HealthCheck, settings

# how long an example takes depends on what else the machine does
settings.register_profile(
    "ticker", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("ticker")

# what processes that are killed leave in shared memory goes with the tests
_runtime = tempfile.mkdtemp(prefix="ticker-tests-")
os.environ["RUNTIME_DIRECTORY"] = _runtime
atexit.register(shutil.rmtree, _runtime, ignore_errors=True)
