"""HTTP request to operation and parameters, for each protocol of AWS's, driven by service models.

Pure: values in, values out. A value of the wrong type is refused here; whether it is within its
bounds is left to `constraints`, and what it means to the operation.
"""

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import msgspec

from lamington.core.errors import AwsError
from lamington.core.http import Request, parse_query
from lamington.wire.cbor import parse_cbor_call
from lamington.wire.services import (
    InvalidAction,
    MalformedInput,
    NotEmulated,
    RouteMatch,
    SerializationException,
    Service,
    UnknownOperationException,
    form_fields,
)

if TYPE_CHECKING:
    from botocore.model import Shape

Parsed = dict[str, Any]
_Tree = dict[str | None, Any]
"""Form fields by the parts of their names; None holds a field's own value."""

QUERY_DEPTH_MAX = 32


def parse_request(request: Request, service: Service) -> tuple[str, Parsed]:
    """The operation that a request names and its parameters, under the model's member names.

    Raises the AwsError of the service's protocol where the request is not of its form.
    """
    try:
        match service.protocol:
            case "query":
                return _parse_query_call(request, service)
            case "json":
                return _parse_json_call(request, service)
            case "rest-json":
                return _parse_rest_call(request, service)
            case "smithy-rpc-v2-cbor":
                return parse_cbor_call(request, service)
            case other:
                raise NotEmulated(f"Lamington does not speak the protocol `{other}` yet")
    except RecursionError:
        raise SerializationException("The request is nested too deeply") from None


# The protocol `query`: an action and its flattened parameters as form fields.


def _parse_query_call(request: Request, service: Service) -> tuple[str, Parsed]:
    fields = dict(form_fields(request))
    operation = fields.get("Action", "")
    if operation not in service.operations:
        version = fields.get("Version") or service.model.api_version
        raise InvalidAction(f"Could not find operation {operation} for version {version}")
    shape = service.operation(operation).input_shape
    if shape is None:
        return operation, {}
    tree: _Tree = {}
    for name, value in fields.items():
        node = tree
        for part in name.split(".", QUERY_DEPTH_MAX):
            node = node.setdefault(part, {})
        node[None] = value
    return operation, _query_structure(shape, tree)


def _query_structure(shape: Any, tree: _Tree) -> Parsed:
    params = {}
    for name, member in shape.members.items():
        found = tree.get(member.serialization.get("name", name))
        if found is None and member.type_name == "list" and member.serialization.get("flattened"):
            found = tree.get(member.member.serialization.get("name", name))
        if found is not None:
            params[name] = _query_value(member, found)
    return params


def _query_value(shape: Any, tree: _Tree) -> Any:
    flat = bool(shape.serialization.get("flattened"))
    match shape.type_name:
        case "structure":
            return _query_structure(shape, tree)
        case "list":
            items = tree if flat else tree.get(shape.member.serialization.get("name", "member"), {})
            return [_query_value(shape.member, item) for item in _numbered(items)]
        case "map":
            key_name = shape.key.serialization.get("name", "key")
            value_name = shape.value.serialization.get("name", "value")
            return {
                _query_value(shape.key, entry.get(key_name, {})): _query_value(
                    shape.value, entry.get(value_name, {})
                )
                for entry in _numbered(tree if flat else tree.get("entry", {}))
            }
        case _:
            return parse_text(shape, str(tree.get(None, "")), MalformedInput)


def _numbered(tree: _Tree) -> list[Any]:
    numbers = [key for key in tree if key and key.isdecimal() and len(key) < 10]
    return [tree[key] for key in sorted(numbers, key=int)]


# The protocol `json`: the operation in a header, the parameters as a JSON document.


def _parse_json_call(request: Request, service: Service) -> tuple[str, Parsed]:
    target = request.headers.get("x-amz-target")
    operation = target.partition(".")[2]
    if operation not in service.operations:
        raise UnknownOperationException(f"The operation `{target}` is not one of this service's")
    shape = service.operation(operation).input_shape
    document = _parse_document(request.body) if request.body else {}
    return operation, {} if shape is None else _json_structure(shape, document)


# The protocol `rest-json`: method and path name the operation, members have their places.


def _parse_rest_call(request: Request, service: Service) -> tuple[str, Parsed]:
    assert service.router is not None
    found = service.router.match(request)
    if found is None:
        raise UnknownOperationException(
            f"`{request.method} {request.path}` is not an operation of `{service.name}`"
        )
    shape = service.operation(found.operation).input_shape
    if shape is None:
        return found.operation, {}
    params = _rest_places(shape, request, found)
    payload = shape.serialization.get("payload")
    if payload is None:
        params.update(_rest_document(shape, request))
    elif request.body:
        params[payload] = _rest_payload(shape.members[payload], request.body)
    return found.operation, params


def _rest_places(shape: Any, request: Request, found: RouteMatch) -> Parsed:
    """The members that travel in the path, the query string and the header."""
    query: dict[str, list[str]] = {}
    for key, value in parse_query(request.query):
        if (key, value) not in found.constants:
            query.setdefault(key, []).append(value)
    named = {
        member.serialization.get("name", name)
        for name, member in shape.members.items()
        if member.serialization.get("location") == "querystring"
    }
    params = {}
    for name, member in shape.members.items():
        wire_name = member.serialization.get("name", name)
        match member.serialization.get("location"):
            case "uri":
                params[name] = parse_text(member, found.labels[wire_name], SerializationException)
            case "querystring" if member.type_name == "map":
                spare = {key: values for key, values in query.items() if key not in named}
                if spare:
                    params[name] = {
                        key: values if member.value.type_name == "list" else values[-1]
                        for key, values in spare.items()
                    }
            case "querystring" if wire_name in query:
                params[name] = _query_string_value(member, query[wire_name])
            case "header" if wire_name in request.headers:
                params[name] = _header_value(member, request, wire_name)
            case "headers":
                params[name] = {
                    key[len(wire_name) :]: value
                    for key, value in request.headers
                    if key.lower().startswith(wire_name.lower())
                }
            case _:
                pass
    return params


def _query_string_value(shape: Any, values: list[str]) -> Any:
    if shape.type_name == "list":
        return [parse_text(shape.member, value, SerializationException) for value in values]
    return parse_text(shape, values[-1], SerializationException)


def _header_value(shape: Any, request: Request, name: str) -> Any:
    text = request.headers.get(name)
    if shape.serialization.get("jsonvalue"):
        return _parse_document(_blob(text))
    if shape.type_name == "list":
        return [
            parse_text(shape.member, value.strip(), SerializationException)
            for line in request.headers.all(name)
            for value in line.split(",")
        ]
    return parse_text(shape, text, SerializationException)


def _rest_document(shape: Any, request: Request) -> Parsed:
    """The members of the JSON body; those that have another place are not looked for in it."""
    body_members = {
        name: member
        for name, member in shape.members.items()
        if "location" not in member.serialization
    }
    if not body_members or not request.body:
        return {}
    return _json_members(body_members, _parse_document(request.body))


def _rest_payload(shape: Any, body: bytes) -> Any:
    if shape.type_name == "blob":
        return body
    if shape.type_name == "string":
        return body.decode("utf-8", "replace")
    return _json_value(shape, _parse_document(body))


# JSON documents.


def _parse_document(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SerializationException(f"Could not parse request body into json: {error}") from None


def _json_structure(shape: Any, value: Any) -> Any:
    if getattr(shape, "is_document_type", False):
        return value
    if not isinstance(value, dict):
        raise _unexpected(value, "a structure")
    return _json_members(shape.members, value)


def _json_members(members: Mapping[str, Any], value: Any) -> Parsed:
    if not isinstance(value, dict):
        raise _unexpected(value, "a structure")
    params = {}
    for name, member in members.items():
        found = value.get(member.serialization.get("name", name))
        if found is not None:
            params[name] = _json_value(member, found)
    return params


def _json_list(shape: Any, value: Any) -> list[Any]:
    """Read a list or, below, a map: what is null in it is left out.

    Differs: some services refuse a null there; no operation has a meaning for one.
    """
    if not isinstance(value, list):
        raise _unexpected(value, "a list")
    return [_json_value(shape.member, item) for item in value if item is not None]


def _json_map(shape: Any, value: Any) -> Parsed:
    if not isinstance(value, dict):
        raise _unexpected(value, "a map")
    return {key: _json_value(shape.value, item) for key, item in value.items() if item is not None}


def _json_string(shape: Any, value: Any) -> str:
    if not isinstance(value, str):
        raise _unexpected(value, "String")
    return value


def _json_blob(shape: Any, value: Any) -> bytes:
    if not isinstance(value, str):
        raise _unexpected(value, "Blob")
    return _blob(value)


def _json_boolean(shape: Any, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _unexpected(value, "Boolean")
    return value


def _json_integer(shape: Any, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unexpected(value, shape.type_name.capitalize())
    if isinstance(value, float) and not value.is_integer():
        raise _unexpected(value, shape.type_name.capitalize())
    return int(value)


def _json_float(shape: Any, value: Any) -> float:
    if isinstance(value, str) and value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unexpected(value, shape.type_name.capitalize())
    return float(value)


def _json_timestamp(shape: Any, value: Any) -> datetime:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _unexpected(value, "Timestamp")
    return _timestamp(value, SerializationException)


_JSON_READERS: Mapping[str, Callable[[Any, Any], Any]] = {
    "structure": _json_structure,
    "list": _json_list,
    "map": _json_map,
    "string": _json_string,
    "character": _json_string,
    "blob": _json_blob,
    "boolean": _json_boolean,
    "integer": _json_integer,
    "long": _json_integer,
    "float": _json_float,
    "double": _json_float,
    "timestamp": _json_timestamp,
}


def _json_value(shape: Any, value: Any) -> Any:
    return _JSON_READERS[shape.type_name](shape, value)


def _unexpected(value: Any, wanted: str) -> SerializationException:
    """A value of the wrong type.

    AWS: the texts of its JSON parser, such as `STRING_VALUE can not be converted to an Integer`.
    """
    match value:
        case dict():
            return SerializationException("Start of structure or map found where not expected.")
        case list():
            return SerializationException("Start of list found where not expected")
        case bool():
            token = "TRUE_VALUE" if value else "FALSE_VALUE"
        case str():
            token = "STRING_VALUE"
        case None:
            token = "NULL_VALUE"
        case float():
            token = "DECIMAL_VALUE"
        case _:
            token = "NUMBER_VALUE"
    if wanted.startswith("a "):
        return SerializationException(f"Unexpected {token}: expected {wanted}")
    article = "an" if wanted[0] in "AEIOU" else "a"
    return SerializationException(f"{token} can not be converted to {article} {wanted}")


# Text: labels, headers, query strings and form fields.


def parse_text(shape: "Shape", text: str, refusal: type[AwsError]) -> Any:
    """One scalar of the shape's type; raises `refusal` where the text is not of its form."""
    kind = shape.type_name
    try:
        match kind:
            case "boolean":
                return {"true": True, "false": False}[text.lower()]
            case "integer" | "long":
                return int(text)
            case "float" | "double":
                return float(text)
            case "timestamp":
                return _timestamp(text, refusal)
            case "blob":
                return _blob(text)
            case _:
                return text
    except (ValueError, KeyError):
        article = "an" if kind[0] in "aeiou" else "a"
        raise refusal(f"`{text}` can not be converted to {article} {kind.capitalize()}") from None


def _blob(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SerializationException("The value is not valid base64") from None


def _timestamp(value: int | float | str, refusal: type[AwsError]) -> datetime:
    """Any of AWS's forms: seconds since 1970, ISO 8601, the date of an HTTP header."""
    try:
        if isinstance(value, str):
            try:
                seconds = float(value)
            except ValueError:
                return _calendar_time(value)
        else:
            seconds = value
        if math.isfinite(seconds):
            return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError, TypeError):
        pass
    raise refusal(f"`{value}` can not be converted to a Timestamp")


def _calendar_time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = parsedate_to_datetime(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
