"""What is on disk, read once for each change: documents, and checks of entry files.

An object of `Sources` may be kept between two loads of a service; what has not changed (by
modification time and size) is then not read again. Left to others: what the values mean.
"""

import ast
import json
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lamington.core.documents import Document, load_document
from lamington.core.errors import Position, UsageError

NODE_CHECK_TIMEOUT_S = 20.0

Stamp = tuple[int, int]
"""A file's modification time in nanoseconds and its size: it has changed when this has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """What a source file offers: its top-level names, or why it cannot be read.

    `open_ended` tells that names may exist that reading alone does not show.
    """

    names: frozenset[str] = frozenset()
    open_ended: bool = False
    problem: UsageError | None = None


class Sources:
    """Reads the files of one service; remembers them by their stamps."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._known: dict[tuple[str, Path], tuple[Stamp, Any]] = {}

    def name(self, path: Path) -> str:
        """A path as the user knows it: from the service's directory."""
        try:
            return path.relative_to(self.root).as_posix()
        except ValueError:
            return str(path)

    def document(self, path: Path, *, intrinsics: bool = True) -> Document:
        """A YAML or JSON file; raises UsageError with its place for what is not well-formed."""

        def read(text: str) -> Document:
            document = load_document(text, self.name(path), intrinsics=intrinsics)
            require_distinct_keys(document)
            return document

        document: Document = self._remembered("document", path, lambda: read(self.text(path)))
        return document

    def text(self, path: Path) -> str:
        """Raises UsageError for a file that is not UTF-8 text."""
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise UsageError(
                f"not UTF-8 text (byte {error.start})", where=Position(file=self.name(path))
            ) from None
        except OSError as error:
            raise UsageError(
                f"cannot be read: {error.strerror}", where=Position(file=self.name(path))
            ) from None

    def python_module(self, path: Path) -> Module:
        module: Module = self._remembered("python", path, lambda: self._read_python(path))
        return module

    def node_modules(self, paths: Sequence[Path]) -> dict[Path, Module]:
        """Node.js files, checked by `node --check` side by side: each check takes a process."""
        result: dict[Path, Module] = {}
        running: dict[Path, subprocess.Popen[str] | None] = {}
        for path in paths:
            known = self._known.get(("node", path))
            if known is not None and known[0] == _stamp(path):
                result[path] = known[1]
            else:
                running[path] = _start_node_check(path)
        for path, check in running.items():
            problem = _finish_node_check(check, self.name(path))
            module = _read_node(self.text(path), problem)
            self._known["node", path] = (_stamp(path), module)
            result[path] = module
        return result

    def _remembered(self, kind: str, path: Path, read: Callable[[], Any]) -> Any:
        stamp = _stamp(path)
        known = self._known.get((kind, path))
        if known is not None and known[0] == stamp:
            return known[1]
        value = read()
        self._known[kind, path] = (stamp, value)
        return value

    def _read_python(self, path: Path) -> Module:
        name = self.name(path)
        try:
            tree = ast.parse(self.text(path), filename=name)
        except SyntaxError as error:
            where = Position(file=name, line=error.lineno or 0, column=error.offset or 0)
            problem = UsageError(f"Python syntax error: {error.msg}", where=where)
            return Module(problem=problem)
        except (ValueError, RecursionError) as error:
            where = Position(file=name)
            return Module(problem=UsageError(f"cannot be parsed: {error}", where=where))
        names: set[str] = set()
        open_ended = _gather_names(tree.body, names)
        return Module(names=frozenset(names), open_ended=open_ended or "__getattr__" in names)


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return (0, -1)
    return (status.st_mtime_ns, status.st_size)


def _gather_names(body: Sequence[ast.stmt], names: set[str]) -> bool:
    """Add what the statements bind; True where they bind what cannot be seen."""
    open_ended = False
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(statement.name)
            case ast.Import() | ast.ImportFrom():
                for alias in statement.names:
                    open_ended |= alias.name == "*"
                    names.add(alias.asname or alias.name.partition(".")[0])
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                names.update(_stored_names(statement))
            case ast.If() | ast.Try() | ast.With() | ast.For() | ast.While() | ast.Match():
                names.update(_stored_names(statement))
                for block in _blocks(statement):
                    open_ended |= _gather_names(block, names)
            case _:
                pass
    return open_ended


def _stored_names(node: ast.AST) -> set[str]:
    return {
        each.id
        for each in ast.walk(node)
        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    }


def _blocks(statement: ast.stmt) -> list[list[ast.stmt]]:
    blocks = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
    for part in [*getattr(statement, "handlers", []), *getattr(statement, "cases", [])]:
        blocks.append(part.body)
    return blocks


def _start_node_check(path: Path) -> subprocess.Popen[str] | None:
    """None where there is no Node.js: whoever runs the function will say so."""
    try:
        return subprocess.Popen(
            ["node", "--check", str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    except OSError:
        return None


def _finish_node_check(check: subprocess.Popen[str] | None, name: str) -> UsageError | None:
    if check is None:
        return None
    try:
        _, output = check.communicate(timeout=NODE_CHECK_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        check.kill()
        check.communicate()
        return None
    if check.returncode == 0:
        return None
    lines = output.splitlines()
    place = re.search(r":(\d+)$", lines[0]) if lines else None
    caret = next((line for line in lines if line.strip() and not line.strip(" ^")), "")
    reason = next((line for line in lines if re.match(r"\w*Error\b", line)), "cannot be parsed")
    where = Position(
        file=name,
        line=int(place[1]) if place else 0,
        column=caret.index("^") + 1 if caret and place else 0,
    )
    return UsageError(f"JavaScript {reason.removeprefix('Syntax').lstrip()}", where=where)


_NODE_NAME = re.compile(
    r"""exports\s*(?:\.\s*([A-Za-z_$][\w$]*)|\[\s*["']([^"']+)["']\s*\])"""
    r"|\bexport\s+(?:default\s+)?(?:async\s+)?(?:function\*?|class|const|let|var)\s+([A-Za-z_$][\w$]*)"
)
_NODE_OPEN_ENDED = re.compile(
    r"module\s*\.\s*exports\s*=|\bexport\s*[{*]|\bexport\s+default|__export"
)


def _read_node(text: str, problem: UsageError | None) -> Module:
    names = frozenset(next(filter(None, found)) for found in _NODE_NAME.findall(text))
    open_ended = bool(_NODE_OPEN_ENDED.search(text))
    return Module(names=names, open_ended=open_ended, problem=problem)


def require_distinct_keys(document: Document) -> None:
    """Raises UsageError for a JSON object that has a key twice: one of the two would be lost."""
    if document.root is not None or not document.text:
        return
    repeated: list[str] = []

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(members)
        if len(result) != len(members):
            seen: set[str] = set()
            for key, _ in members:
                if key in seen:
                    repeated.append(key)
                seen.add(key)
        return result

    json.loads(document.text, object_pairs_hook=pairs)
    if repeated:
        place = [
            found.start()
            for found in re.finditer(re.escape(json.dumps(repeated[0])) + r"\s*:", document.text)
        ]
        at = place[-1] if place else 0
        line = document.text.count("\n", 0, at) + 1
        column = at - document.text.rfind("\n", 0, at)
        raise UsageError(
            f"the key `{repeated[0]}` is given twice",
            where=Position(file=document.file, line=line, column=column),
            hint="of two equal keys in JSON only the last would count: join them or drop one",
        )


def closest(word: str, words: Sequence[str]) -> str:
    """A hint at the word that was probably meant, or at all there are."""
    close = get_close_matches(word, words, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    known = ", ".join(f"`{each}`" for each in sorted(words)[:12])
    return f"there is {known}" if known else ""
