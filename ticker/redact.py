"""Secrets in words for people: what looks like one, and words without them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote, urlsplit, urlunsplit

MASK = "***"

SECRET_LENGTH = 6
"""Shorter texts are not taken for secrets when they are met again in other words."""

_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_PLACEHOLDER = "{symbol}"
_LOGIN = re.compile(r"(?<=//)[^/@\s]+(?=@)")
_WORD = re.compile(r"[\w-]+")


def looks_secret(part: str) -> bool:
    """Whether a part of a text is rather a key than a word: long, with letters and digits."""
    mixed = any(c.isdigit() for c in part) and any(c.isalpha() for c in part)
    return len(part) >= 20 or (len(part) >= 8 and mixed)


def has_secret(text: str) -> bool:
    """Whether ``text`` is a URL with a secret in it."""
    return bool(_URL.match(text)) and masked_url(text) != text


def masked_url(url: str) -> str:
    """Return a URL without its login, the values of its query, and what looks like a key."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    login, at, host = parts.netloc.rpartition("@")
    path = "/".join(MASK if looks_secret(part) else part for part in parts.path.split("/"))
    query = "&".join(map(_masked_pair, parts.query.split("&")))
    fragment = MASK if parts.fragment else ""
    return urlunsplit((parts.scheme, (MASK if login else "") + at + host, path, query, fragment))


def _masked_pair(pair: str) -> str:
    name, value = _pair(pair)
    return name + (MASK if value not in {"", _PLACEHOLDER} else value)


def _pair(pair: str) -> tuple[str, str]:
    """Split a part of a query into its name with the ``=``, and its value."""
    name, equals, value = pair.partition("=")
    return (name + equals, value) if equals else ("", name)


def url_secrets(url: str) -> Iterator[str]:
    """Yield the parts of a URL that ``masked_url`` leaves out."""
    try:
        parts = urlsplit(url)
    except ValueError:
        yield url
        return
    login = parts.netloc.rpartition("@")[0]
    yield from (login, *login.split(":", 1), parts.fragment)
    yield from filter(looks_secret, parts.path.split("/"))
    yield from (_pair(pair)[1] for pair in parts.query.split("&"))


def guessed(words: str) -> str:
    """Return words without what looks like a secret, where nothing tells what they mean."""
    hidden = _LOGIN.sub(lambda found: "*" * len(found[0]), words)
    return _WORD.sub(lambda w: "*" * len(w[0]) if looks_secret(w[0]) else w[0], hidden)


def without(words: str, secrets: Iterable[str]) -> str:
    """Return ``words`` without ``secrets``, nor the beginnings of any that were cut short.

    A secret is found in any case (hosts come back in small letters), as a whole and by its words,
    as it is and as URLs have it.
    """
    forms = {form for secret in secrets for form in _forms(secret) if len(form) >= SECRET_LENGTH}
    for form in sorted(forms, key=len, reverse=True):
        words = _without(words, form)
    return words


def _forms(secret: str) -> Iterator[str]:
    for part in (secret, *secret.split()):
        yield from (part, quote(part, safe=""), quote_plus(part), unquote(part))


def _without(words: str, form: str) -> str:
    head = re.compile(re.escape(form[:SECRET_LENGTH]), re.IGNORECASE)
    at = 0
    while found := head.search(words, at):
        end = found.end()
        rest = zip(words[end:], form[SECRET_LENGTH:], strict=False)
        for one, other in rest:
            if one.lower() != other.lower():
                break
            end += 1
        words = words[: found.start()] + MASK + words[end:]
        at = found.start() + len(MASK)
    return words
