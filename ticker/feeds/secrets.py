"""What the config sends and nobody else may read, taken out of what is kept of a source."""

from __future__ import annotations

import html
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from ticker.config import PollFeed as PollSettings
from ticker.redact import MASK, SECRET_LENGTH, looks_secret

_TELLING = re.compile(
    r"key|token|secret|auth|pass|pwd|sign|session|cred|cookie|appid|app_id", re.IGNORECASE
)
_WORD = re.compile(r"[\w.~+/=-]+")  # a list of symbols is long, too, but has commas
_HARMLESS = frozenset({"accept", "accept-language", "user-agent", "cache-control"})
_SCHEMES = frozenset({"bearer", "basic", "digest", "token", "apikey"})
_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be")


class Secrets:
    """The secrets of one feed, in every way in which a source may repeat them.

    These are ``foreign`` texts (from the environment or from files) that it sends, passwords,
    headers and parameters whose name tells it, and what looks like a key. Shorter ones than
    ``SECRET_LENGTH`` are no secrets.
    """

    def __init__(self, settings: PollSettings, foreign: Iterable[str] = ()) -> None:
        found = {text for text in _found(settings, foreign) if len(text) >= SECRET_LENGTH}
        found -= {text for text in found if text.lower() in _SCHEMES}
        texts = {way for text in found for way in _ways(text)}
        self._texts = sorted(texts, key=len, reverse=True)  # what is within another goes last
        self._bytes = [
            (text.encode(encoding), MASK.encode(encoding))
            for text in self._texts
            for encoding in _ENCODINGS
        ]

    def out_of(self, text: str) -> str:
        """Return a text without them."""
        for secret in self._texts:
            text = text.replace(secret, MASK)
        return text

    def out_of_bytes(self, body: bytes) -> bytes:
        """Return a document without them, whatever its encoding."""
        for secret, mask in self._bytes:
            body = body.replace(secret, mask)
        return body


def _found(settings: PollSettings, foreign: Iterable[str]) -> Iterator[str]:
    """Yield what the feed sends that is, or may be, a secret."""
    url = urlsplit(settings.url)
    sent = [settings.url, *settings.headers.values()]
    for text in foreign:
        if text and any(text in value for value in sent):
            yield from (text, unquote(text))
    for name, value in settings.headers.items():
        if _TELLING.search(name):
            yield from _parts(value)
        elif name.lower() not in _HARMLESS:
            yield from filter(looks_secret, _parts(value))
    for name, value in parse_qsl(url.query):
        if _TELLING.search(name) or (looks_secret(value) and _WORD.fullmatch(value)):
            yield value
    yield from filter(looks_secret, map(unquote, url.path.split("/")))
    user, password = unquote(url.username or ""), unquote(url.password or "")
    yield from (user, password)
    if user or password:
        yield b64encode(f"{user}:{password}".encode()).decode()


def _parts(value: str) -> set[str]:
    """Return a value, its words, and what Basic authentication has in them."""
    words = {value, *re.split(r"[\s;,=]+", value)}
    scheme, _, rest = value.partition(" ")
    if scheme.lower() == "basic":
        try:
            plain = b64decode(rest, validate=True).decode()
        except ValueError:
            plain = ""
        words |= {rest, plain, *plain.split(":", 1)}
    return words


def _ways(text: str) -> set[str]:
    """Return how a text may be written in an address, in JSON, and in HTML."""
    quoted = {quote(text, safe=""), quote(text), quote_plus(text)}
    lower = {re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), way) for way in quoted}
    escaped = json.dumps(text)[1:-1]
    return {text, *quoted, *lower, escaped, escaped.replace("/", "\\/"), html.escape(text)}
