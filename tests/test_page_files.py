"""The page's files as browsers get them: compressed, kept by version, asked for again otherwise."""

from __future__ import annotations

import gzip
import posixpath
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import brotli
import httpx
import pytest

from tests.support import PATIENCE, Running, quiet_server
from ticker.headers import SECURITY_HEADERS
from ticker.page import Page, best, web_directory

WEB = web_directory()
SCRIPT = (WEB / "app.js").read_bytes()


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """Return a server of the real page."""
    with quiet_server() as running:
        yield running


def kept(server: Running, file: str) -> str:
    """Return the address at which ``file`` is kept."""
    return f"/static/{server.ticker.page.version}/{file}"


def raw(server: Running, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Return the response as it is on the wire: its content is not decompressed."""
    named = {"accept-encoding": "", **{k.lower().replace("_", "-"): v for k, v in headers.items()}}
    with httpx.stream(method, server.url + path, headers=named, timeout=PATIENCE) as response:
        response._content = b"".join(response.iter_raw())
    return response


# -- compressed forms


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("br;q=0.2, gzip;q=0.8", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("*", "br"),
        ("br;q=0, *;q=0.5", "gzip"),
        ("GZIP ; Q=1.0", "gzip"),
        ("identity, br;q=0.5", "identity"),
        ("identity;q=0.5, br;q=0.5", "br"),
        ("gzip;q=0, br;q=0.000", "identity"),
        ("identity;q=0", "identity"),
        ("deflate", "identity"),
        ("br;q=high, gzip;q=2", "identity"),
        (",;,", "identity"),
        ("", "identity"),
    ],
)
def test_the_coding_is_the_one_that_the_browser_likes_best(accepted: str, coding: str) -> None:
    """Weights count, then size; what makes no sense is as if it were not there."""
    assert best(accepted, ["identity", "br", "gzip"]) == coding


def test_a_form_that_is_not_there_is_not_chosen() -> None:
    """Small files and pictures have no compressed form."""
    assert best("br, gzip;q=0.5", ["identity", "gzip"]) == "gzip"
    assert best("br, gzip", ["identity"]) == "identity"


@pytest.mark.parametrize("folder", ["/", "kept"])
def test_every_coding_holds_the_same_file(server: Running, folder: str) -> None:
    """Brotli, gzip and plain; each has a tag of its own, and caches know what it depends on."""
    path = kept(server, "client.js") if folder == "kept" else "/client.js"
    unpack = {"br": brotli.decompress, "gzip": gzip.decompress, "identity": bytes}
    contents, tags, sizes = set(), set(), []
    for coding in unpack:
        response = raw(server, path, Accept_Encoding=coding)
        assert response.headers.get("content-encoding", "identity") == coding
        assert response.headers["vary"] == "accept-encoding"
        contents.add(unpack[coding](response.content))
        tags.add(response.headers["etag"])
        sizes.append(len(response.content))
    assert contents == {server.get(path).content}
    assert len(tags) == 3
    assert sizes == sorted(sizes)


# -- what browsers keep


@pytest.mark.parametrize("folder", ["/", "kept"])
def test_what_the_browser_has_is_not_sent_again(server: Running, folder: str) -> None:
    """304 for any of its tags, whatever the coding, with the tag and without content."""
    path = kept(server, "app.js") if folder == "kept" else "/app.js"
    tag = raw(server, path, Accept_Encoding="br").headers["etag"]
    assert not tag.startswith("W/")
    for known in (tag, f'"x", W/{tag}', "*"):
        response = raw(server, path, If_None_Match=known)
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"]
        assert response.headers["vary"] == "accept-encoding"
    assert raw(server, path, If_None_Match='"other"').status_code == 200


def test_a_file_is_kept_by_version_and_asked_for_again_otherwise(server: Running) -> None:
    """Only the address with the version never changes what it means."""
    response = server.get(kept(server, "app.js"))
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    for path in ("/app.js", "/", "/index.html"):
        assert server.get(path).headers["cache-control"] == "no-cache"


def test_another_version_is_gone(server: Running) -> None:
    """Its 404 is not kept, and says what helps."""
    response = server.get("/static/0123456789ab/app.js")
    assert response.status_code == 404
    assert response.json() == {"detail": "the page has another version now: load it again"}
    assert response.headers["cache-control"] == "no-store"


def test_the_welcome_names_the_version(server: Running) -> None:
    """So a page notices that there is a newer one."""
    with server.follow() as viewer:
        assert viewer.wait("welcome")["page"] == server.ticker.page.version


def test_any_change_of_any_file_is_another_version(tmp_path: Path) -> None:
    """Also of HTML, also of a name alone; what is not served does not count."""
    (tmp_path / "a.js").write_text("1")
    versions = [Page(tmp_path).version]
    for change in (
        lambda: (tmp_path / "a.js").write_text("2"),
        lambda: (tmp_path / "a.js").rename(tmp_path / "b.js"),
        lambda: (tmp_path / "index.html").write_text(""),
    ):
        change()
        versions.append(Page(tmp_path).version)
    assert len(set(versions)) == 4
    (tmp_path / ".hidden").write_text("")
    assert Page(tmp_path).version == versions[-1]


# -- HTML


def test_html_refers_to_files_that_are_kept(server: Running) -> None:
    """Every reference leads, relatively, to a file below the version, and it is there."""
    html = server.get("/").text
    assert html == server.get("/index.html").text
    references = re.findall(r'<(?:link|script)[^>]* (?:href|src)="(\./[^"]+)"', html)
    assert len(references) == 4, "icon, style and two scripts"
    for reference in references:
        assert reference.startswith(f"./static/{server.ticker.page.version}/")
        assert server.get(reference[1:]).status_code == 200


def test_kept_scripts_are_shorter(server: Running) -> None:
    """What only people need is not in them; at the plain address is what was written."""
    written = (WEB / "client.js").read_bytes()
    assert server.get("/client.js").content == written
    assert len(server.get(kept(server, "client.js")).content) < len(written) / 2


def test_the_first_script_has_all_that_it_imports_in_it(server: Running) -> None:
    """One request instead of thirty; at its plain address it is as it was written."""
    script = server.get(kept(server, "app.js")).text
    assert "Order held while you point" in script, "a text of ui/toolbar.js"
    assert not re.search(r"(^|[;}])(import|export)\b(?!\()", script, re.MULTILINE)
    assert server.get("/app.js").content == SCRIPT


def test_every_import_of_a_module_is_there(server: Running) -> None:
    """From the first script on, each module finds what it imports, also what it imports later."""
    waiting, seen = ["app.js"], set()
    while waiting:
        file = waiting.pop()
        seen.add(file)
        assert server.get(kept(server, file)).status_code == 200, file
        imported = re.findall(r'(?:from |import )"(\.[^"]+)"', server.get(f"/{file}").text)
        found = {posixpath.normpath(posixpath.join(posixpath.dirname(file), i)) for i in imported}
        waiting += found - seen
    assert "core/protocol.js" in seen


def test_what_is_sent_names_the_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Browsers keep files for a year: made in another way, they have another address, too."""
    (tmp_path / "a.js").write_text("const long = 1;\nconsole.log(long);\n")
    before = Page(tmp_path).version
    assert Page(tmp_path).version == before
    monkeypatch.setattr("ticker.page.minified", lambda _, text: text)
    assert Page(tmp_path).version != before


def test_only_references_to_files_are_renamed(tmp_path: Path) -> None:
    """Addresses, pages and files that are not there stay; deeper pages find their way up."""
    (tmp_path / "embed").mkdir()
    for file in ("a.js", "embed/b.js", "other.html"):
        (tmp_path / file).write_text("")
    html = (
        '<a href="{0}a.js?x#y"><a href="{0}other.html"><a href="{0}none.js"><a href="./api/boards">'
    )
    (tmp_path / "index.html").write_text(html.format("./") + '<a href="a.js">')
    (tmp_path / "embed/e.html").write_text(html.format("../") + '<a href="./b.js">')
    page = Page(tmp_path)
    version = page.version
    assert page._plain[""].content.decode() == (
        f'<a href="./static/{version}/a.js?x#y"><a href="./other.html"><a href="./none.js">'
        '<a href="./api/boards"><a href="a.js">'
    )
    assert page._plain["embed/e"].content.decode() == (
        f'<a href="../static/{version}/a.js?x#y"><a href="../other.html"><a href="../none.js">'
        f'<a href="./api/boards"><a href="../static/{version}/embed/b.js">'
    )


# -- addresses, methods, headers


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/app.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ],
)
def test_the_type_is_told(server: Running, path: str, content_type: str) -> None:
    """The same on every system, whatever its tables say; HEAD tells all that GET does."""
    get, head = raw(server, path), raw(server, path, "HEAD")
    assert get.headers["content-type"] == content_type
    assert (head.status_code, head.content) == (200, b"")
    own = {"date": "", "x-request-id": ""}  # what differs from answer to answer
    assert {**head.headers, **own} == {**get.headers, **own}
    assert head.headers["content-length"] == str(len(get.content))


def test_other_methods_are_refused(server: Running) -> None:
    """The page is only read."""
    assert httpx.post(f"{server.url}/app.js").status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/../ticker/app.py",
        "/..%2fticker/app.py",
        "/%2e%2e/ticker/app.py",
        "/static/../ticker/app.py",
        "//etc/passwd",
        "/package.json",
        "/.gitignore",
        "/none.js",
        "/APP.JS",
        "/app.js/",
        "/%00",
        "/" + "x" * 5000,
    ],
)
def test_nothing_else_is_there(server: Running, path: str) -> None:
    """An address is looked up, never followed; the answer says so in words."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), PATIENCE) as link:
        link.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: link.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404")
    assert body.startswith(b'{"detail":"')
    assert len(body) < 200


def test_no_file_of_npm_and_nothing_hidden_is_served(tmp_path: Path) -> None:
    """What lies in the directory only for tools stays there; what it is for is served."""
    files = ["a.js", "vendor/x/x.js", "node_modules/y.js", ".z/z.js", "package-lock.json", ".e"]
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("")
    assert set(Page(tmp_path)._plain) == {"a.js", "vendor/x/x.js"}


def test_every_answer_has_the_headers_of_safety(server: Running) -> None:
    """Among them a policy that lets in nothing from elsewhere, and no frame around."""
    for path in ("/", "/app.js", kept(server, "app.js"), "/none", "/api/boards"):
        headers = server.get(path).headers
        assert {name: headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    assert SECURITY_HEADERS["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def imported(file: str) -> set[str]:
    """Return the modules that ``file`` needs to run, itself among them."""
    waiting, found = {file}, set()
    while waiting:
        module = waiting.pop()
        found.add(module)
        names = re.findall(r'^import .* from "(\.[^"]+)"', (WEB / module).read_text(), re.MULTILINE)
        folder = posixpath.dirname(module)
        waiting |= {posixpath.normpath(posixpath.join(folder, name)) for name in names} - found
    return found


@pytest.mark.parametrize("coding", ["br", "gzip"])
def test_the_page_is_light(server: Running, coding: str) -> None:
    """Its first view is below 40 KB, and with everything it can ever load below 100 KB."""
    first = {ref[1:] for ref in re.findall(r'="(\./static/[^"]+)"', server.get("/").text)} | {"/"}
    begun = imported("app.js")
    files = [f"ui/{file.name}" for file in WEB.glob("ui/*.js")]
    later = set().union(*(imported(file) for file in files if file not in begun))
    later |= {f"ui/{file.name}" for file in WEB.glob("ui/*.css")}
    later |= {f"vendor/uplot/{file.name}" for file in WEB.glob("vendor/uplot/*.*")}

    def weigh(paths: set[str]) -> int:
        return sum(len(raw(server, path, Accept_Encoding=coding).content) for path in paths)

    everything = weigh(first) + weigh({kept(server, file) for file in later})
    print(f"\n{coding}: first view {weigh(first)} bytes, everything {everything} bytes")
    assert weigh(first) < 40_000
    assert everything < 100_000
