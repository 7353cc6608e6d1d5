"""What ready frames rest on in uvicorn; each test says what moved when a new uvicorn breaks it."""

from __future__ import annotations

import inspect

import pytest
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from ticker.transport import FrameProtocol

WHY = "ticker/transport.py rests on this part of uvicorn's WebSocketsSansIOProtocol, which is gone"


@pytest.mark.parametrize(
    "name",
    [
        "connection_made",
        "connection_lost",
        "pause_writing",
        "resume_writing",
        "run_asgi",
        "keepalive_timeout",
        "handle_close",
    ],
)
def test_overridden_methods_are_there(name: str) -> None:
    """A method that is overridden but never called would fail in silence."""
    assert hasattr(WebSocketsSansIOProtocol, name), (
        f"{WHY}: {name}() (uvicorn {uvicorn.__version__})"
    )
    ours = inspect.signature(getattr(FrameProtocol, name)).parameters
    theirs = inspect.signature(getattr(WebSocketsSansIOProtocol, name)).parameters
    assert list(ours) == list(theirs), f"{WHY}: {name}'s arguments"


@pytest.mark.parametrize(
    "name",
    [
        "self.scope",
        "self.transport",
        "self.writable",
        "self.queue",
        "self.conn",
        "self.close_sent",
        "self.close_timer",
        "self.read_paused",
        "self.pong_timer",
        "self.pending_ping_payload",
        "self.request",
        "self.response",
    ],
)
def test_used_attributes_are_there(name: str) -> None:
    """The attributes that are read or set belong to uvicorn's protocol."""
    source = inspect.getsource(WebSocketsSansIOProtocol)
    assert f"{name}" in source, f"{WHY}: {name} (uvicorn {uvicorn.__version__})"
