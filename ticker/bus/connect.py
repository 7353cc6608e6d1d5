"""From the config to a bus."""

from __future__ import annotations

from ticker.bus import Bus
from ticker.config import Bus as Settings


def connect(settings: Settings) -> Bus:
    """Return the bus that ``settings`` name; nothing is asked of it yet."""
    where, patience = (settings.url, settings.prefix), 2 * settings.lease
    if settings.is_postgres:  # imported here: only those who have a bus wait for it
        from ticker.bus.postgres import PostgresBus

        return PostgresBus(*where, patience=patience, kept=settings.kept, hidden=settings.secrets)
    from ticker.bus.redis import RedisBus

    return RedisBus(*where, patience=patience, kept=settings.kept)
