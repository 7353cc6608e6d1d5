"""From a feed's settings to the feed."""

from __future__ import annotations

from typing import assert_never

from ticker import config
from ticker.feeds import Feed
from ticker.feeds.poll import PollFeed
from ticker.feeds.push import PushFeed
from ticker.feeds.recorded import RecordedFeed
from ticker.feeds.replay import ReplayFeed
from ticker.feeds.simulate import SimulatedPriceFeed, SimulatedScoreFeed
from ticker.feeds.stream import StreamFeed


def make(settings: config.Feed) -> Feed:
    """Return the feed that ``settings`` describe; nothing is opened before its first reading."""
    match settings:
        case config.SimulatedPrices():
            return SimulatedPriceFeed(settings)
        case config.SimulatedScores():
            return SimulatedScoreFeed(settings)
        case config.PollFeed():
            return PollFeed(settings)
        case config.ReplayFeed():
            return ReplayFeed(settings)
        case config.RecordedFeed():
            return RecordedFeed(settings)
        case config.StreamFeed():
            return StreamFeed(settings)
        case config.PushFeed():
            return PushFeed(settings)
        case _:
            assert_never(settings)
