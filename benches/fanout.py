"""Servers side by side, broadcasting to thousands of viewers: `python -m benches.fanout`.

Each server has one core and the viewers another, on loopback. Figures are good for comparison
within one run only; *the limit* is a bare `send` to every connection.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from benches import page, proc, slow
from benches.measure import Row, measured
from benches.peers import bare_epoll
from benches.report import Results
from benches.servers import LIMIT, OURS, Options, Server, choose, payload_bytes

SIZES = (100, 250, 1_000, 5_000, 20_000)
SIZES_VIEWERS = 1_000
GROWTH = (500, 2_000, 5_000, 10_000)
SLOW_VIEWERS = 2_000
SHORT_SECONDS = 3.0
"""Length of a measurement in the further tables."""

HEAD = (
    f"{'server':16}{'viewers':>8} {'':8}{'us/delivery':>12}{'x limit':>8}{'p50 ms':>8}{'p99 ms':>8}"
    f"{'bytes':>8}{'delivered':>10}{'connect s':>10}{'CPU s':>7}{'KB each':>8}{'core':>6}{'gen':>5}"
)


def line(row: Row, limit: Row | None) -> str:
    """Return a row as text, beside the limit's."""
    ratio = f"{row.cpu_us / limit.cpu_us:.2f}" if limit and limit.cpu_us else "-"
    lag = ""
    if row.lag:
        lag = f"loop lag {row.lag['p50']:.1f}/{row.lag['p99']:.1f}/{row.lag['max']:.1f} ms"
    return (
        f"{row.server:16}{row.viewers:8,} {'deflate' if row.deflate else 'plain':8}"
        f"{row.cpu_us:12.2f}{ratio:>8}{row.p50 or 0:8.1f}{row.p99 or 0:8.1f}"
        f"{row.bytes:8.0f}{row.delivered:10.1%}{row.connect_seconds:10.2f}{row.connect_cpu:7.2f}"
        f"{row.kb_per_viewer:8.1f}{row.server_core:6.0%}{row.generator_core:5.0%}"
        f"  {'; '.join(filter(None, [*row.notes, lag]))}"
    )


def group(
    servers: Sequence[Server], viewers: int, deflate: bool, given: Options, seconds: float
) -> list[Row]:
    """Measure every server; the limit sends as many bytes as this project does."""
    done: dict[str, Row] = {}
    options = given
    for server in sorted(servers, key=lambda server: not server.ours):  # its bytes are the limit's
        if deflate and not server.deflates:
            continue
        row = measured(server, viewers, deflate, options, seconds)
        done[server.name] = row
        if server.ours:
            options = replace(options, frame_bytes=payload_bytes(row.bytes))
        row.frame_bytes = given.size
        print(line(row, done.get(LIMIT)), flush=True)
    if OURS in done and done[LIMIT].cpu_us:
        print(f"{'':33}{OURS:>12}{done[OURS].cpu_us / done[LIMIT].cpu_us:8.2f}", flush=True)
    return list(done.values())


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benches.fanout", description=__doc__)
    parser.add_argument("--viewers", default="500,2000,5000", help="how many, separated by commas")
    parser.add_argument("--seconds", type=float, default=3, help="length of each measurement")
    parser.add_argument("--deflate", action=argparse.BooleanOptionalAction, help="default: both")
    parser.add_argument("--only", help="names of servers, separated by commas")
    parser.add_argument("--sizes", action="store_true", help="only frames of different sizes")
    parser.add_argument("--growth", action="store_true", help="only growing numbers of viewers")
    parser.add_argument(
        "--slow", action="store_true", help="only viewers that read slowly or never"
    )
    parser.add_argument("--write", action="store_true", help="all of it, into docs/performance.*")
    parser.add_argument("--page", type=Path, help="write the page from figures in a JSON file")
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    given = parser.parse_args()
    if given.page:
        page.write(Results.load(json.loads(given.page.read_text())))
        return
    proc.raise_file_limit()
    deflates = [False, True] if given.deflate is None else [given.deflate]
    some = given.sizes or given.growth or given.slow
    with tempfile.TemporaryDirectory() as directory:
        program = bare_epoll.compile_c(Path(directory))
        print(f"{proc.processor()}; the limit runs in {'C' if program else 'Python'}")
        options = Options(program=program)
        results = Results(in_c=program is not None)

        def save() -> None:
            if given.out:
                given.out.write_text(json.dumps(asdict(results), indent=1) + "\n")

        pair = choose(OURS)
        if given.write or not some:
            servers = choose(given.only)
            print(HEAD)
            for count in [int(count) for count in given.viewers.split(",")]:
                for deflate in deflates:
                    results.side_by_side += group(servers, count, deflate, options, given.seconds)
                    save()
        if given.write or given.growth:
            print(f"\ngrowth\n{HEAD}")
            for count in GROWTH:
                results.growth += group(pair, count, False, options, SHORT_SECONDS)
                save()
        if given.write or given.sizes:
            print(f"\nsizes\n{HEAD}")
            for size in SIZES:
                for deflate in deflates:
                    sized = replace(options, size=size)
                    results.sizes += group(pair, SIZES_VIEWERS, deflate, sized, SHORT_SECONDS)
                    save()
        if given.write or given.slow:
            print("\nslow viewers")
            ours = next(server for server in pair if server.ours)
            results.slow = slow.run(ours, replace(options, size=slow.SIZE), SLOW_VIEWERS)
            save()
    if given.write:
        page.write(results)


if __name__ == "__main__":
    main()
