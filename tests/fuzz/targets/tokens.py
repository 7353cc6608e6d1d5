"""Viewers' tokens: only what somebody with a key has signed opens anything."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import strategies as st

from tests.fuzz.kit import bounded, is_one_line, json_text, parts
from ticker import tokens
from ticker.config import Key
from ticker.tokens import BadToken

SECRET = "a secret of more than thirty-two bytes"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = (
    PRIVATE.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
KEYS = [Key(algorithm="EdDSA", key=PUBLIC), Key(algorithm="HS256", key=SECRET)]
END = 4_000_000_000


@cache
def signed() -> tuple[str, ...]:
    """Return good tokens."""
    claims: list[dict[str, Any]] = [{"exp": END}, {"exp": END, "boards": ["b"]}]
    pairs: list[tuple[Any, str]] = [(SECRET, "HS256"), (PRIVATE, "EdDSA")]
    return tuple(jwt.encode(claim, key, how) for claim in claims for key, how in pairs)


def one(data: bytes) -> None:
    """Hold that no text but a signed one opens; and of claims of any kind, that time counts.

    The input is a token, or ``change`` and what to do to a good one, or ``claims`` and claims.
    """
    how, _, rest = data.partition(b"\n")
    if how == b"claims":
        _claims(rest)
        return
    text = _changed(rest) if how == b"change" else data.decode("latin-1")
    if _opens(text):
        assert text in signed(), f"opens, although nobody has signed it: {text!r}"
    for good in signed():
        assert tokens.read(good, KEYS).until == END * 1000


def _opens(text: str) -> bool:
    with bounded():
        try:
            tokens.read(text, KEYS)
        except BadToken as bad:
            is_one_line(str(bad), 80)
            return False
    return True


def _changed(rest: bytes) -> str:
    """Return a good token with something put into it, in place of so many characters."""
    which, place, length, instead = (*parts(rest.replace(b" ", b"\n---\n", 3), 4),)
    good = signed()[int(which or b"0") % 4 if which.isdigit() else 0]
    at = int(place) % (len(good) + 1) if place.isdigit() and len(place) < 9 else len(good)
    gone = int(length) if length.isdigit() and len(length) < 9 else 0
    return good[:at] + instead.decode("latin-1") + good[at + gone :]


def _claims(rest: bytes) -> None:
    """Hold that claims which somebody signed give what they say, or words."""
    token = jwt.api_jws.encode(rest, SECRET, "HS256")
    with bounded():
        try:
            may = tokens.read(token, KEYS)
        except BadToken as bad:
            is_one_line(str(bad), 80)
            return
    assert may.until is not None
    assert (time.time() - 60) * 1000 < may.until < tokens.LAST_TIME * 1000
    assert may.boards is None or all(isinstance(name, str) for name in may.boards)


def inputs() -> st.SearchStrategy[bytes]:
    """Return changed tokens, signed claims, and any text."""
    small = st.integers(0, 250)
    more = st.text(st.characters(max_codepoint=255), max_size=4)
    change = st.builds(
        lambda which, at, gone, put: f"change\n{which} {at} {gone} {put}".encode("latin-1"),
        st.integers(0, 3),
        small,
        st.integers(0, 3),
        more,
    )
    values = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(max_size=9),
        st.lists(st.text(max_size=5), max_size=3),
        st.just(END),
    )
    names = st.sampled_from(["exp", "nbf", "iat", "aud", "boards", "iss", "sub", "jti"])
    claims = st.dictionaries(names, values).map(lambda c: b"claims\n" + json_text(c))
    return st.one_of(change, claims, st.binary(max_size=99))
