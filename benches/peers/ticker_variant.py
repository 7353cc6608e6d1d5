"""This project's server with one thing done otherwise, to see what that thing is worth."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI

from benches.peers import ticker_server
from ticker import channel
from ticker.config import Settings
from ticker.server import configure
from ticker.transport import FrameConnection
from ticker.viewer import NO_SOCKET


def unchunked() -> None:
    """Write a tick to everybody before the loop turns."""
    channel.AT_ONCE = sys.maxsize


def transport() -> None:
    """Write through uvloop's transport instead of straight to the socket."""
    begin = FrameConnection.__init__

    def without_socket(self: FrameConnection, *args: Any) -> None:
        begin(self, *args)
        self.fd = NO_SOCKET

    FrameConnection.__init__ = without_socket  # type: ignore[method-assign, assignment]


def asyncio_loop() -> None:
    """Run asyncio's own loop."""

    def configured(app: FastAPI, settings: Settings) -> uvicorn.Config:
        config = configure(app, settings)
        config.loop = "asyncio"
        return config

    vars(ticker_server)["configure"] = configured


def collector() -> None:
    """Leave the garbage collector as Python sets it."""
    vars(ticker_server)["spare_the_collector"] = lambda: None


VARIANTS = {
    "as it is": lambda: None,
    "unchunked": unchunked,
    "transport": transport,
    "asyncio": asyncio_loop,
    "collector": collector,
}


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--variant", choices=VARIANTS, required=True)
    given, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    VARIANTS[given.variant]()
    ticker_server.main()


if __name__ == "__main__":
    main()
