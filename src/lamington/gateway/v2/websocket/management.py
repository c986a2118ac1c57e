"""`@connections`: what a backend may ask of a connection, over HTTP and signed.

The `apigatewaymanagementapi` of AWS: to send a message, to ask who is there, to close. Left to
others: the connections themselves.
"""

import re
from datetime import UTC, datetime
from urllib.parse import unquote

import msgspec

from lamington.core.aws import Scope
from lamington.core.clock import Clock
from lamington.core.http import Request, Response
from lamington.core.policies import evaluate
from lamington.core.sigv4 import SignatureError, Signer, Signers, authenticate
from lamington.gateway.v2.websocket.answers import error_answer, forbidden
from lamington.gateway.v2.websocket.connections import MESSAGE_BYTES_MAX, Connection, Connections
from lamington.gateway.v2.websocket.parts import MANAGEMENT_PREFIX

CLOSED_NORMALLY = 1000
ACTION = "execute-api:ManageConnections"

_ID = re.compile(r"[A-Za-z0-9_-]{15}=")


class Management:
    """Answers requests to the connections of all stages."""

    def __init__(self, connections: Connections, *, clock: Clock, signers: Signers) -> None:
        self._connections = connections
        self._clock = clock
        self._signers = signers

    def connection_id(self, path: str) -> str:
        """The id that a path names.

        AWS: it is percent-encoded, `=` too.
        """
        return unquote(path.removeprefix(MANAGEMENT_PREFIX))

    def answer(
        self,
        request: Request,
        api_id: str,
        stage: str,
        connection_id: str,
        scope: Scope,
        request_id: str,
    ) -> tuple[Response, Connection | None]:
        """Answer one request; with the connection that a message was sent to.

        AWS: API Gateway developer guide, use @connections commands. A connection that is not there
        is 410, whatever it was; an id of another form is 400 (recorded).
        """
        refusal = self._refusal(request, api_id, stage, scope)
        if refusal is not None:
            return error_answer(403, *refusal, request_id), None
        if request.method not in ("GET", "POST", "DELETE"):
            return forbidden(request_id), None
        if not _ID.fullmatch(connection_id):
            message = f"Invalid connectionId: {connection_id}"
            return error_answer(400, "BadRequestException", message, request_id), None
        connection = self._connections.find(connection_id)
        client = None if connection is None else connection.client
        if connection is None or client is None or (client.api_id, client.stage) != (api_id, stage):
            return error_answer(410, "GoneException", "", request_id), None
        match request.method:
            case "GET":
                return self._describe(connection, request_id), None
            case "DELETE":
                assert connection.socket is not None
                connection.socket.close(CLOSED_NORMALLY, "Connection Closed Normally")
                return Response(status=204, headers=[("x-amzn-RequestId", request_id)]), None
            case _:
                return self._send(connection, request.body, request_id)

    def _refusal(
        self, request: Request, api_id: str, stage: str, scope: Scope
    ) -> tuple[str, str] | None:
        """Why the caller may not, as error type and message; None where it may."""
        try:
            signer = authenticate(request, self._signers, self._clock.now(), "execute-api")
        except SignatureError as error:
            return error.code, error.message
        if signer is None:
            return "MissingAuthenticationTokenException", "Missing Authentication Token"
        arn = scope.arn("execute-api", f"{api_id}/{stage}/{request.method}/@connections/*")
        if signer.policies is None or evaluate(signer.policies(), ACTION, arn) == "allow":
            return None
        return "AccessDeniedException", _denied(signer, arn, scope)

    def _describe(self, connection: Connection, request_id: str) -> Response:
        client = connection.client
        idle_s = self._clock.monotonic() - connection.active_at
        identity = {"sourceIp": client.source_ip, "userAgent": client.user_agent}
        body = {
            "connectedAt": _shown(client.connected_at_ms / 1000),
            "identity": identity,
            "lastActiveAt": _shown(self._clock.now().timestamp() - idle_s),
        }
        return Response(
            headers=[("Content-Type", "application/json"), ("x-amzn-RequestId", request_id)],
            body=msgspec.json.encode(body),
        )

    def _send(
        self, connection: Connection, message: bytes, request_id: str
    ) -> tuple[Response, Connection | None]:
        """AWS: a client that leaves too much unread is a LimitExceededException.

        Differs: bytes that are no UTF-8 are replaced: the frame is one of text.
        """
        if len(message) > MESSAGE_BYTES_MAX:
            shown = f"Message too long: the limit is {MESSAGE_BYTES_MAX} bytes"
            return error_answer(413, "PayloadTooLargeException", shown, request_id), None
        if not message.isascii():
            message = message.decode("utf-8", "replace").encode()
        if not connection.send(message):
            return error_answer(429, "LimitExceededException", "", request_id), None
        response = Response(headers=[("x-amzn-RequestId", request_id)])
        return response, connection


def _denied(signer: Signer, arn: str, scope: Scope) -> str:
    who = signer.arn or scope.global_arn("iam", "root")
    return f"User: {who} is not authorized to perform: {ACTION} on resource: {arn}"


def _shown(epoch_s: float) -> str:
    moment = datetime.fromtimestamp(epoch_s, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
