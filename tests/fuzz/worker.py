"""Runs one target until its time is over or something breaks; a process of its own.

Guided by coverage where atheris is installed, otherwise by chance: both change inputs of the corpus
and keep what broke.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import sys
import time
import traceback
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path

from tests.fuzz import kit

UNIT_SECONDS = 60
"""An input that takes longer hangs, as far as atheris is concerned."""

BROKEN = 77
"""Exit code where a rule was broken, as atheris has it."""

INSTRUMENTED = ["ticker", "ruamel.yaml", "jmespath", "httpx_sse", "jwt"]
"""Whose coverage leads."""


def is_guided() -> bool:
    """Whether atheris is installed."""
    return importlib.util.find_spec("atheris") is not None


def main() -> None:
    """Run as the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target", choices=kit.TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--found", type=Path, required=True)
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    guided = is_guided() and not options.plain
    begin = _guided if guided else _plain
    begin(options.target, options.seconds, options.seed, options.found)


def _guided(name: str, seconds: int, seed: int, found: Path) -> None:
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        one = kit.target(name).one
    arguments = [
        sys.argv[0],
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={kit.LONGEST}",
        f"-timeout={UNIT_SECONDS}",
        f"-artifact_prefix={found}/",
        "-print_final_stats=1",
        "-rss_limit_mb=2048",
        str(found / "corpus"),
        str(kit.CORPUS / name),
    ]
    atheris.Setup(arguments, one)
    atheris.Fuzz()


def _plain(name: str, seconds: int, seed: int, found: Path) -> None:
    one = kit.target(name).one
    chance = random.Random(seed)
    pool = [file.read_bytes() for file in kit.corpus(name)] or [b""]
    ends = time.monotonic() + seconds
    runs = 0
    while time.monotonic() < ends:
        data = changed(chance, pool)
        runs += 1
        if (why := fails(one, data)) is not None:
            file = found / f"crash-{sha1(data, usedforsecurity=False).hexdigest()}"
            file.write_bytes(data)
            print(why, f"#{runs} DONE", sep="\n", file=sys.stderr)
            sys.exit(BROKEN)
    print(f"#{runs} DONE", file=sys.stderr)


def fails(one: Callable[[bytes], None], data: bytes) -> str | None:
    """Return how a target fails with ``data``, None where it does not."""
    try:
        one(data)
    except Exception:  # noqa: BLE001 - whatever it is, it is what is looked for
        return traceback.format_exc()
    return None


def changed(chance: random.Random, pool: list[bytes]) -> bytes:
    """Return an input of ``pool`` after a few changes: bytes, blocks, and parts of others."""
    data = bytearray(chance.choice(pool))
    for _ in range(chance.randint(1, 6)):
        start = chance.randint(0, len(data))
        end = min(len(data), start + int(chance.expovariate(0.2)))
        other = chance.choice(pool)
        cut = chance.randint(0, len(other))
        match chance.randrange(6):
            case 0 if data:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            case 1:
                data[start:start] = chance.randbytes(chance.randint(1, 4))
            case 2:
                del data[start:end]
            case 3:
                data[start:start] = data[start:end] * chance.choice([1, 2, 100])
            case 4:
                data[start:end] = other[cut : cut + end - start + chance.randint(0, 20)]
            case _:
                data[start:end] = chance.choice(
                    [
                        b"0",
                        b"-1",
                        b"9" * 400,
                        b"1e999",
                        b"null",
                        b"\xff",
                        b"\0",
                        b"[" * 2_000,
                        b'""',
                    ]
                )
    return bytes(data[: kit.LONGEST])


if __name__ == "__main__":
    main()
