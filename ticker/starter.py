"""``ticker init``: a first config file, with what a second one needs in comments."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ticker.errors import TickerError


def text() -> str:
    """Return the starter config. Lines beginning with ``#: `` are examples to uncomment."""
    return resources.files("ticker").joinpath("starter.yaml").read_text("utf-8")


def write(file: Path, *, force: bool) -> None:
    """Write the starter config. Raises TickerError where there is a file already."""
    try:
        with file.open("w" if force else "x", encoding="utf-8") as out:
            out.write(text())
    except FileExistsError:
        raise TickerError(f"{file} is there already; --force overwrites it") from None
    except OSError as error:
        raise TickerError(f"cannot write {file}: {error.strerror}") from None
