"""The service that `lamington new` writes: the least that runs, and nothing to delete again."""

import re
from collections.abc import Mapping
from pathlib import Path

from lamington.core.errors import UsageError
from lamington.service.project import SERVICE_NAME

_API = """\
swagger: "2.0"
info:
  title: {name}
  version: "1.0"
paths:
  /hello:
    get:
      operationId: hello
      parameters:
        - name: name
          in: query
          type: string
      responses:
        200:
          description: A greeting
        400:
          description: The name cannot be greeted
          x-lamington-error: "Cannot greet .*"
"""

_PYTHON = """\
def handler(event, context):
    name = event["name"] or "World"
    if not name.isprintable():
        raise ValueError(f"Cannot greet {name!r}")
    return {"message": f"Hello, {name}!"}
"""

_NODE = """\
exports.handler = async (event) => {
  const name = event.name || "World";
  if (/[\\u0000-\\u001f]/.test(name)) {
    throw new Error(`Cannot greet ${JSON.stringify(name)}`);
  }
  return { message: `Hello, ${name}!` };
};
"""

_README = """\
# {name}

- `lamington up` runs the service on this machine: <http://127.0.0.1:3000/hello?name=you>
- `lamington describe` tells which function is triggered by what
- `lamington deploy` sends it to AWS

`functions/` holds the functions, `api.yaml` the API, `lamington.toml` the settings; put resources
of your own (tables, buckets) into `stack.yaml`, a CloudFormation template.
"""

_ENTRIES: Mapping[str, tuple[str, str]] = {
    "python": ("handler.py", _PYTHON),
    "node": ("index.js", _NODE),
}


def create_service(path: Path, runtime: str = "python") -> None:
    """Write a new service into a directory that is empty or not there yet.

    Raises UsageError for a directory with anything in it, or a runtime that is not known.
    """
    if runtime not in _ENTRIES:
        known = " or ".join(f"`{each}`" for each in _ENTRIES)
        raise UsageError(f"`{runtime}` is not a runtime to begin with", hint=f"take {known}")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UsageError(f"`{path}` is there already", hint="give the new service another name")
    name = re.sub(r"[^a-zA-Z0-9]+", "-", path.resolve().name).strip("-")
    if not SERVICE_NAME.fullmatch(name):
        raise UsageError(f"`{path.name}` cannot be a service's name", hint="begin it with a letter")
    entry, code = _ENTRIES[runtime]
    files = {
        "lamington.toml": f'name = "{name}"\n',
        "api.yaml": _API.format(name=name),
        f"functions/hello/{entry}": code,
        "README.md": _README.format(name=name),
        ".gitignore": ".lamington/\n__pycache__/\nnode_modules/\n",
    }
    for relative, text in files.items():
        file = path / relative
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
