"""Method request to integration request, compiled: which template runs, and on what text.

For integrations that have templates. Parameter expressions are `mapping`'s.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lamington.gateway import entities
from lamington.gateway.integrations import (
    IntegrationParameters,
    IntegrationRequest,
    decode_base64,
)
from lamington.gateway.mapping import (
    NO_OVERRIDE,
    ContextValues,
    Expression,
    MethodRequest,
    RouteConstants,
    compile_request_expression,
    media_type,
)
from lamington.gateway.recording import record_parameters
from lamington.gateway.responses import Refusal, configuration_error
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
from lamington.gateway.vtl.limits import TemplateError


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
        recording = request.recording
        if targets is not None:
            mapped = _map_targets(targets, request, context.variable.values)
            if recording is not None:
                record_parameters(recording, integration.request_parameters, mapped)
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
            seen = bindings(text, context, route)
            if recording is None:
                rendered = template.render(seen)
            else:
                rendered = template.record(seen, recording, "request_template", text)
        except TemplateError as error:
            raise configuration_error("Unable to transform request", hint=str(error)) from None
        if context.variable.values["requestOverride"] is not NO_OVERRIDE:
            mapped = _overridden(mapped, library.request_override(context.variable))
            if recording is not None:
                record_parameters(recording, {"$context.requestOverride": ""}, mapped)
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
        kind.lower(): compile_mapping_template(text, f"request template `{kind}`", note)
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
        values.update(override_texts(overrides[place]))
    return mapped
