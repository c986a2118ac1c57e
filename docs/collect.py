"""Writes docs/differences.md from the docstrings: every `Differs:` line, beside its `AWS:` line.

Run `python docs/collect.py` after changing one; a test fails while the page is behind the code.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "lamington"
PAGE = ROOT / "docs" / "differences.md"
HEAD = """# What differs from AWS

Collected from the code: `python docs/collect.py` writes this page. What a service of yours uses and
is not emulated, `lamington up` lists when it starts.
"""
PARTS = {
    "functions": "Lambda and CloudWatch Logs",
    "gateway": "API Gateway",
    "stack": "CloudFormation",
    "wire": "Protocols, IAM and STS",
    "engine": "The engine",
    "service": "Building and deploying",
    "core": "Foundations",
}


def documented(path: Path) -> Iterator[tuple[str, str]]:
    tree = ast.parse(path.read_text())
    yield path.stem, ast.get_docstring(tree) or ""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, ast.get_docstring(node) or ""


def differences(docstring: str) -> list[str]:
    found = re.findall(r"^Differs: (.+?)(?=^\S+: |^$|\Z)", docstring, re.MULTILINE | re.DOTALL)
    return [" ".join(text.split()) for text in found]


def render() -> str:
    lines = [HEAD]
    for part, title in PARTS.items():
        lines.append(f"## {title}")
        for path in sorted((SOURCE / part).rglob("*.py")):
            module = path.relative_to(SOURCE).with_suffix("").as_posix()
            for name, docstring in documented(path):
                lines += [f"- {text} (`{module}`, `{name}`)" for text in differences(docstring)]
        lines.append("")
    lines.append("## Fidelity rows that are not exact")
    for path in sorted((ROOT / "tests" / "fidelity").glob("*.toml")):
        for case in tomllib.loads(path.read_text())["case"]:
            verdict = case.get("verdict", "exact")
            if verdict != "exact":
                remark = case.get("remark", case.get("source", ""))
                lines.append(f"- {verdict}: `{path.stem}`, `{case['id']}`: {remark}")
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(render())
    print(f"wrote {PAGE.relative_to(ROOT)}", file=sys.stderr)
