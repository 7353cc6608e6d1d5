"""Servers that broadcast the same ticks, each in its own way: `python -m benches.peers.NAME`."""
