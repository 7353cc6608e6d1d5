"""From the config to a bus."""

from __future__ import annotations

from ticker.bus import Bus
from ticker.config import Bus as Settings


def connect(settings: Settings) -> Bus:
    """Return the bus that ``settings`` name; nothing is asked of it yet."""
    from ticker.bus.redis import RedisBus  # only those who have a bus wait for it

    return RedisBus(settings.url, settings.prefix, patience=2 * settings.lease, kept=settings.kept)
