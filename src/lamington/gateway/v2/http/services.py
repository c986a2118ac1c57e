"""Integrations with AWS services: the actions that an HTTP API may call by name.

A table says which operation each subtype is, and what form its parameters take; the call itself is
an AwsCaller's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

import msgspec

from lamington.core.aws import AwsCaller, Params, Result
from lamington.core.errors import AwsError
from lamington.core.http import Response
from lamington.gateway.integrations import Misconfigured
from lamington.gateway.mapping import substitute_stage_variables
from lamington.gateway.recording import (
    Recording,
    record_integration_request,
    record_integration_response,
)
from lamington.gateway.templates import Note
from lamington.gateway.v2 import entities
from lamington.gateway.v2.http.integrations import NOT_PERMITTED, Send
from lamington.gateway.v2.http.parameters import Value, compile_value
from lamington.gateway.v2.http.refusals import HttpRefusal
from lamington.gateway.v2.http.requests import HttpRequest, RouteConstants
from lamington.gateway.vtl.limits import TemplateError

NOT_EMULATED_STATUS = 501

_JSON_1_0, _JSON_1_1 = "application/x-amz-json-1.0", "application/x-amz-json-1.1"
_SQS_NAMESPACE = "http://queue.amazonaws.com/doc/2012-11-05/"

Convert = Callable[[str], Any]
Shape = Callable[[dict[str, Any]], Params]


def _json(text: str) -> Any:
    """AWS: structures are given as JSON text."""
    return msgspec.json.decode(text)


def _list(text: str) -> list[str]:
    """AWS: lists are given as JSON text; names with commas between are taken, too."""
    if text.lstrip().startswith("["):
        return [str(each) for each in msgspec.json.decode(text)]
    return [each.strip() for each in text.split(",") if each.strip()]


def _time(text: str) -> datetime:
    if text.replace(".", "", 1).isdecimal():
        return datetime.fromtimestamp(float(text), UTC)
    return datetime.fromisoformat(text)


def _as_entry(values: dict[str, Any]) -> Params:
    return {"Entries": [values]}


def _in_camel_case(values: dict[str, Any]) -> Params:
    return {name[0].lower() + name[1:]: value for name, value in values.items()}


def _unchanged(values: dict[str, Any]) -> Params:
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class _Action:
    operation: str
    required: tuple[str, ...]
    content_type: str
    convert: Mapping[str, Convert] = field(default_factory=dict)
    shape: Shape = _unchanged


_ACTIONS: Mapping[str, _Action] = {
    "EventBridge-PutEvents": _Action(
        operation="events:PutEvents",
        required=("Detail", "DetailType", "Source"),
        content_type=_JSON_1_1,
        convert={"Resources": _list, "Time": _time},
        shape=_as_entry,
    ),
    "SQS-SendMessage": _Action(
        operation="sqs:SendMessage",
        required=("QueueUrl", "MessageBody"),
        content_type="text/xml",
        convert={
            "DelaySeconds": int,
            "MessageAttributes": _json,
            "MessageSystemAttributes": _json,
        },
    ),
    "SQS-ReceiveMessage": _Action(
        operation="sqs:ReceiveMessage",
        required=("QueueUrl",),
        content_type="text/xml",
        convert={
            "AttributeNames": _list,
            "MaxNumberOfMessages": int,
            "MessageAttributeNames": _list,
            "VisibilityTimeout": int,
            "WaitTimeSeconds": int,
        },
    ),
    "SQS-DeleteMessage": _Action(
        operation="sqs:DeleteMessage",
        required=("QueueUrl", "ReceiptHandle"),
        content_type="text/xml",
    ),
    "SQS-PurgeQueue": _Action(
        operation="sqs:PurgeQueue", required=("QueueUrl",), content_type="text/xml"
    ),
    "AppConfig-GetConfiguration": _Action(
        operation="appconfig:GetConfiguration",
        required=("Application", "Environment", "Configuration", "ClientId"),
        content_type="application/octet-stream",
    ),
    "Kinesis-PutRecord": _Action(
        operation="kinesis:PutRecord",
        required=("StreamName", "Data", "PartitionKey"),
        content_type=_JSON_1_1,
        convert={"Data": str.encode},
    ),
    "StepFunctions-StartExecution": _Action(
        operation="stepfunctions:StartExecution",
        required=("StateMachineArn",),
        content_type=_JSON_1_0,
        shape=_in_camel_case,
    ),
    "StepFunctions-StartSyncExecution": _Action(
        operation="stepfunctions:StartSyncExecution",
        required=("StateMachineArn",),
        content_type=_JSON_1_0,
        shape=_in_camel_case,
    ),
    "StepFunctions-StopExecution": _Action(
        operation="stepfunctions:StopExecution",
        required=("ExecutionArn",),
        content_type=_JSON_1_0,
        shape=_in_camel_case,
    ),
}


def compile_service(
    integration: entities.Integration,
    route: RouteConstants,
    *,
    caller: AwsCaller,
    emulates: Callable[[str], bool],
    note: Note,
) -> Send:
    """Compile an integration with an AWS service; raises Misconfigured.

    AWS: API Gateway developer guide, integration subtype reference. The answer of the service,
    its refusals included, is the client's.
    Differs: the role of `credentialsArn` must be named but is not assumed; a service that is not
    emulated is a 500.
    """
    subtype = integration.integration_subtype
    action = _ACTIONS.get(subtype)
    if action is None:
        raise Misconfigured(f"The integration subtype `{subtype}` is not known")
    if not emulates(action.operation):
        raise Misconfigured(f"Lamington does not emulate `{action.operation}`")
    if not integration.credentials_arn:
        raise Misconfigured(NOT_PERMITTED, hint="`CredentialsArn` names the role to call with")
    mapped = _compile_parameters(integration, route, note)
    missing = [name for name in action.required if name not in mapped]
    if missing:
        raise Misconfigured(f"`{subtype}` needs the parameter `{missing[0]}`")
    region = mapped.pop("Region", None)

    async def send(request: HttpRequest) -> Response:
        values = {name: value(request, None) for name, value in mapped.items()}
        params = _parameters(action, {k: v for k, v in values.items() if v is not None})
        scope = route.scope
        named = None if region is None else region(request, None)
        if named:
            scope = replace(scope, region=named)
        began = 0.0
        if request.recording is not None:
            began = _record_call(request.recording, action, params)
        try:
            result = await caller.call(action.operation, params, scope)
        except AwsError as error:
            response = _refused(action, error, request)
        else:
            request.integration_status = 200
            response = _answered(action, result, request)
        if request.recording is not None:
            record_integration_response(
                request.recording,
                status=response.status,
                headers=response.headers,
                body=response.body,
                latency_s=request.recording.elapsed_s - began,
            )
        return response

    return send


def _record_call(recording: Recording, action: _Action, params: Params) -> float:
    """Record the operation that is called; the time at which it is."""
    body = msgspec.json.encode(params, enc_hook=str)
    record_integration_request(
        recording, uri=action.operation, method="POST", headers=(), body=body
    )
    return recording.elapsed_s


def _compile_parameters(
    integration: entities.Integration, route: RouteConstants, note: Note
) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for name, source in integration.request_parameters.items():
        source = substitute_stage_variables(source, route.variables)
        try:
            values[name] = compile_value(source, route.variables)
        except TemplateError as error:
            note(error.message, source)
    return values


def _parameters(action: _Action, values: Mapping[str, str]) -> Params:
    """The operation's input; what a value cannot be made of is a 400, as of the service."""
    converted: dict[str, Any] = {}
    for name, value in values.items():
        convert = action.convert.get(name)
        try:
            converted[name] = value if convert is None else convert(value)
        except (ValueError, msgspec.DecodeError):
            raise HttpRefusal(400, f"`{name}` of `{action.operation}` cannot be read") from None
    for name in action.required:
        if name not in converted:
            raise HttpRefusal(400, f"`{name}` of `{action.operation}` has no value")
    return action.shape(converted)


def _answered(action: _Action, result: Result, request: HttpRequest) -> Response:
    headers = [("content-type", action.content_type)]
    body = b""
    if action.content_type == "text/xml":
        body = _query_answer(action.operation.partition(":")[2], result, request.request_id)
    elif action.content_type == "application/octet-stream":
        content = result.get("Content", b"")
        body = content if isinstance(content, bytes) else str(content).encode()
        if result.get("ContentType"):
            headers = [("content-type", str(result["ContentType"]))]
    else:
        body = msgspec.json.encode(result, enc_hook=str)
    return Response(status=200, headers=headers, body=body)


def _refused(action: _Action, error: AwsError, request: HttpRequest) -> Response:
    if error.status == NOT_EMULATED_STATUS:
        raise HttpRefusal(500, error.message, hint=error.hint) from None
    request.integration_status = error.status
    if action.content_type == "text/xml":
        kind = "Sender" if error.status < 500 else "Receiver"
        body = (
            f'<?xml version="1.0"?><ErrorResponse xmlns="{_SQS_NAMESPACE}"><Error><Type>{kind}'
            f"</Type><Code>{escape(error.code)}</Code><Message>{escape(error.message)}</Message>"
            f"<Detail/></Error><RequestId>{request.request_id}</RequestId></ErrorResponse>"
        ).encode()
    else:
        body = msgspec.json.encode({"__type": error.code, "message": error.message})
    return Response(status=error.status, headers=[("content-type", action.content_type)], body=body)


def _query_answer(operation: str, result: Result, request_id: str) -> bytes:
    """A queue's answer as the query protocol writes it, which this integration speaks on AWS."""
    inner = "".join(_element(_SINGULAR.get(name, name), value) for name, value in result.items())
    wrapped = f"<{operation}Result>{inner}</{operation}Result>" if result else ""
    return (
        f'<?xml version="1.0"?><{operation}Response xmlns="{_SQS_NAMESPACE}">{wrapped}'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        f"</{operation}Response>"
    ).encode()


_SINGULAR = {
    "Messages": "Message",
    "Attributes": "Attribute",
    "MessageAttributes": "MessageAttribute",
}


def _element(name: str, value: Any) -> str:
    """Lists and maps are flat: one element for each member."""
    if isinstance(value, list):
        return "".join(_element(name, each) for each in value)
    if isinstance(value, Mapping):
        if name in ("Attribute", "MessageAttribute"):
            return "".join(
                f"<{name}><Name>{escape(key)}</Name><Value>{_inner(each)}</Value></{name}>"
                for key, each in value.items()
            )
        return f"<{name}>{_inner(value)}</{name}>"
    return f"<{name}>{escape(str(value))}</{name}>"


def _inner(value: Any) -> str:
    if isinstance(value, Mapping):
        return "".join(
            _element(_SINGULAR.get(str(name), str(name)), each) for name, each in value.items()
        )
    return escape(str(value))
