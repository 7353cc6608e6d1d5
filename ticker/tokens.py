"""Signed tokens of viewers (JWT, RFC 7519): what the bearer may watch, and until when.

What PyJWT brings along takes 10 MB, so only who has keys loads it.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from ticker.config.server import Key

Algorithm = Literal["HS256", "EdDSA"]

TOKEN_LIMIT = 4096
"""Longest token that is looked at, in characters."""

LEAST_SECRET = 32
"""Bytes of a key for HS256 (RFC 7518, 3.2)."""

LAST_TIME = 253_402_300_800
"""End of the year 9999: what comes after is no time."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What a viewer may watch (None: every board), until when in epoch ms (None: for good)."""

    boards: frozenset[str] | None = None
    until: int | None = None

    def allows(self, board: str) -> bool:
        """Whether the viewer may watch ``board``."""
        return self.boards is None or board in self.boards


FREE = Pass()
"""For everybody, where no token is needed."""


class BadToken(Exception):
    """A token that opens nothing; its text says why, in words that are not from the token."""


def read(token: str, keys: Sequence[Key]) -> Pass:
    """Return what ``token`` gives, signed with one of ``keys``. Raises BadToken."""
    if len(token) > TOKEN_LIMIT:
        raise BadToken("token too long")
    if not _is_canonical(token):
        raise BadToken("not a token")
    why = "not a token"
    for key in keys:
        try:
            return _pass(_claims(token, key))
        except BadToken as bad:
            # of several keys the one says most that could read the token
            why = str(bad) if why in _OTHER_KEY else why
    raise BadToken(why)


def _is_canonical(token: str) -> bool:
    """Whether a token's signature is written as RFC 7515 has it, 2: no other text is the same one.

    The rest of it is signed as it is written.
    """
    if not token.isascii():
        return False
    seal = token.rpartition(".")[2]
    try:
        raw = urlsafe_b64decode(seal + "=" * (-len(seal) % 4))
    except ValueError:
        return False
    return urlsafe_b64encode(raw).rstrip(b"=") == seal.encode()


_OTHER_KEY = {"not a token", "wrong algorithm", "bad signature"}


def _claims(token: str, key: Key) -> dict[str, Any]:
    """Return the claims of a token that ``key`` signed and that is valid now."""
    import jwt

    try:
        return jwt.decode(
            token,
            verifying_key(key.algorithm, key.key),
            # the key's algorithm, never the token's word: a public key is no shared secret
            algorithms=[key.algorithm],
            # a clock that is a little ahead where tokens are made harms nobody
            options={"require": ["exp"], "verify_iat": False},
        )
    except jwt.ExpiredSignatureError:
        raise BadToken("token expired") from None
    except jwt.ImmatureSignatureError:
        raise BadToken("token not valid yet") from None
    except jwt.MissingRequiredClaimError:
        raise BadToken("token without exp") from None
    except jwt.InvalidAudienceError:
        raise BadToken("token for another audience") from None
    except jwt.InvalidAlgorithmError:
        raise BadToken("wrong algorithm") from None
    except jwt.InvalidSignatureError:
        raise BadToken("bad signature") from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
        raise BadToken("not a token") from None


def _pass(claims: dict[str, Any]) -> Pass:
    try:
        until = float(claims["exp"])  # has been read as a number
    except OverflowError:
        until = LAST_TIME
    if until >= LAST_TIME:
        raise BadToken("token with an exp that is no time")
    boards = claims.get("boards")
    if "boards" not in claims:
        return Pass(until=int(until * 1000))
    if not isinstance(boards, list) or not all(isinstance(board, str) for board in boards):
        raise BadToken("token whose boards are no list of names")
    return Pass(frozenset(boards), int(until * 1000))


@lru_cache(maxsize=32)  # reading a key takes a third of the time of a check
def verifying_key(algorithm: Algorithm, text: str) -> Any:
    """Return a key as the algorithm needs it. Raises ValueError in words, without the key."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from jwt.algorithms import get_default_algorithms

    if algorithm == "HS256" and len(text.encode()) < LEAST_SECRET:
        raise ValueError(f"a key for HS256 has at least {LEAST_SECRET} bytes")
    try:
        key = get_default_algorithms()[algorithm].prepare_key(text)
    except (jwt.PyJWTError, ValueError, TypeError):
        if algorithm == "HS256":
            raise ValueError("a key for HS256 is a secret, not a key in PEM") from None
        raise ValueError("expected a verifying key for EdDSA in PEM") from None
    if algorithm == "EdDSA" and not isinstance(key, (Ed25519PublicKey, Ed448PublicKey)):
        raise ValueError(
            "expected a verifying key for EdDSA, got a signing one: "
            "who reads tokens must not be able to make them"
        )
    return key
