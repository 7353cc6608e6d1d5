"""What `schemathesis` is told in tests/test_openapi.py: names that are there, now and then."""

from __future__ import annotations

import os
from typing import Any

import schemathesis

KNOWN = {"viewer_id": os.environ["KNOWN_VIEWER"], "notice_id": "000000000000"}


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> Any:
    """Put a name that is known in the place of every second one that is made up."""
    name = "p" if "/feeds/" in context.operation.path else "b"
    return {
        key: KNOWN.get(key, name) if sum(map(ord, str(value))) % 2 else value
        for key, value in (path_parameters or {}).items()
    }
