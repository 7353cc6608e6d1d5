"""What docs/reliability.md promises is held by tests that are there; decisions are all listed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"
PAGE = re.sub(r"<!--.*?-->", "", (DOCS / "reliability.md").read_text(), flags=re.DOTALL)
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)))
DECISIONS = sorted((DOCS / "decisions").glob("0*.md"))


def promises() -> list[str]:
    """Return the lines of the tables of promises, without their heads."""
    part = PAGE.partition("## Promises")[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| ")]
    return [line for line in lines if not line.startswith("| promise |")]


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_a_named_test_is_there(file: str, name: str) -> None:
    """As a function, or as the machine of a property test."""
    text = (TESTS / file).read_text()
    assert re.search(rf"^(async )?def {name}\(|^{name} = ", text, re.MULTILINE)


@pytest.mark.parametrize("line", promises())
def test_a_promise_names_what_holds_it(line: str) -> None:
    """At least one test."""
    assert re.search(r"`[\w/]+\.py::\w+` ?", line.split(" | ", 1)[1])


def test_there_are_promises() -> None:
    """The page is read as it is meant."""
    assert len(promises()) > 40


@pytest.mark.parametrize("file", DECISIONS, ids=lambda file: str(file.stem))
def test_a_decision_has_its_parts(file: Path) -> None:
    """And fits on a page; the index lists it under its own title."""
    text = file.read_text()
    parts = re.findall(r"^## (.*)", text, re.MULTILINE)
    assert parts == ["Context", "Decision", "Rejected", "Consequences", "What would change it"]
    assert len(text.splitlines()) <= 60
    title = text.splitlines()[0].removeprefix("# ")
    assert f"[{title}]({file.name})" in (DOCS / "decisions/README.md").read_text()


def test_decisions_are_numbered() -> None:
    """One after the other, without a gap."""
    assert [int(file.name[:4]) for file in DECISIONS] == [*range(1, len(DECISIONS) + 1)]


@pytest.mark.parametrize("file", [*DECISIONS, DOCS / "decisions/README.md"], ids=lambda f: f.stem)
def test_links_of_a_decision_lead_somewhere(file: Path) -> None:
    """Relative links name files of the repository."""
    for target in re.findall(r"\]\(([^)#:]+)[)#]", file.read_text()):
        assert (file.parent / target).exists(), target
