"""Answers of AWS's query services as JSON: they speak it to whoever accepts `application/json`.

The engine and most stand-ins answer XML whatever is accepted; API Gateway's clients and templates
know the JSON form. Which service and operation answered is the caller's to say.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, ParseError, fromstring

import msgspec

if TYPE_CHECKING:
    from botocore.model import ServiceModel, Shape


def render_query_reply(body: bytes, model: "ServiceModel", operation: str) -> bytes | None:
    """Write an XML answer as the JSON that AWS writes; None where it is no such answer.

    AWS: recorded of SQS; members that are absent are null, times are seconds.
    Differs: which absent members AWS writes as null is known of few services.
    """
    try:
        root = fromstring(body)
    except ParseError:
        return None
    name = _local(root)
    if name in ("ErrorResponse", "Response"):
        return msgspec.json.encode(_error(root))
    if operation not in model.operation_names:
        return None
    output = model.operation_model(operation).output_shape
    members: dict[str, Any] = {}
    if output is not None:
        wrapper = output.serialization.get("resultWrapper", f"{operation}Result")
        result = _child(root, wrapper)
        members[wrapper] = None if result is None else _value(result, output)
    metadata = _child(root, "ResponseMetadata")
    request_id = None if metadata is None else _text(metadata, "RequestId")
    members["ResponseMetadata"] = {"RequestId": request_id}
    return msgspec.json.encode({name: members})


def _error(root: Element) -> dict[str, Any]:
    error = next((each for each in root.iter() if _local(each) == "Error"), root)
    request_id = next(
        (each.text for each in root.iter() if _local(each) in ("RequestId", "RequestID")), None
    )
    return {
        "Error": {
            "Code": _text(error, "Code"),
            "Message": _text(error, "Message"),
            "Type": _text(error, "Type") or "Sender",
        },
        "RequestId": request_id,
    }


def _value(element: Element, shape: "Shape") -> Any:
    # The loader's shapes are of classes of their own; what they are is told by name.
    described: Any = shape
    match shape.type_name:
        case "structure":
            return {
                name: _member(element, name, member) for name, member in described.members.items()
            }
        case "list":
            return [_value(each, described.member) for each in element]
        case "map":
            return _map(element, described)
        case "boolean":
            return (element.text or "").strip() == "true"
        case "integer" | "long":
            return int(element.text or 0)
        case "float" | "double":
            return float(element.text or 0)
        case "timestamp":
            return _seconds(element.text or "")
        case _:
            return element.text or ""


def _member(parent: Element, name: str, shape: "Shape") -> Any:
    described: Any = shape
    written = shape.serialization.get("name", name)
    if shape.serialization.get("flattened"):
        inner = described.member if shape.type_name == "list" else None
        if inner is not None:
            written = inner.serialization.get("name", written)
            return [_value(each, inner) for each in parent if _local(each) == written]
        return _map([each for each in parent if _local(each) == written], described)
    found = _child(parent, written)
    return None if found is None else _value(found, shape)


def _map(entries: Any, shape: Any) -> Mapping[str, Any]:
    key_name = shape.key.serialization.get("name", "key")
    value_name = shape.value.serialization.get("name", "value")
    pairs = {}
    for entry in entries:
        key, value = _text(entry, key_name), _child(entry, value_name)
        if key is not None and value is not None:
            pairs[key] = _value(value, shape.value)
    return pairs


def _seconds(text: str) -> float | str:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return text


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _child(parent: Element, name: str) -> Element | None:
    return next((each for each in parent if _local(each) == name), None)


def _text(parent: Element, name: str) -> str | None:
    found = _child(parent, name)
    return None if found is None else found.text
