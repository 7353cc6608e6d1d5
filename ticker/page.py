"""The page's files: read at start, kept in memory in every form in which they are sent.

Each file has two addresses. At its plain one it is as it was written, and asked for again each time
(``no-cache``, ETag). Below ``/static/VERSION/`` scripts and styles are minified, scripts that pages
begin with have in them what they import, and browsers keep all of it for a year: another version of
the page has other addresses, so old and new modules never mix. HTML refers to these.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import posixpath
import re
from collections.abc import Container, Iterable, Iterator, Mapping
from hashlib import sha256
from importlib import resources
from pathlib import Path

import brotli
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ticker.bundle import join

try:
    from minify import string as minified
except ImportError:  # pragma: no cover - none for Apple's processors: files are larger then

    def minified(_: str, text: str) -> str:
        """Return the text as it is."""
        return text


ASK_AGAIN = "no-cache"
KEEP = "public, max-age=31536000, immutable"

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
    "": "text/plain; charset=utf-8",  # a licence
}
"""By suffix, the same on every system; anything else is only bytes."""

MOST_LISTED = 50
"""Members of a header that are looked at: nobody means more, and thousands take milliseconds."""

PACKED_ALREADY = {".ico", ".png", ".woff2"}
CODINGS = ("br", "gzip")
"""Content codings, the smaller first."""

SHORTENED = {".css": "text/css", ".js": "application/javascript"}

_ENTRY = re.compile(r'<script type="module" src="(\.\.?/[^"]+)"')
_REFERENCE = re.compile(r'(?<==")\.\.?/[^"?#]+')
_CODING = re.compile(
    r"\s*([^\s;,]+)\s*(?:;\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?", re.IGNORECASE
)


class File:
    """One file and its compressed forms, where they are smaller; ``headers`` are its own.

    It is packed when it is first asked for, once: what nobody loads costs nothing.
    """

    def __init__(self, path: str, content: bytes, headers: dict[str, str] | None = None) -> None:
        suffix = posixpath.splitext(path)[1]
        self.type = TYPES.get(suffix, "application/octet-stream")
        self.headers = headers or {}
        self.content = content
        self._name = sha256(content).hexdigest()[:16]
        self._packs = suffix not in PACKED_ALREADY
        self._forms: dict[str, bytes] | None = None

    async def forms(self) -> dict[str, bytes]:
        """Return the content by coding."""
        if self._forms is None:
            packed = await asyncio.to_thread(_compressed, self.content) if self._packs else {}
            smaller = {c: data for c, data in packed.items() if len(data) < len(self.content)}
            self._forms = {"identity": self.content, **smaller}
        return self._forms

    async def response(self, request: Request, cache: str) -> Response:
        """Return the form that the browser takes, or 304 when it has the file in any form."""
        forms = await self.forms()
        coding = best(request.headers.get("accept-encoding", ""), forms)
        tags = {coding: f'"{self._name}-{coding}"' for coding in forms}
        headers = {
            **self.headers,
            "cache-control": cache,
            "etag": tags[coding],
            "vary": "accept-encoding",
        }
        known = listed(request.headers.get("if-none-match", ""))
        if {"*", *tags.values()} & {tag.removeprefix("W/") for tag in known}:
            return Response(status_code=304, headers=headers)
        if coding != "identity":
            headers["content-encoding"] = coding
        headers["content-type"] = self.type
        return Response(forms[coding], headers=headers)  # to HEAD servers send no content


class Page:
    """Every file of a directory by its address, without a look at the disk after the start.

    ``embedded`` are the headers of the HTML files below ``embed/``, which other sites may frame.
    """

    def __init__(self, directory: Path, embedded: dict[str, str] | None = None) -> None:
        paths = {file.relative_to(directory).as_posix(): file for file in _files(directory)}
        read = {path: file.read_bytes() for path, file in sorted(paths.items())}
        kept = {path: c for path, c in read.items() if not path.endswith(".html")}
        sent = {path: _shortened(path, c) for path, c in {**kept, **_joined(read)}.items()}
        self.version = _version({**read, **sent})
        self._kept = {f"static/{self.version}/{path}": File(path, c) for path, c in sent.items()}
        self._plain = {path: File(path, content) for path, content in kept.items()}
        for path, content in read.items():
            if path not in kept:
                html = self._renamed(path, content.decode(), kept).encode()
                file = File(path, html, embedded if path.startswith("embed/") else None)
                self._plain[path] = self._plain[path.removesuffix(".html")] = file
        if "index.html" in self._plain:
            self._plain[""] = self._plain["index.html"]

    async def respond(self, request: Request) -> Response:
        """Answer a GET or HEAD for the path parameter ``path``."""
        path = request.path_params["path"]
        if path in self._plain:
            return await self._plain[path].response(request, ASK_AGAIN)
        if path in self._kept:
            return await self._kept[path].response(request, KEEP)
        why = f"no '/{path[:64]}' here"
        if path.startswith("static/") and not path.startswith(f"static/{self.version}/"):
            why = "the page has another version now: load it again"
        return JSONResponse({"detail": why}, 404, {"cache-control": "no-store"})

    def _renamed(self, path: str, html: str, files: Container[str]) -> str:
        """Return ``html`` with its relative references to files leading to kept addresses."""

        def rename(reference: re.Match[str]) -> str:
            folder = posixpath.dirname(path)
            file = posixpath.normpath(posixpath.join(folder, reference[0]))
            if file not in files:
                return reference[0]
            return ("../" * path.count("/") or "./") + f"static/{self.version}/{file}"

        return _REFERENCE.sub(rename, html)


def listed(header: str) -> list[str]:
    """Return the members of a header that is a list (RFC 9110, 5.6.1), but only the first."""
    return [part.strip() for part in header.split(",", MOST_LISTED)[:MOST_LISTED]]


def best(accepted: str, offered: Iterable[str]) -> str:
    """Return the coding of ``offered`` that an Accept-Encoding header wants (RFC 9110, 12.5.3).

    What is not compressed (``identity``) is always there, also for who refuses it: better than 406.
    """
    matches = (_CODING.fullmatch(part) for part in listed(accepted))
    weights = {match[1].lower(): float(match[2] or 1) for match in matches if match}

    def weight(coding: str) -> float:
        return weights.get(coding, weights.get("*", 0.0))

    found = max((c for c in CODINGS if c in offered), key=weight, default="identity")
    wanted = weight(found) > 0 and weight(found) >= weights.get("identity", 0.0)
    return found if wanted else "identity"


def web_directory() -> Path:
    """Return where the page is: inside the installed package, or beside it in a checkout."""
    installed = Path(str(resources.files("ticker"))) / "web"
    return installed if installed.is_dir() else installed.parent.parent / "web"


@functools.lru_cache(maxsize=256)  # bounded, and enough for servers that start anew in one process
def _compressed(content: bytes) -> dict[str, bytes]:
    """Return ``content`` in every coding, as small as it gets: the work is done once."""
    return {"br": brotli.compress(content, quality=11), "gzip": gzip.compress(content, 9, mtime=0)}


def _files(directory: Path) -> Iterator[Path]:
    """Yield what browsers may have: nothing hidden, nothing of npm's."""
    for file in directory.rglob("*"):
        parts = file.relative_to(directory).parts
        hidden = any(part.startswith(".") or part == "node_modules" for part in parts)
        if file.is_file() and not hidden and not file.match("package*.json"):
            yield file


def _joined(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the scripts that pages begin with, each with all that it imports."""
    modules = {path: text.decode() for path, text in contents.items() if path.endswith(".js")}
    entries = set()
    for path, html in contents.items():
        if path.endswith(".html"):
            sources = _ENTRY.findall(html.decode())
            folder = posixpath.dirname(path)
            entries |= {posixpath.normpath(posixpath.join(folder, source)) for source in sources}
    return {entry: join(entry, modules).encode() for entry in entries & modules.keys()}


def _shortened(path: str, content: bytes) -> bytes:
    """Return a script or style without what only people need: half of its bytes."""
    kind = SHORTENED.get(posixpath.splitext(path)[1])
    if kind is None or path.startswith("vendor/"):
        return content
    return str(minified(kind, content.decode())).encode()


def _version(contents: Mapping[str, bytes]) -> str:
    """Return a short name of all files together, as they are sent: how they are made counts."""
    whole = sha256()
    for path, content in contents.items():
        whole.update(f"{path}\0{len(content)}\0".encode() + content)
    return whole.hexdigest()[:12]
