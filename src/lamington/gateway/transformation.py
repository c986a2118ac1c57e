"""A method's two mappings, compiled: request to integration request, its response to the client's.

For integrations that have templates (`AWS`, `MOCK`). The language is `vtl`'s, the parameter
expressions are `mapping`'s; here stands which template runs, on what text, and what follows.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from lamington.gateway import entities
from lamington.gateway.integrations import (
    IntegrationParameters,
    IntegrationRequest,
    IntegrationResponse,
    decode_base64,
    error_message,
    response_header_name,
)
from lamington.gateway.mapping import (
    NO_OVERRIDE,
    ContextValues,
    Expression,
    MethodRequest,
    ResponseExpression,
    RouteConstants,
    compile_request_expression,
    compile_response_expression,
    context_values,
    decoded_path_parameters,
    media_type,
    query_values,
)
from lamington.gateway.responses import MethodResponse, Refusal, configuration_error
from lamington.gateway.vtl import library
from lamington.gateway.vtl.compiler import compile_template
from lamington.gateway.vtl.java_regex import JavaPattern, compile_java_regex
from lamington.gateway.vtl.limits import TemplateError
from lamington.gateway.vtl.syntax import TemplateSyntaxError
from lamington.gateway.vtl.values import text as template_text

Template = Callable[[library.Bindings], str]
BinaryTypes = Callable[[str], bool] | None
"""A test of a media type; None where an API has no binary media types."""

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


def compile_request_mapping(
    integration: entities.MethodIntegration,
    route: RouteConstants,
    binary_types: BinaryTypes,
    note: Note,
) -> Callable[[MethodRequest, Context], IntegrationRequest]:
    """Compile method request to integration request.

    AWS: API Gateway developer guide, request and response data mappings.
    """
    choose = _compile_request_choice(integration, note)
    convert = _compile_request_conversion(integration.content_handling, binary_types)
    targets = _compile_targets(integration.request_parameters, route.variables, note)

    def map_request(request: MethodRequest, context: Context) -> IntegrationRequest:
        content_type = request.known.get("content-type", "application/json")
        template = choose(content_type)
        body, raw = request.body, False
        if convert is not None:
            body, raw = convert(body, content_type)
        if targets is not None:
            mapped = _map_targets(targets, request, context.variable.values)
        else:
            mapped = None
        if template is None:
            return _integration_request(body, request, mapped)
        if raw:
            raise configuration_error(
                "Unable to transform request",
                hint="a template runs on a binary body; set `contentHandling` to CONVERT_TO_TEXT",
            )
        text = body.decode("utf-8", "replace")
        try:
            rendered = template(_bindings(text, context, route))
        except TemplateError as error:
            raise configuration_error("Unable to transform request", hint=str(error)) from None
        if context.variable.values["requestOverride"] is not NO_OVERRIDE:
            mapped = _overridden(mapped, library.request_override(context.variable))
        return _integration_request(rendered.encode("utf-8", "replace"), request, mapped)

    return map_request


def _integration_request(
    body: bytes, request: MethodRequest, mapped: dict[str, dict[str, str]] | None
) -> IntegrationRequest:
    if mapped is None:
        return IntegrationRequest(body, request.trace_id)
    parameters = IntegrationParameters(
        headers=mapped["header"], query=mapped["querystring"], path=mapped["path"]
    )
    return IntegrationRequest(body, request.trace_id, parameters)


def _compile_request_choice(
    integration: entities.MethodIntegration, note: Note
) -> Callable[[str], Template | None]:
    """Compile which template a content type takes: one, none, or a refusal.

    AWS: API Gateway developer guide, integration passthrough behaviours. The key of an empty
    template counts as defined.
    """
    templates = {
        kind.lower(): _compile_template(text, f"request template `{kind}`", note)
        for kind, text in integration.request_templates.items()
    }
    behavior = integration.passthrough_behavior.upper()
    refuses = behavior == "NEVER" or (behavior == "WHEN_NO_TEMPLATES" and bool(templates))

    def choose(content_type: str) -> Template | None:
        if content_type in templates:
            return templates[content_type]
        kind = media_type(content_type)
        if kind in templates:
            return templates[kind]
        if refuses:
            raise Refusal(
                f"Unsupported media type: {content_type}",
                response_type="UNSUPPORTED_MEDIA_TYPE",
            )
        return None

    return choose


def _compile_template(text: str, name: str, note: Note) -> Template | None:
    """Compile a template, None for an empty one; one that does not compile fails when it runs."""
    if not text:
        return None
    try:
        template = compile_template(text)
    except TemplateSyntaxError as error:
        note(error.message, name, error.line, error.column)
        failure = TemplateError(f"{name}: {error}")

        def fail(bindings: library.Bindings) -> str:
            raise failure

        return fail

    def render(bindings: library.Bindings) -> str:
        try:
            return template(bindings)
        except TemplateError as error:
            raise TemplateError(f"{name}: {error}") from None

    return render


Conversion = Callable[[bytes, str], tuple[bytes, bool]]
"""A body and its media type to what it is converted to, and whether that is raw binary."""


def _compile_request_conversion(handling: str, binary_types: BinaryTypes) -> Conversion | None:
    """AWS: API Gateway developer guide, content type conversions, the table of requests."""
    if binary_types is None and handling != "CONVERT_TO_BINARY":
        return None

    def convert(body: bytes, content_type: str) -> tuple[bytes, bool]:
        if binary_types is not None and binary_types(content_type):
            return (
                (base64.b64encode(body), False) if handling == "CONVERT_TO_TEXT" else (body, True)
            )
        if handling == "CONVERT_TO_BINARY":
            return decode_base64(body), True
        return body.decode("utf-8", "replace").encode(), False

    return convert


@dataclass(frozen=True, slots=True)
class _Target:
    place: str
    name: str
    expression: Expression


def _compile_targets(
    parameters: Mapping[str, str], variables: Mapping[str, str], note: Note
) -> tuple[_Target, ...] | None:
    targets = []
    for target, source in parameters.items():
        place, _, name = target.removeprefix("integration.request.").partition(".")
        if place not in ("header", "querystring", "path"):
            note(f"Invalid mapping expression parameter specified: {target}")
            continue
        try:
            expression = compile_request_expression(source, variables)
        except TemplateError as error:
            note(f"Invalid mapping expression specified: {source}: {error.message}")
            continue
        targets.append(_Target(place, name, expression))
    return tuple(targets) or None


def _map_targets(
    targets: tuple[_Target, ...], request: MethodRequest, values: ContextValues
) -> dict[str, dict[str, str]]:
    mapped: dict[str, dict[str, str]] = {"header": {}, "querystring": {}, "path": {}}
    for target in targets:
        try:
            value = target.expression(request, values)
        except TemplateError:
            raise Refusal(
                "Invalid JSON in request body",
                response_type="BAD_REQUEST_BODY",
                client_message="Invalid JSON in request body",
            ) from None
        if value is not None:
            mapped[target.place][target.name] = value
    return mapped


def _overridden(
    mapped: dict[str, dict[str, str]] | None, overrides: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, str]]:
    mapped = mapped or {"header": {}, "querystring": {}, "path": {}}
    for place, values in mapped.items():
        values.update(_override_texts(overrides[place]))
    return mapped


@dataclass(slots=True, kw_only=True)
class _Outcome:
    """One integration response, compiled; `declared` tells whether the method has its status."""

    status: int
    declared: bool
    headers: tuple[tuple[str, ResponseExpression], ...]
    templates: Mapping[str, Template | None]
    convert: "ResponseConversion | None"


def compile_response_mapping(
    integration: entities.MethodIntegration,
    method: entities.Method,
    route: RouteConstants,
    binary_types: BinaryTypes,
    note: Note,
) -> Callable[[MethodRequest, Context, IntegrationResponse], MethodResponse]:
    """Compile integration response to method response.

    AWS: API Gateway developer guide, integration responses; a template that is empty passes the
    body on, and the response is `application/json` unless a mapping or an override says so.
    """
    select = _compile_selection(integration, method, route, binary_types, note)

    def map_response(
        request: MethodRequest, context: Context, response: IntegrationResponse
    ) -> MethodResponse:
        outcome = select(response)
        if not outcome.declared:
            raise configuration_error(
                f"Output mapping refers to an invalid method response: {outcome.status}",
                hint=f"declare a response `{outcome.status}` for the method",
            )
        headers = _map_headers(outcome, response, context.variable.values)
        body, raw = response.body, False
        accept = request.known.get("accept", "application/json")
        if outcome.convert is not None and body:
            body, raw = outcome.convert(body, response, accept)
        if not outcome.templates:
            return MethodResponse(outcome.status, headers, body)
        template = _response_template(outcome.templates, accept)
        if template is None:
            return _respond(outcome, headers, body, context)
        if raw:
            raise configuration_error(
                "Unable to transform response",
                hint="a template runs on a binary body; set `contentHandling` to CONVERT_TO_TEXT",
            )
        try:
            text = template(_bindings(body.decode("utf-8", "replace"), context, route))
        except TemplateError as error:
            raise configuration_error("Unable to transform response", hint=str(error)) from None
        return _respond(outcome, headers, text.encode("utf-8", "replace"), context)

    return map_response


def _respond(
    outcome: _Outcome, headers: list[tuple[str, str]], body: bytes, context: Context
) -> MethodResponse:
    """Apply what templates assigned to `$context.responseOverride`.

    AWS: a status is used where it is a number from 100 to 599, and ignored otherwise.
    """
    status = outcome.status
    if context.variable.values["responseOverride"] is not NO_OVERRIDE:
        overrides = library.response_override(context.variable)
        for name, value in _override_texts(overrides["header"]).items():
            lower = name.lower()
            headers = [pair for pair in headers if pair[0].lower() != lower]
            shown = response_header_name(name)
            if shown:
                headers.append((shown, value))
        wanted = overrides["status"]
        if isinstance(wanted, str) and wanted.isascii() and wanted.isdecimal():
            wanted = int(wanted)
        if type(wanted) is int and 100 <= wanted <= 599:
            status = wanted
    return MethodResponse(status, headers, body)


def _response_template(templates: Mapping[str, Template | None], accept: str) -> Template | None:
    """AWS: what `Accept` names first, else `application/json`, else the first defined."""
    if accept in templates:
        return templates[accept]
    kind = media_type(accept.partition(",")[0])
    for each in (kind, "application/json"):
        if each in templates:
            return templates[each]
    return next(iter(templates.values()))


def _map_headers(
    outcome: _Outcome, response: IntegrationResponse, values: ContextValues
) -> list[tuple[str, str]]:
    headers = []
    typed = False
    for name, expression in outcome.headers:
        try:
            value = expression(response.headers, response.body, values)
        except TemplateError as error:
            raise configuration_error(
                "Unable to transform response", hint=f"header `{name}`: {error}"
            ) from None
        if value is not None:
            typed = typed or name.lower() == "content-type"
            headers.append((name, value))
    if not typed:
        headers.append(("Content-Type", "application/json"))
    return headers


def _compile_selection(
    integration: entities.MethodIntegration,
    method: entities.Method,
    route: RouteConstants,
    binary_types: BinaryTypes,
    note: Note,
) -> Callable[[IntegrationResponse], _Outcome]:
    """Compile which integration response an answer takes: the first whose pattern matches whole.

    AWS: with Lambda the subject is the error message, which an answer without error has none
    of; else it is the status.
    """
    declared = frozenset(each.status_code for each in method.responses)
    default: _Outcome | None = None
    patterns: list[tuple[JavaPattern, _Outcome]] = []
    for each in integration.responses:
        outcome = _compile_outcome(each, each.status_code in declared, route, binary_types, note)
        if not each.selection_pattern:
            default = default or outcome
            continue
        try:
            patterns.append((compile_java_regex(each.selection_pattern), outcome))
        except TemplateError as error:
            note(f"selection pattern of {each.status_code}: {error.message}")

    def find(subject: str) -> _Outcome | None:
        for pattern, outcome in patterns:
            try:
                if pattern.admit(subject).fullmatch(subject):
                    return outcome
            except TemplateError as error:
                raise configuration_error(error.message) from None
        return default

    without_error = find("")

    def select(response: IntegrationResponse) -> _Outcome:
        if response.function_error or b'"errorMessage"' in response.body:
            outcome = find(error_message(response.body))
        else:
            outcome = without_error
        return outcome or _no_match(response)

    def select_by_status(response: IntegrationResponse) -> _Outcome:
        return find(str(response.status)) or _no_match(response)

    return select if integration.type == "AWS" else select_by_status


def _no_match(response: IntegrationResponse) -> _Outcome:
    raise configuration_error(
        "No match for output mapping and no default output mapping configured. Endpoint Response"
        f" Status Code: {response.status}",
        hint="give the integration a response named `default`",
    )


def _compile_outcome(
    response: entities.IntegrationResponse,
    declared: bool,
    route: RouteConstants,
    binary_types: BinaryTypes,
    note: Note,
) -> _Outcome:
    headers = []
    for target, source in response.response_parameters.items():
        name = response_header_name(target.removeprefix("method.response.header."))
        try:
            expression = compile_response_expression(source, route.variables)
        except TemplateError as error:
            note(f"Invalid mapping expression specified: {source}: {error.message}")
            continue
        if name:
            headers.append((name, expression))
    return _Outcome(
        status=int(response.status_code),
        declared=declared,
        headers=tuple(headers),
        templates={
            kind.lower(): _compile_template(
                text, f"response template `{kind}` of {response.status_code}", note
            )
            for kind, text in response.response_templates.items()
        },
        convert=_compile_response_conversion(response.content_handling, binary_types),
    )


ResponseConversion = Callable[[bytes, IntegrationResponse, str], tuple[bytes, bool]]


def _compile_response_conversion(
    handling: str, binary_types: BinaryTypes
) -> ResponseConversion | None:
    """AWS: API Gateway developer guide, content type conversions, the table of responses."""
    if binary_types is None and handling != "CONVERT_TO_BINARY":
        return None

    def convert(body: bytes, response: IntegrationResponse, accept: str) -> tuple[bytes, bool]:
        accepted = binary_types is not None and binary_types(accept.partition(",")[0])
        if binary_types is not None and binary_types(_content_type(response)):
            wants_text = handling == "CONVERT_TO_TEXT" or (not handling and not accepted)
            return (base64.b64encode(body), False) if wants_text else (body, True)
        if handling == "CONVERT_TO_BINARY" or (not handling and accepted):
            return decode_base64(body), True
        return body, False

    return convert


def _content_type(response: IntegrationResponse) -> str:
    for name, value in response.headers:
        if name.lower() == "content-type":
            return value
    return "application/json"


def _bindings(text: str, context: Context, route: RouteConstants) -> library.Bindings:
    return library.Bindings(
        input=library.Input(
            text, path=context.path, querystring=context.querystring, header=context.header
        ),
        context=context.variable,
        stage_variables=route.variables,
    )


def _override_texts(values: Mapping[str, Any]) -> dict[str, str]:
    """AWS: a list is joined by commas (recorded)."""
    return {
        name: ",".join(map(template_text, value))
        if isinstance(value, list)
        else template_text(value)
        for name, value in values.items()
        if value is not None
    }
