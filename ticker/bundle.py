"""One script of a page and all it imports, as one script: one request instead of thirty.

For modules as this project writes them: imports and exports stand at the beginning of a line and
name what they mean. Each module becomes a function that returns its exports, so names stay apart.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

_IMPORT = re.compile(
    r'^import (?:\* as (\w+)|\{([^}]*)\}) from "(\.[^"]+)";(?: *//.*)?$', re.MULTILINE
)
_EXPORT = re.compile(r"^export ((?:async )?function\*?|class|const|let) (\w+)", re.MULTILINE)
_LATER = re.compile(r'\bimport\((["`])(\.[^"`$]*)')
_LEFT = re.compile(r"^(?:import|export)\b.*$", re.MULTILINE)


def join(entry: str, modules: Mapping[str, str]) -> str:
    """Return the script ``entry`` with everything it imports in it; ``modules`` are texts by path.

    What is imported only when it is needed stays outside. Raises ValueError for a module that is
    written otherwise, imports what is not there, or imports itself on the way.
    """
    names: dict[str, str] = {}  # of modules whose text is in `parts`
    parts: list[str] = []
    _add(entry, entry, modules, names, parts, ())
    return "\n".join(parts)


def _add(
    path: str,
    entry: str,
    modules: Mapping[str, str],
    names: dict[str, str],
    parts: list[str],
    above: tuple[str, ...],
) -> None:
    """Add the text of ``path`` after those it imports; ``above`` are the importing ones."""
    if path in names:
        return
    if path not in modules or path in above:
        raise ValueError(f"{' -> '.join(above)} imports {path}: not there, or around in a circle")
    folder = posixpath.dirname(path)

    def found(relative: str) -> str:
        return posixpath.normpath(posixpath.join(folder, relative))

    for match in _IMPORT.finditer(modules[path]):
        _add(found(match[3]), entry, modules, names, parts, (*above, path))

    def given(match: re.Match[str]) -> str:
        module = names[found(match[3])]
        return f"const {match[1] or '{' + match[2].replace(' as ', ': ') + '}'} = {module};"

    def later(match: re.Match[str]) -> str:
        start, end = posixpath.split(match[2])  # the end may be no more than the first letters
        start = posixpath.relpath(found(start), posixpath.dirname(entry) or ".")
        return f"import({match[1]}./{start}/{end}"

    text = _LATER.sub(later, _IMPORT.sub(given, modules[path]))
    exports = [match[2] for match in _EXPORT.finditer(text)]
    text = _EXPORT.sub(r"\1 \2", text)
    if left := _LEFT.search(text):
        raise ValueError(f"{path}: cannot join '{left[0]}'")
    names[path] = f"$module{len(names)}"
    if path == entry:
        parts.append(text)
    else:
        parts.append(
            f"const {names[path]} = (() => {{\n{text}\nreturn {{ {', '.join(exports)} }};\n}})();"
        )
