"""The house keeps its own rules: STYLE.md, as far as a machine can read them."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "lamington"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if "bootstraps" not in path.parts)
FORBIDDEN_WORDS = {"manager", "helper", "helpers", "util", "utils", "misc", "common", "info"}
BROAD_EXCEPT_PLACES = 3
LIBRARY_BASES = {
    *("Protocol", "Generic", "Struct", "NamedTuple", "TypedDict", "Enum", "StrEnum"),
    *("list", "dict", "str", "NodeVisitor", "Group", "BaseProtocol"),
}


def _names(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
    return names


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_keeps_the_rules(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    if path.name == "__init__.py":
        assert not text.strip(), "`__init__.py` files are empty"
        return
    assert ast.get_docstring(tree), "a module opens with what it is for"
    for name in _names(tree) | {path.stem}:
        assert not (_words(name) & FORBIDDEN_WORDS), f"`{name}` says nothing: see STYLE section 4"
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for base in node.bases:
                assert _allowed_base(base), f"`{node.name}` inherits: that is for errors only"


def _allowed_base(base: ast.expr) -> bool:
    name = ast.unparse(base).split("[")[0].rpartition(".")[2]
    return name in LIBRARY_BASES or name.endswith(("Error", "Exception"))


def test_only_settings_reads_the_environment() -> None:
    readers = [
        str(path.relative_to(SOURCE))
        for path in MODULES
        if re.search(r"os\.environ|os\.getenv", path.read_text())
    ]
    assert readers == ["core/settings.py"]


def test_broad_excepts_stand_where_they_may() -> None:
    broad = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and node.type is not None
        and ast.unparse(node.type) == "Exception"
    ]
    assert len(broad) <= BROAD_EXCEPT_PLACES, broad


def test_no_module_is_dead() -> None:
    imported = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module)
                imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    entries = {"lamington.cli.main", "lamington.testing", "lamington.__main__"}
    for path in MODULES:
        if path.name != "__init__.py":
            name = "lamington." + ".".join(path.relative_to(SOURCE).with_suffix("").parts)
            assert name in imported | entries, f"nothing imports {name}"


def test_no_mocks() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        if path != Path(__file__):
            assert "unittest.mock" not in path.read_text(), path
