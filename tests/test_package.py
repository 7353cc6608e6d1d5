"""The wheel: installed away from the checkout it serves the page by itself."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import httpx
import pytest

from tests.support import PATIENCE, until
from tests.test_cli import free_port

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as `pip install .` does."""
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(target), "."]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300)
    (built,) = target.glob("*.whl")
    return built


def test_the_wheel_has_the_page(wheel: Path) -> None:
    """Every file of the page, and the demo's config; no test, no fixture."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    page = {f"ticker/web/{p.relative_to(ROOT / 'web')}" for p in (ROOT / "web").rglob("*.*")}
    assert page <= names
    assert "ticker/demo.yaml" in names
    assert not [name for name in names if name.startswith("tests")]


def test_the_installed_wheel_serves(wheel: Path, tmp_path: Path) -> None:
    """In an empty environment, from an empty folder, with the page and the demo."""
    venv.create(tmp_path / "env", with_pip=True)
    bin_ = tmp_path / "env" / "bin"
    constraints = ROOT / "constraints.txt"
    install = [str(bin_ / "pip"), "install", "-q", "-c", str(constraints), str(wheel)]
    subprocess.run(install, check=True, timeout=300, cwd=tmp_path)
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
            for file in ("/", "/app.js", "/app.css"):
                assert httpx.get(url + file).status_code == 200
            assert httpx.get(f"{url}/api/boards/stocks").json()["rows"]["ON"]
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0
