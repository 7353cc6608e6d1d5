"""Tests of the page: its modules under node, the whole in a browser."""
