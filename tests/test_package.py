"""The wheel: installed away from the checkout it serves the page by itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.support import PATIENCE, until
from tests.test_cli import free_port

ROOT = Path(__file__).parent.parent


FOLDER = "ticker/web/vendor/uplot"
SCRIPT = f"{FOLDER}/uPlot.iife.min.js"
CHART = {SCRIPT, f"{FOLDER}/uPlot.min.css", f"{FOLDER}/LICENSE"}
NOT_SOURCE = (".git", ".venv", "node_modules", "vendor", "build", "dist", ".*_cache", "__pycache__")


def build(root: Path, target: Path, path: str | None = None) -> tuple[Path, str]:
    """Build the wheel as `pip install .` does, and return it and what was said.

    ``path`` is where programs are looked for, instead of the usual places.
    """
    command = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "-w", str(target), "."]
    env = os.environ | ({} if path is None else {"PATH": path})
    run = subprocess.run(
        command, cwd=root, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stderr
    (built,) = target.glob("*.whl")
    return built, run.stdout + run.stderr


def names(wheel: Path) -> set[str]:
    """Return what is in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def npm_that(path: Path, does: str) -> str:
    """Return a place with an npm that does what a line of shell says."""
    path.mkdir()
    (path / "npm").write_text(f"#!/bin/sh\n{does}\n")
    (path / "npm").chmod(0o755)
    return str(path)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of this checkout."""
    return build(ROOT, tmp_path_factory.mktemp("dist"))[0]


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the checkout in which the chart has not been fetched."""
    root = tmp_path_factory.mktemp("bare") / "ticker"
    return Path(shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*NOT_SOURCE, "tests")))


def test_the_wheel_has_the_page(wheel: Path) -> None:
    """Every file of the page, and the demo's config; no test, no fixture."""
    page = {f"ticker/web/{p.relative_to(ROOT / 'web')}" for p in (ROOT / "web").rglob("*.*")}
    inside = names(wheel)
    assert page <= inside
    assert "ticker/demo.yaml" in inside
    assert not [name for name in inside if name.startswith("tests")]


@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
def test_the_wheel_has_the_chart(wheel: Path, tmp_path: Path) -> None:
    """In the pinned version; once it is there, npm is not asked again."""
    wanted = json.loads((ROOT / "web/package.json").read_text())["dependencies"]["uplot"]
    with zipfile.ZipFile(wheel) as archive:
        assert set(archive.namelist()) >= CHART
        assert f"(v{wanted})".encode() in archive.read(SCRIPT)
    asked = tmp_path / "asked"
    again, _ = build(ROOT, tmp_path / "dist", npm_that(tmp_path / "npm", f": > {asked}"))
    assert names(again) >= CHART
    assert not asked.exists()


def test_without_npm_the_wheel_has_no_chart_and_says_so(bare: Path, tmp_path: Path) -> None:
    """Everything else is in it."""
    built, said = build(bare, tmp_path, str(tmp_path / "nowhere"))
    assert "built without its chart" in said
    assert "there is no npm" in said
    assert not names(built) & CHART
    assert "ticker/web/index.html" in names(built)


def test_an_npm_that_fails_is_as_none_and_leaves_no_other_version(
    bare: Path, tmp_path: Path
) -> None:
    """As without a network; what was fetched for an older version does not come along."""
    old = bare / "web/vendor/uplot"
    old.mkdir(parents=True)
    for file in CHART:
        (old / Path(file).name).write_text("/* (v1.0.0) */")
    built, said = build(bare, tmp_path / "dist", npm_that(tmp_path / "npm", "exit 7"))
    assert "npm ended with 7" in said
    assert not names(built) & CHART


def test_the_chart_is_pinned_by_what_it_is_not_by_where_it_is() -> None:
    """The exact version, its hash, and no address: any registry that has it will do."""
    wanted = json.loads((ROOT / "web/package.json").read_text())["dependencies"]
    lock = (ROOT / "web/package-lock.json").read_text()
    for name, version in wanted.items():
        locked = json.loads(lock)["packages"][f"node_modules/{name}"]
        assert (locked["version"], locked["integrity"][:7]) == (version, "sha512-")
    assert "resolved" not in lock
    assert "://" not in lock


def test_the_source_archive_can_be_built_from(bare: Path, tmp_path: Path) -> None:
    """It has the build hook and what npm needs, but not what npm fetched."""
    fetched = bare / "web/vendor/uplot/uPlot.iife.min.js"
    fetched.parent.mkdir(parents=True, exist_ok=True)
    fetched.touch()
    command = [sys.executable, "-m", "build", "--sdist", "--outdir", str(tmp_path), str(bare)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (built,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(built) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"hatch_build.py", "web/package.json", "web/package-lock.json"} <= inside
    assert not any("vendor" in name for name in inside)


def test_the_installed_wheel_serves(wheel: Path, tmp_path: Path) -> None:
    """In an empty environment, from an empty folder, with the page and the demo."""
    venv.create(tmp_path / "env", with_pip=True)
    bin_ = tmp_path / "env" / "bin"
    constraints = ROOT / "constraints.txt"
    install = [str(bin_ / "pip"), "install", "-q", "-c", str(constraints), str(wheel)]
    subprocess.run(install, check=True, timeout=300, cwd=tmp_path)
    subprocess.run([bin_ / "ticker", "init", "first.yaml"], check=True, cwd=tmp_path)
    subprocess.run([bin_ / "ticker", "check", "first.yaml"], check=True, cwd=tmp_path)
    port = free_port()
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [bin_ / "ticker", "serve", "--port", str(port)], cwd=tmp_path, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"

            def ready() -> bool:
                assert process.poll() is None, (tmp_path / "log").read_text()
                try:
                    return httpx.get(f"{url}/readyz").status_code == 200
                except httpx.TransportError:
                    return False

            until(ready, what="the start", patience=PATIENCE * 2)
            chart = ["/vendor/uplot/uPlot.iife.min.js"] if SCRIPT in names(wheel) else []
            for file in ("/", "/app.js", "/app.css", *chart):
                assert httpx.get(url + file).status_code == 200
            assert httpx.get(f"{url}/api/boards/stocks").json()["rows"]["ON"]
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0
