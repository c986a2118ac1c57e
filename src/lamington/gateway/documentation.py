"""The documentation of an API: parts by what they describe, however they were written.

Left to others: which version a stage shows (`operations`), and where exports put the parts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from lamington.core.clock import Ids
from lamington.gateway.definition_values import Object, members_of, object_of, objects_of, text_of
from lamington.gateway.entities import (
    VERBS,
    BadRequestException,
    DocumentationPart,
    DocumentationVersion,
    RestApi,
    ValidationException,
)

DOCUMENTATION = "x-amazon-apigateway-documentation"
PARTS_MAX = 2_000
"""AWS: parts of an API (quotas)."""

LOCATION_MEMBERS: Mapping[str, tuple[str, ...]] = {
    "API": (),
    "AUTHORIZER": ("name",),
    "MODEL": ("name",),
    "RESOURCE": ("path",),
    "METHOD": ("path", "method"),
    "PATH_PARAMETER": ("path", "method", "name"),
    "QUERY_PARAMETER": ("path", "method", "name"),
    "REQUEST_HEADER": ("path", "method", "name"),
    "REQUEST_BODY": ("path", "method"),
    "RESPONSE": ("path", "method", "statusCode"),
    "RESPONSE_HEADER": ("path", "method", "statusCode", "name"),
    "RESPONSE_BODY": ("path", "method", "statusCode"),
}
"""What a location of each type may name, beyond its type."""

_DEFAULTS = {"path": "/", "method": "*", "statusCode": "*"}
_PARAMETER_TYPES = {
    "path": "PATH_PARAMETER",
    "query": "QUERY_PARAMETER",
    "header": "REQUEST_HEADER",
}


def read_location(given: Object) -> dict[str, str]:
    """A part's location with AWS's defaults; raises ValidationException or BadRequestException.

    AWS: the path is `/` unless given, method and status code are `*` (developer guide,
    representation of API documentation).
    """
    kind = text_of(given.get("type")).upper()
    if kind not in LOCATION_MEMBERS:
        raise ValidationException(
            f"1 validation error detected: Value '{kind}' at"
            " 'createDocumentationPartInput.location.type' failed to satisfy constraint: Member"
            f" must satisfy enum value set: [{', '.join(LOCATION_MEMBERS)}]"
        )
    location = {"type": kind}
    for name in ("path", "method", "statusCode", "name"):
        if name in LOCATION_MEMBERS[kind]:
            value = text_of(given.get(name)) or _DEFAULTS.get(name, "")
            if value:
                location[name] = value
        elif given.get(name) not in (None, ""):
            raise BadRequestException(
                f"Documentation part location '{name}' is not allowed for type '{kind}'"
            )
    return location


def require_properties(text: str) -> str:
    """The properties of a part as written; raises BadRequestException where they are no object."""
    try:
        properties = msgspec.json.decode(text)
    except msgspec.DecodeError:
        properties = None
    if not isinstance(properties, dict):
        raise BadRequestException("Documentation part properties must be a JSON object")
    return text


def read_parts(document: Object, version: int) -> Iterator[tuple[dict[str, str], str]]:
    """The parts that a definition has, as location and properties.

    What a description, a summary or `info` says becomes a part of its own; parts under the
    extension come after those, and the last for a location counts.
    """
    yield from _described(document, version)
    for part in objects_of(object_of(document.get(DOCUMENTATION)).get("documentationParts")):
        properties = part.get("properties")
        text = properties if isinstance(properties, str) else _text(object_of(properties))
        yield read_location(object_of(part.get("location"))), require_properties(text)


def _described(document: Object, version: int) -> Iterator[tuple[dict[str, str], str]]:
    info = {
        name: value
        for name, value in object_of(document.get("info")).items()
        if name not in ("title", "version")
    }
    if info:
        yield {"type": "API"}, _text({"info": info})
    components = object_of(document.get("components"))
    schemas = document.get("definitions") if version == 2 else components.get("schemas")
    for name, schema in members_of(schemas):
        yield from _part("MODEL", schema, ("description", "title"), name=name)
    for path, item in members_of(document.get("paths")):
        for key, operation in members_of(item):
            verb = "ANY" if key == "x-amazon-apigateway-any-method" else key.upper()
            if verb == "ANY" or verb in VERBS:
                yield from _described_operation(path, verb, operation)


def _described_operation(
    path: str, verb: str, operation: Object
) -> Iterator[tuple[dict[str, str], str]]:
    place = {"path": path, "method": verb}
    yield from _part("METHOD", operation, ("summary", "description", "tags"), **place)
    for parameter in objects_of(operation.get("parameters")):
        kind = _PARAMETER_TYPES.get(text_of(parameter.get("in")))
        if kind is not None:
            name = text_of(parameter.get("name"))
            yield from _part(kind, parameter, ("description",), **place, name=name)
        elif parameter.get("in") == "body":
            yield from _part("REQUEST_BODY", parameter, ("description",), **place)
    body = object_of(operation.get("requestBody"))
    yield from _part("REQUEST_BODY", body, ("description",), **place)
    for status, response in members_of(operation.get("responses")):
        place["statusCode"] = status
        yield from _part("RESPONSE", response, ("description",), **place)
        for name, header in members_of(response.get("headers")):
            yield from _part("RESPONSE_HEADER", header, ("description",), **place, name=name)


def _part(
    kind: str, source: Object, names: tuple[str, ...], **place: str
) -> Iterator[tuple[dict[str, str], str]]:
    properties = {name: source[name] for name in names if source.get(name)}
    if properties:
        yield {"type": kind, **place}, _text(properties)


def _text(properties: Object) -> str:
    return msgspec.json.encode(properties).decode()


def documented(
    api: RestApi, document: Object, version: int, ids: Ids, *, merge: bool
) -> tuple[RestApi, list[str]]:
    """The API with the parts of a definition, and the ids of those parts.

    Merging replaces the properties of a part that is there, member by member.
    Raises BadRequestException for more parts than AWS keeps.
    """
    known = {location_key(each.location): each for each in api.documentation_parts.values()}
    parts = dict(api.documentation_parts) if merge else {}
    found: dict[str, None] = {}
    for location, properties in read_parts(document, version):
        before = known.get(location_key(location))
        part = DocumentationPart(
            part_id=before.part_id if before else ids.token(6),
            location=location,
            properties=properties,
        )
        if before is not None and merge:
            part = replace(part, properties=_merged(before.properties, properties))
        known[location_key(location)] = part
        parts[part.part_id] = part
        found[part.part_id] = None
    if len(parts) > PARTS_MAX:
        raise BadRequestException(f"Maximum number of documentation parts ({PARTS_MAX}) exceeded")
    return replace(api, documentation_parts=parts), list(found)


def with_version(api: RestApi, document: Object, created: str) -> RestApi:
    """The API with the version of its documentation that a definition names, if it names one."""
    name = text_of(object_of(document.get(DOCUMENTATION)).get("version"))
    if not name:
        return api
    version = DocumentationVersion(
        version=name, created=created, parts=dict(api.documentation_parts)
    )
    versions = {**api.documentation_versions, name: version}
    return replace(api, documentation_versions=versions)


def _merged(before: str, after: str) -> str:
    return _text({**msgspec.json.decode(before), **msgspec.json.decode(after)})


def location_key(location: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What makes a location the same as another."""
    return tuple(sorted(location.items()))


def export_parts(parts: Mapping[str, DocumentationPart], version: str, created: str) -> Any:
    """The value of `x-amazon-apigateway-documentation` for a version's parts."""
    return {
        "version": version,
        "createdDate": created,
        "documentationParts": [
            {"location": dict(each.location), "properties": msgspec.json.decode(each.properties)}
            for each in sorted(parts.values(), key=lambda each: location_key(each.location))
        ],
    }
