"""The command line: programs for ops. Every failure is one clear line and an exit code."""

from __future__ import annotations

import asyncio
import enum
import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

from ticker import __version__, configfile
from ticker.changes import compare
from ticker.configfile import Loaded
from ticker.errors import TickerError

app = typer.Typer(
    help="Turns any price or score API into a live dashboard for thousands of browsers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
out = Console(soft_wrap=True, highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

DEFAULT_CONFIG = Path("config.yaml")


class LoadProfile(enum.StrEnum):
    """How simulated viewers behave."""

    VIEWERS = "viewers"
    SLOW = "slow"
    FLAPPY = "flappy"
    HIDDEN = "hidden"
    STORM = "storm"


ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Config file; default config.yaml here, else the demo."),
]


@app.command()
def serve(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Address, instead of the config's.")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port, instead of the config's.", min=0, max=65_535)
    ] = None,
) -> None:
    """Serve the boards of a config until stopped."""
    from ticker.server import serve as run  # here, so that the small commands start fast

    _log()
    run(_load(config), host, port)


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
        err.print(str(warning), markup=False)
    settings = loaded.settings
    out.print(f"{file}: good: {len(settings.feeds)} feeds, {len(settings.boards)} boards")
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
    """Read one feed once and show what it gives."""
    from ticker.tryout import tryout

    settings = _load(config).settings
    if feed not in settings.feeds:
        raise TickerError(f"no feed '{feed}'; there are {', '.join(settings.feeds)}")
    if not asyncio.run(tryout(settings.feeds[feed], out)):
        raise typer.Exit(1)


@app.command()
def tail(
    url: Annotated[str, typer.Argument(help="Where ticker serves, such as http://127.0.0.1:8000.")],
    board: Annotated[str | None, typer.Argument(help="Board; default the first.")] = None,
    count: Annotated[int, typer.Option(help="Stop after so many messages; 0: never.")] = 0,
) -> None:
    """Print a board's messages as they come, one a line; reconnects and resumes by itself."""
    from ticker.tail import follow

    asyncio.run(follow(url, board, count, out, err))


@app.command()
def load(
    url: Annotated[str, typer.Argument(help="Where ticker serves, such as http://127.0.0.1:8000.")],
    viewers: Annotated[int, typer.Option(help="Simulated viewers.", min=1)] = 1000,
    ramp: Annotated[float, typer.Option(help="Seconds in which they connect.", min=0)] = 5,
    duration: Annotated[float, typer.Option(help="Seconds for which they watch.", min=1)] = 30,
    board: Annotated[str | None, typer.Option(help="Board; default the first.")] = None,
    procs: Annotated[int, typer.Option(help="Generator processes.", min=1, max=64)] = 1,
    profile: Annotated[
        LoadProfile, typer.Option(help="How the viewers behave.", case_sensitive=False)
    ] = LoadProfile.VIEWERS,
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
) -> None:
    """Simulate viewers, measure what they see, and prove that it is right.

    Exit code 0: all assertions hold; 1: one does not, or the run failed; 2: the generator was too
    slow to tell.
    """
    from ticker.load.program import load as run
    from ticker.load.run import Load

    asked = Load(
        url.rstrip("/") if "://" in url else f"http://{url.rstrip('/')}",
        viewers,
        ramp,
        duration,
        board,
        procs,
        profile.value,
        deflate,
        sample,
    )
    code = run(asked, assertions, out, json_file=out_file, html_file=html, base_file=compare)
    raise typer.Exit(code)


@app.command()
def probe(
    url: Annotated[
        str, typer.Argument(help="The public address, such as https://ticker.example.com.")
    ],
    board: Annotated[str | None, typer.Option(help="Board; default the first.")] = None,
) -> None:
    """Say whether the proxies in front of a server let everything through as it should be.

    Exit code 0: they do; 1: something is held back, stripped or open.
    """
    from ticker.probe import probe as run

    if not asyncio.run(run(url, board, out)):
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
        err.print(str(error), markup=False)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _load(config: Path | None) -> Loaded:
    """Load the config that was asked for, the one that is here, or the demo; say which."""
    if config is None and not DEFAULT_CONFIG.exists():
        err.print("no config.yaml here: serving the built-in demo (all values are simulated)")
        return configfile.demo()
    loaded = configfile.load(config or DEFAULT_CONFIG)
    for warning in loaded.warnings:
        err.print(str(warning), markup=False)
    return loaded


def _log() -> None:
    """Log to stderr: for people on a terminal, plain lines elsewhere."""
    if sys.stderr.isatty():
        handler: logging.Handler = RichHandler(console=err, show_path=False)
        layout = "%(message)s"
    else:
        handler = logging.StreamHandler()
        layout = "%(asctime)s %(levelname)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=layout, handlers=[handler])
    for name in ("uvicorn", "uvicorn.error", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
