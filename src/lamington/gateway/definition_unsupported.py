"""What of OpenAPI API Gateway does not support, where a definition says it, as warnings.

AWS drops these without a word; an author should hear of them once. They are no reason to refuse
an import that is to fail on warnings. Left to others: what is refused (`openapi`, `rules`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from lamington.gateway.definition_schemas import DEPTH_MAX, NODES_MAX
from lamington.gateway.definition_values import Object, members_of, object_of, objects_of, text_of
from lamington.gateway.entities import VERBS

PLACES_MAX = 3

_PARAMETER_MEMBERS = frozenset(
    {"name", "in", "required", "type", "description", "schema", "$ref", "items", "format"}
)
_SCHEMA_KEYWORDS = frozenset(
    {"default", "deprecated", "discriminator", "example", "exclusiveMinimum", "nullable"}
    | {"readOnly"}
)
_LATER_KEYWORDS = frozenset(
    {"contains", "else", "if", "propertyNames", "then", "unevaluatedItems"}
    | {"unevaluatedProperties"}
)
_PRIMITIVES = frozenset({"boolean", "integer", "number", "string"})
_MAPS_OF_SCHEMAS = frozenset({"properties", "patternProperties", "definitions", "$defs"})
_LISTS_OF_SCHEMAS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_SCHEMAS = frozenset({"not", "items", "additionalProperties"})

Found = tuple[str, str]
"""What is not supported, and where it stands."""


def unsupported(document: Object) -> list[str]:
    """A warning for each thing that API Gateway does not support, with the first places of it.

    AWS: developer guide, important notes, the limits of OpenAPI support.
    Differs: AWS gives no warning; a schema's keywords that draft 4 has are checked here all the
    same.
    """
    version = 3 if "openapi" in document else 2
    places: dict[str, dict[str, None]] = {}
    for what, where in _found(document, version):
        places.setdefault(what, {})[where] = None
    return [
        f"{what} is not supported by API Gateway: {_listed(list(where))}"
        for what, where in places.items()
    ]


def _listed(places: list[str]) -> str:
    more = len(places) - PLACES_MAX
    text = ", ".join(places[:PLACES_MAX])
    return f"{text} and {more} more" if more > 0 else text


def _found(document: Object, version: int) -> Iterator[Found]:
    components = document if version == 2 else object_of(document.get("components"))
    schemas = members_of(components.get("definitions" if version == 2 else "schemas"))
    for name, schema in schemas:
        yield from _of_schema(schema, f"schema '{name}'", version)
    for name, parameter in members_of(components.get("parameters")):
        yield from _of_parameter(parameter, f"parameter '{name}'")
    for path, item in members_of(document.get("paths")):
        for parameter in objects_of(item.get("parameters")):
            yield from _of_parameter(parameter, f"'{path}'")
        for key, operation in members_of(item):
            if key.upper() in VERBS or key == "x-amazon-apigateway-any-method":
                yield from _of_operation(operation, f"'{key} {path}'", version)


def _of_operation(operation: Object, where: str, version: int) -> Iterator[Found]:
    if operation.get("deprecated"):
        yield "`deprecated` of an operation", where
    for parameter in objects_of(operation.get("parameters")):
        yield from _of_parameter(parameter, where)
        if parameter.get("in") == "body":
            yield from _of_schema(parameter.get("schema"), where, version)
    body = object_of(operation.get("requestBody"))
    for _, content in members_of(body.get("content")):
        yield from _of_schema(content.get("schema"), where, version)
    for _, response in members_of(operation.get("responses")):
        reference = text_of(response.get("$ref"))
        if reference.startswith(("#/responses/", "#/components/responses/")):
            yield "A `$ref` to a response at the root of the document", where
        schemas = [response.get("schema")]
        schemas += [each.get("schema") for _, each in members_of(response.get("content"))]
        for schema in schemas:
            if _is_primitive(schema):
                yield "A primitive schema of a response", where
            yield from _of_schema(schema, where, version)


def _is_primitive(schema: Any) -> bool:
    return isinstance(schema, Mapping) and text_of(schema.get("type")) in _PRIMITIVES


def _of_parameter(parameter: Object, where: str) -> Iterator[Found]:
    if parameter.get("in") == "body":
        return
    name = text_of(parameter.get("name"))
    schema = object_of(parameter.get("schema"))
    for key in (*parameter, *schema):
        if str(key) not in _PARAMETER_MEMBERS and not str(key).startswith("x-"):
            yield f"`{key}` of a parameter", f"'{name}' of {where}"


def _of_schema(schema: Any, where: str, version: int) -> Iterator[Found]:
    """Walk a schema and what it contains; what it refers to is walked at its own place."""
    waiting: list[tuple[Any, int]] = [(schema, 0)]
    for _ in range(NODES_MAX):
        if not waiting:
            return
        at, depth = waiting.pop()
        if not isinstance(at, Mapping) or depth > DEPTH_MAX:
            continue
        for key in at:
            if key in _SCHEMA_KEYWORDS or key in _LATER_KEYWORDS:
                yield f"`{key}` of a schema", where
        if version == 2 and "oneOf" in at:
            yield "`oneOf` of a schema of Swagger 2.0", where
        form = text_of(at.get("format"))
        if form == "decimal" or (form in ("int32", "int64") and at.get("type") == "number"):
            yield f"`format: {form}` of a number", where
        waiting += [(each, depth + 1) for each in _parts(at)]


def _parts(schema: Object) -> Iterator[Any]:
    for key, value in schema.items():
        if key in _MAPS_OF_SCHEMAS and isinstance(value, Mapping):
            yield from value.values()
        elif isinstance(value, list) and (key in _LISTS_OF_SCHEMAS or key == "items"):
            yield from value
        elif key in _SCHEMAS:
            yield value
