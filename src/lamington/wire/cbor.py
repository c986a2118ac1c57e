"""The protocol `smithy-rpc-v2-cbor`: the operation in the path, everything else as CBOR.

Pure: values in, values out. CloudWatch's clients of today speak it. Left to others: which service
a request is for (`services`), the protocols that CloudWatch's older clients speak (`parse`).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lamington.core.aws import Result
from lamington.core.errors import AwsError
from lamington.core.http import Request, Response
from lamington.wire.services import SerializationException, Service, UnknownOperationException

HEADERS = (("smithy-protocol", "rpc-v2-cbor"), ("Content-Type", "application/cbor"))

_NUMBERS = frozenset({"integer", "long", "float", "double"})
_FORMS: Mapping[str, type] = {
    "string": str,
    "character": str,
    "blob": bytes,
    "boolean": bool,
    "structure": dict,
    "map": dict,
    "list": list,
}


def parse_cbor_call(request: Request, service: Service) -> tuple[str, dict[str, Any]]:
    """The operation that the path names, `/service/{service}/operation/{operation}`, and its input.

    Raises SerializationException where the body is not CBOR of the operation's form.
    """
    operation = request.path.rstrip("/").rpartition("/")[2]
    if operation not in service.operations:
        raise UnknownOperationException(f"`{operation}` is not an operation of `{service.name}`")
    import cbor2

    shape = service.operation(operation).input_shape
    if shape is None or not request.body:
        return operation, {}
    try:
        document = cbor2.loads(request.body)
    except (cbor2.CBORDecodeError, ValueError, OverflowError, UnicodeDecodeError) as error:
        raise SerializationException(f"Could not parse request body into CBOR: {error}") from None
    value: dict[str, Any] = _parsed(shape, document)
    return operation, value


def render_cbor_result(service: Service, operation: str, result: Result) -> Response:
    """The response of an operation; without an output shape it has no body."""
    model = service.operation(operation)
    shape = model.output_shape
    body = b"" if shape is None else _encoded(_rendered(shape, result))
    return Response(
        status=int(model.http.get("responseCode", 200)), headers=list(HEADERS), body=body
    )


def render_cbor_error(error: AwsError, shape: Any, status: int, request_id: str) -> Response:
    """A refusal, its shape's name in `__type`.

    AWS: where the service was one of the protocol `query`, that protocol's code is in the header
    `x-amzn-query-error`, and clients show it.
    """
    modelled = shape.metadata.get("error", {}) if shape is not None else {}
    name = shape.name if shape is not None else error.code
    code = modelled.get("code") or error.code
    fault = "Receiver" if status >= 500 else "Sender"
    document = {"__type": name, **error.members, "message": error.message}
    headers = [
        *HEADERS,
        ("x-amzn-RequestId", request_id),
        ("x-amzn-query-error", f"{code};{fault}"),
    ]
    return Response(status=status, headers=headers, body=_encoded(document))


def _encoded(document: Any) -> bytes:
    import cbor2

    return cbor2.dumps(document, datetime_as_timestamp=True)


def _parsed(shape: Any, value: Any) -> Any:
    kind = shape.type_name
    if kind == "timestamp":
        return _moment(value)
    if kind in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _unexpected(kind, value)
        if kind in ("float", "double"):
            return float(value)
        if isinstance(value, float) and not value.is_integer():
            raise _unexpected(kind, value)
        return int(value)
    if not isinstance(value, _FORMS[kind]):
        raise _unexpected(kind, value)
    return _parsed_members(shape, kind, value)


def _parsed_members(shape: Any, kind: str, value: Any) -> Any:
    if kind == "structure":
        return {
            name: _parsed(member, found)
            for name, member in shape.members.items()
            if (found := value.get(name)) is not None
        }
    if kind == "map":
        return {str(key): _parsed(shape.value, item) for key, item in value.items()}
    if kind == "list":
        return [_parsed(shape.member, item) for item in value]
    return value


def _moment(value: Any) -> datetime:
    try:
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise _unexpected("timestamp", value)


def _unexpected(kind: str, value: Any) -> SerializationException:
    article = "an" if kind[0] in "aeiou" else "a"
    return SerializationException(
        f"{type(value).__name__} can not be converted to {article} {kind.capitalize()}"
    )


def _rendered(shape: Any, value: Any) -> Any:
    match shape.type_name:
        case "structure":
            return {
                name: _rendered(member, found)
                for name, member in shape.members.items()
                if (found := value.get(name)) is not None
            }
        case "map":
            return {key: _rendered(shape.value, item) for key, item in value.items()}
        case "list":
            return [_rendered(shape.member, item) for item in value]
        case "timestamp" if isinstance(value, datetime):
            return value.astimezone(UTC)
        case "float" | "double":
            return float(value)
        case "blob" if isinstance(value, str):
            return value.encode()
        case _:
            return value
