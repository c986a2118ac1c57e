"""Services for tests, written into a directory in a line or two."""

from pathlib import Path

from lamington.service.problems import ServiceInvalid
from lamington.service.project import Project, load_project

PYTHON_HANDLER = "def handler(event, context):\n    return event\n"


def write_service(root: Path, files: dict[str, str]) -> Path:
    """Write a service; it has a name, and one Python function `echo`, unless files say else."""
    written = {"lamington.toml": 'name = "bakery"\n', **files}
    if not any(name.startswith("functions/") for name in written):
        written["functions/echo/handler.py"] = PYTHON_HANDLER
    for name, text in written.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def load_service(root: Path, files: dict[str, str]) -> Project:
    return load_project(write_service(root, files), check_javascript=False)


def swagger(*lines: str) -> str:
    """An API definition with these lines under `paths`."""
    return "\n".join(['swagger: "2.0"', "info: {title: t, version: '1'}", "paths:", *lines, ""])


def texts(invalid: ServiceInvalid) -> list[str]:
    return [str(problem) for problem in invalid.problems]
