"""``ticker init``: the config that it writes is good, with and without its examples."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support import serving, until
from tests.test_cli import failed_in_one_line, run
from ticker import configfile, starter

ENV = {"TICKER_ADMIN_TOKEN": "an-admin-token-of-today", "COINS_TOKEN": "t0ken"}


def uncommented() -> str:
    """Return the starter with every example in use."""
    return re.sub(r"^( *)#: ", r"\1", starter.text(), flags=re.MULTILINE)


def test_it_is_written_once_and_is_good(tmp_path: Path) -> None:
    """What is there stays, unless it is forced; `ticker check` has nothing to say."""
    written = run("init", cwd=tmp_path)
    assert (written.returncode, written.stdout) == (
        0,
        "wrote config.yaml; next: ticker serve\n",
    )
    (tmp_path / "config.yaml").write_text("mine\n")
    failed_in_one_line(run("init", cwd=tmp_path), "config.yaml is there already; --force")
    assert (tmp_path / "config.yaml").read_text() == "mine\n"
    assert run("init", "--force", cwd=tmp_path).returncode == 0
    checked = run("check", cwd=tmp_path)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_it_is_written_where_one_says(tmp_path: Path) -> None:
    """And what comes next names the file; a folder that is not there is one clear line."""
    assert "ticker serve -c my.yaml" in run("init", "my.yaml", cwd=tmp_path).stdout
    assert (tmp_path / "my.yaml").read_text() == starter.text()
    failed_in_one_line(run("init", "none/my.yaml", cwd=tmp_path), "cannot write none/my.yaml: No")


def test_it_runs_at_once() -> None:
    """Without a network and an environment both boards have rows."""
    with serving(starter.text()) as server:
        until(lambda: server.get("/readyz").status_code == 200, what="the first readings")
        assert server.rows("quotes")["AAPL"]["last"] > 0
        assert server.rows("scores")


def test_every_example_works_when_uncommented(tmp_path: Path) -> None:
    """All at once, and there are the promised ones."""
    (tmp_path / "c.yaml").write_text(uncommented())
    checked = run("check", "c.yaml", cwd=tmp_path, **ENV)
    assert (checked.returncode, checked.stderr) == (0, "")
    settings = configfile.load(tmp_path / "c.yaml", ENV).settings
    assert settings.access.admin_tokens == [ENV["TICKER_ADMIN_TOKEN"]]
    assert settings.server.origins
    assert settings.feeds["coins"].kind == "poll"
    assert not re.search(r"^ *#:", uncommented(), re.MULTILINE)
