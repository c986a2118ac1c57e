"""What WebSocket APIs answer over HTTP where they refuse: handshakes, and `@connections`.

Left to others: the frames that tell a client of an error (`exchange`).
"""

import msgspec

from lamington.core.http import Response
from lamington.gateway.responses import INTERNAL_ERROR, Refusal
from lamington.gateway.v2.websocket.events import Reply
from lamington.gateway.v2.websocket.exchange import Exchange


def error_answer(status: int, error_type: str, message: str, request_id: str) -> Response:
    """AWS: the errors of the service model have no text, and no body then."""
    return Response(
        status=status,
        headers=[
            ("Content-Type", "application/json"),
            ("x-amzn-ErrorType", error_type),
            ("x-amzn-RequestId", request_id),
        ],
        body=msgspec.json.encode({"message": message}) if message else b"",
    )


def forbidden(request_id: str) -> Response:
    """The answer for a stage that is not there, or not for everybody."""
    return error_answer(403, "ForbiddenException", "Forbidden", request_id)


def refusal_answer(refusal: Refusal, exchange: Exchange) -> Response:
    """The answer to a handshake that is refused, in the form of an error frame."""
    headers = [
        ("Content-Type", "application/json"),
        ("x-amzn-ErrorType", refusal.error_type),
        ("x-amzn-RequestId", exchange.request_id),
    ]
    if refusal.status == 426:
        headers.append(("Upgrade", "websocket"))
    message = refusal.client_message or INTERNAL_ERROR
    return Response(status=refusal.status, headers=headers, body=exchange.error_text(message))


def rejection(reply: Reply, exchange: Exchange) -> Response:
    """An integration said no: its status is the handshake's, a status that has a body."""
    status = reply.status if 300 <= reply.status <= 599 else 502
    return Response(
        status=status,
        headers=[
            ("Content-Type", reply.headers.get("content-type", "application/json")),
            ("x-amzn-RequestId", exchange.request_id),
        ],
        body=reply.body,
    )
