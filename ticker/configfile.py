"""From a config file to settings: all problems at once, each with its line, column and caret."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from hashlib import sha256
from importlib import resources
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ticker import redact, yaml12
from ticker.config import Settings
from ticker.config.bus import NEEDED
from ticker.errors import ConfigError, Problem
from ticker.hidden import Hidden
from ticker.scalars import described, size_text, time_text
from ticker.yaml12 import PathKey, Scalar, Source, dotted

FILE_LIMIT = 1_000_000
PROBLEMS_LIMIT = 100
"""More are for later: each takes time, and nobody reads them."""
DEMO = "built-in demo"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings that can be used, and what is odd about them.

    ``files`` is what they were read from: the config file, then the files it refers to; none for
    the demo. ``digest`` names the content of those.
    """

    settings: Settings
    warnings: tuple[Problem, ...] = ()
    files: tuple[Path, ...] = ()
    digest: bytes = b""
    source: Source = field(default_factory=lambda: Source("", ""))

    @property
    def store(self) -> Path | None:
        """The file that boards are kept in; None for none.

        It is relative to the directory that the service manager gives, or to the config file.
        Without either, as in the demo, there is none.
        """
        if self.settings.store == "off" or not self.files:
            return None
        given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
        return Path(given or self.files[0].resolve().parent, self.settings.store)

    @property
    def foreign(self) -> frozenset[str]:
        """What stood for ``${NAME}`` and ``${file:PATH}``: it may be secret."""
        return frozenset(text for filled in self.source.filled.values() for text in filled.texts)

    @property
    def secrets(self) -> set[str]:
        """Texts that no line of the log may have."""
        access = self.settings.access
        keys = (key.key for key in access.keys)
        bus = self.settings.bus.secrets if self.settings.bus else ()
        foreign = filter(redact.looks_secret, self.foreign)
        return {*access.admin_tokens, *keys, *bus, *foreign}


def load(path: Path, env: Mapping[str, str] = os.environ) -> Loaded:
    """Read the config at ``path``; raise ConfigError with every problem when it cannot be used."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            [Problem(str(path), 1, 1, "", f"cannot read: {error.strerror}")]
        ) from None
    if len(raw) > FILE_LIMIT:
        raise ConfigError([Problem(str(path), 1, 1, "", f"larger than {FILE_LIMIT:,} bytes")])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(str(path), line, 1, "", "not UTF-8 text")]) from None
    contents = {path: raw}
    base = path.resolve().parent

    def read(name: str) -> str:
        file = base / name
        contents[file] = file.read_bytes()
        return contents[file].decode()

    return replace(
        parse(text, str(path), base=base, env=env, read=read),
        files=tuple(contents),
        digest=_digest(contents),
    )


def digest(files: Iterable[Path]) -> bytes:
    """Return the name of what ``files`` say now; one that cannot be read counts as such."""
    return _digest({file: _content(file) for file in files})


def _digest(contents: Mapping[Path, bytes | None]) -> bytes:
    whole = sha256()
    for file, content in contents.items():
        said = b"-" if content is None else b"+%d:" % len(content) + content
        whole.update(os.fsencode(file) + b"\0" + said)
    return whole.digest()


def _content(file: Path) -> bytes | None:
    try:
        with file.open("rb") as opened:
            return opened.read(FILE_LIMIT + 1)
    except OSError:
        return None


def demo() -> Loaded:
    """Return the demo that comes with the program: the shipped ``config.yaml``."""
    package = resources.files("ticker").joinpath("demo.yaml")
    checkout = Path(__file__).parent.parent / "config.yaml"
    text = package.read_text("utf-8") if package.is_file() else checkout.read_text("utf-8")
    return parse(text, DEMO, base=Path.cwd(), env={})


def parse(
    text: str,
    file: str,
    *,
    base: Path,
    env: Mapping[str, str],
    read: Callable[[str], str] | None = None,
) -> Loaded:
    """Turn ``text`` into settings; paths in it are relative to ``base``.

    ``read`` returns the text of a file that it refers to; by default just that.
    """
    read = read or (lambda name: Path(base, name).read_text("utf-8"))
    source = yaml12.load(text, file, env=env, read=read)
    hidden = Hidden(source)
    problems = list(source.problems)
    known = {problem.path for problem in problems}  # what is there instead is no second mistake
    settings = None
    if source.data is not None or not problems:
        try:
            context = {"base": base, "filled": hidden.filled}
            settings = Settings.model_validate(source.data or {}, context=context)
        except ValidationError as error:
            for found in error.errors(include_url=False)[:PROBLEMS_LIMIT]:
                problem = _explain(source, found)
                if problem.path not in known:
                    problems.append(problem)
                if found["type"] == "extra_forbidden":
                    hidden.unknown(_place(source.data, found["loc"])[0])
        problems += _unknown_feeds(source)
        if settings is not None and settings.server.workers > 1 and settings.bus is None:
            problems.append(source.problem(("server", "workers"), NEEDED))
    if problems or settings is None:
        shown = set(map(hidden.problem, problems[:PROBLEMS_LIMIT]))
        raise ConfigError(sorted(shown, key=lambda p: (p.line, p.column, p.path)))
    return Loaded(settings, tuple(map(hidden.problem, _warnings(source, settings))), source=source)


# -- rules between parts


def _unknown_feeds(source: Source) -> Iterator[Problem]:
    """Yield boards that name a feed that is not there; works on the raw data, whatever else is."""
    data = source.data if isinstance(source.data, dict) else {}
    feeds, boards = data.get("feeds"), data.get("boards")
    if not isinstance(feeds, dict) or not isinstance(boards, dict):
        return
    for name, board in boards.items():
        named = board.get("feeds") if isinstance(board, dict) else None
        seen: set[str] = set()
        for i, feed in enumerate(named if isinstance(named, list) else []):
            path: PathKey = ("boards", name, "feeds", i)
            if not isinstance(feed, str):
                continue
            if feed not in feeds:
                yield source.problem(path, f"no feed '{feed}'{_did_you_mean(feed, feeds)}")
            elif feed in seen:
                yield source.problem(path, f"feed '{feed}' is named twice")
            seen.add(feed)


def _warnings(source: Source, settings: Settings) -> Iterator[Problem]:
    for name, feed in settings.feeds.items():
        if feed.idle_every is not None and not feed.calendar and "status" not in feed.provides:
            message = "nothing tells when it is idle: map `status`, or name a `calendar`"
            yield _warning(source, ("feeds", name, "every"), message)
    used = {feed for board in settings.boards.values() for feed in board.feeds}
    for name in settings.feeds:
        if name not in used:
            yield _warning(source, ("feeds", name), "no board shows this feed")
    for name, board in settings.boards.items():
        provided = settings.provided(name)
        for i, column in enumerate(board.columns):
            if column.field not in provided:
                names = ", ".join(sorted(provided))
                path: PathKey = ("boards", name, "columns", i)
                message = f"no feed fills '{column.field}'; the feeds provide {names}"
                yield _warning(source, path, message)


def _warning(source: Source, path: PathKey, message: str) -> Problem:
    return replace(source.problem(path, message, mark=source.keys.get(path)), warning=True)


# -- a pydantic error in our words, at its place


def _explain(source: Source, error: ErrorDetails) -> Problem:
    path, branches = _place(source.data, error["loc"])
    kind = error["type"]
    if kind == "extra_forbidden":
        known = _known_keys(error["loc"][:-1])
        message = f"unknown key{_did_you_mean(str(path[-1]), known)}"
        return source.problem(path, message, mark=source.keys.get(path))
    if kind == "missing":
        return _absent(source, path, branches[-1], "required key is missing")
    if kind == "rule" and branches and branches[-1] == error["loc"][-1]:  # broken by a default
        return _absent(source, path, branches[-1], error["msg"])
    if kind in {"kind", "model"}:
        given = error["input"].get(kind) if isinstance(error["input"], dict) else None
        path = (*path, kind) if given is not None else path
        got = f", got '{given}'" if given is not None else f" as `{kind}`"
        return source.problem(path, error["msg"] + got)
    at_key = source.keys.get(path) if branches and branches[-1] == "[key]" else None
    return source.problem(path, _words(error, source.at(path)), mark=at_key)


def _absent(source: Source, path: PathKey, key: int | str, message: str) -> Problem:
    """Return a problem of a key that is not in the file, at the key above it."""
    found = source.problem(path, message, mark=source.keys.get(path))
    return replace(found, path=dotted((*path, str(key))))


def _words(error: ErrorDetails, got: Any) -> str:
    """Return what was expected and what came."""
    kind, context = error["type"], error.get("ctx", {})
    shown = f", got {described(got)}"
    if kind == "literal_error":
        return f"expected {context['expected'].replace(chr(39), '')}{shown}"
    if kind in {"model_type", "dict_type", "model_attributes_type"}:
        return f"expected a mapping of keys to values{shown}"
    if kind == "list_type":
        return f"expected a list{shown}"
    if kind == "string_pattern_mismatch":
        return f"expected text of the form {context['pattern']}{shown}"
    if kind in {"too_short", "too_long"}:
        least = "at least" if kind == "too_short" else "at most"
        return f"expected {least} {context.get('min_length', context.get('max_length'))} entries"
    if kind == "path" and isinstance(got, Scalar) and got.hidden:
        return "not a JMESPath expression"  # the reason would quote parts of it
    message = error["msg"].removeprefix("Value error, ")
    if message.startswith("Input should be"):
        return message.replace("Input should be", "must be") + shown
    return message


def _place(data: Any, loc: tuple[int | str, ...]) -> tuple[PathKey, list[int | str]]:
    """Split ``loc`` into the path that is in ``data``, and the parts that are not.

    Pydantic names union branches in its locations; those are in no file.
    """
    path: list[str | int] = []
    rest: list[int | str] = []
    for part in loc:
        inside = isinstance(data, dict) and part in data
        inside = inside or (isinstance(data, list) and isinstance(part, int) and part < len(data))
        if inside:
            data = data[part]
            path.append(part)
        else:
            rest.append(part)
    return tuple(path), rest


def _did_you_mean(word: str, known: Mapping[str, Any] | set[str]) -> str:
    close = get_close_matches(word, list(known), n=1)
    return f", did you mean '{close[0]}'?" if close else ""


def _known_keys(loc: tuple[int | str, ...]) -> set[str]:
    """Return the keys that the model at ``loc`` has."""
    types: list[Any] = [Settings]
    for part in loc:
        types = [inner for outer in types for inner in _inside(outer, part)]
    models = [t for t in types if isinstance(t, type) and issubclass(t, BaseModel)]
    return {name for model in models for name in model.model_fields}


def _inside(outer: Any, part: int | str) -> list[Any]:
    """Return the types that ``part`` of a location leads to from type ``outer``, unwrapped."""
    if isinstance(outer, type) and issubclass(outer, BaseModel):
        if part in outer.model_fields:
            info = outer.model_fields[str(part)]
            return _unwrap(
                Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
            )
        return [outer] if part in _tags(outer) else []
    origin, arguments = get_origin(outer), get_args(outer)
    if origin in {dict, list}:
        return _unwrap(arguments[-1])
    return []


def _tags(model: type[BaseModel]) -> set[str]:
    """Return the names under which a model stands in a location that leads through a union."""
    tags = {model.__name__}
    for name in ("kind", "model"):
        if name in model.model_fields:
            tags.update(map(str, get_args(model.model_fields[name].annotation)))
    return tags


def _unwrap(annotation: Any) -> list[Any]:
    """Return the alternatives inside Annotated and unions."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _unwrap(get_args(annotation)[0])
    if origin in {Union, UnionType}:
        return [t for a in get_args(annotation) if a is not NoneType for t in _unwrap(a)]
    return [annotation]


# -- the schema


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the config file, for editors; defaults as people write them."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    written: dict[str, Any] = _written(Settings.model_json_schema())
    return schema | written


def _written(part: Any) -> Any:
    """Return a part of the schema with durations and sizes as text, as the file has them."""
    if isinstance(part, list):
        return [_written(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    result = {name: _written(inner) for name, inner in part.items()}
    default = result.get("default")
    if isinstance(default, (int, float)) and result.get("type") == "string":
        write = size_text if "8MB" in result.get("examples", ()) else time_text
        result["default"] = write(default)
    return result
