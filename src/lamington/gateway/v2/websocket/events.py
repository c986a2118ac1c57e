"""The Lambda proxy integration of WebSocket APIs: the event that a function gets, its answer.

That the function is invoked in between is `integrations`' part.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from lamington.gateway.integrations import IntegrationRequest, IntegrationResponse, error_message
from lamington.gateway.mapping import query_values, receive_headers
from lamington.gateway.responses import Refusal, bad_gateway
from lamington.gateway.v2.websocket.exchange import Exchange

_ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a route gives back: to the client of a message, or to a handshake.

    `headers` have their names in lower case.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def proxy_request(exchange: Exchange) -> IntegrationRequest:
    """Make the event of one exchange.

    AWS: API Gateway developer guide, Lambda proxy integrations of WebSocket APIs, and recorded
    events: members that have nothing to say are not there.
    """
    event: dict[str, Any] = {}
    if exchange.request is not None:
        event.update(handshake_members(exchange))
    elif exchange.departure is not None:
        host = exchange.client.host
        headers = {"Host": host, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""}
        event["headers"] = headers
        event["multiValueHeaders"] = {name: [value] for name, value in headers.items()}
    if exchange.variables:
        event["stageVariables"] = dict(exchange.variables)
    event["requestContext"] = exchange.context()
    if exchange.event_type == "MESSAGE":
        event["body"] = exchange.body.text
    event["isBase64Encoded"] = False
    return IntegrationRequest(_ENCODER.encode(event), exchange.trace_id, checked=True)


def handshake_members(exchange: Exchange) -> dict[str, Any]:
    """Headers and query string of a handshake, as events have them."""
    request = exchange.request
    assert request is not None
    fields = request.headers.fields
    headers, _ = receive_headers(fields, request.source_ip, exchange.trace_id)
    several: dict[str, list[str]] = {name: [value] for name, value in headers.items()}
    repeated: dict[str, list[str]] = {}
    for name, value in fields:
        if name in several:
            repeated.setdefault(name, []).append(value)
    several.update({name: values for name, values in repeated.items() if len(values) > 1})
    members: dict[str, Any] = {"headers": headers, "multiValueHeaders": several}
    if request.query:
        last, every = query_values(request.query)
        members["queryStringParameters"] = last
        members["multiValueQueryStringParameters"] = every
    return members


_Scalar = str | bool | int | float | None


class _ProxyAnswer(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    status_code: int | str | None = 200
    headers: dict[str, _Scalar] | None = None
    multi_value_headers: dict[str, list[_Scalar]] | None = None
    body: str | None = None
    is_base64_encoded: bool | None = False


_ANSWER = msgspec.json.Decoder(_ProxyAnswer)


def read_proxy_answer(exchange: Exchange, response: IntegrationResponse) -> Reply:
    """Read what a function answers; raises Refusal for a failure and for what is no answer.

    AWS: the format is that of REST APIs: an object of `statusCode`, `headers` and `body`.
    Differs: `isBase64Encoded` is not looked at: messages are text.
    """
    if response.function_error:
        raise bad_gateway(
            "Lambda execution failed with status 200 due to customer function error:"
            f" {error_message(response.body)}. Lambda request id: {response.request_id}"
        )
    try:
        answer = _ANSWER.decode(response.body)
    except msgspec.DecodeError as error:
        raise _malformed(str(error)) from None
    headers = {
        name.lower(): ",".join(map(_scalar_text, values))
        for name, values in (answer.multi_value_headers or {}).items()
    }
    for name, value in (answer.headers or {}).items():
        headers[name.lower()] = _scalar_text(value)
    return Reply(
        status=_status(answer.status_code),
        body=(answer.body or "").encode("utf-8", "replace"),
        headers=headers,
    )


def _scalar_text(value: _Scalar) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _status(status: int | str | None) -> int:
    if isinstance(status, str):
        if not (status.isascii() and status.isdecimal()):
            raise _malformed(f"`statusCode` is `{status}`")
        status = int(status)
    status = 200 if status is None else status
    if not 100 <= status <= 599:
        raise _malformed(f"`statusCode` is {status}")
    return status


def _malformed(why: str) -> Refusal:
    return bad_gateway(
        "Execution failed due to configuration error: Malformed Lambda proxy response",
        hint=f"{why}; a function behind a proxy integration returns an object of statusCode,"
        " headers, multiValueHeaders, body (text) and isBase64Encoded, and nothing else",
    )
