"""The command line of the fault suite."""

from __future__ import annotations

import argparse
import random
import sys

import uvloop

from tests.faults import cluster
from tests.faults.run import run
from tests.faults.schedule import FAULTS, plan


def main() -> None:
    """Run schedules, one after the other; ends with 1 where any went wrong."""
    if sys.argv[1:2] == ["cluster"]:
        del sys.argv[1]
        cluster.main()
        return
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--seed", type=int, help="the first seed; default: any")
    parser.add_argument("--runs", type=int, default=1, help="how many seeds in a row")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of a schedule")
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--only", default="", help="only faults whose name has this")
    parser.add_argument("--cluster", action="store_true", help="two processes on a bus")
    parser.add_argument("--list", action="store_true", help="print the faults and end")
    parser.add_argument("--plan", action="store_true", help="print the schedules and end")
    args = parser.parse_args()
    if args.list:
        print("\n".join(sorted(FAULTS)))
        return
    first = random.SystemRandom().randrange(10**6) if args.seed is None else args.seed
    bad = []
    for seed in range(first, first + args.runs):
        print(f"seed {seed}", flush=True)
        if args.plan:
            print(
                "\n".join(
                    f"  {event}"
                    for event in plan(seed, args.seconds, args.only, cluster=args.cluster)
                )
            )
            continue
        verdict = uvloop.run(run(seed, args.seconds, args.viewers, args.only, cluster=args.cluster))
        print(verdict.report if verdict.count else verdict, flush=True)
        if verdict.count:
            bad.append(seed)
    if not args.plan:
        print(f"{args.runs - len(bad)} of {args.runs} passed" + (f"; failed: {bad}" if bad else ""))
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
