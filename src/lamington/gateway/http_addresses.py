"""The URI of an HTTP integration, compiled to the whole address of each request.

Placeholders, the client's query and what mappings append to it. Left to others: what is sent there
(`http_integrations`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote, urlsplit

from lamington.gateway import entities
from lamington.gateway.integrations import IntegrationRequest, Misconfigured
from lamington.gateway.mapping import RouteConstants, query_values, substitute_stage_variables
from lamington.gateway.responses import configuration_error

MakeUri = Callable[[IntegrationRequest, str], str]
"""The whole address of a request, from its mapped parameters and the query of its client."""

_PLACEHOLDER = re.compile(r"\{([^{}/]+)\}")
_SOURCE_PATH = re.compile(r"method\.request\.path\.(.+)")
_PLAIN_QUERY = re.compile(r"[\w.~-]+=[\w.~-]*(?:&[\w.~-]+=[\w.~-]*)*", re.ASCII)
_SEGMENT_SAFE = "-._~!$&'()*+,;=:@"
_QUERY_SAFE = "-._~"


def compile_uri(integration: entities.MethodIntegration, route: RouteConstants) -> MakeUri:
    """Compile the address of an HTTP endpoint; raises Misconfigured for one that is none.

    AWS: `{name}` is filled by mappings to `integration.request.path.name` alone. Greedy values
    keep their slashes; the client's query, of a proxy, comes before what mappings append.
    """
    text = substitute_stage_variables(integration.uri, route.variables)
    require_address(text)
    whole = _whole_parameters(integration, route)
    parts = _PLACEHOLDER.split(text)  # text, name, text, name, ... text
    mapped = {
        target.removeprefix("integration.request.path.")
        for target in integration.request_parameters
        if target.startswith("integration.request.path.")
    }
    unfilled = [name for name in parts[1::2] if name not in mapped]
    if unfilled and not integration.request_templates:
        raise Misconfigured(
            "Invalid endpoint address",
            hint=f"no mapping to integration.request.path.{unfilled[0]} fills `{{{unfilled[0]}}}`",
        )
    joint = "&" if "?" in text else "?"

    def make(request: IntegrationRequest, query: str) -> str:
        parameters = request.parameters
        uri = text if len(parts) == 1 else _filled(parts, parameters.path, whole)
        if query:
            query = _encoded_query(query)
        if parameters.query:
            appended = "&".join(
                f"{quote(name, safe=_QUERY_SAFE)}={quote(value, safe=_QUERY_SAFE)}"
                for name, value in parameters.query.items()
            )
            query = f"{query}&{appended}" if query else appended
        return f"{uri}{joint}{query}" if query else uri

    return make


def _whole_parameters(
    integration: entities.MethodIntegration, route: RouteConstants
) -> frozenset[str]:
    """The placeholders whose values are one segment: a slash in them is no separator."""
    found = set()
    for target, source in integration.request_parameters.items():
        path = _SOURCE_PATH.fullmatch(source)
        if path and f"{{{path[1]}+}}" not in route.resource_path:
            found.add(target.removeprefix("integration.request.path."))
    return frozenset(found)


def _filled(parts: Sequence[str], values: Mapping[str, str], whole: frozenset[str]) -> str:
    filled = list(parts)
    for index in range(1, len(parts), 2):
        name = parts[index]
        if name not in values:
            raise configuration_error(
                "Invalid endpoint address", hint=f"nothing fills `{{{name}}}` of the address"
            )
        safe = _SEGMENT_SAFE if name in whole else f"{_SEGMENT_SAFE}/"
        filled[index] = quote(values[name], safe=safe)
    return "".join(filled)


def _encoded_query(query: str) -> str:
    """Encode a client's query anew, as it is decoded before mappings see it."""
    if _PLAIN_QUERY.fullmatch(query):
        return query
    return "&".join(
        f"{quote(name, safe=_QUERY_SAFE)}={quote(value, safe=_QUERY_SAFE)}"
        for name, values in query_values(query)[1].items()
        for value in values
    )


def require_address(text: str) -> None:
    """Raise Misconfigured for what is no address of an HTTP endpoint."""
    try:
        address = urlsplit(text)
        valid = address.scheme in ("http", "https") and bool(address.hostname)
        valid = valid and address.port != 0
    except ValueError:
        valid = False
    if not valid or any(letter.isspace() for letter in text):
        raise Misconfigured(
            "Invalid endpoint address", hint=f"`{text}` is no address of an HTTP endpoint"
        )
