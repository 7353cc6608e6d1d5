"""Attacks from one machine on a real server, and what its other viewers notice of them."""
