"""From the config to a bus."""

from __future__ import annotations

from collections.abc import Callable

from ticker.bus import Bus
from ticker.config import Bus as Settings


def connect(settings: Settings) -> Bus:
    """Return the bus that ``settings`` name; nothing is asked of it yet."""
    if settings.is_postgres:  # imported here: only those who have a bus wait for it
        from ticker.bus.postgres import PostgresBus

        made: Callable[..., Bus] = PostgresBus
    else:
        from ticker.bus.redis import RedisBus

        made = RedisBus
    return made(settings.url, settings.prefix, patience=2 * settings.lease, kept=settings.kept)
