"""Dialogs and messages in a real browser, over the dashboard of a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from .conftest import Complaints, RunningServer, ScriptedSource
from .test_page import GAMES, OVERFLOW, QUOTES, SOON, row, show

NewPage = Callable[..., Page]
Open = Callable[..., Locator]

MARKUP = "<img src=x onerror=alert(1)>"
ROWS = [row("AAPL", 190.12, change=-1.5), row("MSFT", 411.02), row("=CMD", 1.5), row(MARKUP, 2.0)]
WIDTHS = [320, 1280]
DIALOGS = ["settings-dialog", "help-dialog", "view-dialog", "alert-dialog"]
NAMES = """dialog => [...dialog.querySelectorAll("button, input, select, textarea, summary")]
    .filter(e => e.checkVisibility())
    .map(e => e.ariaLabel || [...(e.labels ?? [])].map(l => l.innerText).join("") || e.innerText)"""
SMALL = """dialog => [...dialog.querySelectorAll("button, select, textarea, summary, label.option")]
    .filter(e => e.checkVisibility())
    .map(e => [e.innerText || e.tagName, e.getBoundingClientRect()])
    .filter(([, box]) => box.width < 24 || box.height < 24).map(([name]) => name)"""

# What app.js gives to dialogs, over a store with the board's snapshot.
CONTEXT = """async (board) => {
    const load = (path) => import(new URL(path, document.baseURI).href);
    const [{Settings}, {Lists}, {Alerts}, {BoardStore}, {Toasts}] = await Promise.all(
        ["settings", "lists", "alerts", "store"].map((name) => load(`./core/${name}.js`))
            .concat(load("./ui/toasts.js")));
    const store = new BoardStore(board);
    store.apply(await (await fetch(`api/boards/${board}`)).json());
    const settings = new Settings(() => localStorage);
    const said = [];
    const context = {
        settings, lists: new Lists(settings), alerts: new Alerts(settings),
        request() {}, say: (words) => said.push(words), now: () => Date.now(),
    };
    const toasts = new Toasts(context, () => said.push(`unseen ${toasts.unseen}`));
    context.toast = (words, options) => toasts.show(words, options);
    const view = {symbols: [...store.rows.keys()]};
    window.parts = {load, context, store, said, toasts, view};
}"""
OPENERS = {
    "settings-dialog": "open(parts.context)",
    "help-dialog": "open(parts.context)",
    "view-dialog": "open(parts.context, parts.store, parts.view)",
    "alert-dialog": "open(parts.context, parts.store, [...parts.store.rows.keys()][0])",
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a server with a board of quotes and one of games."""
    source = ScriptedSource(ROWS)
    feeds = {"nyse": source.feed(), "league": {**GAMES, "speed": 1}}
    boards = {
        "stocks": {**QUOTES, "title": "US stocks", "feeds": ["nyse"]},
        "games": {"title": "Tonight", "layout": "scores", "feeds": ["league"]},
    }
    config = tmp_path_factory.mktemp("dialogs") / "config.yaml"
    config.write_text(json.dumps({"feeds": feeds, "boards": boards}))
    server = RunningServer(config)
    server.wait_for("readyz")
    yield server.url
    server.stop()
    source.close()


@pytest.fixture
def visit(url: str) -> Callable[..., None]:
    """Return a function that opens the dashboard with what dialogs need."""

    def visit(page: Page, board: str = "stocks") -> None:
        page.goto(f"{url}#/{board}")
        expect(page.locator("tbody tr, .card").first).to_be_visible(timeout=SOON)
        page.evaluate(CONTEXT, board)

    return visit


@pytest.fixture
def opened(visit: Callable[..., None], page: Page) -> Open:
    """Return a function that opens a dialog over the dashboard."""

    def opened(name: str, board: str = "stocks") -> Locator:
        visit(page, board)
        return reopened(page, name)

    return opened


def reopened(page: Page, name: str) -> Locator:
    """Open a dialog in a page that has what it needs, and return it."""
    page.evaluate(f"parts.load('./ui/{name}.js').then(({{open}}) => {OPENERS[name]})")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    return dialog


def said(page: Page) -> list[str]:
    """Return what screen readers were told so far."""
    words: list[str] = page.evaluate("parts.said")
    return words


def setting(page: Page, name: str) -> Any:
    """Return a setting as the page has it."""
    return page.evaluate("name => parts.context.settings.get(name)", name)


@pytest.mark.parametrize("name", DIALOGS)
def test_a_dialog_has_a_name_and_takes_and_gives_back_the_focus(opened: Open, name: str) -> None:
    """A dialog is named by its heading, focus goes in, Escape closes it and gives focus back."""
    dialog = opened(name)
    page = dialog.page
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.get_by_role("searchbox", name="Filter").focus()
    dialog = reopened(page, name)
    expect(dialog).to_have_accessible_name(dialog.locator("h2").inner_text())
    assert dialog.evaluate("e => e.contains(document.activeElement)")
    assert dialog.evaluate("e => document.activeElement.ariaLabel") != "Close"
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page.get_by_role("searchbox", name="Filter")).to_be_focused()


@pytest.mark.parametrize("board", ["stocks", "games"])
@pytest.mark.parametrize("name", DIALOGS)
def test_every_control_has_a_name(opened: Open, name: str, board: str) -> None:
    """No button, field or box of a dialog is without a name, and all are large enough to hit."""
    dialog = opened(name, board)
    names = dialog.evaluate(NAMES)
    assert names
    assert all(text.strip() for text in names)
    assert dialog.evaluate(SMALL) == []


@pytest.mark.parametrize("name", DIALOGS)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_dialog_fits_and_moves_nothing(
    visit: Callable[..., None], new_page: NewPage, name: str, width: int
) -> None:
    """A dialog stays inside the screen; opening it shifts nothing of the page behind."""
    page = new_page(viewport={"width": width, "height": 640})
    visit(page)
    place = "JSON.stringify(document.querySelector('#board').getBoundingClientRect())"
    before = page.evaluate(place)
    dialog = reopened(page, name)
    assert page.evaluate(place) == before
    box = dialog.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= 640
    assert page.evaluate(OVERFLOW) <= 0
    body = dialog.locator(".panel-body")
    assert body.evaluate("e => e.scrollWidth - e.clientWidth") <= 0
    expect(dialog.get_by_role("button", name="Close", exact=True)).to_be_in_viewport(ratio=1)


ABSURD = """(symbol) => {
    const row = {last: 1e300, home: "W".repeat(200), away: "שלום", status: "live"};
    parts.store.rows.set(symbol, row);
    parts.context.alerts.add(parts.store.name, symbol, 2e300, row);
    parts.context.alerts.add("<b>board</b>", symbol, 1e-12, row);
    parts.context.lists.create(parts.store.name, "W".repeat(64));
    parts.context.lists.toggle(parts.store.name, symbol);
    const open = (name, ...more) => parts.load(`./ui/${name}.js`).then((module) =>
        module.open(parts.context, parts.store, ...more));
    window.openers = {
        "alert-dialog": () => open("alert-dialog", symbol),
        "view-dialog": () => open("view-dialog", {symbols: [symbol, "GONE"]}),
    };
}"""


@pytest.mark.parametrize("board", ["stocks", "games"])
@pytest.mark.parametrize("name", ["alert-dialog", "view-dialog"])
@pytest.mark.parametrize("symbol", ["W" * 200, "שלום 🚀", "<b>bold</b>"])
def test_absurd_names_fit_and_stay_text(
    visit: Callable[..., None], new_page: NewPage, board: str, name: str, symbol: str
) -> None:
    """Long, right-to-left and marked-up names are text and fit into the narrowest screen."""
    page = new_page(viewport={"width": 320, "height": 640})
    visit(page, board)
    page.evaluate(ABSURD, symbol)
    page.evaluate("name => openers[name]()", name)
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    if name == "alert-dialog":
        expect(dialog).to_have_accessible_name(f"Alerts of {symbol}")
        expect(dialog.locator("li")).to_have_count(2)
    body = dialog.locator(".panel-body")
    assert body.evaluate("e => e.scrollWidth - e.clientWidth") <= 0
    assert dialog.locator("b, img").count() == 0
    expect(dialog.get_by_role("button", name="Close", exact=True)).to_be_in_viewport(ratio=1)


def test_a_row_that_has_gone_gets_no_alert(opened: Open) -> None:
    """When the row goes while its dialog is open, setting a level says that there is no price."""
    dialog = opened("alert-dialog")
    dialog.page.evaluate("parts.store.rows.delete('AAPL')")
    level = dialog.get_by_label("Tell me when the price reaches")
    level.fill("7")
    dialog.get_by_role("button", name="Set alert").click()
    expect(level).to_have_accessible_description("There is no price to compare with now")
    expect(dialog.locator("li")).to_have_count(0)


def test_opening_twice_opens_one(opened: Open) -> None:
    """A key pressed twice while a dialog loads opens it once."""
    dialog = opened("help-dialog")
    dialog.page.evaluate("parts.load('./ui/help-dialog.js').then(({open}) => open(parts.context))")
    expect(dialog).to_have_count(1)


def test_the_voice_of_the_page_is_heard_in_a_dialog(opened: Open) -> None:
    """The one live region is inside an open dialog, as all else is hidden, and outside after it."""
    dialog = opened("help-dialog")
    expect(dialog.locator("#announcer")).to_have_count(1)
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_have_count(0)
    expect(dialog.page.locator("body > #announcer")).to_have_count(1)


def test_settings_are_kept(opened: Open) -> None:
    """What is chosen is kept, and shown as chosen when the dialog opens again."""
    dialog = opened("settings-dialog")
    page = dialog.page
    dialog.get_by_label("Every 5 seconds").check()
    dialog.get_by_label("Blue up, orange down").check()
    dialog.get_by_label("Compact").check()
    dialog.get_by_label(re.compile("^Single keys")).uncheck()
    names = ["rate", "colours", "density", "shortcuts"]
    assert [setting(page, name) for name in names] == ["5", "blue-orange", "compact", False]
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    again = reopened(page, "settings-dialog")
    expect(again.get_by_label("Every 5 seconds")).to_be_checked()
    expect(again.get_by_label("Every 5 seconds")).to_be_focused()
    expect(again.get_by_label(re.compile("^Single keys"))).not_to_be_checked()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_sample_has_its_own_colours(
    visit: Callable[..., None], new_page: NewPage, scheme: str
) -> None:
    """Each choice of colours is shown as it will be, whatever the page has now."""
    page = new_page(color_scheme=scheme)
    visit(page)
    colours = "s => [...document.querySelectorAll(s)].map(e => getComputedStyle(e).color)"
    page.evaluate("document.documentElement.dataset.colours = 'blue-orange'")
    reopened(page, "settings-dialog")
    ups = page.evaluate(colours, ".sample [data-direction=up]")
    downs = page.evaluate(colours, ".sample [data-direction=down]")
    assert len(set(ups)) == len(set(downs)) == 3
    assert (ups[0], downs[0]) == (downs[2], ups[2])  # red up, green down is green up turned around
    page.evaluate("document.documentElement.dataset.colours = 'red-up'")
    assert page.evaluate(colours, ".sample [data-direction=up]") == ups
    assert page.evaluate(colours, "td[data-direction=down]") == [downs[2]]


CONTRASTS = """(colours) => {
    document.documentElement.dataset.colours = colours;
    const probe = document.body.appendChild(document.createElement("i"));
    const rgb = (name) => {
        probe.style.color = `var(--${name})`;
        return getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255);
    };
    const light = (name) => rgb(name)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const grounds = ["ground", "surface", "raised"].map(light);
    return ["up", "down"].flatMap((name) => grounds.map((g) => ratio(light(name), g)));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("colours", ["green-red", "blue-orange", "red-up"])
def test_up_and_down_can_be_read(
    visit: Callable[..., None], new_page: NewPage, scheme: str, colours: str
) -> None:
    """Every choice of colours has a contrast of 4.5 on every ground (WCAG 2.2, 1.4.3)."""
    page = new_page(color_scheme=scheme)
    visit(page)
    ratios = page.evaluate(CONTRASTS, colours)
    assert len(ratios) == 6
    assert min(ratios) >= 4.5


CHOOSE: dict[str, Callable[[Locator], None]] = {
    "settings-dialog": lambda dialog: dialog.get_by_label("Compact").check(),
    "view-dialog": lambda dialog: dialog.get_by_role("checkbox", name="Volume").uncheck(),
    "alert-dialog": lambda dialog: dialog.get_by_label("Tell me when").press("ArrowUp"),
}


@pytest.mark.parametrize("name", CHOOSE)
def test_full_storage_is_told(opened: Open, name: str) -> None:
    """A choice that will not last says so where it is made, also aloud, until one lasts."""
    dialog = opened(name)
    page = dialog.page
    full = "void (Storage.prototype.setItem = () => { throw new Error('full'); })"
    page.evaluate(f"window.setItem = Storage.prototype.setItem; {full}")
    expect(dialog.get_by_text("storage is full")).to_have_count(0)
    CHOOSE[name](dialog)
    page.keyboard.press("Enter")  # sets the alert
    expect(dialog.get_by_text("storage is full")).to_be_visible()
    assert "storage is full" in " ".join(said(page))
    page.evaluate("void (Storage.prototype.setItem = window.setItem)")
    page.evaluate("parts.context.settings.set('sound', true)")
    expect(dialog.get_by_text("storage is full")).to_have_count(0)


@pytest.mark.parametrize(
    ("allowed", "words"),
    [(True, "The browser allows notifications"), (False, "The browser blocks notifications")],
)
def test_notifications_are_asked_for_by_a_click(
    visit: Callable[..., None], new_page: NewPage, allowed: bool, words: str
) -> None:
    """The browser is asked when the box is checked, not before, and its answer is told."""
    page = new_page()
    page.add_init_script(
        f"""window.asked = 0; let answer = "default";
        Object.defineProperty(Notification, "permission", {{get: () => answer}});
        Notification.requestPermission = async () => {{
            window.asked += 1; answer = "{"granted" if allowed else "denied"}";
        }};"""
    )
    visit(page)
    dialog = reopened(page, "settings-dialog")
    expect(dialog.get_by_text("The browser will ask")).to_be_visible()
    assert page.evaluate("window.asked") == 0
    dialog.get_by_label(re.compile("^Notifications")).click()
    expect(dialog.get_by_text(words)).to_be_visible()
    assert page.evaluate("window.asked") == 1
    assert setting(page, "notifications") is allowed
    expect(dialog.get_by_label(re.compile("^Notifications"))).to_be_checked(checked=allowed)


def columns(dialog: Locator) -> list[str]:
    """Return the columns in the order of the dialog, hidden ones in brackets."""
    items: list[str] = (
        dialog.locator("section", has_text="Columns")
        .locator("li")
        .evaluate_all(
            "es => es.map(e => e.querySelector('input').checked ? e.innerText.split('\\n')[0]"
            " : `(${e.innerText.split('\\n')[0]})`)"
        )
    )
    return items


def test_columns_are_hidden_and_moved(opened: Open) -> None:
    """Columns are chosen and ordered by keyboard; the focus stays with the column."""
    dialog = opened("view-dialog")
    page = dialog.page
    assert columns(dialog) == ["Trend", "Last", "Change", "Change %", "Volume"]
    dialog.get_by_label("Volume", exact=True).uncheck()
    up = dialog.get_by_role("button", name="Move Change % up")
    up.focus()
    for _ in range(3):
        page.keyboard.press("Enter")
    assert columns(dialog) == ["Change %", "Trend", "Last", "Change", "(Volume)"]
    expect(dialog.get_by_role("button", name="Move Change % down")).to_be_focused()
    assert setting(page, "columns") == {
        "stocks": {
            "order": ["change_pct", "trend", "last", "change", "volume"],
            "hidden": ["volume"],
        }
    }
    assert said(page)[-1] == "Change % is column 1 of 5"
    dialog.get_by_role("button", name="Reset").click()
    assert columns(dialog) == ["Trend", "Last", "Change", "Change %", "Volume"]
    assert setting(page, "columns") == {}


def test_lists_are_made_renamed_and_removed(opened: Open) -> None:
    """A list is made, found wanting in words, renamed, and removed after a question."""
    dialog = opened("view-dialog")
    page = dialog.page
    select = dialog.get_by_label("Show", exact=True)
    expect(select.locator("option")).to_have_text(["All rows", "Starred (0)"])
    dialog.get_by_role("button", name="New list").click()
    name = dialog.get_by_label("Name of the new list")
    expect(name).to_be_focused()
    page.keyboard.press("Enter")
    expect(name).to_have_accessible_description("A list needs a name")
    expect(name).to_have_attribute("aria-invalid", "true")
    page.keyboard.type(MARKUP)
    page.keyboard.press("Enter")
    expect(select).to_be_focused()
    expect(select.locator("option:checked")).to_have_text(f"{MARKUP} (0)")
    dialog.get_by_role("button", name="Rename").click()
    dialog.get_by_label("New name").fill("Tech")
    page.keyboard.press("Enter")
    expect(select.locator("option:checked")).to_have_text("Tech (0)")
    select.select_option(label="All rows")
    assert page.evaluate("parts.context.lists.current('stocks')") is None
    select.select_option(label="Tech (0)")
    dialog.get_by_role("button", name="Remove").click()
    expect(dialog.get_by_text("Remove the list Tech with 0 symbols?")).to_be_visible()
    page.keyboard.press("Enter")
    expect(select.locator("option")).to_have_text(["All rows", "Starred (0)"])


def test_lists_are_imported_with_what_was_not_understood(opened: Open) -> None:
    """An import takes what it understands and names the lines it does not."""
    dialog = opened("view-dialog")
    page = dialog.page
    dialog.get_by_text("Import and export").click()
    area = dialog.get_by_label("All lists of this board as text")
    expect(area).to_have_value("ticker lists 1\n# Starred\n")
    area.fill('ticker lists 1\n# Starred\nAAPL\n# Tech\nMSFT\n"broken')
    dialog.get_by_role("button", name="Import").click()
    expect(area).to_have_accessible_description(
        'Imported 2 symbols in 2 lists Line 6: “"broken” was left out: '
        "a text in quotes is not complete"
    )
    expect(area).to_be_focused()
    assert setting(page, "lists") == {"stocks": {"": ["AAPL"], "Tech": ["MSFT"]}}
    options = dialog.get_by_label("Show", exact=True).locator("option")
    expect(options).to_have_text(["All rows", "Starred (1)", "Tech (1)"])


def test_the_table_is_copied_as_csv(visit: Callable[..., None], new_page: NewPage) -> None:
    """What is shown goes to the clipboard with its full figures, formulas made harmless."""
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    visit(page)
    dialog = reopened(page, "view-dialog")
    dialog.get_by_label("Change %", exact=True).uncheck()
    dialog.get_by_role("button", name="Copy as CSV").click()
    expect(dialog.get_by_text("Copied 4 rows")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()").splitlines() == [
        "Symbol,Last,Change,Volume",
        "AAPL,190.12,-1.5,1000",
        "MSFT,411.02,,1000",
        "'=CMD,1.5,,1000",
        f"{MARKUP},2,,1000",
    ]
    assert said(page)[-1] == "Copied 4 rows"


def test_games_are_copied_as_csv(visit: Callable[..., None], new_page: NewPage) -> None:
    """A board without columns is copied with every field, and offers no columns to choose."""
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    visit(page, "games")
    dialog = reopened(page, "view-dialog")
    expect(dialog.get_by_role("heading", name="Columns")).to_be_hidden()
    dialog.get_by_role("button", name="Copy as CSV").click()
    expect(dialog.get_by_text("Copied 3 rows")).to_be_visible()
    head = page.evaluate("navigator.clipboard.readText()").splitlines()[0]
    assert head.startswith("symbol,home,away,")


def test_without_a_clipboard_the_text_is_selected(visit: Callable[..., None], page: Page) -> None:
    """Where the page may not use the clipboard, the text is there to be copied by hand."""
    page.add_init_script("navigator.clipboard.writeText = async () => { throw new Error('no'); }")
    visit(page)
    dialog = reopened(page, "view-dialog")
    dialog.get_by_role("button", name="Copy as CSV").click()
    area = dialog.get_by_label("The table as comma-separated values")
    expect(area).to_be_focused()
    expect(area).to_have_value(re.compile("^Symbol,Last"))
    assert page.evaluate("getSelection().toString()").startswith("Symbol,Last")
    expect(area).to_have_accessible_description(re.compile("Ctrl"))


def test_a_level_is_set_listed_and_removed(opened: Open) -> None:
    """The level says in words what it waits for, a bad one why it cannot be."""
    dialog = opened("alert-dialog")
    page = dialog.page
    level = dialog.get_by_label("Tell me when the price reaches")
    expect(level).to_be_focused()
    expect(level).to_have_value("190.12")
    page.keyboard.press("Enter")
    wrong = "The price is 190.12 now: type a higher or a lower one"
    expect(level).to_have_accessible_description(wrong)
    expect(level).to_have_attribute("aria-invalid", "true")
    level.fill("191")
    expect(level).to_have_accessible_description("AAPL rises to 191.00; now 190.12")
    level.fill("189.5")
    page.keyboard.press("Enter")
    expect(level).to_have_attribute("aria-invalid", "false")
    expect(dialog.locator("li")).to_have_text([re.compile("^AAPL falls to 189.50")])
    assert said(page)[-1] == "Alert set: AAPL falls to 189.50; now 190.12"
    assert page.evaluate("parts.context.alerts.boards") == ["stocks"]
    dialog.get_by_role("button", name="Remove: AAPL falls to 189.50").click()
    expect(dialog.locator("li")).to_have_count(0)
    expect(level).to_be_focused()
    assert page.evaluate("parts.context.alerts.boards") == []


def test_a_game_is_followed_and_left(opened: Open) -> None:
    """A game is followed by a box, which tells whether it is."""
    dialog = opened("alert-dialog", "games")
    page = dialog.page
    box = dialog.get_by_label("Tell me its start, each score and its end")
    box.check()
    assert page.evaluate("parts.context.alerts.boards") == ["games"]
    expect(dialog.locator("li")).to_have_count(1)
    dialog.get_by_role("button", name=re.compile("^Remove")).click()
    expect(box).not_to_be_checked()
    assert page.evaluate("parts.context.alerts.boards") == []


def toast(page: Page, words: str, **options: Any) -> None:
    """Show a message."""
    page.evaluate("([words, options]) => parts.toasts.show(words, options)", [words, options])


def test_messages_are_few_text_and_said(visit: Callable[..., None], page: Page) -> None:
    """At most three messages are shown, as text, and each is said; none is a live region."""
    visit(page)
    for words in ["one", "two", MARKUP, "x" * 500]:
        toast(page, words)
    messages = page.get_by_role("list", name="Messages").get_by_role("listitem")
    expect(messages.locator("p")).to_have_text(["two", MARKUP, "x" * 500])
    assert said(page) == ["one", "two", MARKUP, "x" * 500]
    regions = page.locator(":is([aria-live], [role=status], [role=alert]):not(.said *)")
    assert regions.count() == 1
    page.wait_for_function(f"{OVERFLOW} <= 0")  # once the styles are there
    toast(page, "first", tag="game")
    toast(page, "second", tag="game")
    expect(messages.locator("p").last).to_have_text("second")
    expect(page.get_by_text("first", exact=True)).to_have_count(0)


def test_a_message_goes_after_a_while_unless_it_is_held(
    visit: Callable[..., None], page: Page, complaints: Complaints
) -> None:
    """A message goes after ten seconds; the pointer and the focus hold it."""
    page.clock.install()
    visit(page)
    toast(page, "hello")
    message = page.locator(".toast")
    page.clock.run_for(9_000)
    message.hover()
    page.clock.run_for(60_000)
    expect(message).to_be_visible()
    page.mouse.move(1, 1)
    message.get_by_role("button", name="Dismiss: hello").focus()
    page.clock.run_for(60_000)
    expect(message).to_be_visible()
    page.get_by_role("searchbox", name="Filter").focus()
    page.clock.run_for(10_100)
    expect(message).to_have_count(0)
    complaints[:] = [text for text in complaints if "WebSocket" not in text]  # its time ran, too


def test_messages_are_dismissed_by_keyboard(visit: Callable[..., None], page: Page) -> None:
    """Escape and the button dismiss; focus goes to the next message, then to where it was."""
    visit(page)
    box = page.get_by_role("searchbox", name="Filter")
    box.focus()
    toast(page, "one")
    toast(page, "two")
    page.get_by_role("button", name="Dismiss: two").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Dismiss: one")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".toast")).to_have_count(0)
    expect(box).to_be_focused()


def test_a_message_has_an_action(visit: Callable[..., None], page: Page) -> None:
    """An action runs once, and the message goes."""
    visit(page)
    page.evaluate(
        "parts.toasts.show('Gone', {action: {label: 'Undo', run: () => parts.said.push('undone')}})"
    )
    page.get_by_role("button", name="Undo: Gone").click()
    assert said(page)[-1] == "undone"
    expect(page.locator(".toast")).to_have_count(0)


def test_a_message_over_a_dialog_can_be_reached(opened: Open) -> None:
    """While a dialog is open messages are inside it, afterwards outside, and none is lost.

    Escape takes the message that has the focus, and nothing else.
    """
    dialog = opened("help-dialog")
    page = dialog.page
    page.evaluate("document.addEventListener('keydown', ({key}) => parts.said.push(key))")
    toast(page, "hello")
    toast(page, "gone")
    expect(dialog.locator(".toast")).to_have_count(2)
    page.get_by_role("button", name="Dismiss: gone").focus()
    page.keyboard.press("Escape")
    expect(dialog.locator(".toast")).to_have_count(1)
    expect(dialog).to_be_visible()
    assert "Escape" not in said(page)
    dialog.get_by_role("button", name="Close", exact=True).focus()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Dismiss: hello").click()
    expect(page.locator(".toast")).to_have_count(0)


def test_alerts_are_counted_while_nobody_looks(
    visit: Callable[..., None], page: Page, complaints: Complaints
) -> None:
    """Alerts in a hidden tab are counted, wait there, and are seen when the tab is."""
    page.clock.install()
    visit(page)
    toast(page, "seen", isAlert=True)
    show(page, "hidden")
    toast(page, "one", isAlert=True)
    toast(page, "two", isAlert=True)
    assert page.evaluate("parts.toasts.unseen") == 2
    page.clock.run_for(60_000)
    expect(page.locator(".toast")).to_have_count(3)
    show(page, "visible")
    assert page.evaluate("parts.toasts.unseen") == 0
    assert [words for words in said(page) if "unseen" in words] == [
        "unseen 1",
        "unseen 2",
        "unseen 0",
    ]
    complaints[:] = [text for text in complaints if "WebSocket" not in text]  # its time ran, too


def test_notifications_of_the_system_are_for_hidden_tabs(
    visit: Callable[..., None], page: Page
) -> None:
    """A notification is made when it was chosen and allowed, and the tab is hidden; else none."""
    page.add_init_script(
        """window.shown = [];
        window.Notification = class extends EventTarget {
            static permission = "granted";
            constructor(words, {tag}) { super(); window.shown.push([words, tag]); }
        };"""
    )
    visit(page)
    show(page, "hidden")
    toast(page, "not chosen", isAlert=True)
    page.evaluate("parts.context.settings.set('notifications', true)")
    toast(page, "no alert")
    toast(page, "AAPL rose", isAlert=True, tag="aapl")
    show(page, "visible")
    toast(page, "in sight", isAlert=True)
    assert page.evaluate("window.shown") == [["AAPL rose", "aapl"]]


def test_a_sound_is_played_when_it_was_chosen(visit: Callable[..., None], page: Page) -> None:
    """An alert sounds when sound was chosen, and a run of alerts sounds once."""
    page.add_init_script(
        """window.notes = 0;
        const start = OscillatorNode.prototype.start;
        OscillatorNode.prototype.start = function (at) { window.notes += 1; start.call(this, at); };
        """
    )
    visit(page)
    toast(page, "silent", isAlert=True)
    assert page.evaluate("window.notes") == 0
    page.evaluate("parts.context.settings.set('sound', true)")
    toast(page, "no alert")
    toast(page, "one", isAlert=True)
    toast(page, "two", isAlert=True)
    assert page.evaluate("window.notes") == 2  # one tone of two notes
