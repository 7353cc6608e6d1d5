"""Turns any price or score API into a live dashboard for thousands of browsers."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("ticker")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+unknown"
