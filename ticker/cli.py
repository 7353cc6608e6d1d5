"""The command line: programs for ops. Every failure is one clear line and an exit code."""

from __future__ import annotations

import asyncio
import enum
import json
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from ticker import __version__, configfile, scalars
from ticker.changes import compare
from ticker.config import Feed, PollFeed, Settings
from ticker.config.bus import NEEDED
from ticker.configfile import Loaded
from ticker.errors import TickerError
from ticker.yaml12 import PathKey

app = typer.Typer(
    help="Turns any price or score API into a live dashboard for thousands of browsers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

T = TypeVar("T")

DEFAULT_CONFIG = Path("config.yaml")


class LogFormat(enum.StrEnum):
    """How log lines look."""

    CONSOLE = "console"
    JSON = "json"


class LoadProfile(enum.StrEnum):
    """How simulated viewers behave."""

    VIEWERS = "viewers"
    SLOW = "slow"
    FLAPPY = "flappy"
    HIDDEN = "hidden"
    STORM = "storm"


class Format(enum.StrEnum):
    """How the effective config is printed."""

    YAML = "yaml"
    JSON = "json"


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Config file; default config.yaml here, else the demo."),
]
HostOption = Annotated[str | None, typer.Option(help="Address, instead of the config's.")]
PortOption = Annotated[
    int | None, typer.Option(help="Port, instead of the config's.", min=0, max=65_535)
]
WorkersOption = Annotated[
    int | None,
    typer.Option(help="Processes behind the port, instead of the config's.", min=1, max=256),
]

TokenOption = Annotated[
    str | None,
    typer.Option(envvar="TICKER_TOKEN", help="Token, where the server asks for one."),
]

config_app = typer.Typer(help="What the config comes to.", no_args_is_help=True)
app.add_typer(config_app, name="config")


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = DEFAULT_CONFIG,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> None:
    """Write a config to start from, with comments; it runs at once."""
    from ticker import starter

    starter.write(file, force=force)
    named = "" if file == DEFAULT_CONFIG else f" -c {file}"
    out.print(f"wrote {file}; next: ticker serve{named}", markup=False)


@config_app.command(name="print")
def print_config(
    config: ConfigOption = None,
    layout: Annotated[Format, typer.Option("--format", help="How to print it.")] = Format.YAML,
    host: HostOption = None,
    port: PortOption = None,
    workers: WorkersOption = None,
) -> None:
    """Print the effective config: defaults filled in, each value with where it came from."""
    from ticker import effective

    loaded = _load(config)
    options = {"host": host, "port": port, "workers": workers}
    flags: dict[PathKey, str] = {
        ("server", key): f"--{key}" for key, value in options.items() if value is not None
    }
    settings = _with_options(loaded.settings, options)
    tree = effective.effective(settings, loaded.source, flags)
    sys.stdout.write(effective.as_json(tree) if layout is Format.JSON else effective.as_yaml(tree))


@app.command()
def serve(
    config: ConfigOption = None,
    host: HostOption = None,
    port: PortOption = None,
    workers: WorkersOption = None,
    log_format: Annotated[
        LogFormat | None,
        typer.Option(
            envvar="TICKER_LOG_FORMAT",
            help="How log lines look; default console on a terminal, else json.",
        ),
    ] = None,
    worker: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Serve the boards of a config until stopped.

    With more than one worker as many processes, each on a core of its own; they need a `bus`.
    """
    from ticker import logs
    from ticker.worker import Worker

    part = _option("--worker", Worker.parse, worker) if worker else None
    logs.configure(log_format, worker=part.number if part else None)
    log = logging.getLogger(__name__)
    if part is not None:
        from ticker.server import serve as run

        run(_of_worker(config or DEFAULT_CONFIG), worker=part)
        return
    loaded = _load(config, lambda words: log.warning("%s", words.partition("\n")[0]))
    count = workers or loaded.settings.server.workers
    if count == 1:
        from ticker.server import serve as run  # here, so that the small commands start fast

        run(loaded, host, port)
        return
    if loaded.settings.bus is None:
        raise TickerError(f"--workers {count}: {NEEDED}")
    from ticker.workers import serve as run_workers

    raise typer.Exit(run_workers(loaded, host, port, count))


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="Config file.")] = DEFAULT_CONFIG,
    diff: Annotated[
        Path | None,
        typer.Option(help="The config that runs: say what going over from it to FILE would do."),
    ] = None,
) -> None:
    """Say what is wrong in a config file, without reading any feed."""
    loaded = configfile.load(file)
    for warning in loaded.warnings:
        _say(str(warning))
    settings = loaded.settings
    counts = [(len(settings.feeds), "feed"), (len(settings.boards), "board")]
    words = ", ".join(f"{count} {what}{'s' * (count != 1)}" for count, what in counts)
    out.print(f"{file}: good: {words}", markup=False)
    if diff is not None:
        changes = compare(configfile.load(diff).settings, settings)
        for line in changes.lines():
            out.print(line, markup=False)
        if not changes:
            out.print("nothing changes")


@app.command(name="try")
def try_feed(
    feed: Annotated[str, typer.Argument(help="Name of the feed.")],
    config: ConfigOption = None,
) -> None:
    """Read one feed once, or listen to it for five seconds, and show what it gives."""
    from ticker.tryout import tryout

    settings = _feed(_load(config).settings, feed)
    if not asyncio.run(tryout(settings, out, feed)):
        raise typer.Exit(1)


@app.command()
def record(
    feeds: Annotated[list[str], typer.Argument(help="Names of poll feeds.")],
    out_file: Annotated[Path, typer.Option("--out", help="A new .jsonl or .jsonl.gz file.")],
    config: ConfigOption = None,
    length: Annotated[str, typer.Option("--for", help="How long, such as 10m.")] = "10m",
    most: Annotated[str, typer.Option("--max-bytes", help="Ends it, too.")] = "100MB",
) -> None:
    """Record what poll feeds get from their sources, for `kind: replay`; no secret is in it."""
    from ticker import logs
    from ticker.record import record as run

    if not out_file.name.endswith((".jsonl", ".jsonl.gz")):
        raise TickerError(f"--out: expected a .jsonl or .jsonl.gz file, got '{out_file.name}'")
    seconds = _option("--for", scalars.duration, length)
    limit = _option("--max-bytes", scalars.size, most)
    logs.configure()
    loaded = _load(config)
    chosen = {name: _polled(loaded.settings, name) for name in feeds}
    done = asyncio.run(run(chosen, loaded.foreign, out_file, limit, seconds))
    counts = ", ".join(f"{name} {count}" for name, count in done.readings.items())
    out.print(f"{out_file}: readings: {counts}; {done.bytes:,} bytes; {done.why}", markup=False)
    if not any(done.readings.values()):
        raise typer.Exit(1)


@app.command()
def tail(
    url: Annotated[str, typer.Argument(help="Where ticker serves, such as http://127.0.0.1:8000.")],
    board: Annotated[str | None, typer.Argument(help="Board; default the first.")] = None,
    count: Annotated[int, typer.Option(help="Stop after so many messages; 0: never.")] = 0,
    token: TokenOption = None,
) -> None:
    """Print a board's messages as they come, one a line; reconnects and resumes by itself."""
    from ticker.tail import follow

    asyncio.run(follow(url, board, count, out, err, token))


@app.command()
def top(
    url: Annotated[str, typer.Argument(help="Where ticker serves, such as http://127.0.0.1:8000.")],
    token: TokenOption = None,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
) -> None:
    """Watch feeds, boards and viewers of a running server, once a second."""
    from ticker.top import watch

    asyncio.run(watch(url, token, out, once=once))


@app.command()
def load(
    urls: Annotated[
        list[str],
        typer.Argument(
            metavar="URL...", help="Processes that serve the same, such as http://127.0.0.1:8000."
        ),
    ],
    viewers: Annotated[int, typer.Option(help="Simulated viewers.", min=1)] = 1000,
    ramp: Annotated[float, typer.Option(help="Seconds in which they connect.", min=0)] = 5,
    duration: Annotated[float, typer.Option(help="Seconds for which they watch.", min=1)] = 30,
    board: Annotated[str | None, typer.Option(help="Board; default the first.")] = None,
    procs: Annotated[int, typer.Option(help="Generator processes.", min=1, max=64)] = 1,
    profile: Annotated[
        LoadProfile, typer.Option(help="How the viewers behave.", case_sensitive=False)
    ] = LoadProfile.VIEWERS,
    move: Annotated[
        float,
        typer.Option(help="Share of the viewers that goes to another URL each second.", min=0),
    ] = 0,
    deflate: Annotated[bool, typer.Option(help="Whether viewers offer to compress.")] = True,
    sample: Annotated[
        int, typer.Option(help="Most viewers that decode and apply everything.", min=1)
    ] = 500,
    assertions: Annotated[
        str, typer.Option("--assert", help="Conditions, such as p99<100ms,gaps==0.")
    ] = "",
    out_file: Annotated[Path | None, typer.Option("--out", help="Write the run as JSON.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report with plots.")] = None,
    compare: Annotated[Path | None, typer.Option(help="JSON of an earlier run.")] = None,
    token: TokenOption = None,
) -> None:
    """Simulate viewers, measure what they see, and prove that it is right.

    With several URLs viewers are spread over them, go on at another one when theirs is lost, and
    are right only when all processes agree at the end.

    Exit code 0: all assertions hold; 1: one does not, or the run failed; 2: the generator was too
    slow to tell.
    """
    from ticker.load.program import load as run
    from ticker.load.run import Load

    asked = Load(
        tuple(dict.fromkeys(map(_address, urls))),
        viewers,
        ramp,
        duration,
        board,
        procs,
        profile.value,
        deflate,
        sample,
        move,
    )
    code = run(
        asked,
        assertions,
        out,
        token=token,
        json_file=out_file,
        html_file=html,
        base_file=compare,
    )
    raise typer.Exit(code)


@app.command()
def probe(
    url: Annotated[
        str, typer.Argument(help="The public address, such as https://ticker.example.com.")
    ],
    board: Annotated[str | None, typer.Option(help="Board; default the first.")] = None,
    token: TokenOption = None,
) -> None:
    """Say whether the proxies in front of a server let everything through as it should be.

    Exit code 0: they do; 1: something is held back, stripped or open.
    """
    from ticker.probe import probe as run

    if not asyncio.run(run(url, board, out, token)):
        raise typer.Exit(1)


@app.command()
def schema() -> None:
    """Print the JSON Schema of the config file."""
    sys.stdout.write(json.dumps(configfile.json_schema(), indent=2) + "\n")


@app.command()
def version() -> None:
    """Print the version."""
    out.print(__version__)


def main() -> None:
    """Run the command line; failures that were foreseen are one line, without a traceback."""
    try:
        app()
    except TickerError as error:
        _say(str(error))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _address(url: str) -> str:
    """Return an address of a server that may have been written without ``http://``."""
    return url.rstrip("/") if "://" in url else f"http://{url.rstrip('/')}"


def _option(name: str, read: Callable[[str], T], text: str) -> T:
    """Return the value of an option that is written as in the config."""
    try:
        return read(text)
    except ValueError as error:
        raise TickerError(f"{name}: {error}") from None


def _feed(settings: Settings, name: str) -> Feed:
    if name not in settings.feeds:
        raise TickerError(f"no feed '{name}'; there are {', '.join(settings.feeds)}")
    return settings.feeds[name]


def _polled(settings: Settings, name: str) -> PollFeed:
    feed = _feed(settings, name)
    if not isinstance(feed, PollFeed):
        raise TickerError(f"feed '{name}' is of kind {feed.kind}; only poll feeds are recorded")
    return feed


def _say(words: str) -> None:
    err.print(words, markup=False)


def _load(config: Path | None, say: Callable[[str], None] = _say) -> Loaded:
    """Load the config that was asked for, the one that is here, or the demo; say which."""
    if config is None and not DEFAULT_CONFIG.exists():
        say("no config.yaml here: serving the built-in demo (all values are simulated)")
        return configfile.demo()
    loaded = configfile.load(config or DEFAULT_CONFIG)
    for warning in loaded.warnings:
        say(str(warning))
    return loaded


def _of_worker(config: Path) -> Loaded:
    """Load the config of a worker, of which the parent has warned.

    The file may be another than the parent's by now, or away: then there is nothing to serve beside
    the other workers, least of all the demo.
    """
    loaded = configfile.load(config)
    if loaded.settings.bus is None:
        raise TickerError(f"{config}: {NEEDED}")
    return loaded


def _with_options(settings: Settings, options: Mapping[str, str | int | None]) -> Settings:
    """Return the settings with what the command line says of the server, where it does."""
    changed = {key: value for key, value in options.items() if value is not None}
    return settings.model_copy(update={"server": settings.server.model_copy(update=changed)})
