"""Mappings of integrations that are no proxies: exchange to request, and answer to reply.

Compiled when a stage is deployed. Templates are `vtl`'s, and which of them runs is told by
selection expressions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lamington.gateway.integrations import (
    IntegrationParameters,
    IntegrationRequest,
    IntegrationResponse,
    error_message,
)
from lamington.gateway.mapping import (
    NO_OVERRIDE,
    ResponseExpression,
    compile_response_expression,
    context_text,
)
from lamington.gateway.recording import Recording, record_parameters
from lamington.gateway.responses import Refusal, configuration_error
from lamington.gateway.templates import Note, Template, compile_mapping_template, override_texts
from lamington.gateway.v2 import entities
from lamington.gateway.v2.websocket.events import Reply
from lamington.gateway.v2.websocket.exchange import Exchange
from lamington.gateway.v2.websocket.selection import (
    DEFAULT_KEY,
    Body,
    Selector,
    Subject,
    compile_selection,
    value_text,
)
from lamington.gateway.vtl import library
from lamington.gateway.vtl.java_regex import compile_java_regex
from lamington.gateway.vtl.jsonpath import MISSING, compile_json_path
from lamington.gateway.vtl.limits import TemplateError

MapRequest = Callable[[Exchange, library.Context], IntegrationRequest]
MapResponse = Callable[[Exchange, library.Context, IntegrationResponse], Reply]

_Source = Callable[[Exchange], str | None]


def compile_request_mapping(
    integration: entities.Integration, variables: Mapping[str, str], note: Note
) -> MapRequest:
    """Compile what an exchange sends to its integration.

    AWS: API Gateway developer guide, WebSocket APIs, data transformations: the template that the
    template selection expression names, else `$default`; without one the message goes as it is.
    """
    templates = {
        key: compile_mapping_template(text, f"request template `{key}`", note)
        for key, text in integration.request_templates.items()
    }
    select = _selector(integration.template_selection_expression, note)
    targets = _compile_targets(integration.request_parameters, variables, note)
    behavior = integration.passthrough_behavior.upper()
    refuses = behavior == "NEVER" or (behavior == "WHEN_NO_TEMPLATES" and bool(templates))

    def map_request(exchange: Exchange, context: library.Context) -> IntegrationRequest:
        parameters = _parameters(targets, exchange)
        if exchange.recording is not None and targets:
            record_parameters(exchange.recording, integration.request_parameters, parameters)
        template: Template | None = None
        if templates:
            key = select(exchange.subject())
            template = templates.get(key) or templates.get(DEFAULT_KEY)
        if template is None:
            if refuses:
                raise Refusal("No template", response_type="UNSUPPORTED_MEDIA_TYPE")
            body = exchange.body.text
        else:
            body = _rendered(template, exchange.body.text, exchange, context, "request")
            if context.values.get("requestOverride", NO_OVERRIDE) is not NO_OVERRIDE:
                overrides = library.request_override(context)
                for place, values in parameters.items():
                    values.update(override_texts(overrides[place]))
                if exchange.recording is not None:
                    sources = {"$context.requestOverride": ""}
                    record_parameters(exchange.recording, sources, parameters)
        return IntegrationRequest(
            body.encode("utf-8", "replace"),
            exchange.trace_id,
            IntegrationParameters(
                headers=parameters["header"],
                query=parameters["querystring"],
                path=parameters["path"],
            ),
        )

    return map_request


def _rendered(
    template: Template, body: str, exchange: Exchange, context: library.Context, which: str
) -> str:
    subject = exchange.subject()
    seen = library.Bindings(
        input=library.Input(body, path={}, querystring=subject.query, header=subject.headers),
        context=context,
        stage_variables=exchange.variables,
    )
    try:
        if exchange.recording is not None:
            return template.record(seen, exchange.recording, f"{which}_template", body)
        return template(seen)
    except TemplateError as error:
        raise configuration_error(f"Unable to transform {which}", hint=str(error)) from None


def _parameters(
    targets: tuple[tuple[str, str, _Source], ...], exchange: Exchange
) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {"header": {}, "querystring": {}, "path": {}}
    for place, name, source in targets:
        value = source(exchange)
        if value is not None:
            found[place][name] = value
    return found


def _compile_targets(
    parameters: Mapping[str, str], variables: Mapping[str, str], note: Note
) -> tuple[tuple[str, str, _Source], ...]:
    targets = []
    for target, text in parameters.items():
        place, _, name = target.removeprefix("integration.request.").partition(".")
        if place not in ("header", "querystring", "path"):
            note(f"Invalid mapping expression parameter specified: {target}")
            continue
        try:
            targets.append((place, name, _compile_source(text, variables)))
        except TemplateError as error:
            note(f"Invalid mapping expression specified: {text}: {error.message}")
    return tuple(targets)


def _compile_source(text: str, variables: Mapping[str, str]) -> _Source:
    """Compile one source of a parameter; an unknown form gives nothing.

    AWS: API Gateway developer guide, WebSocket APIs, data mapping: headers and the query string
    are there for `$connect` alone.
    """
    if len(text) >= 2 and text[0] == text[-1] == "'":
        constant = text[1:-1]
        return lambda exchange: constant
    root, _, name = text.partition(".")
    if root == "stageVariables":
        value = variables.get(name)
        return lambda exchange: value
    if root == "context":
        return lambda exchange: context_text(exchange.template_context(), name)
    place, _, rest = name.removeprefix("request.").partition(".")
    match place:
        case "header":
            return lambda exchange: exchange.subject().headers.get(rest.lower())
        case "querystring":
            return lambda exchange: exchange.subject().query.get(rest)
        case "body":
            walk = compile_json_path(f"$.{rest}" if rest else "$")
            return lambda exchange: _part_of(exchange.body, walk)
        case _:
            return lambda exchange: None


def _part_of(body: Body, walk: Callable[[object], object]) -> str | None:
    value = body.value()
    found = MISSING if value is MISSING else walk(value)
    return None if found is MISSING else value_text(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """One integration response, compiled; `sources` are the expressions of its headers."""

    key: str
    sources: Mapping[str, str]
    select: Selector
    templates: Mapping[str, Template | None]
    headers: tuple[tuple[str, ResponseExpression], ...]


def compile_response_mapping(
    integration: entities.Integration, variables: Mapping[str, str], note: Note
) -> MapResponse:
    """Compile what comes of an integration's answer.

    AWS: API Gateway developer guide, WebSocket APIs, integration responses: the key is `$default`
    or a pattern for the status, with Lambda for the error message.
    """
    find = _compile_selection_of_responses(integration, variables, note)
    by_message = integration.integration_type == "AWS"

    def map_response(
        exchange: Exchange, context: library.Context, response: IntegrationResponse
    ) -> Reply:
        message = error_message(response.body) if by_message else ""
        looked_at = message if by_message else str(response.status)
        outcome = find(looked_at)
        if exchange.recording is not None:
            keys = [each.integration_response_key for each in integration.responses.values()]
            _record_selection(exchange.recording, looked_at, response, outcome, keys)
        if outcome is None:
            return Reply(status=_plain_status(response), body=response.body)
        text = response.body.decode("utf-8", "replace")
        headers = _map_headers(outcome, response, context)
        if exchange.recording is not None and outcome.headers:
            before = dict(outcome.sources)
            exchange.recording.add("response_parameters", before=before, after=dict(headers))
        template: Template | None = None
        if outcome.templates:
            subject = _answer_subject(exchange, response, text)
            key = outcome.select(subject)
            template = outcome.templates.get(key) or outcome.templates.get(DEFAULT_KEY)
        status = _plain_status(response)
        if template is not None:
            text = _rendered(template, text, exchange, context, "response")
            if context.values.get("responseOverride", NO_OVERRIDE) is not NO_OVERRIDE:
                overrides = library.response_override(context)
                headers.update(
                    {k.lower(): v for k, v in override_texts(overrides["header"]).items()}
                )
                wanted = overrides["status"]
                if isinstance(wanted, str) and wanted.isascii() and wanted.isdecimal():
                    wanted = int(wanted)
                if type(wanted) is int and 100 <= wanted <= 599:
                    status = wanted
        return Reply(status=status, body=text.encode("utf-8", "replace"), headers=headers)

    return map_response


def _record_selection(
    recording: Recording,
    subject: str,
    response: IntegrationResponse,
    outcome: _Outcome | None,
    keys: Sequence[str],
) -> None:
    """Record which integration response was taken, and what its key was held against."""
    if outcome is None:
        why = "no integration response takes it: the answer goes on as it is"
    elif outcome.key == DEFAULT_KEY:
        why = "no other key matches"
    else:
        why = f"`{outcome.key}` matches"
    recording.add(
        "response_selection",
        subject=subject,
        pattern="" if outcome is None else outcome.key,
        status=_plain_status(response),
        why=why,
        patterns=list(keys),
    )


def _plain_status(response: IntegrationResponse) -> int:
    """A function that failed is a failure of what stands behind, whatever Lambda's status."""
    return 502 if response.function_error else response.status


def _map_headers(
    outcome: _Outcome, response: IntegrationResponse, context: library.Context
) -> dict[str, str]:
    headers = {}
    for name, expression in outcome.headers:
        try:
            value = expression(response.headers, response.body, context.values)
        except TemplateError as error:
            raise configuration_error("Unable to transform response", hint=str(error)) from None
        if value is not None:
            headers[name] = value
    return headers


def _answer_subject(exchange: Exchange, response: IntegrationResponse, text: str) -> Subject:
    return Subject(
        body=Body(text),
        headers={name.lower(): value for name, value in response.headers},
        status=str(response.status),
        context=exchange.context,
        variables=exchange.variables,
    )


def _compile_selection_of_responses(
    integration: entities.Integration, variables: Mapping[str, str], note: Note
) -> Callable[[str], _Outcome | None]:
    exact: dict[str, _Outcome] = {}
    patterns = []
    for each in integration.responses.values():
        key = each.integration_response_key
        outcome = _compile_outcome(each, variables, note)
        if len(key) >= 2 and key[0] == key[-1] == "/":
            try:
                patterns.append((compile_java_regex(key[1:-1]), outcome))
            except TemplateError as error:
                note(f"integration response `{key}`: {error.message}")
        else:
            exact[key] = outcome
    default = exact.get(DEFAULT_KEY)

    def find(subject: str) -> _Outcome | None:
        for pattern, outcome in patterns:
            try:
                if pattern.admit(subject).fullmatch(subject):
                    return outcome
            except TemplateError as error:
                raise configuration_error(error.message) from None
        return exact.get(subject) or default

    return find


def _compile_outcome(
    response: entities.IntegrationResponse, variables: Mapping[str, str], note: Note
) -> _Outcome:
    key = response.integration_response_key
    headers = []
    for target, source in response.response_parameters.items():
        name = target.partition("response.header.")[2].lower()
        try:
            headers.append((name, compile_response_expression(source, variables)))
        except TemplateError as error:
            note(f"Invalid mapping expression specified: {source}: {error.message}")
    return _Outcome(
        key=key,
        sources=response.response_parameters,
        select=_selector(response.template_selection_expression, note),
        templates={
            name: compile_mapping_template(text, f"response template `{name}` of `{key}`", note)
            for name, text in response.response_templates.items()
        },
        headers=tuple(headers),
    )


def _selector(expression: str, note: Note) -> Selector:
    try:
        return compile_selection(expression or DEFAULT_KEY)
    except TemplateError as error:
        note(f"Invalid selection expression `{expression}`: {error.message}")
        return lambda subject: DEFAULT_KEY
