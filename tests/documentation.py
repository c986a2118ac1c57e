"""The pages as tests read them: fenced blocks, and the service that docs/service.md builds."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = (
    ROOT / "README.md",
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
)

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"(?:#|//) ([\w./-]+\.\w+)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block; `file` is the name that its first line gives it, or ""."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def file(self) -> str:
        found = _FILE.match(self.text)
        return found[1] if found else ""


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        yield Block(page=page, line=line, language=found[1], text=found[2])


def write_documented_service(root: Path) -> Path:
    """Write the service of docs/service.md: blocks of one YAML file are joined, key by key."""
    files: dict[str, str] = {}
    documents: dict[str, Any] = {}
    for block in blocks_of(DOCS / "service.md"):
        if block.file == "api.yaml":
            documents[block.file] = _joined(
                documents.get(block.file, {}), yaml.safe_load(block.text)
            )
        elif block.file:
            files[block.file] = files.get(block.file, "") + block.text
    files |= {name: yaml.safe_dump(value, sort_keys=False) for name, value in documents.items()}
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def _joined(first: Any, second: Any) -> Any:
    if not (isinstance(first, dict) and isinstance(second, dict)):
        return second
    return first | {key: _joined(first.get(key), value) for key, value in second.items()}
