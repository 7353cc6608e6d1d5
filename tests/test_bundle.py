"""Scripts joined with what they import: run by node, as browsers run them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ticker.bundle import join
from ticker.page import web_directory

NODE = shutil.which("node")

MODULES = {
    "app.js": (
        'import { greet as say, NAME } from "./core/a.js";\nimport * as b from "./core/b.js";\n'
        'console.log(say(NAME), b.twice(2), (await import("./late.js")).late);\n'
    ),
    "core/a.js": (
        'import { twice } from "./b.js";\nconst hidden = 1;\nexport const NAME = "x";\n'
        "export async function unused() {}\n"
        "export function greet(name) { return `${name}${twice(hidden)}`; }\n"
    ),
    "core/b.js": "const hidden = 2;\nexport const twice = (n) => hidden * n;\nexport class C {}\n",
    "late.js": "export const late = 7;\n",
}


@pytest.mark.skipif(NODE is None, reason="needs node")
def test_a_joined_script_does_what_its_modules_do(tmp_path: Path) -> None:
    """Equal names in different modules stay apart; what is imported later still is."""
    (tmp_path / "app.mjs").write_text(join("app.js", MODULES))
    (tmp_path / "late.js").write_text(MODULES["late.js"])
    (tmp_path / "package.json").write_text('{"type": "module"}')
    run = subprocess.run(
        [str(NODE), tmp_path / "app.mjs"], capture_output=True, text=True, check=False
    )
    assert (run.stdout, run.stderr) == ("x2 4 7\n", "")


def test_each_module_is_in_it_once() -> None:
    """However many import it."""
    assert join("app.js", MODULES).count("const hidden = 2") == 1


def test_what_a_deeper_module_imports_later_is_found_from_the_entry() -> None:
    """Addresses are relative to the script that is loaded, which is the entry."""
    modules = {
        "embed/tape.js": 'import { f } from "../core/a.js";\nf();\n',
        "core/a.js": "export const f = () => import(`./b.js`);\n",
    }
    assert "import(`./../core/b.js`)" in join("embed/tape.js", modules)


def test_a_name_that_is_known_only_later_stays_in_the_address() -> None:
    """The page loads its parts by name."""
    modules = {"app.js": "const load = (name) => import(`./ui/${name}.js`);\n"}
    assert "import(`./ui/${name}.js`)" in join("app.js", modules)


@pytest.mark.parametrize(
    ("modules", "words"),
    [
        ({"app.js": 'import { a } from "./a.js";'}, "app.js imports a.js: not there"),
        (
            {"app.js": 'import { a } from "./a.js";', "a.js": 'import { b } from "./app.js";'},
            "app.js -> a.js imports app.js: not there, or around in a circle",
        ),
        ({"app.js": "export default 5;"}, "app.js: cannot join 'export default 5;'"),
        ({"app.js": 'import "./a.js";', "a.js": ""}, "app.js: cannot join 'import \"./a.js\";'"),
    ],
)
def test_what_cannot_be_joined_is_an_error(modules: dict[str, str], words: str) -> None:
    """Which module, and what in it."""
    with pytest.raises(ValueError, match=r"imports|cannot join") as error:
        join("app.js", modules)
    assert words in str(error.value)


def test_the_pages_own_modules_can_be_joined() -> None:
    """Every module of the page, as if it were an entry."""
    web = web_directory()
    files = [file for file in web.rglob("*.js") if "vendor" not in file.parts]
    modules = {file.relative_to(web).as_posix(): file.read_text() for file in files}
    assert modules
    for path in modules:
        join(path, modules)
