"""The core's cost on one core: `python -m benches.board`.

Every figure is the median of many rounds in one process, with the slowest tenth beside it. The
garbage collector is set as `ticker serve` sets it.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable
from time import perf_counter

from ticker.diff import Rows
from ticker.frame import UNTOLD
from ticker.live import LiveBoard, Shape
from ticker.server import spare_the_collector

ROWS = 10_000
ROUNDS = 60


def quote(rng: random.Random, symbol: int) -> dict[str, float | int | str]:
    """Return a row as a source gives it: ten fields, of which two are then derived."""
    price = round(rng.uniform(1, 500), 2)
    return {
        "name": f"Company number {symbol}",
        "last": price,
        "open": round(price * rng.uniform(0.95, 1.05), 2),
        "high": round(price * 1.06, 2),
        "low": round(price * 0.94, 2),
        "bid": round(price - 0.01, 2),
        "ask": round(price + 0.01, 2),
        "volume": rng.randrange(10_000_000),
    }


class Bench:
    """A board of many rows and a source that changes some of them."""

    def __init__(self) -> None:
        self.rng = random.Random(1)
        self.rows: Rows = {f"SYM{i:05}": quote(self.rng, i) for i in range(ROWS)}
        self.live = LiveBoard("b", "e", Shape("B", "quotes", [], ["f"], flush_interval=0.1))
        self.now = 0.0
        self.publish(self.rows)

    def publish(self, rows: Rows) -> None:
        """Apply, flush and encode once."""
        self.now += 0.1
        before = self.live.seq
        self.live.board.apply("f", rows)
        self.live.flush(self.now)
        if before:
            self.live.since(before)

    def changed(self, count: int, fields: tuple[str, ...]) -> Rows:
        """Return ``count`` whole rows in which ``fields`` differ from before."""
        symbols = self.rng.sample(list(self.rows), count)
        for symbol in symbols:
            changes = {f: round(self.rows[symbol][f] + 0.01, 2) for f in fields}
            self.rows[symbol] = {**self.rows[symbol], **changes}
        return {symbol: self.rows[symbol] for symbol in symbols}


def timed(work: Callable[[], object], prepare: Callable[[], object] | None = None) -> str:
    """Return the median and the 90th percentile of ``work``, in milliseconds."""
    times = []
    for _ in range(ROUNDS):
        if prepare:
            prepare()
        started = perf_counter()
        work()
        times.append((perf_counter() - started) * 1000)
    late = statistics.quantiles(times, n=10)[-1]
    return f"{statistics.median(times):8.3f} ms   p90 {late:8.3f} ms"


def main() -> None:
    """Print every figure with what it is of."""
    bench = Bench()
    spare_the_collector()
    rows: Rows = {}

    def change(count: int, *fields: str) -> Callable[[], None]:
        def prepare() -> None:
            rows.clear()
            rows.update(bench.changed(count, fields))

        return prepare

    print(f"board of {ROWS:,} rows, 10 fields each; {ROUNDS} rounds")
    for count, fields in ((2000, ("bid",)), (1000, ("bid", "ask")), (2000, ("last",))):
        label = f"apply + flush + encode, {count} rows x {len(fields)} changed field(s)"
        note = " (+ 2 derived)" if "last" in fields else ""
        time = timed(lambda: bench.publish(rows), change(count, *fields))
        print(f"{label + note:70} {time}")

    def whole() -> None:
        change(2000, "bid")()
        rows.update({s: dict(row) for s, row in bench.rows.items() if s not in rows})

    time = timed(lambda: bench.publish(rows), whole)
    print(f"{'the same, 2000 x 1, when the source repeats all rows':70} {time}")

    def step() -> None:
        bench.publish(bench.changed(100, ("bid",)))

    seq = bench.live.board
    time = timed(lambda: seq.since(seq.seq - 1), step)
    print(f"{'since() of 100 changed rows':70} {time}")
    time = timed(lambda: bench.live.since(UNTOLD), step)
    print(f"{'snapshot, encoded':70} {time}")
    time = timed(lambda: [bench.live.since(UNTOLD) for _ in range(5000)])
    print(f"{'snapshot for 5,000 more viewers at the same seq':70} {time}")
    print(f"snapshot: {len(bench.live.snapshot().text):,} bytes")


if __name__ == "__main__":
    main()
