"""Viewers' tokens: what a good one gives, and that nothing else gives anything."""

from __future__ import annotations

import base64
import gc
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as elliptic_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from ticker import configfile, tokens
from ticker.config import Key
from ticker.errors import ConfigError
from ticker.tokens import BadToken, Pass

SECRET, OLDER = "new secret of more than 32 bytes!!", "old secret of more than 32 bytes!!"
PRIVATE = Ed25519PrivateKey.generate()


def public_pem(private: Any) -> str:
    """Return the public key in PEM."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem: bytes = private.public_key().public_bytes(serialization.Encoding.PEM, form)
    return pem.decode()


def private_pem(private: Any) -> str:
    """Return the private key in PEM."""
    plain = serialization.NoEncryption()
    pem: bytes = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain
    )
    return pem.decode()


PUBLIC = public_pem(PRIVATE)
SHARED = [Key(algorithm="HS256", key=SECRET)]
PAIR = [Key(algorithm="EdDSA", key=PUBLIC)]
BOTH = [*PAIR, Key(algorithm="HS256", key=OLDER), *SHARED]

SOON = int(time.time()) + 3600


def signed(key: Any = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    """Return a token; it ends in an hour, unless told otherwise."""
    return jwt.encode({"exp": SOON, **claims}, key, algorithm)


def by_hand(header: Any, claims: Any, key: str | None = SECRET) -> str:
    """Return a token as no library would make it, perhaps signed with HS256."""

    def encoded(part: Any) -> str:
        data = part if isinstance(part, bytes) else orjson.dumps(part)
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    signs = f"{encoded(header)}.{encoded(claims)}"
    seal = b"" if key is None else hmac.digest(key.encode(), signs.encode(), hashlib.sha256)
    return f"{signs}.{encoded(seal)}"


HS256 = {"alg": "HS256", "typ": "JWT"}

GOOD: dict[str, tuple[dict[str, Any], Pass]] = {
    "for all boards": ({}, Pass(None, SOON * 1000)),
    "for one": ({"boards": ["b"]}, Pass(frozenset({"b"}), SOON * 1000)),
    "for none": ({"boards": []}, Pass(frozenset(), SOON * 1000)),
    "since a while": ({"nbf": time.time() - 9, "sub": "ann"}, Pass(None, SOON * 1000)),
    "from a clock that is ahead": ({"iat": time.time() + 60}, Pass(None, SOON * 1000)),
    "to the millisecond": ({"exp": SOON + 0.25}, Pass(None, SOON * 1000 + 250)),
    "with claims of others": ({"name": "x" * 99, "roles": {"a": 1}}, Pass(None, SOON * 1000)),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_token_opens(name: str) -> None:
    """Signed with any of the keys, whatever its place."""
    claims, may = GOOD[name]
    assert tokens.read(signed(**claims), SHARED) == may
    assert tokens.read(signed(**claims), BOTH) == may
    assert tokens.read(signed(OLDER, **claims), BOTH) == may
    assert tokens.read(signed(PRIVATE, "EdDSA", **claims), BOTH) == may
    assert tokens.read(signed(PRIVATE, "EdDSA", **claims), PAIR) == may


BAD = {
    "nothing": ("", "not a token"),
    "any text": ("hello", "not a token"),
    "dots": ("..", "not a token"),
    "lines": (f"{signed()}\r\nx: y", "not a token"),
    "padded": (f"{signed()}=", "not a token"),
    "with what decoders skip": (f"{signed()[:-9]}!{signed()[-9:]}", "not a token"),
    "no ASCII": ("é" * 9, "not a token"),
    "half of one": (signed()[:40], "not a token"),
    "10 KB": ("a" * 10_000, "token too long"),
    "10 KB, signed": (signed(name="x" * 10_000), "token too long"),
    "deep": (by_hand(b"[" * 2_000, b"[" * 900), "not a token"),
    "expired": (signed(exp=SOON - 3601), "token expired"),
    "not valid yet": (signed(nbf=SOON), "token not valid yet"),
    "without end": (jwt.encode({"boards": ["b"]}, SECRET, "HS256"), "token without exp"),
    "an end that is no time": (by_hand(HS256, {"exp": "soon"}), "not a token"),
    "an end that is a list": (by_hand(HS256, {"exp": [SOON]}), "not a token"),
    "an end that is null": (by_hand(HS256, {"exp": None}), "token without exp"),
    "an end at infinity": (by_hand(HS256, b'{"exp":1e999}'), "not a token"),
    "an end that is not a number": (by_hand(HS256, b'{"exp":NaN}'), "not a token"),
    "an end in a billion years": (
        by_hand(HS256, {"exp": 10**18}),
        "token with an exp that is no time",
    ),
    "an end of 3,000 digits": (
        by_hand(HS256, b'{"exp":%s}' % (b"9" * 2_900)),
        "token with an exp that is no time",
    ),
    "boards as text": (signed(boards="b"), "token whose boards are no list of names"),
    "boards as null": (signed(boards=None), "token whose boards are no list of names"),
    "boards as numbers": (signed(boards=[1]), "token whose boards are no list of names"),
    "for somebody else": (signed(aud="others"), "token for another audience"),
    "no object": (by_hand(HS256, ["exp"]), "not a token"),
    "of another key": (signed("x" * 32), "bad signature"),
    "changed": (
        ".".join([*signed().split(".")[:2], signed(exp=SOON + 1).split(".")[2]]),
        "bad signature",
    ),
    "alg none": (by_hand({"alg": "none"}, {"exp": SOON}, None), "wrong algorithm"),
    "alg None": (by_hand({"alg": "None"}, {"exp": SOON}, None), "wrong algorithm"),
    "alg none, signed": (by_hand({"alg": "none"}, {"exp": SOON}), "wrong algorithm"),
    "no alg": (by_hand({"typ": "JWT"}, {"exp": SOON}), "wrong algorithm"),
    "an alg that is a list": (by_hand({"alg": ["HS256"]}, {"exp": SOON}), "wrong algorithm"),
    "another alg": (signed("x" * 64, "HS512"), "wrong algorithm"),
    "a key in the header": (
        by_hand({**HS256, "jwk": {"kty": "oct", "k": "eA"}}, {"exp": SOON}, "x"),
        "bad signature",
    ),
    "an extension that must be known": (
        by_hand({**HS256, "crit": ["x"], "x": 1}, {"exp": SOON}),
        "not a token",
    ),
    "an empty signature": (signed().rpartition(".")[0] + ".", "bad signature"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_opens_nothing(name: str) -> None:
    """Why is said in a few words, and none of them is from the token."""
    token, words = BAD[name]
    with pytest.raises(BadToken) as caught:
        tokens.read(token, SHARED)
    assert str(caught.value) == words
    assert caught.value.__cause__ is None
    with pytest.raises(BadToken):
        tokens.read(token, BOTH)


def test_of_several_keys_the_one_that_signed_it_says_why() -> None:
    """Not the last in the list."""
    for key, algorithm in ((OLDER, "HS256"), (PRIVATE, "EdDSA")):
        with pytest.raises(BadToken, match="token expired"):
            tokens.read(signed(key, algorithm, exp=SOON - 3601), BOTH)


def test_a_bad_token_leaves_nothing_for_the_collector() -> None:
    """Strangers can send many, and each would hold its connection."""
    keys = [*BOTH, *PAIR]
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            with pytest.raises(BadToken):
                tokens.read("no.token.this", keys)
        assert not [it for it in gc.get_objects() if isinstance(it, BadToken)]
    finally:
        gc.enable()


def test_a_public_key_is_no_secret() -> None:
    """Who knows it must not be able to sign with HS256 (RFC 8725, 2.1)."""
    forged = by_hand(HS256, {"exp": SOON}, PUBLIC)
    for keys in (PAIR, BOTH):
        with pytest.raises(BadToken):
            tokens.read(forged, keys)
    with pytest.raises(BadToken, match="wrong algorithm"):
        tokens.read(forged, PAIR)


def test_without_keys_nothing_opens() -> None:
    """Not even what is not signed."""
    for token in (signed(), by_hand({"alg": "none"}, {"exp": SOON}, None)):
        with pytest.raises(BadToken):
            tokens.read(token, [])


@given(st.text(max_size=200))
def test_no_text_is_an_error(text: str) -> None:
    """Only a refusal."""
    head = by_hand(HS256, {"exp": SOON}).rpartition(".")[0]
    for token in (text, f"{text}.{text}.{text}", f"{head}.{text}"):
        with pytest.raises(BadToken):
            tokens.read(token, BOTH)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=9) | st.integers(),
                    lambda inner: st.lists(inner, max_size=3), max_leaves=5))  # fmt: skip
def test_no_claim_is_an_error(value: Any) -> None:
    """Not even one that is signed: a pass, or a refusal."""
    for claim in ("exp", "nbf", "boards", "aud", "iss", "sub", "jti", "iat"):
        token = by_hand(HS256, json.dumps({"exp": SOON, claim: value}).encode())
        try:
            may = tokens.read(token, SHARED)
        except BadToken:
            continue
        orjson.dumps(may.until)
        assert may.boards is None or claim == "boards"


# -- the config

CONFIG = """
access: {{viewers: token, keys: [{{algorithm: {algorithm}, key: "${{KEY}}"}}]}}
feeds: {{f: {{kind: simulate, symbols: {{A: 1}}}}}}
boards: {{b: {{feeds: [f]}}}}
"""

KEYS = {
    "a short secret": ("HS256", "short but long enough", "a key for HS256 has at least 32 bytes"),
    "a very short secret": ("HS256", "short", "expected at least 16 characters"),
    "a public key as a secret": ("HS256", PUBLIC, "a key for HS256 is a secret, not a key in PEM"),
    "a secret as a public key": ("EdDSA", SECRET, "expected a verifying key for EdDSA in PEM"),
    "half of a key": ("EdDSA", PUBLIC[:60], "expected a verifying key for EdDSA in PEM"),
    "a private key": (
        "EdDSA",
        private_pem(PRIVATE),
        "expected a verifying key for EdDSA, got a signing one: "
        "who reads tokens must not be able to make them",
    ),
    "a key of another kind": (
        "EdDSA",
        public_pem(elliptic_key(SECP256R1())),
        "expected a verifying key for EdDSA in PEM",
    ),
}


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("written", ["reference", "itself"])
def test_a_key_that_does_not_fit_is_an_error_without_the_key(name: str, written: str) -> None:
    """At its line, whether it was written as it should be or not."""
    algorithm, key, words = KEYS[name]
    config = CONFIG.format(algorithm=algorithm)
    if written == "itself":
        config = config.replace("${KEY}", key.replace("\n", "\\n"))
    with pytest.raises(ConfigError) as caught:
        configfile.parse(config, "c.yaml", base=Path(), env={"KEY": key})
    (problem,) = caught.value.problems
    assert str(problem).splitlines()[0] == f"c.yaml:2:57: access.keys[0].key: {words}"
    assert key.splitlines()[-1] not in str(caught.value)


MISTAKES = {
    "token without keys": ("access: {viewers: token}", "access.viewers: tokens need `keys`"),
    "operations of no admin": ("access: {operations: admin}", "access.operations: admins need"),
    "an algorithm that is none": (
        "access: {keys: [{algorithm: none, key: '0123456789abcdef0123456789abcdef'}]}",
        "access.keys[0].algorithm: expected HS256 or EdDSA, got 'none'",
    ),
    "a cookie that is none": (
        "access: {cookie: 'a b'}",
        "access.cookie: expected text of the form",
    ),
    "a network that is none": (
        "server: {trusted_proxies: [10.0.0.1/8]}",
        "server.trusted_proxies[0]: expected a network such as 10.0.0.0/8 or fd00::/8, or an "
        "address, got '10.0.0.1/8'",
    ),
    "a rate of next to nothing": (
        "server: {connects_per_second: 0.001}",
        "server.connects_per_second: expected at least 0.01 per second, or 0 for no limit",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told_at_their_line(name: str) -> None:
    """As all others are."""
    text, words = MISTAKES[name]
    rest = CONFIG.partition("feeds:")[2].format()
    with pytest.raises(ConfigError) as caught:
        configfile.parse(f"{text}\nfeeds:{rest}", "c.yaml", base=Path(), env={})
    assert str(caught.value).startswith("c.yaml:1:")
    assert words in str(caught.value)


def test_a_good_key_is_taken_from_a_file(tmp_path: Path) -> None:
    """As `openssl` writes it."""
    (tmp_path / "viewer.pub").write_text(PUBLIC)
    text = CONFIG.format(algorithm="EdDSA").replace("${KEY}", "${file:viewer.pub}")
    access = configfile.parse(text, "c.yaml", base=tmp_path, env={}).settings.access
    assert tokens.read(signed(PRIVATE, "EdDSA"), access.keys).until == SOON * 1000
