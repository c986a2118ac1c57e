"""What an HTTP API itself answers when a request does not get through: status, text, headers.

Gateway responses cannot be customised here. Which situation calls for which refusal is the
caller's to know.
"""

from collections.abc import Mapping

import msgspec

from lamington.core.errors import GatewayError
from lamington.core.http import Response
from lamington.gateway.responses import Refusal

JSON_TYPE = ("content-type", "application/json")

_MESSAGES: Mapping[int, str] = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    413: "Request Entity Too Large",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_BODIES = {
    status: msgspec.json.encode({"message": message}) for status, message in _MESSAGES.items()
}
_RESPONSE_TYPES: Mapping[int, str] = {
    401: "UNAUTHORIZED",
    403: "ACCESS_DENIED",
    404: "RESOURCE_NOT_FOUND",
    413: "REQUEST_TOO_LARGE",
    429: "THROTTLED",
    503: "INTEGRATION_FAILURE",
}


class HttpRefusal(GatewayError):
    """Ends a request; `message` is why, and what `$context.integrationErrorMessage` says.

    The client gets the status's own text. `challenge` is a `www-authenticate` header.

    AWS: API Gateway developer guide, HTTP APIs; no `x-amzn-ErrorType`.
    """

    def __init__(self, status: int, message: str, *, hint: str = "", challenge: str = "") -> None:
        family = "DEFAULT_4XX" if status < 500 else "DEFAULT_5XX"
        super().__init__(message, response_type=_RESPONSE_TYPES.get(status, family), hint=hint)
        self.status = status
        self.challenge = challenge

    @property
    def client_message(self) -> str:
        return _MESSAGES[self.status]

    def response(self) -> Response:
        """AWS: what a JWT authorizer refuses has a challenge and no content type (documented)."""
        headers = [("www-authenticate", self.challenge)] if self.challenge else [JSON_TYPE]
        return Response(status=self.status, headers=headers, body=_BODIES[self.status])


_STATUSES = {"REQUEST_TOO_LARGE": 413, "INTEGRATION_TIMEOUT": 503, "INTEGRATION_FAILURE": 503}


def of_integration(refusal: Refusal) -> HttpRefusal:
    """The refusal that an integration shared with REST APIs raised, in an HTTP API's terms.

    AWS: a time-out and an endpoint that is not reached are 503, the rest 500 (community reports).
    """
    status = _STATUSES.get(refusal.response_type, 500)
    if refusal.status == 502:
        status = 500
    return HttpRefusal(status, refusal.message, hint=refusal.hint)
