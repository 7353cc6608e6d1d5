"""The score cards in a real browser, against a real server and a scripted source of games."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from .conftest import Complaints, RunningServer, ScriptedSource

Serve = Callable[..., RunningServer]
Source = Callable[[Any], ScriptedSource]
NewPage = Callable[..., Page]

APP = (Path(__file__).parent / "scores_app.js").read_text()
FIELDS = [
    *("home", "away", "home_score", "away_score", "status", "period", "periods", "league"),
    *("clock", "clock_at", "clock_rate", "start", "last_event", "correction"),
]
WIDE = {"width": 1280, "height": 800}
HOURS_AHEAD = "const now = Date.now; Date.now = () => now() + 5 * 3_600_000;"
PAINT_LATER = "board.view.paint(board.store, board.store.take(), performance.now() + 60_000)"
SOON = 10_000  # milliseconds: what a feed, a board and a browser together need at most
LONGEST = 30_000  # the same, where the page comes back by itself after some seconds


def game(symbol: str, home: Any = "Ashford", away: Any = "Brackley", **more: Any) -> dict[str, Any]:
    """Return a running game as a source has it."""
    about = {"status": "live", "period": "2nd half", "league": "Premier", "clock": "67'"}
    score = {"home_score": 2, "away_score": 1}
    return {"symbol": symbol, "home": home, "away": away, **about, **score, **more}


@pytest.fixture
def open_board(
    serve: Serve, source: Source, new_page: NewPage
) -> Callable[..., tuple[Page, ScriptedSource, RunningServer]]:
    """Return a function that shows games of a scripted source: the page, the source, the server."""

    def show(
        rows: list[dict[str, Any]], before: str = "", **options: Any
    ) -> tuple[Page, ScriptedSource, RunningServer]:
        games = source(rows)
        feed = games.feed(fields={name: name for name in FIELDS})
        server = serve({"league": feed}, {"games": {"layout": "scores", "feeds": ["league"]}})
        server.wait_for("readyz")
        page = new_page(**{"viewport": WIDE, **options})
        page.add_init_script(before)
        body = {"body": APP, "content_type": "text/javascript"}
        page.route("**/app.js", lambda route: route.fulfill(**body))
        page.goto(server.url)
        expect(page.locator(".card").first).to_be_attached(timeout=SOON)
        return page, games, server

    return show


Board = Callable[..., tuple[Page, ScriptedSource, RunningServer]]


def card(page: Page, symbol: str) -> Locator:
    """Return the card of a game."""
    return page.locator(f".card[data-symbol='{symbol}']")


def symbols(page: Page) -> list[str]:
    """Return the symbols of the games that are shown, as they stand on the page."""
    cards = page.locator(".card:visible")
    return [str(card.get_attribute("data-symbol")) for card in cards.all()]


def wait_until(page: Page, condition: str) -> None:
    """Wait until a condition holds on the page, whose rules forbid that Playwright looks itself."""
    page.evaluate(
        f"""() => new Promise((done, fail) => {{
            const end = performance.now() + {LONGEST};
            const look = () => {{
                if ({condition}) done();
                else if (performance.now() > end) fail(new Error("not in time"));
                else setTimeout(look, 20); // between two looks; the deadline is above
            }};
            look();
        }})"""
    )


def wait_for_order(page: Page, order: list[str]) -> None:
    """Wait until the games stand in an order, on the page and as the view tells it."""
    wait_until(page, f"board.view.symbols.join() === '{','.join(order)}'")
    assert symbols(page) == order


def wait_for_news(page: Page, what: Locator, text: str) -> None:
    """Wait until a card shows what the source has just been told to say."""
    expect(what).to_contain_text(text, timeout=SOON)


def test_games_are_grouped_by_league(open_board: Board) -> None:
    """Each league has a heading with its games; leagues with running games come first."""
    rows = [
        game("A1", league="Alpha", status="final"),
        game("C1", league="Cup"),
        game("B1", league="Beta", status="break"),
        game("C2", league="Cup", status="final"),
        game("N1", league=None, status="scheduled"),
    ]
    page, _, _ = open_board(rows)
    headings = page.get_by_role("heading", level=2)
    expect(headings).to_have_text(
        ["Beta1 game, 1 live", "Cup2 games, 1 live", "Alpha1 game", "Other games1 game"]
    )
    assert symbols(page) == ["B1", "C1", "C2", "A1", "N1"]


def test_games_without_a_league_need_no_heading(open_board: Board) -> None:
    """Where no source names a league there is nothing to group by."""
    page, _, _ = open_board([game("A", league=None), game("B", league=None)])
    expect(page.locator(".card")).to_have_count(2)
    expect(page.get_by_role("heading", level=2)).to_have_count(0)


def test_running_games_come_first_then_those_to_come(open_board: Board) -> None:
    """Within a league: running, then interrupted, then scheduled by start, then over."""
    soon = time.time() * 1000 + 7_200_000
    rows = [
        game("OVER", status="final"),
        game("LATER", status="scheduled", start=soon + 3_600_000),
        game("SOON", status="scheduled", start=soon),
        game("WAITS", status="suspended"),
        game("RUNS"),
    ]
    page, _, _ = open_board(rows)
    assert symbols(page) == ["RUNS", "WAITS", "SOON", "LATER", "OVER"]


def test_a_folded_league_stays_folded(open_board: Board) -> None:
    """A league can be folded; the page remembers it, and a deep link unfolds it."""
    page, _, _ = open_board([game("A"), game("B", league="Cup")])
    button = page.get_by_role("button", name="Premier")
    expect(button).to_have_attribute("aria-expanded", "true")
    button.click()
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(card(page, "A")).to_be_hidden()
    assert page.evaluate("board.view.symbols") == ["B"]
    assert page.evaluate("board.view.counts") == {"total": 2, "visible": 2}
    page.reload()
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(card(page, "B")).to_be_visible()
    assert page.evaluate("board.view.focus('A')")
    expect(card(page, "A").locator(".open")).to_be_focused()
    assert page.evaluate("board.settings.get('folded')") == {"games": []}


def test_live_only_shows_running_games(open_board: Board) -> None:
    """The choice "live only" hides what is not running, at once."""
    page, _, _ = open_board([game("A"), game("B", status="final"), game("C", status="break")])
    expect(page.locator(".card")).to_have_count(3)
    page.evaluate("board.settings.set('liveOnly', true); board.request()")
    expect(page.locator(".card")).to_have_count(2)
    assert page.evaluate("board.view.counts") == {"total": 3, "visible": 2}
    expect(page.locator(".league-counts")).to_have_text("2 games, 2 live")


def test_a_filter_looks_at_teams_and_leagues(open_board: Board) -> None:
    """The filter finds a game by its symbol, its teams or its league; other leagues go away."""
    page, _, _ = open_board([game("A"), game("B", home="Calder", league="Cup")])
    for text in ("Calder", " cup "):
        page.evaluate("text => board.view.filter(text)", text)
        assert symbols(page) == ["B"]
        expect(page.locator(".league")).to_have_count(1)
    page.evaluate("board.view.filter('')")
    assert symbols(page) == ["B", "A"]


def test_a_starred_game_comes_first_when_the_pointer_has_left(open_board: Board) -> None:
    """A star is set at once; the game takes its place once nobody points at the cards."""
    page, _, _ = open_board([game("A"), game("B", home="Calder", away="Dunmore")])
    star = page.get_by_role("button", name="Star Calder – Dunmore")
    expect(star).to_have_attribute("aria-pressed", "false")
    star.click()
    expect(star).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("board.opened") == []
    assert page.evaluate("board.view.held")
    assert symbols(page) == ["A", "B"]
    page.mouse.move(640, 2)
    wait_for_order(page, ["B", "A"])
    page.evaluate("board.settings.set('list', {games: ''}); board.request()")
    wait_for_order(page, ["B"])


def test_places_stay_under_the_pointer(open_board: Board) -> None:
    """A game that ends keeps its place while the pointer is over the cards, however long."""
    page, games, _ = open_board([game("A"), game("B")])
    card(page, "A").hover()
    games.rows = [game("A", status="final", home_score=3), game("B"), game("C", home="New")]
    expect(card(page, "A").locator(".game")).to_have_text("Final", timeout=SOON)
    page.evaluate(PAINT_LATER)
    assert symbols(page) == ["A", "B", "C"]
    page.mouse.move(640, 2)
    wait_for_order(page, ["B", "C", "A"])


def test_places_stay_under_the_focus(open_board: Board) -> None:
    """While a card has the focus of the keyboard nothing moves; afterwards it does."""
    page, games, _ = open_board([game("A"), game("B")])
    page.evaluate("board.view.focus('A')")
    page.keyboard.press("ArrowRight")
    games.rows = [game("A", status="final"), game("B")]
    expect(card(page, "A").locator(".game")).to_have_text("Final", timeout=SOON)
    page.evaluate(PAINT_LATER)
    assert symbols(page) == ["A", "B"]
    assert page.evaluate("board.view.focused") == "B"
    page.evaluate("document.activeElement.blur()")
    wait_for_order(page, ["B", "A"])


def test_a_finger_holds_nothing(open_board: Board) -> None:
    """After a tap places change as before: a finger does not stay over the cards."""
    page, _, _ = open_board([game("A"), game("B")], has_touch=True)
    card(page, "A").tap()
    assert page.evaluate("board.opened") == ["A"]
    assert page.evaluate("board.view.held") is False


def test_a_goal_is_told_once_and_for_some_seconds(open_board: Board) -> None:
    """A new score has a word beside it, for four seconds; the first score that is seen has none."""
    page, games, _ = open_board([game("A", last_event="Kick-off")])
    gain = card(page, "A").locator(".gain")
    expect(gain).to_have_text(["", ""])
    games.rows = [game("A", home_score=3, last_event="Goal, Ashford 67'")]
    expect(gain.first).to_have_text("Goal", timeout=SOON)
    expect(gain.last).to_have_text("")
    expect(gain.first).to_have_text("", timeout=SOON)
    expect(card(page, "A").locator(".score")).to_have_text(["3", "1"])


def test_points_are_told_by_their_number(open_board: Board) -> None:
    """What is no goal is told as a number."""
    page, games, _ = open_board([game("A")])
    games.rows = [game("A", away_score=4, last_event="3 points, Brackley")]
    expect(card(page, "A").locator(".gain").last).to_have_text("+3", timeout=SOON)


def test_a_restart_is_no_goal(open_board: Board, complaints: Complaints) -> None:
    """The same score after a reconnect is not emphasised again."""
    page, _, server = open_board([game("A")])
    page.evaluate(
        """() => {
            window.gains = [];
            const seen = (list) => list.forEach(({target}) => {
                const line = (target.closest ? target : target.parentElement).closest(".gain");
                if (line?.textContent) window.gains.push(line.textContent);
            });
            const what = {subtree: true, characterData: true, childList: true};
            new MutationObserver(seen).observe(document.getElementById("content"), what);
        }"""
    )
    epoch = page.evaluate("board.store.epoch")
    server.stop()
    wait_until(page, "board.client.state.kind !== 'live'")
    server.start()
    wait_until(page, f"board.store.epoch !== '{epoch}'")
    page.evaluate("board.view.paint(board.store, board.store.take(), performance.now())")
    assert page.evaluate("window.gains") == []
    complaints[:] = [text for text in complaints if "ERR_CONNECTION_REFUSED" not in text]


def test_a_correction_is_no_goal(open_board: Board) -> None:
    """A score that is taken back is told as a correction, beside the last event."""
    page, games, _ = open_board([game("A")])
    games.rows = [game("A", home_score=1, correction="was 2–1")]
    expect(card(page, "A").locator(".correction")).to_have_text("Correction: was 2–1", timeout=SOON)
    expect(card(page, "A").locator(".score").first).to_have_text("1")
    expect(card(page, "A").locator(".gain")).to_have_text(["", ""])


def test_less_motion_leaves_the_word(open_board: Board) -> None:
    """Where less motion is asked for, a goal is told by its word, without any animation."""
    page, games, _ = open_board([game("A")], reduced_motion="reduce")
    games.rows = [game("A", home_score=3)]
    expect(card(page, "A").locator(".gain").first).to_have_text("+1", timeout=SOON)
    assert page.evaluate("document.getAnimations().length") == 0


def running_clock() -> dict[str, Any]:
    """Return a game whose clock has just been told, and is not told again."""
    clock: dict[str, Any] = {
        "clock": "10:00",
        "clock_at": round(time.time() * 1000),
        "clock_rate": -1,
    }
    return game("A", period="Q3", **clock)


def test_a_clock_runs_between_two_words_of_the_server(open_board: Board) -> None:
    """A clock that is told once goes on, second by second."""
    page, games, _ = open_board([game("A")])
    games.rows = [running_clock()]
    for shown in ("9:59", "9:58", "9:57"):
        words = f"Live · Q3 · {shown}"
        expect(card(page, "A").locator(".game")).to_have_text(words, timeout=SOON)


def test_a_clock_runs_by_the_servers_time(open_board: Board) -> None:
    """A page whose own clock is off by hours shows the same, even before it knows by how much."""
    page, games, _ = open_board([game("A")], before=HOURS_AHEAD)
    games.rows = [running_clock()]
    expect(card(page, "A").locator(".game")).to_have_text("Live · Q3 · 9:58", timeout=SOON)
    unknown = "{ knowsClock: { value: false }, now: { value: () => Date.now() } }"
    page.evaluate(f"Object.defineProperties(board.client, {unknown})")
    page.evaluate(PAINT_LATER)
    assert "9:5" in card(page, "A").locator(".game").inner_text()


def test_a_clock_goes_on_while_the_board_is_quiet(open_board: Board) -> None:
    """Once a ping has told the server's time, a board that is old does not put its clocks back."""
    page, games, _ = open_board([game("A")])
    games.rows = [running_clock()]
    expect(card(page, "A").locator(".game")).to_have_text("Live · Q3 · 9:58", timeout=SOON)
    wait_until(page, "board.client.knowsClock")
    page.evaluate(f"board.store.at -= 300_000; {PAINT_LATER}")
    assert "9:5" in card(page, "A").locator(".game").inner_text()


def test_a_clock_stands_without_a_connection(open_board: Board, complaints: Complaints) -> None:
    """Without a connection nobody knows whether the clock runs: it stays where it is."""
    page, games, server = open_board([game("A")])
    games.rows = [running_clock()]
    expect(card(page, "A").locator(".game")).to_contain_text("9:58", timeout=SOON)
    server.stop()
    wait_until(page, "board.client.state.kind !== 'live'")
    words = card(page, "A").locator(".game").inner_text()
    assert "9:5" in words
    page.evaluate("const now = Date.now; Date.now = () => now() + 30_000")
    page.evaluate(PAINT_LATER)
    assert card(page, "A").locator(".game").inner_text() == words
    complaints[:] = [text for text in complaints if "ERR_CONNECTION_REFUSED" not in text]


def test_period_scores_are_a_table(open_board: Board) -> None:
    """The scores of the periods have headings that a screen reader can say."""
    page, games, _ = open_board([game("A", periods=[[1, 0], [1, 1]])])
    table = card(page, "A").get_by_role("table")
    expect(table.get_by_role("columnheader")).to_have_text(["1Period 1", "2Period 2", "Score"])
    expect(table.get_by_role("row").nth(1).get_by_role("cell")).to_have_text(["1", "1", "2"])
    expect(table.get_by_role("row").nth(2).get_by_role("cell")).to_have_text(["0", "1", "1"])
    games.rows = [game("A", period="OT", periods=[[1, 0], [1, 1], [0, 1]])]
    heads = ["1Period 1", "2Period 2", "OTOvertime", "Score"]
    expect(table.get_by_role("columnheader")).to_have_text(heads, timeout=SOON)


def test_old_games_say_how_old_they_are(open_board: Board) -> None:
    """A game of a feed that fails is stale, with its age; a result stays as it is."""
    page, games, _ = open_board([game("A"), game("F", status="final")])
    games.status = 503
    expect(card(page, "A").locator(".badge")).to_contain_text("stale", timeout=SOON)
    wait_for_news(page, card(page, "A").locator(".badge"), " s")
    expect(card(page, "F").locator(".badge")).to_have_text("")
    expect(card(page, "F")).not_to_have_attribute("data-quality", "stale")


def test_a_card_has_one_name_and_one_tab_stop(open_board: Board) -> None:
    """A card is a button named by its game; the tab key leads to one card and then to its star."""
    page, _, _ = open_board([game("A"), game("B", home="Calder", clock="45+2'")])
    expect(page.get_by_role("button", name="Ashford 2, Brackley 1, 67th minute")).to_be_visible()
    name = "Calder 2, Brackley 1, 45th minute plus 2"
    expect(page.get_by_role("button", name=name)).to_be_visible()
    assert page.locator(".card button[tabindex='0']").count() == 2
    assert page.locator(".leagues [aria-live], .leagues [role=status]").count() == 0
    page.locator(".league h2 button").focus()
    page.keyboard.press("Tab")
    assert page.evaluate("board.view.focused") == "A"
    page.keyboard.press("Enter")
    assert page.evaluate("board.opened") == ["A"]
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Star Ashford – Brackley")).to_be_focused()


def test_arrows_lead_from_card_to_card(open_board: Board) -> None:
    """Arrow keys move by place, also from one league to the next, and stop at the edges."""
    rows = [game(f"A{i}", home=f"Team {i}") for i in range(5)] + [game("B0", league="Second")]
    page, _, _ = open_board(rows, viewport={"width": 1100, "height": 700})
    columns = page.evaluate(
        "new Set([...document.querySelectorAll('.card')].map(c => c.offsetLeft)).size"
    )
    assert columns == 3
    page.evaluate("board.view.focus('A0')")
    steps = {
        "ArrowRight": "A1",
        "ArrowDown": "A4",
        "ArrowUp": "A1",
        "End": "B0",
        "Home": "A0",
        "ArrowLeft": "A0",
    }
    for key, symbol in steps.items():
        page.keyboard.press(key)
        assert page.evaluate("board.view.focused") == symbol, key
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("board.view.focused") == "A3"


def test_the_focus_survives_what_goes(open_board: Board) -> None:
    """When the game that has the focus is gone, the focus is on its neighbour."""
    page, games, _ = open_board([game("A"), game("B"), game("C")])
    page.evaluate("board.view.focus('B')")
    games.rows = [game("A"), game("C")]
    expect(page.locator(".card")).to_have_count(2, timeout=SOON)
    assert page.evaluate("board.view.focused") == "C"


def test_nothing_shifts_while_games_run(open_board: Board) -> None:
    """Goals, corrections, events, periods and badges leave every card where it is, and as high."""
    page, games, _ = open_board([game("A"), game("B", last_event=None), game("C", league="Cup")])
    boxes = "[...document.querySelectorAll('.card')].map(c => c.getBoundingClientRect().toJSON())"
    before = page.evaluate(boxes)
    page.evaluate(
        """() => {
            window.shift = 0;
            const add = (list) => list.getEntries().forEach(({value}) => (window.shift += value));
            new PerformanceObserver(add).observe({type: "layout-shift"});
        }"""
    )
    games.rows = [
        game("A", home_score=3, last_event="Goal, Ashford 68' " + "x" * 200),
        game("B", home_score=1, correction="was 2–1", periods=[[1, 1]], clock="100:00"),
        game("C", league="Cup", home_score=12, period="Q4", clock="0:09", periods=[[6, 1], [6, 0]]),
    ]
    expect(card(page, "C").locator(".gain").first).to_have_text("+10", timeout=SOON)
    expect(card(page, "B").locator(".correction")).to_be_visible()
    games.status = 503
    expect(card(page, "A").locator(".badge")).to_contain_text("stale", timeout=SOON)
    assert page.evaluate(boxes) == before
    assert page.evaluate("window.shift") < 0.001


def test_absurd_games_stay_text(open_board: Board) -> None:
    """Markup, other scripts, long names, missing fields and nonsense are shown as text."""
    page, _, _ = open_board([game("A")], viewport={"width": 320, "height": 640})
    markup = "<img src=x onerror=alert(1)>"
    odd = {"a": [1], "toString": 1}
    periods = [[i, -i] for i in range(200)]
    rows = [
        game("M", home=markup, away="مكابي", league=markup, last_event=markup, status=markup),
        game("L", home="W" * 200, away="🏆" * 60, home_score="245/6 dec", away_score=1e300),
        {"symbol": "E"},
        game("P", periods=periods, period=odd, clock=odd, status=odd, last_event=odd),
        game("Q", periods="1-0", start="never", status="scheduled", correction=odd),
        game("R", periods=[None, 5, [[1], odd]], clock="9:00", clock_at=1, clock_rate=1e9),
        game("S", clock="9:00", clock_at="soon", clock_rate="fast", quality="toString"),
        game("T", status="toString", home_score=None, correction=markup, start=odd, home=odd),
    ]
    page.evaluate(
        """(rows) => {
            const {client, request, store} = board;
            client.unwatch(store.name);
            const seq = store.seq + 1;
            for (const i of [0, 1]) {
                const more = i ? {home_score: 9} : {};
                const changed = rows.map(({symbol, ...row}) => [symbol, {...row, ...more}]);
                const about = {type: "diff", board: store.name, prev: store.seq, seq: seq + i};
                store.apply({...about, at: Date.now(), rows: Object.fromEntries(changed)});
                board.view.paint(store, store.take(), performance.now() + i * 60_000);
            }
        }""",
        rows,
    )
    expect(page.locator(".card")).to_have_count(9)
    expect(card(page, "M").locator(".team").first).to_have_text(markup)
    assert page.locator(".leagues img").count() == 0
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 0
    heights = "[...document.querySelectorAll('.card')].map(c => c.offsetHeight)"
    assert len(set(page.evaluate(heights))) == 1


def test_many_games_are_light(open_board: Board) -> None:
    """Of 500 games only those near the screen are laid out, at a height that is known before."""
    rows = [game(f"G{i:03}", home=f"Team {i}", league=f"League {i % 20:02}") for i in range(500)]
    page, _, _ = open_board(rows)
    expect(page.locator(".card")).to_have_count(500)
    height = page.evaluate("document.documentElement.scrollHeight")
    page.evaluate("board.view.focus('G499')")
    expect(card(page, "G499").locator(".open")).to_be_in_viewport()
    assert abs(page.evaluate("document.documentElement.scrollHeight") - height) <= 2
    skipped = (
        "!document.querySelector('.card .open').checkVisibility({contentVisibilityAuto: true})"
    )
    wait_until(page, skipped)
