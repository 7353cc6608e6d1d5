"""The description of the HTTP addresses is whole, and nothing that fits it is a defect."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.buses import redis
from tests.support import Running, serving, until
from tests.test_access import ADMIN, guarded

PUSHER = "a token of one who pushes"
PUSH = f"  p: {{kind: push, every: 1s, tokens: ['{PUSHER}'], fields: {{last: last}}}}\n"
CONFIG = guarded(access=f"access: {{admin_tokens: ['{ADMIN}']}}", heartbeat="500ms").replace(
    "boards:\n", f"{PUSH}boards:\n").replace("[other]", "[other, p]")  # fmt: skip

SENT = {
    "nothing": None,
    "an admin's token": ADMIN,
    "a push token": PUSHER,
}


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """Return a server with boards, a feed to push to, and admins."""
    with serving(CONFIG) as running:
        until(lambda: running.get("/readyz").status_code == 200)
        yield running


@pytest.mark.parametrize("sent", SENT)
def test_no_request_is_a_defect(server: Running, tmp_path: Path, sent: str) -> None:
    """Whatever is made up by the description, or against it; each answer is a declared one."""
    answers_as_told(server, tmp_path, sent)


def test_no_request_to_one_of_several_is_a_defect(tmp_path: Path) -> None:
    """Neither of what the others are asked for, nor while the bus is away."""
    with redis(tmp_path) as bus:
        text = f"{CONFIG}\nbus: {{url: '{bus.url}'}}\n"
        with serving(text), serving(text) as running:
            until(lambda: running.get("/readyz").status_code == 200)
            answers_as_told(running, tmp_path, "an admin's token", "coverage")
            bus.kill()
            until(lambda: running.get("/readyz").status_code == 503)
            # 503 is no defect now, and declared where it may come; 500 is nowhere
            told = "status_code_conformance"
            answers_as_told(running, tmp_path, "an admin's token", "coverage", told)


def answers_as_told(
    server: Running,
    tmp_path: Path,
    sent: str,
    phases: str = "examples,coverage,fuzzing",
    checks: str = "not_a_server_error,status_code_conformance",
) -> None:
    """Assert that each answer is a declared one, and no defect."""
    known = SENT[sent]
    header = ["--header", f"Authorization: Bearer {known}"] if known else []
    with server.follow("b") as viewer:
        viewer_id = viewer.wait("welcome")["viewer"]
        result = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"),
                *("--checks", checks),
                *("--phases", phases, "--max-examples", "25"),
                *("--exclude-path", "/events"),  # which does not end
                *("--seed", "7", "--suppress-health-check", "all", "--no-color", *header),
            ],
            cwd=tmp_path,
            env={
                **os.environ,
                "SCHEMATHESIS_HOOKS": "tests.openapi_hooks",
                "PYTHONPATH": str(Path(__file__).parent.parent),
                "KNOWN_VIEWER": viewer_id,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert result.returncode == 0, result.stdout + result.stderr
    if known == PUSHER:
        assert server.feed("p")["attempts"], "nothing was pushed"


def test_the_description_is_whole(server: Running) -> None:
    """Every address that heeds a token says so, and what it answers without; bodies are told."""
    for path, operations in server.get("/openapi.json").json()["paths"].items():
        for method, told in operations.items():
            schemes = {name for scheme in told.get("security", ()) for name in scheme}
            open_to_all = path in {"/healthz", "/readyz", "/config.schema.json", "/api/you"}
            assert bool(schemes) is not open_to_all, path
            needed = {"401"} if schemes else set()
            needed |= {"403"} if schemes & {"admin", "feed"} else set()
            assert needed <= told["responses"].keys(), path
            has_body = path in {"/api/feeds/{name}", "/api/notices"} and method == "post"
            assert ("requestBody" in told) is has_body, path
