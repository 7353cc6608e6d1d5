"""What single decisions are worth, side by side: `python -m benches.variants`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from benches import proc
from benches.fanout import HEAD, line
from benches.measure import measured
from benches.peers.ticker_variant import VARIANTS
from benches.servers import Options, Server


def command(variant: str) -> Callable[[Options], list[str]]:
    """Return how to start a variant of this project's server."""
    module = [sys.executable, "-m", "benches.peers.ticker_variant", "--variant", variant]
    return lambda options: [*module, *options.common()]


def main() -> None:
    """Measure every variant, the server as it is first."""
    parser = argparse.ArgumentParser(prog="python -m benches.variants", description=__doc__)
    parser.add_argument("--viewers", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=4)
    given = parser.parse_args()
    proc.raise_file_limit()
    print(HEAD)
    first = None
    for name in VARIANTS:
        server = Server(name, name, command(name), ours=True)
        row = measured(server, given.viewers, False, Options(), given.seconds)
        first = first or row
        print(line(row, first), flush=True)


if __name__ == "__main__":
    main()
