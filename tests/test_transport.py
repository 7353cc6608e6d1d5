"""What ready frames rest on in uvicorn; each test says what moved when a new uvicorn breaks it."""

from __future__ import annotations

import asyncio
import inspect
import os
import stat
from typing import Any

import pytest
import uvicorn
import uvloop
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
        "handle_ping",
        "handle_parser_exception",
        "send_receive_event_to_app",
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
        "self.frames",
        "self.curr_msg_data_type",
    ],
)
def test_used_attributes_are_there(name: str) -> None:
    """The attributes that are read or set belong to uvicorn's protocol."""
    source = inspect.getsource(WebSocketsSansIOProtocol)
    assert f"{name}" in source, f"{WHY}: {name} (uvicorn {uvicorn.__version__})"


class Witness(asyncio.Protocol):
    """Looks in ``connection_lost`` whether its socket is still its own."""

    def __init__(self, seen: asyncio.Future[bool]) -> None:
        self._seen = seen
        self._fd = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._fd = transport.get_extra_info("socket").fileno()

    def data_received(self, data: bytes) -> None:
        if data == b"abort":
            self._transport.abort()  # type: ignore[attr-defined] # of a socket's transport
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._seen.set_result(stat.S_ISSOCK(os.fstat(self._fd).st_mode))


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("end", [b"abort", b"close", b""])
def test_a_socket_is_open_until_its_loss_was_told(factory: Any, end: bytes) -> None:
    """Frames are written straight to sockets: its number must not be another's before we know."""

    async def main() -> bool:
        loop = asyncio.get_running_loop()
        seen: asyncio.Future[bool] = loop.create_future()
        server = await loop.create_server(lambda: Witness(seen), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        if end:
            writer.write(end)
        else:
            writer.close()
        found = await asyncio.wait_for(seen, 5)
        writer.close()
        server.close()
        return found

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(main())
