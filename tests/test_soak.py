"""The soak judges rightly: what grows is found, what only wanders is not."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import linear_regression, pstdev
from xml.etree import ElementTree

import pytest

from benches import soak_plot, soak_server
from benches.soak import BEGIN, END, KINDS, WARM_SECONDS, Soak, _edges, body
from benches.soak_load import KINDS as CROWDS
from benches.trend import trend
from ticker import configfile
from ticker.errors import ConfigError

ROOT = Path(__file__).parent.parent
SAMPLES = 180


def wandering(rng: random.Random, memory: float) -> list[float]:
    """Return noise without a trend that remembers itself for ``memory`` samples."""
    kept = math.exp(-1 / memory)
    values = [rng.gauss(0, 1)]
    while len(values) < SAMPLES:
        values.append(kept * values[-1] + math.sqrt(1 - kept**2) * rng.gauss(0, 1))
    return values


TIMES = [5.0 * i for i in range(SAMPLES)]


def usual(values: list[float]) -> float:
    """Return half of the interval that takes each sample for news."""
    line = linear_regression(TIMES, values)
    rest = [v - line.intercept - line.slope * at for at, v in zip(TIMES, values, strict=True)]
    spread = math.sqrt(sum(it**2 for it in rest) / (SAMPLES - 2))
    return 1.96 * spread / (pstdev(TIMES) * math.sqrt(SAMPLES))


@pytest.mark.parametrize(("memory", "usually"), [(0.1, 1.0), (6, 0.6)])
def test_an_interval_has_the_true_slope_in_nearly_all_runs(memory: float, usually: float) -> None:
    """Also where each sample is much like the one before; there the usual interval does not."""
    rng = random.Random(1)
    runs = [wandering(rng, memory) for _ in range(60)]
    assert sum(trend(TIMES, values).flat for values in runs) >= 0.85 * len(runs)
    held = sum(abs(trend(TIMES, values).slope) < usual(values) for values in runs)
    assert held <= usually * len(runs)


def test_what_grows_is_found() -> None:
    """A tenth of the noise per minute, over a quarter of an hour."""
    rng = random.Random(2)
    values = [value + at * 0.1 / 60 for at, value in zip(TIMES, wandering(rng, 3), strict=True)]
    found = trend(TIMES, values)
    assert found.grows
    assert found.low < 0.1 / 60 < found.high
    assert not trend(TIMES, [-value for value in values]).flat


def test_a_series_that_never_changes_has_no_slope() -> None:
    """As the number of threads."""
    found = trend(TIMES, [9.0] * SAMPLES)
    assert (found.level, found.slope, found.flat, found.grows) == (9, 0, True, False)


def test_too_few_samples_are_said_to_be_so() -> None:
    """No slope is made up."""
    with pytest.raises(ValueError, match="at least 18 samples, got 3"):
        trend([1, 2, 3], [1, 2, 3])


def soaked(rss: Callable[[float], float] = lambda at: 100e6) -> Soak:
    """Return a run of ten minutes."""
    rng = random.Random(3)
    soak = Soak(10, WARM_SECONDS, 1_000, 0.1, sampled=5, converged=5, reloads=3)
    soak.counts = dict.fromkeys(("frames", "moves", "reconnected", "resumed", "resnapshots"), 7)
    for i in range(180):
        at = 5.0 * (i + 1)
        values = {kind.name: 50 + rng.random() for kind in KINDS}
        soak.add(at, {**values, "rss": rss(at) + 1e6 * rng.random(), "viewers": 990})
    return soak


def test_a_server_that_grows_fails() -> None:
    """By words that say how much; a warm-up that fills up does not."""
    growing = soaked(lambda at: 100e6 + at * 20e3)
    assert [it for it in growing.failures() if "RSS) grows: +1,7" in it], growing.failures()
    filling = soaked(lambda at: 100e6 + min(at, WARM_SECONDS) * 100e3)
    assert not [it for it in filling.failures() if "RSS" in it]


def test_a_load_that_was_not_steady_is_said() -> None:
    """Viewers who are away hide what grows. Those who are yet to come in the beginning do not."""
    soak = soaked()
    soak.series["viewers"][0] = 5
    assert not [it for it in soak.failures() if "steady" in it]
    soak.series["viewers"][100] = 5
    assert "the load was not steady: at times only 5 of 1,000 viewers were connected" in (
        soak.failures()
    )


def test_a_trial_is_not_judged() -> None:
    """What has not filled up has a slope that says nothing."""
    growing = replace(soaked(lambda at: 100e6 + at * 20e3), warm=10)
    assert not growing.tells
    assert not growing.failures()


def test_the_page_tells_what_was_seen() -> None:
    """Every series, whether it grows, and what must not be."""
    soak = soaked(lambda at: 100e6 + at * 20e3)
    soak.wrong = ["stay, mostly: gaps 2"]
    text = body(soak)
    for kind in KINDS:
        assert f"| {kind.what} |" in text
    assert "gaps 2" in text
    assert "**grows**" in text


def test_the_page_has_a_place_for_it() -> None:
    """Without its marks a run of half an hour could not be written."""
    page = (ROOT / "docs/reliability.md").read_text()
    assert page.index(BEGIN) < page.index(END)


def test_the_plot_is_an_image_that_says_what_it_shows() -> None:
    """With a title and a description, and letters for light and dark."""
    root = ElementTree.fromstring(soak_plot.svg(soaked()))
    space = "{http://www.w3.org/2000/svg}"
    named = root.get("aria-labelledby")
    assert named == "title desc"
    assert [root.findtext(f"{space}{name}") for name in named.split()] != [None, None]
    style = root.findtext(f"{space}style")
    assert style
    assert "prefers-color-scheme:dark" in style
    lines = [it for it in root.iter(f"{space}path") if it.get("stroke-dasharray")]
    assert len(lines) == sum(len(names) for _, _, names in soak_plot.PANELS)


@pytest.mark.parametrize("version", soak_server.VERSIONS)
def test_each_config_is_what_it_says(version: soak_server.Version, tmp_path: Path) -> None:
    """Good but for the one that is broken on purpose; every crowd has its board."""
    text = soak_server.text(version, 8000, "http://127.0.0.1:9")
    if version.broken:
        with pytest.raises(ConfigError):
            configfile.parse(text, "soak.yaml", base=tmp_path, env={})
        return
    loaded = configfile.parse(text, "soak.yaml", base=tmp_path, env={})
    assert {kind.board for kind in CROWDS} <= set(loaded.settings.boards)
    assert bool(version.extra) == ("passing" in loaded.settings.boards)


def test_crowds_are_all_viewers() -> None:
    """Their shares add up."""
    assert sum(kind.share for kind in CROWDS) == pytest.approx(1)


def test_the_log_is_counted_without_numbers_and_addresses(tmp_path: Path) -> None:
    """Lines that differ in those are one; a traceback is a defect, whatever its level."""
    log = tmp_path / "log"
    log.write_text(
        '{"level":"warning","event":"feed \'f\' failed: HTTP 503 at http://127.0.0.1:81/x"}\n'
        '{"level":"warning","event":"feed \'f\' failed: HTTP 502 at http://127.0.0.1:82/x"}\n'
        '{"level":"info","event":"feed is back"}\n'
        '{"level":"warning","event":"oops","exception":"Traceback\\n  at 7\\nOSError: 9"}\n'
        "Fatal Python error\n"
    )
    assert _edges(log) == {
        "warning: feed 'f' failed: HTTP N at …": 2,
        "defect: oops OSError: N": 1,
        "defect: Fatal Python error": 1,
    }


def test_the_makefile_knows_it() -> None:
    """As the documentation says: `make soak MINUTES=30`."""
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(
        r"^soak:.*\n\t.*benches\.soak --write.*--minutes \$\(MINUTES\)", makefile, re.MULTILINE
    )
