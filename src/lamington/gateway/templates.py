"""Mapping templates as a method has them: compiled once, named in their errors, given their values.

The language is `vtl`'s; which template of a method runs, and what comes of its text, is told in
`request_mapping` and `response_mapping`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Protocol

from lamington.gateway.mapping import (
    MethodRequest,
    RouteConstants,
    context_values,
    decoded_path_parameters,
    query_values,
)
from lamington.gateway.recording import Recording
from lamington.gateway.vtl import library
from lamington.gateway.vtl.compiler import (
    MappingTemplate,
    TracedTemplate,
    compile_template,
    compile_traced_template,
)
from lamington.gateway.vtl.limits import TemplateError
from lamington.gateway.vtl.syntax import TemplateSyntaxError
from lamington.gateway.vtl.values import text as template_text

BinaryTypes = Callable[[str], bool] | None
"""A test of a media type; None where an API has no binary media types."""

TEMPLATES_KEPT = 2048
TRACED_KEPT = 256

_NO_VALUES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What of an API fails at run time; `line` and `column` count within the template."""

    method: str
    path: str
    message: str
    template: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        where = f"{self.method} {self.path}"
        if self.template:
            where = f"{where}, {self.template}"
        if self.line:
            where = f"{where}, line {self.line}, column {self.column}"
        return f"{where}: {self.message}"


class Note(Protocol):
    """Keeps a problem that is found while a method is compiled."""

    def __call__(
        self, message: str, template: str = "", line: int = 0, column: int = 0
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Template:
    """One of a method's templates; `render` raises TemplateError, which names it."""

    name: str
    text: str
    render: Callable[[library.Bindings], str]

    def __call__(self, bindings: library.Bindings) -> str:
        return self.render(bindings)

    def record(self, bindings: library.Bindings, recording: Recording, step: str, body: str) -> str:
        """Render with a step that tells which line of the template printed what."""
        pieces: list[tuple[int, str]] = []
        values: dict[str, Any] = {"template": self.name, "text": self.text, "input": body}
        try:
            traced = _compiled_traced(self.text)
            if isinstance(traced, TemplateSyntaxError):
                return self.render(bindings)
            output = traced(bindings, pieces.append)
        except TemplateError as error:
            recording.add(step, **values, output="", lines=joined_lines(pieces), error=str(error))
            raise TemplateError(f"{self.name}: {error}") from None
        recording.add(step, **values, output=output, lines=joined_lines(pieces))
        return output


def joined_lines(pieces: Iterable[tuple[int, str]]) -> list[list[int | str]]:
    """Pieces of output with their lines, those that follow one another from a line as one."""
    lines: list[list[int | str]] = []
    for line, text in pieces:
        if lines and lines[-1][0] == line:
            lines[-1][1] = f"{lines[-1][1]}{text}"
        elif text:
            lines.append([line, text])
    return lines


@dataclass(slots=True)
class Context:
    """What the two mappings of one request share: `$context`, and what `$input.params()` gives.

    AWS: what the request template sets in `$context`, the response template sees.
    """

    variable: library.Context
    path: Mapping[str, str]
    querystring: Mapping[str, str]
    header: Mapping[str, str]


_NO_CONTEXT = Context(library.make_context({}), {}, {}, {})


def make_no_context(request: MethodRequest) -> Context:
    """For a method whose mappings read nothing of it."""
    return _NO_CONTEXT


def make_method_context(route: RouteConstants) -> Callable[[MethodRequest], Context]:
    """Compile the making of what a method's templates and expressions may read."""

    def make(request: MethodRequest) -> Context:
        return Context(
            library.make_context(context_values(route, request)),
            decoded_path_parameters(request) if request.path_parameters else _NO_VALUES,
            query_values(request.query)[0] if request.query else _NO_VALUES,
            request.headers,
        )

    return make


@lru_cache(maxsize=TEMPLATES_KEPT)
def _compiled(text: str) -> MappingTemplate | TemplateSyntaxError:
    """Compile a text once: an API is frozen again for each stage, change and test of a method."""
    try:
        return compile_template(text)
    except TemplateSyntaxError as error:
        return error


@lru_cache(maxsize=TRACED_KEPT)
def _compiled_traced(text: str) -> TracedTemplate | TemplateSyntaxError:
    """Compile the form that tells lines, when somebody first asks for it."""
    try:
        return compile_traced_template(text)
    except TemplateSyntaxError as error:
        return error


def compile_mapping_template(text: str, name: str, note: Note) -> Template | None:
    """Compile a template, None for an empty one; one that does not compile fails when it runs.

    `name` says in each error which of a method's templates it was. Raises nothing itself.
    """
    if not text:
        return None
    template = _compiled(text)
    if isinstance(template, TemplateSyntaxError):
        note(template.message, name, template.line, template.column)
        failure = f"{name}: {template}"

        def fail(bindings: library.Bindings) -> str:
            raise TemplateError(failure)

        return Template(name, text, fail)

    def render(bindings: library.Bindings) -> str:
        try:
            return template(bindings)
        except TemplateError as error:
            raise TemplateError(f"{name}: {error}") from None

    return Template(name, text, render)


def bindings(body: str, context: Context, route: RouteConstants) -> library.Bindings:
    """What one rendering on a body sees."""
    return library.Bindings(
        input=library.Input(
            body, path=context.path, querystring=context.querystring, header=context.header
        ),
        context=context.variable,
        stage_variables=route.variables,
    )


def override_texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Write what a template assigned to an override as header or parameter values.

    AWS: a list is joined by commas (recorded).
    """
    return {
        name: ",".join(map(template_text, value))
        if isinstance(value, list)
        else template_text(value)
        for name, value in values.items()
        if value is not None
    }
