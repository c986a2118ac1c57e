"""Result or AwsError to HTTP response, for each protocol of AWS's, driven by service models.

Pure: values in, values out. Members that the model does not know are left out, and so are None.
"""

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from xml.sax.saxutils import escape

import msgspec

from lamington.core.aws import Result
from lamington.core.errors import AwsError
from lamington.core.http import Response
from lamington.wire.cbor import render_cbor_error, render_cbor_result
from lamington.wire.event_stream import (
    CONTENT_TYPE,
    encode_events,
    encode_initial_response,
)
from lamington.wire.services import Service

RESPONSE_METADATA = "ResponseMetadata"
"""A result may tell `{"RequestId": ..., "HTTPHeaders": {...}}` under this name, as boto3 shows."""

Fields = list[tuple[str, str]]


def render_result(service: Service, operation: str, result: Result, request_id: str) -> Response:
    """The response that tells a client of the operation's result."""
    metadata = result.get(RESPONSE_METADATA) or {}
    request_id = metadata.get("RequestId") or request_id
    match service.protocol:
        case "query":
            response = _query_result(service, operation, result, request_id)
        case "json":
            response = _json_result(service, operation, result)
        case "smithy-rpc-v2-cbor":
            response = render_cbor_result(service, operation, result)
        case _:
            response = _rest_result(service, operation, result)
    response.headers.append(("x-amzn-RequestId", request_id))
    response.headers.extend((metadata.get("HTTPHeaders") or {}).items())
    return response


def render_error(service: Service, error: AwsError, request_id: str) -> Response:
    """The response that tells a client of a refusal, in the form of the service's protocol."""
    shape = service.errors.get(error.code)
    modelled = shape.metadata.get("error", {}) if shape is not None else {}
    status = modelled.get("httpStatusCode") or error.status
    if service.protocol == "json" and shape is not None:
        status = 500 if error.fault == "Receiver" else 400
    match service.protocol:
        case "query":
            code = modelled.get("code") or error.code
            namespace = str(service.model.metadata.get("xmlNamespace", ""))
            return render_query_error(error, code, status, request_id, namespace)
        case "json":
            version = service.model.metadata.get("jsonVersion", "1.1")
            response = render_json_error(error, status, request_id, version)
            if "awsQueryCompatible" in service.model.metadata:
                code = modelled.get("code") or error.code
                response.headers.append(("x-amzn-query-error", f"{code};{error.fault}"))
            return response
        case "smithy-rpc-v2-cbor":
            return render_cbor_error(error, shape, status, request_id)
        case _:
            return _rest_error(error, shape, status, request_id)


# The protocol `query`.


def _query_result(service: Service, operation: str, result: Result, request_id: str) -> Response:
    model = service.operation(operation)
    namespace = service.model.metadata.get("xmlNamespace", "")
    parts = [f'<{operation}Response xmlns="{namespace}">']
    shape = model.output_shape
    if shape is not None:
        wrapper = shape.serialization.get("resultWrapper")
        if wrapper:
            parts.append(f"<{wrapper}>")
        _xml_members(parts, shape, result)
        if wrapper:
            parts.append(f"</{wrapper}>")
    parts.append(
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        f"</{operation}Response>"
    )
    return Response(
        status=int(model.http.get("responseCode", 200)),
        headers=[("Content-Type", "text/xml")],
        body="".join(parts).encode(),
    )


def render_query_error(
    error: AwsError, code: str, status: int, request_id: str, namespace: str = ""
) -> Response:
    """AWS: Query APIs, `<ErrorResponse><Error><Type>Sender</Type>...`."""
    declared = f' xmlns="{namespace}"' if namespace else ""
    fault = "Receiver" if status >= 500 else "Sender"
    body = (
        f"<ErrorResponse{declared}><Error><Type>{fault}</Type><Code>{code}</Code>"
        f"<Message>{_xml_text(error.message)}</Message></Error>"
        f"<RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return Response(
        status=status,
        headers=[("Content-Type", "text/xml"), ("x-amzn-RequestId", request_id)],
        body=body.encode(),
    )


def _xml_members(parts: list[str], shape: Any, value: Mapping[str, Any]) -> None:
    for name, member in shape.members.items():
        found = value.get(name)
        if found is not None:
            _xml_value(parts, member, found, member.serialization.get("name", name))


def _xml_value(parts: list[str], shape: Any, value: Any, name: str) -> None:
    kind = shape.type_name
    flat = shape.serialization.get("flattened")
    if kind == "list" and flat:
        for item in value:
            _xml_value(parts, shape.member, item, name)
        return
    if kind == "map" and flat:
        _xml_entries(parts, shape, value, name)
        return
    parts.append(f"<{name}>")
    if kind == "structure":
        _xml_members(parts, shape, value)
    elif kind == "list":
        item_name = shape.member.serialization.get("name", "member")
        for item in value:
            _xml_value(parts, shape.member, item, item_name)
    elif kind == "map":
        _xml_entries(parts, shape, value, "entry")
    else:
        parts.append(_xml_text(render_text(shape, value, "iso8601")))
    parts.append(f"</{name}>")


def _xml_entries(parts: list[str], shape: Any, value: Mapping[str, Any], name: str) -> None:
    for key, item in value.items():
        parts.append(f"<{name}>")
        _xml_value(parts, shape.key, key, shape.key.serialization.get("name", "key"))
        _xml_value(parts, shape.value, item, shape.value.serialization.get("name", "value"))
        parts.append(f"</{name}>")


_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _xml_text(text: str) -> str:
    """Text for an element; characters that XML cannot hold become U+FFFD."""
    return escape(_NOT_XML.sub("\ufffd", text), {"\r": "&#xD;"})


# The protocol `json`.


def _json_result(service: Service, operation: str, result: Result) -> Response:
    model = service.operation(operation)
    shape = model.output_shape
    version = service.model.metadata.get("jsonVersion", "1.1")
    stream = _event_stream_member(model)
    if shape is not None and stream is not None and result.get(stream) is not None:
        members = {name: each for name, each in shape.members.items() if name != stream}
        first = encode_initial_response(
            _render_members(members, result), f"application/x-amz-json-{version}"
        )
        return Response(
            headers=[("Content-Type", CONTENT_TYPE)],
            stream=encode_events(shape.members[stream], result[stream], _render_members, first),
        )
    body = b"" if shape is None else _render_document(_json_structure(shape, result))
    return Response(
        status=int(model.http.get("responseCode", 200)),
        headers=[("Content-Type", f"application/x-amz-json-{version}")],
        body=body,
    )


def render_json_error(
    error: AwsError, status: int, request_id: str, version: str = "1.1"
) -> Response:
    """AWS: JSON protocols, the code in `__type`."""
    document = {"__type": error.code, **error.members, "message": error.message}
    return Response(
        status=status,
        headers=[
            ("Content-Type", f"application/x-amz-json-{version}"),
            ("x-amzn-RequestId", request_id),
        ],
        body=_render_document(document),
    )


# The protocol `rest-json`.


def _rest_result(service: Service, operation: str, result: Result) -> Response:
    model = service.operation(operation)
    shape = model.output_shape
    response = Response(status=int(model.http.get("responseCode", 200)))
    if shape is None:
        return response
    payload = shape.serialization.get("payload")
    body_members: dict[str, Any] = {}
    for name, member in shape.members.items():
        location = member.serialization.get("location")
        found = result.get(name)
        if location == "statusCode":
            response.status = response.status if found is None else int(found)
        elif found is None or name == payload:
            continue
        elif location == "header":
            response.headers.append(
                (member.serialization.get("name", name), _header_text(member, found))
            )
        elif location == "headers":
            prefix = member.serialization.get("name", "")
            response.headers.extend((prefix + key, str(item)) for key, item in found.items())
        else:
            body_members[name] = member
    if payload is not None and payload == _event_stream_member(model):
        return _streamed(response, shape.members[payload], result.get(payload))
    if payload is not None:
        response.body = _payload(shape.members[payload], result.get(payload))
    else:
        response.body = _render_document(_json_members(body_members, result))
    if response.status == 204:
        response.body = b""
    elif not any(name.lower() == "content-type" for name, _ in response.headers):
        response.headers.append(("Content-Type", "application/json"))
    return response


def _event_stream_member(model: Any) -> str | None:
    """The member of an operation's result that is a stream of events."""
    if not model.has_event_stream_output:
        return None
    for name, member in model.output_shape.members.items():
        if member.serialization.get("eventstream"):
            return str(name)
    return None


def _streamed(response: Response, shape: Any, events: Any) -> Response:
    """The response whose body is the stream; a result without one has no body."""
    if events is None:
        return response
    if not any(name.lower() == "content-type" for name, _ in response.headers):
        response.headers.append(("Content-Type", CONTENT_TYPE))
    response.stream = encode_events(shape, events, _render_members)
    return response


def _render_members(members: Mapping[str, Any], value: Mapping[str, Any]) -> bytes:
    return _render_document(_json_members(members, value))


def _payload(shape: Any, value: Any) -> bytes:
    match value:
        case None:
            return b""
        case bytes():
            return value
        case str():
            return value.encode()
        case _:
            return _render_document(_json_value(shape, value))


def _header_text(shape: Any, value: Any) -> str:
    if shape.serialization.get("jsonvalue"):
        return base64.b64encode(_render_document(value)).decode()
    if shape.type_name == "list":
        return ", ".join(render_text(shape.member, item, "rfc822") for item in value)
    return render_text(shape, value, "rfc822")


def _rest_error(error: AwsError, shape: Any, status: int, request_id: str) -> Response:
    """Members that the modelled exception has in the header go there, such as Retry-After."""
    headers: Fields = [
        ("Content-Type", "application/json"),
        ("x-amzn-RequestId", request_id),
        ("x-amzn-ErrorType", error.code),
    ]
    members = shape.members if shape is not None else {}
    message_name = next(
        (
            member.serialization.get("name", name)
            for name, member in members.items()
            if name.lower() == "message"
        ),
        "message",
    )
    document: dict[str, Any] = {}
    for name, value in error.members.items():
        member = members.get(name)
        if member is not None and member.serialization.get("location") == "header":
            headers.append((member.serialization.get("name", name), str(value)))
        elif value is not None:
            document[name] = value
    document[message_name] = error.message
    return Response(status=status, headers=headers, body=_render_document(document))


def render_unknown_service_error(
    error: AwsError, *, is_xml: bool, is_json: bool, request_id: str
) -> Response:
    """A refusal to a client whose service's model is not at hand, in the form that it can read."""
    if is_xml:
        return render_query_error(error, error.code, error.status, request_id)
    if is_json:
        return render_json_error(error, error.status, request_id)
    return _rest_error(error, None, error.status, request_id)


# JSON documents.


def _render_document(value: Any) -> bytes:
    return msgspec.json.encode(value)


def _json_structure(shape: Any, value: Any) -> Any:
    if getattr(shape, "is_document_type", False):
        return value
    return _json_members(shape.members, value)


def _json_members(members: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        member.serialization.get("name", name): _json_value(member, found)
        for name, member in members.items()
        if (found := value.get(name)) is not None
    }


def _json_list(shape: Any, value: Any) -> list[Any]:
    return [None if item is None else _json_value(shape.member, item) for item in value]


def _json_map(shape: Any, value: Any) -> dict[str, Any]:
    return {
        key: None if item is None else _json_value(shape.value, item) for key, item in value.items()
    }


def _json_blob(shape: Any, value: Any) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


def _json_timestamp(shape: Any, value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    form = shape.serialization.get("timestampFormat", "unixTimestamp")
    if form != "unixTimestamp":
        return _timestamp_text(value, form)
    seconds = round(value.timestamp(), 3)
    return int(seconds) if seconds.is_integer() else seconds


_JSON_WRITERS: Mapping[str, Callable[[Any, Any], Any]] = {
    "structure": _json_structure,
    "list": _json_list,
    "map": _json_map,
    "blob": _json_blob,
    "timestamp": _json_timestamp,
}


def _json_value(shape: Any, value: Any) -> Any:
    write = _JSON_WRITERS.get(shape.type_name)
    return value if write is None else write(shape, value)


# Text: XML elements and headers.


def render_text(shape: Any, value: Any, timestamp_format: str) -> str:
    """One scalar as text."""
    match value:
        case bool():
            return "true" if value else "false"
        case datetime():
            return _timestamp_text(
                value, shape.serialization.get("timestampFormat", timestamp_format)
            )
        case bytes():
            return base64.b64encode(value).decode()
        case _:
            return str(value)


def _timestamp_text(value: datetime, form: str) -> str:
    moment = value.astimezone(UTC)
    if form == "rfc822":
        return format_datetime(moment.replace(microsecond=0), usegmt=True)
    if form == "unixTimestamp":
        return f"{moment.timestamp():.3f}"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
