"""Integration response to method response, compiled: which response is selected, what it sends.

For integrations that have templates. Parameter expressions are `mapping`'s.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lamington.gateway import entities
from lamington.gateway.integrations import (
    FUNCTION_URI,
    IntegrationResponse,
    decode_base64,
    error_message,
    response_header_name,
)
from lamington.gateway.mapping import (
    NO_OVERRIDE,
    ContextValues,
    MethodRequest,
    ResponseExpression,
    RouteConstants,
    compile_response_expression,
    media_type,
)
from lamington.gateway.recording import Recording
from lamington.gateway.responses import MethodResponse, configuration_error
from lamington.gateway.templates import (
    BinaryTypes,
    Context,
    Note,
    Template,
    bindings,
    compile_mapping_template,
    override_texts,
)
from lamington.gateway.vtl import library
from lamington.gateway.vtl.java_regex import JavaPattern, compile_java_regex
from lamington.gateway.vtl.limits import TemplateError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """One integration response, compiled; `declared` tells whether the method has its status."""

    status: int
    declared: bool
    headers: tuple[tuple[str, ResponseExpression], ...]
    templates: Mapping[str, Template | None]
    convert: "ResponseConversion | None"
    pattern: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)


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
        recording = request.recording
        if response.request_id:
            context.variable.values["awsEndpointRequestId"] = response.request_id
        outcome = select(response)
        if recording is not None:
            _record_selection(recording, integration, response, outcome)
        if not outcome.declared:
            raise configuration_error(
                f"Output mapping refers to an invalid method response: {outcome.status}",
                hint=f"declare a response `{outcome.status}` for the method",
            )
        headers = _map_headers(outcome, response, context.variable.values)
        if recording is not None and outcome.headers:
            recording.add("response_parameters", before=dict(outcome.sources), after=dict(headers))
        body, raw = response.body, False
        accept = request.known.get("accept", "application/json")
        if outcome.convert is not None and body:
            body, raw = outcome.convert(body, response, accept)
        if not outcome.templates:
            return _respond(outcome, headers, body, context)
        template = _response_template(outcome.templates, accept)
        if template is None:
            return _respond(outcome, headers, body, context)
        if raw:
            raise configuration_error(
                "Unable to transform response",
                hint="a template runs on a binary body; set `contentHandling` to CONVERT_TO_TEXT",
            )
        try:
            body_text = body.decode("utf-8", "replace")
            seen = bindings(body_text, context, route)
            if recording is None:
                text = template.render(seen)
            else:
                text = template.record(seen, recording, "response_template", body_text)
        except TemplateError as error:
            raise configuration_error("Unable to transform response", hint=str(error)) from None
        return _respond(outcome, headers, text.encode("utf-8", "replace"), context)

    return map_response


def _record_selection(
    recording: Recording,
    integration: entities.MethodIntegration,
    response: IntegrationResponse,
    outcome: _Outcome,
) -> None:
    """Record which integration response was taken, and what its pattern was held against."""
    of_function = integration.type == "AWS"
    failed = response.function_error or b'"errorMessage"' in response.body
    subject = str(response.status)
    if of_function:
        subject = error_message(response.body) if failed else ""
    if outcome.pattern:
        why = f"`{outcome.pattern}` is the first pattern that matches"
    elif of_function and not failed:
        why = "the function gave no error message: the default response"
    else:
        why = "no pattern matches: the default response"
    recording.add(
        "response_selection",
        subject=subject,
        pattern=outcome.pattern,
        status=outcome.status,
        why=why,
        patterns=[
            [each.selection_pattern, each.status_code]
            for each in integration.responses
            if each.selection_pattern
        ],
    )


def _respond(
    outcome: _Outcome, headers: list[tuple[str, str]], body: bytes, context: Context
) -> MethodResponse:
    """Apply what templates assigned to `$context.responseOverride`.

    AWS: a status is used where it is a number from 100 to 599, and ignored otherwise.
    """
    status = outcome.status
    if context.variable.values["responseOverride"] is not NO_OVERRIDE:
        overrides = library.response_override(context.variable)
        for name, value in override_texts(overrides["header"]).items():
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
        outcome = _compile_outcome(
            each, each.status_code in declared, integration.type, route, binary_types, note
        )
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

    invokes = integration.type == "AWS" and FUNCTION_URI.fullmatch(integration.uri)
    return select if invokes else select_by_status


def _no_match(response: IntegrationResponse) -> _Outcome:
    raise configuration_error(
        "No match for output mapping and no default output mapping configured. Endpoint Response"
        f" Status Code: {response.status}",
        hint="give the integration a response named `default`",
    )


def _compile_outcome(
    response: entities.IntegrationResponse,
    declared: bool,
    kind: str,
    route: RouteConstants,
    binary_types: BinaryTypes,
    note: Note,
) -> _Outcome:
    headers = []
    for target, source in response.response_parameters.items():
        name = _mapped_header_name(target.removeprefix("method.response.header."), kind)
        try:
            expression = compile_response_expression(source, route.variables)
        except TemplateError as error:
            note(f"Invalid mapping expression specified: {source}: {error.message}")
            continue
        if name:
            headers.append((name, expression))
    valid = response.status_code.isascii() and response.status_code.isdecimal()
    return _Outcome(
        status=int(response.status_code) if valid else 0,
        declared=declared and valid,
        headers=tuple(headers),
        templates={
            kind.lower(): compile_mapping_template(
                text, f"response template `{kind}` of {response.status_code}", note
            )
            for kind, text in response.response_templates.items()
        },
        convert=compile_response_conversion(response.content_handling, binary_types),
        pattern=response.selection_pattern,
        sources=response.response_parameters,
    )


def _mapped_header_name(name: str, kind: str) -> str:
    """AWS: known issues, the column of HTTP: there `Via` passes, and `Accept` does not."""
    if kind == "HTTP" and name.lower() in ("accept", "via"):
        return name if name.lower() == "via" else ""
    return response_header_name(name)


ResponseConversion = Callable[[bytes, IntegrationResponse, str], tuple[bytes, bool]]


def compile_response_conversion(
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
