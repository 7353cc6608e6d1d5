"""The arithmetic of docs/scaling.md: of what was measured, and near it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from benches import model, page

FOUND, TEXT, BUS = model.load()


def test_the_page_has_what_the_figures_give() -> None:
    """Whoever measures again works it out again."""
    checks = list(model.checks(FOUND, TEXT, BUS))
    assert model.body(FOUND, checks, BUS["readers"][-1]["readers"]) in model.SCALING.read_text()


def test_the_model_is_near_what_was_measured() -> None:
    """Where neither is made of the other."""
    for check in model.checks(FOUND, TEXT, BUS):
        assert abs(check.deviation) <= model.TOLERANCE, check


def test_the_figures_of_the_bus_are_on_the_page() -> None:
    """Both were written by the same run."""
    text = page.PAGE.read_text()
    _, _, part = text.partition("<!-- bench-bus:begin -->")
    for point in BUS["readers"]:
        assert f"| {point['readers']} | {point['entry_us']:,.0f} |" in part


@pytest.mark.parametrize("viewers", [1, 8_000, 100_000, 5_000_000])
def test_processes_have_room_for_all(viewers: int) -> None:
    """And one fewer has not."""
    room, processes = FOUND.per_process(10), FOUND.processes(viewers, 10)
    assert (processes - 1) * room < viewers <= processes * room


def test_half_the_rate_is_half_the_cost() -> None:
    """Viewers are what costs."""
    assert FOUND.per_process(5) == pytest.approx(2 * FOUND.per_process(10), abs=1)


def test_a_bus_carries_as_much_as_its_core() -> None:
    """One process more is too much for it; a dearer entry means fewer."""
    most = FOUND.most_processes(500)
    assert FOUND.redis_core(most, 500) <= model.SHARE < FOUND.redis_core(most + 1, 500)
    dearer = replace(FOUND, entry_us=(0.0, 2 * FOUND.entry_us[1]))
    assert dearer.most_processes(500) < most


def test_a_line_goes_through_both_ends() -> None:
    """What is between is compared with it."""
    points = [{"readers": n, "x": x} for n, x in ((2, 10.0), (8, 99.0), (64, 134.0))]
    line = model.through(points, "x")
    assert [model.at(line, n) for n in (2, 64)] == [10.0, 134.0]
    assert math.isclose(line[1], 2.0)
