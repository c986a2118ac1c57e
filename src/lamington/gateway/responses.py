"""Gateway responses: what API Gateway itself answers when a request does not get through.

The types with their statuses and texts, a definition's own versions of them, and the refusal that
names one. Which situation calls for which type is the caller's to know.
"""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from lamington.core.errors import GatewayError
from lamington.gateway.entities import GatewayResponseDefinition
from lamington.gateway.mapping import (
    ContextValues,
    Expression,
    MethodRequest,
    RouteConstants,
    compile_request_expression,
    context_text,
    context_values,
    media_type,
)


@dataclass(slots=True)
class MethodResponse:
    """What the client is to get, before the headers that every response has."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    stream: AsyncIterator[bytes] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayResponseType:
    """One of AWS's types; a message of None is sent as JSON's null."""

    status: int
    message: str | None
    error_type: str
    message_key: str = "message"


INTERNAL_ERROR = "Internal server error"

GATEWAY_RESPONSE_TYPES: Mapping[str, GatewayResponseType] = {
    "ACCESS_DENIED": GatewayResponseType(
        status=403,
        message="User is not authorized to access this resource",
        error_type="AccessDeniedException",
        message_key="Message",
    ),
    "API_CONFIGURATION_ERROR": GatewayResponseType(
        status=500, message=INTERNAL_ERROR, error_type="InternalServerErrorException"
    ),
    "AUTHORIZER_CONFIGURATION_ERROR": GatewayResponseType(
        status=500, message=None, error_type="AuthorizerConfigurationException"
    ),
    "AUTHORIZER_FAILURE": GatewayResponseType(
        status=500, message=None, error_type="AuthorizerFailureException"
    ),
    "BAD_REQUEST_BODY": GatewayResponseType(
        status=400, message="Invalid request body", error_type="BadRequestException"
    ),
    "BAD_REQUEST_PARAMETERS": GatewayResponseType(
        status=400,
        message="Missing required request parameters",
        error_type="BadRequestException",
    ),
    "DEFAULT_4XX": GatewayResponseType(
        status=400, message="Bad Request", error_type="BadRequestException"
    ),
    "DEFAULT_5XX": GatewayResponseType(
        status=500, message=INTERNAL_ERROR, error_type="InternalServerErrorException"
    ),
    "EXPIRED_TOKEN": GatewayResponseType(
        status=403,
        message="The security token included in the request is expired",
        error_type="ExpiredTokenException",
    ),
    "INTEGRATION_FAILURE": GatewayResponseType(
        status=504,
        message="Network error communicating with endpoint",
        error_type="InternalServerErrorException",
    ),
    "INTEGRATION_TIMEOUT": GatewayResponseType(
        status=504,
        message="Endpoint request timed out",
        error_type="InternalServerErrorException",
    ),
    "INVALID_API_KEY": GatewayResponseType(
        status=403, message="Forbidden", error_type="ForbiddenException"
    ),
    "INVALID_SIGNATURE": GatewayResponseType(
        status=403,
        message="The request signature we calculated does not match the signature you provided."
        " Check your AWS Secret Access Key and signing method. Consult the service documentation"
        " for details.",
        error_type="InvalidSignatureException",
    ),
    "MISSING_AUTHENTICATION_TOKEN": GatewayResponseType(
        status=403,
        message="Missing Authentication Token",
        error_type="MissingAuthenticationTokenException",
    ),
    "QUOTA_EXCEEDED": GatewayResponseType(
        status=429, message="Limit Exceeded", error_type="LimitExceededException"
    ),
    "REQUEST_TOO_LARGE": GatewayResponseType(
        status=413, message="Request Too Long", error_type="RequestTooLargeException"
    ),
    "RESOURCE_NOT_FOUND": GatewayResponseType(
        status=404, message="Not Found", error_type="ResourceNotFoundException"
    ),
    "THROTTLED": GatewayResponseType(
        status=429, message="Too Many Requests", error_type="TooManyRequestsException"
    ),
    "UNAUTHORIZED": GatewayResponseType(
        status=401, message="Unauthorized", error_type="UnauthorizedException"
    ),
    "UNSUPPORTED_MEDIA_TYPE": GatewayResponseType(
        status=415, message="Unsupported Media Type", error_type="BadRequestException"
    ),
    "WAF_FILTERED": GatewayResponseType(
        status=403, message="Forbidden", error_type="ForbiddenException"
    ),
}
"""The 21 types.

AWS: API Gateway developer guide, gateway response types.
Differs: texts of REQUEST_TOO_LARGE and RESOURCE_NOT_FOUND are likely ones; no record of them.
"""


class Refusal(GatewayError):
    """Ends a request with a gateway response; `message` is the execution log's sentence.

    The client gets the type's own status, message and error type where none is given here.
    `validation_error` is `$context.error.validationErrorString`.
    """

    def __init__(
        self,
        message: str,
        *,
        response_type: str,
        hint: str = "",
        status: int = 0,
        client_message: str = "",
        error_type: str = "",
        validation_error: str = "",
    ) -> None:
        super().__init__(message, response_type=response_type, hint=hint)
        kind = GATEWAY_RESPONSE_TYPES[response_type]
        self.status = status or kind.status
        self.client_message = client_message or kind.message
        self.error_type = error_type or kind.error_type
        self.validation_error = validation_error


def configuration_error(reason: str, hint: str = "") -> Refusal:
    """The refusal of a request that the API's own definition cannot serve: a bare 500."""
    return Refusal(
        f"Execution failed due to configuration error: {reason}",
        response_type="API_CONFIGURATION_ERROR",
        hint=hint,
    )


def bad_gateway(message: str, hint: str = "") -> Refusal:
    """The refusal of an answer from behind that cannot be passed on: 502, not the type's 504."""
    return Refusal(
        message,
        response_type="INTEGRATION_FAILURE",
        hint=hint,
        status=502,
        client_message=INTERNAL_ERROR,
    )


Substitution = Callable[[MethodRequest, ContextValues], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Customised:
    status: int
    headers: tuple[tuple[str, Expression], ...]
    templates: Mapping[str, Substitution]


class GatewayResponses:
    """The gateway responses of one stage, compiled."""

    __slots__ = ("_customised",)

    def __init__(self, customised: Mapping[str, _Customised]) -> None:
        self._customised = customised

    def response(
        self, refusal: Refusal, request: MethodRequest, route: RouteConstants
    ) -> MethodResponse:
        """Make the response to a request; `route` has no resource where none was found.

        AWS: a type with a definition of its own takes nothing from DEFAULT_4XX or DEFAULT_5XX;
        REQUEST_TOO_LARGE cannot be customised.
        """
        message = refusal.client_message
        own = self._find(refusal)
        headers = [("x-amzn-ErrorType", refusal.error_type)]
        if own is None:
            key = GATEWAY_RESPONSE_TYPES[refusal.response_type].message_key
            body = msgspec.json.encode({key: message})
            return MethodResponse(
                refusal.status, [("Content-Type", "application/json"), *headers], body
            )
        values = {
            **context_values(route, request),
            "error": {
                "message": message,
                "messageString": msgspec.json.encode(message).decode(),
                "responseType": refusal.response_type,
                "validationErrorString": refusal.validation_error,
            },
        }
        status = own.status or refusal.status
        content_type, template = _choose(own.templates, request)
        headers.insert(0, ("Content-Type", content_type))
        for name, expression in own.headers:
            value = expression(request, values)
            if value is not None:
                headers = [pair for pair in headers if pair[0].lower() != name.lower()]
                headers.append((name, value))
        return MethodResponse(status, headers, template(request, values).encode())

    def _find(self, refusal: Refusal) -> _Customised | None:
        if refusal.response_type == "REQUEST_TOO_LARGE":
            return None
        own = self._customised.get(refusal.response_type)
        if own is not None:
            return own
        family = "DEFAULT_4XX" if refusal.status < 500 else "DEFAULT_5XX"
        return self._customised.get(family)


def compile_gateway_responses(
    definitions: Mapping[str, GatewayResponseDefinition], variables: Mapping[str, str]
) -> GatewayResponses:
    """Compile a definition's own gateway responses.

    AWS: API Gateway developer guide, gateway responses; their templates are not VTL, and their
    parameters do not come from the body.
    """
    return GatewayResponses(
        {
            response_type: _Customised(
                status=int(each.status_code) if _STATUS.fullmatch(each.status_code) else 0,
                headers=tuple(
                    (
                        target.removeprefix("gatewayresponse.header."),
                        compile_request_expression(source, variables),
                    )
                    for target, source in each.response_parameters.items()
                    if not source.startswith("method.request.body")
                ),
                templates={
                    kind.lower(): compile_substitution(text, variables)
                    for kind, text in (each.response_templates or _DEFAULT_TEMPLATES).items()
                },
            )
            for response_type, each in definitions.items()
        }
    )


_STATUS = re.compile(r"[1-5]\d\d")
_DEFAULT_TEMPLATES = {"application/json": '{"message":$context.error.messageString}'}

_VARIABLE = re.compile(
    r"\$(\{)?((?:context|stageVariables|method\.request\.(?:header|querystring|path))"
    r"(?:\.[A-Za-z0-9_-]+)+)(?(1)\})"
)


def compile_substitution(text: str, variables: Mapping[str, str]) -> Substitution:
    """Compile a gateway response's template, in which only variables are replaced."""
    parts: list[str | Expression] = []
    end = 0
    for found in _VARIABLE.finditer(text):
        parts.append(text[end : found.start()])
        name = found[2]
        if name.startswith("context."):
            parts.append(_context_reader(name.removeprefix("context.")))
        else:
            parts.append(compile_request_expression(name, variables))
        end = found.end()
    parts.append(text[end:])

    def render(request: MethodRequest, context: ContextValues) -> str:
        return "".join(
            part if isinstance(part, str) else part(request, context) or "" for part in parts
        )

    return render


def _context_reader(name: str) -> Expression:
    def read(request: MethodRequest, context: ContextValues) -> str | None:
        return context_text(context, name)

    return read


def _choose(
    templates: Mapping[str, Substitution], request: MethodRequest
) -> tuple[str, Substitution]:
    wanted = media_type(request.known.get("accept", "").partition(",")[0])
    for kind in (wanted, "application/json"):
        if kind in templates:
            return kind, templates[kind]
    return next(iter(templates.items()))
