"""What the Autobahn test suite finds of ticker's transport, and why where that is not OK."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

VERSION = "25.10.1"
"""Of autobahntestsuite, the last there is; its cases are those of 0.8.2."""

FOUND: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ["3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"],
        (
            "NON-STRICT",
            "uvicorn hands on no message that was read together with a violation after it",
        ),
    ),
    **dict.fromkeys(
        ["6.4.1", "6.4.2", "6.4.3", "6.4.4"],
        (
            "NON-STRICT",
            "UTF-8 is checked when a message is complete, not at the first wrong octet: "
            "websockets gives out frames, and uvicorn decodes messages",
        ),
    ),
    "7.1.5": (
        "FAILED",
        "a close inside a message is answered with 1002, not 1000: so websockets has it, on "
        "purpose (the notes in its `compliance/README.rst`); who closes is gone either way",
    ),
    **dict.fromkeys(
        ["7.1.6", "7.13.1", "7.13.2"], ("INFORMATIONAL", "the suite does not judge these")
    ),
}
"""What is found of cases that are not OK, and why."""

MAY_BE_OK = {case for case, (found, _) in FOUND.items() if found == "NON-STRICT"}
"""It depends on how the kernel cuts segments whether these are NON-STRICT."""


class Part(NamedTuple):
    """Cases that are run in one go, on one loop and one way through the transport."""

    way: str
    loop: str
    groups: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.way} on {self.loop}: {', '.join(self.groups)}"


PARTS = [
    Part("frames", "uvloop", ("1", "2", "3", "4", "5", "6", "7", "9", "10")),
    Part("frames", "asyncio", ("1", "2", "3", "4", "5", "6", "7", "9", "10")),
    Part("send", "uvloop", ("1", "2", "3", "4", "5", "6", "7", "9", "10")),
    *(Part("frames", "uvloop", (f"12.{i}",)) for i in range(1, 6)),
    *(Part("window", "uvloop", (f"12.{i}",)) for i in range(1, 6)),
    *(Part("frames", "uvloop", (f"13.{i}",)) for i in range(1, 8)),
    *(Part("window", "uvloop", (f"13.{i}",)) for i in range(1, 8)),
]
"""``frames``: ready frames, each on its own; ``window``: in a shared window; ``send``: by ASGI."""

GROUPS = {
    "1": ("texts and bytes of every length of length", 16),
    "2": ("pings and pongs", 11),
    "3": ("reserved bits", 7),
    "4": ("reserved opcodes", 10),
    "5": ("fragmentation", 20),
    "6": ("UTF-8", 145),
    "7": ("the closing handshake", 37),
    "9": ("long messages, very many frames and messages", 54),
    "10": ("frames of 1300", 1),
    "12": ("compressed messages", 90),
    "13": ("compressed messages, by what is offered", 126),
}
"""What each of Autobahn's groups is about, and how many cases it has."""


def expected(case: str) -> set[str]:
    """Return what may be found of a case."""
    found, _ = FOUND.get(case, ("OK", ""))
    return {found, "OK"} if case in MAY_BE_OK else {found}


def unexpected(found: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Return the cases whose result is another than is stated here."""
    return [
        case
        for case, result in found.items()
        if result["behavior"] not in expected(case)
        or result["behaviorClose"] not in {"OK", "INFORMATIONAL", *closes(case)}
    ]


def closes(case: str) -> set[str]:
    """Return what else may be found of the close of a case."""
    return {"WRONG CODE"} if FOUND.get(case, ("", ""))[0] == "FAILED" else set()


def table() -> Iterable[str]:
    """Yield the lines of the table in docs/conformance.md."""
    yield "| cases | about | number | OK | non-strict | informational | failed |"
    yield "|---|---|---|---|---|---|---|"
    total: Counter[str] = Counter()
    for group, (about, number) in GROUPS.items():
        other = Counter(found for case, (found, _) in FOUND.items() if case.split(".")[0] == group)
        ok = number - other.total()
        counts = Counter(number=number, OK=ok) + other
        total += counts
        yield f"| {group} | {about} | {_cells(counts)} |"
    yield f"| | | {_cells(total)} |"


def _cells(counts: Mapping[str, int]) -> str:
    kinds = ("number", "OK", "NON-STRICT", "INFORMATIONAL", "FAILED")
    return " | ".join(str(counts.get(kind, 0)) for kind in kinds)


def reasons() -> Iterable[str]:
    """Yield the list of cases that are not OK, and why."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for case, (found, why) in FOUND.items():
        by_reason.setdefault((found, why), []).append(case)
    for (found, why), cases in by_reason.items():
        yield f"- {', '.join(cases)} ({found.lower()}): {why}."
