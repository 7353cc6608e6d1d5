"""The program behind ``ticker load``: shows a run, writes it down, decides the exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Set
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.live import Live

from ticker.errors import TickerError
from ticker.load import report, verdict
from ticker.load.run import Load, Result, Second, run

GOOD, FAILED, INVALID = 0, 1, 2


def load(
    asked: Load,
    assertions: str,
    out: Console,
    *,
    token: str | None = None,
    json_file: Path | None = None,
    html_file: Path | None = None,
    base_file: Path | None = None,
) -> int:
    """Run, show, write; return the exit code. Raises TickerError in words."""
    conditions = verdict.parse(assertions)
    base = _read(base_file) if base_file else None
    before: list[Second] = []
    with ExitStack() as stack:
        screen = stack.enter_context(Live(console=out)) if out.is_terminal else None

        def show(second: Second) -> None:
            if screen is None:
                out.print(report.line(second), markup=False)
            else:
                screen.update(report.table(second, before[-1] if before else None))
            before[:] = [second]

        result = run(asked, show, token)
    metrics = result.metrics()
    asserted = {condition.metric for condition in conditions}
    failures = [
        *_broken(result, asserted),
        *(words for c in conditions if (words := c.check(metrics))),
    ]
    document = report.document(result, failures)
    for text in report.summary(result, failures):
        out.print(text, markup=False)
    if base is not None:
        for text in report.compare(document, base):
            out.print(text, markup=False)
    if json_file:
        json_file.write_text(json.dumps(document, indent=1) + "\n")
    if html_file:
        html_file.write_text(report.page(document))
    if result.invalid():
        return INVALID
    return FAILED if failures else GOOD


def _broken(result: Result, asserted: Set[str]) -> Iterator[str]:
    """Yield what no run may have; of what is ``asserted`` that decides."""
    counts, proof = result.final.counts, result.proof
    if not counts["frames"]:
        yield "no viewer was told anything"
    elif not counts["connected"]:
        yield "no viewer was connected at the end: the server ended or cut them off"
    elif proof.converged < proof.sampled:
        unlike = proof.sampled - proof.converged
        yield f"{unlike} of {proof.sampled} sampled viewers did not have the server's state"
    if proof.silent and len(result.load.urls) > 1 and "unreachable" not in asserted:
        yield f"not there at the end, so nothing is proven of it: {', '.join(proof.silent)}"
    for url, where in proof.apart.items():
        others = ", ".join(f"{url} had epoch {e}, seq {s}" for url, (e, s) in proof.agreed.items())
        yield f"{url} does not agree with the others: it was at {where}; {others}"
    if counts["contradictions"]:
        yield f"{counts['contradictions']} times two viewers were told different things of one step"
    if counts["backwards"]:
        yield f"{counts['backwards']} times a viewer was led back to the past"


def _read(file: Path) -> dict[str, object]:
    try:
        document = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise TickerError(f"cannot compare with {file}: {error}") from None
    if not isinstance(document, dict) or "metrics" not in document:
        raise TickerError(f"cannot compare with {file}: it is not from ticker load --out")
    return document
