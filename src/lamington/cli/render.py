"""`lamington render`: one mapping template on given values, without any engine."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lamington.cli.output import Output, describe_parameters
from lamington.core.errors import Position, UsageError
from lamington.gateway.templates import joined_lines
from lamington.gateway.vtl import library
from lamington.gateway.vtl.compiler import compile_traced_template
from lamington.gateway.vtl.limits import TemplateError
from lamington.gateway.vtl.syntax import TemplateSyntaxError

STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderOptions:
    """What the flags say; pairs are KEY=VALUE."""

    body: str = ""
    context: Path | None = None
    path: Sequence[str] = ()
    query: Sequence[str] = ()
    header: Sequence[str] = ()
    stage_variable: Sequence[str] = ()
    response: bool = False
    lines: bool = False


def render_template(template: str, options: RenderOptions, output: Output) -> None:
    """Render a template from a file, or standard input, and print what comes of it.

    Raises UsageError with the file, the line and the column where the template fails.
    """
    text, name = _load_template(template)
    variable = library.make_context(_load_context(options.context))
    bindings = library.Bindings(
        input=library.Input(
            load_bytes(options.body, bare_names=True).decode("utf-8", "replace"),
            path=describe_parameters(options.path),
            querystring=describe_parameters(options.query),
            header=describe_parameters(options.header),
        ),
        context=variable,
        stage_variables=describe_parameters(options.stage_variable),
    )
    pieces: list[tuple[int, str]] = []
    try:
        rendered = compile_traced_template(text)(bindings, pieces.append)
    except (TemplateSyntaxError, TemplateError) as error:
        where = Position(file=name, line=error.line, column=error.column)
        raise UsageError(error.message, hint=error.hint, where=where) from None
    overrides = _overrides(variable, response=options.response)
    if output.as_json:
        output.write_json(
            {"output": rendered, "overrides": overrides, "lines": joined_lines(pieces)}
        )
        return
    if options.lines:
        for row in beside(text, pieces, output):
            output.write(row)
    else:
        sys.stdout.write(rendered)
        sys.stdout.flush()
    for key, value in _flat(overrides):
        output.say(f"{output.paint(key, 'cyan')} = {value}")


def beside(text: str, pieces: Sequence[tuple[int, str]], output: Output) -> list[str]:
    """The template's lines, and beside each what it printed; a line that prints often, once each.

    The lines of a loop stand where their output does, so that output is read downwards.
    """
    source = text.splitlines()
    width = min(60, max((len(line) for line in source), default=0))
    rows = []
    shown = ""
    for line, printed in joined_lines(pieces):
        number = int(line)
        code = source[number - 1] if 0 < number <= len(source) else ""
        place = f"{number:>4}" if number else "   ?"
        parts = str(printed).split("\n")
        if parts and not parts[-1]:
            parts.pop()
        for index, part in enumerate(parts or [""]):
            left = f"{place} {code[:width]:<{width}}" if not index else " " * (width + 5)
            shown = f"{output.paint_data(left, 'dim')} {output.paint_data('│', 'cyan')} {part}"
            rows.append(shown.rstrip())
    return rows


def load_bytes(given: str, *, bare_names: bool = False) -> bytes:
    """A payload as a flag names it: `-` is standard input, `@name` a file, the rest itself.

    With `bare_names` the name of a file that is there is that file.
    """
    if given == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    if given.startswith("@"):
        return _read_bytes(Path(given[1:]))
    if bare_names and given and _is_file(given):
        return _read_bytes(Path(given))
    return given.encode()


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):
        return False


def _read(path: Path) -> str:
    try:
        return _read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"`{path}` is not UTF-8: {error}") from None


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"there is no file `{path}`") from None
    except OSError as error:
        raise UsageError(f"`{path}` cannot be read: {error}") from None


def _load_template(template: str) -> tuple[str, str]:
    if template == STANDARD_INPUT:
        return sys.stdin.read(), "(standard input)"
    return _read(Path(template)), template


def _load_context(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        found = msgspec.json.decode(_read(path))
    except msgspec.DecodeError as error:
        raise UsageError(f"`{path}` is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise UsageError(f"`{path}` is not an object", hint="give the members of `$context`")
    return found


def _overrides(variable: library.Context, *, response: bool) -> dict[str, Any]:
    """What the template assigned to overrides, without what it left alone."""
    if response:
        found = library.response_override(variable)
        return {name: value for name, value in found.items() if value not in (None, {})}
    return {name: value for name, value in library.request_override(variable).items() if value}


def _flat(overrides: Mapping[str, Any]) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in overrides.items():
        if isinstance(value, Mapping):
            rows += [(f"{name}.{key}", each) for key, each in value.items()]
        else:
            rows.append((name, value))
    return rows
