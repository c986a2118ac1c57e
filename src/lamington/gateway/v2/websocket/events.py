"""The Lambda proxy integration of WebSocket APIs: the event that a function gets, its answer.

That the function is invoked in between is `integrations`' part.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from lamington.gateway.integrations import IntegrationRequest, IntegrationResponse
from lamington.gateway.lambda_proxy import (
    ProxyAnswer,
    Scalar,
    function_failed,
    header_text,
    malformed,
    require_status,
)
from lamington.gateway.mapping import query_values, receive_headers
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


_ANSWER = msgspec.json.Decoder(ProxyAnswer)


def read_proxy_answer(exchange: Exchange, response: IntegrationResponse) -> Reply:
    """Read what a function answers; raises Refusal for a failure and for what is no answer.

    AWS: the format is that of REST APIs: an object of `statusCode`, `headers` and `body`.
    Differs: `isBase64Encoded` is not looked at: messages are text.
    """
    if response.function_error:
        raise function_failed(response)
    try:
        answer = _ANSWER.decode(response.body)
    except msgspec.DecodeError as error:
        raise malformed(str(error)) from None
    headers = {
        name.lower(): ",".join(_text(each) for each in values)
        for name, values in (answer.multi_value_headers or {}).items()
    }
    for name, value in (answer.headers or {}).items():
        headers[name.lower()] = _text(value)
    return Reply(
        status=require_status(answer.status_code),
        body=(answer.body or "").encode("utf-8", "replace"),
        headers=headers,
    )


def _text(value: Scalar) -> str:
    return "" if value is None else header_text(value)
