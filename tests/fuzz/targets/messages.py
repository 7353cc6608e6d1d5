"""What viewers say: a message of the protocol, or words about what is wrong with it."""

from __future__ import annotations

import orjson
from hypothesis import strategies as st

from tests.fuzz.kit import SCALARS, bounded, documents, encodable, json_text
from ticker import protocol
from ticker.protocol import BadMessage, ErrorCode

LONGEST_WORDS = 300


def one(data: bytes) -> None:
    """Hold that what is read says the same when it is written, and that refusals can be told."""
    with bounded():
        try:
            message = protocol.parse(data)
        except BadMessage as bad:
            assert 0 < len(str(bad)) <= LONGEST_WORDS
            told = protocol.error(ErrorCode.BAD_MESSAGE, str(bad))
            assert orjson.loads(told.text)["message"] == str(bad)
            return
        document = orjson.loads(data)
        written = message.model_dump()
        assert protocol.parse(encodable(written)) == message
        assert protocol.parse(data.decode()) == message
        assert document["type"] == message.type
        if isinstance(message, protocol.Subscribe):
            assert 1 <= len(message.board) <= 64
            assert message.seq is None or 0 <= message.seq < 2**63
            assert message.rate is None or 0 < message.rate <= 1000


def inputs() -> st.SearchStrategy[bytes]:
    """Return messages with anything in them, and other documents."""
    types = st.sampled_from(["subscribe", "unsubscribe", "pause", "resume", "ping", "token"])
    keys = st.sampled_from(["type", "board", "epoch", "seq", "rate", "token"])
    message = st.fixed_dictionaries({"type": st.one_of(types, SCALARS)})
    whole = st.builds(dict.__or__, st.dictionaries(keys, SCALARS), message)
    return st.one_of(whole.map(json_text), documents(keys).map(json_text), st.binary(max_size=99))
