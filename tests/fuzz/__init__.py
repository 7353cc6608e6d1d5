"""Fuzzing: programs that look for input which breaks what must always hold.

Each module of ``targets`` has ``one(data)``, which raises where a rule is broken, and ``inputs()``,
a strategy that knows the grammar. ``python -m tests.fuzz`` runs them guided by coverage; their
``corpus`` is run with the tests.
"""
