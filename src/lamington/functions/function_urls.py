"""Function URLs, the data plane: who may call one, and what comes of it.

What a URL is made of (`operations.function_urls`) is compiled when it changes; which URL an
address names is known before a request comes here. Left to others: the event (`url_events`), what
the function's answer stands for (`url_responses`), bytes on the wire.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lamington.core.aws import Scope
from lamington.core.clock import Clock, Ids
from lamington.core.errors import AwsError
from lamington.core.http import Request, Response
from lamington.core.sigv4 import SignatureError
from lamington.functions.answer_format import Fields
from lamington.functions.entities import REQUEST_PAYLOAD_MAX_BYTES, FunctionUrlConfig
from lamington.functions.event_format import Received, RequestReader
from lamington.functions.invoke import Invocation
from lamington.functions.tracing import TRACE_HEADER
from lamington.functions.url_events import URL_HEADERS, UrlAddress, UrlCaller, encode_event
from lamington.functions.url_responses import (
    StreamingInvoker,
    bad_gateway,
    buffered_response,
    denied_response,
    refused_response,
    streamed_response,
    too_large_response,
    unsigned_response,
)

LOGGER = logging.getLogger("lamington.functions")

URL_ACTION = "lambda:InvokeFunctionUrl"
INVOKE_ACTION = "lambda:InvokeFunction"

_FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see:"
    " https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
_CORS_PREFIX = "access-control-"


class UrlPolicies(Protocol):
    """The resource policies of functions; `policy_version` counts their changes."""

    @property
    def policy_version(self) -> int: ...

    def statements(self, config: FunctionUrlConfig, scope: Scope) -> Sequence[Mapping[str, Any]]:
        """The statements of exactly the function or alias that has the URL."""
        ...


Identify = Callable[[Request], Awaitable[UrlCaller | None]]
"""Tells who has signed a request to Lambda, None for nobody; raises SignatureError."""


# Who may.


def permits(
    statements: Sequence[Mapping[str, Any]], action: str, principal: str, auth_type: str
) -> bool:
    """Whether a policy allows an action on a function URL to `principal`, an account or ``"*"``.

    AWS: Lambda developer guide, control access to function URLs.
    """
    return any(
        each.get("Effect") == "Allow"
        and _is_action(str(each.get("Action")), action)
        and _is_principal(each.get("Principal"), principal)
        and all(
            _is_met(key.lower(), str(expected), principal, auth_type)
            for pairs in each.get("Condition", {}).values()
            for key, expected in pairs.items()
        )
        for each in statements
    )


def _is_action(named: str, action: str) -> bool:
    return named in ("*", "lambda:*") or named.lower() == action.lower()


def _is_principal(named: Any, principal: str) -> bool:
    if isinstance(named, Mapping):
        named = named.get("AWS")
    if named == "*":
        return True
    return principal != "*" and isinstance(named, str) and f"::{principal}:" in f"{named}:"


def _is_met(key: str, expected: str, principal: str, auth_type: str) -> bool:
    """A condition on anything that a request to a URL does not bring is never met."""
    match key:
        case "lambda:functionurlauthtype":
            return expected == auth_type
        case "lambda:invokedviafunctionurl":
            return expected.lower() == "true"
        case "aws:sourceaccount" | "aws:principalaccount":
            return expected == principal
        case _:
            return False


# CORS.


@dataclass(frozen=True, slots=True)
class _Cors:
    """The answers to a browser's questions, rendered once."""

    origins: frozenset[str]
    fields: Fields
    """What every answer to an allowed origin has, but for the origin itself."""
    preflight_fields: Fields

    @classmethod
    def compile(cls, cors: Mapping[str, Any]) -> "_Cors":
        fields: Fields = []
        if cors.get("AllowCredentials"):
            fields.append(("Access-Control-Allow-Credentials", "true"))
        exposed: Fields = []
        if cors.get("ExposeHeaders"):
            exposed.append(("Access-Control-Expose-Headers", ",".join(cors["ExposeHeaders"])))
        preflight: Fields = [
            (f"Access-Control-Allow-{name}", ",".join(cors[f"Allow{name}"]))
            for name in ("Methods", "Headers")
            if cors.get(f"Allow{name}")
        ]
        if cors.get("MaxAge") is not None:
            preflight.append(("Access-Control-Max-Age", str(cors["MaxAge"])))
        origins = frozenset(each.lower() for each in cors.get("AllowOrigins") or ())
        return cls(origins, fields + exposed, fields + preflight)

    def allowed(self, origin: str, fields: Fields) -> Fields:
        """The fields for an origin; none for one that may not."""
        if "*" in self.origins:
            return [("Access-Control-Allow-Origin", "*"), *fields]
        if origin.lower() not in self.origins:
            return []
        return [("Access-Control-Allow-Origin", origin), ("Vary", "Origin"), *fields]


class _Program:
    """All that a URL needs for a request, and what its policy was found to say."""

    __slots__ = (
        "address",
        "config",
        "cors",
        "function_arn",
        "is_public",
        "judged_version",
        "scope",
        "streams",
    )

    def __init__(self, config: FunctionUrlConfig, scope: Scope) -> None:
        self.config = config
        self.scope = scope
        name = config.function_name + (f":{config.qualifier}" if config.qualifier else "")
        self.function_arn = scope.arn("lambda", f"function:{name}")
        self.address = UrlAddress(
            config.url_id, f"{config.url_id}.lambda-url.{scope.region}.on.aws"
        )
        self.streams = config.invoke_mode == "RESPONSE_STREAM"
        self.cors = None if config.cors is None else _Cors.compile(config.cors)
        self.judged_version = -1
        self.is_public = False


class FunctionUrls:
    """Serves the function URLs that are deployed to it."""

    def __init__(
        self,
        *,
        invoker: StreamingInvoker,
        policies: UrlPolicies,
        identify: Identify,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._invoker = invoker
        self._policies = policies
        self._identify = identify
        self._ids = ids
        self._requests = RequestReader(clock, URL_HEADERS)
        self._programs: dict[str, _Program] = {}

    def deploy(self, config: FunctionUrlConfig, scope: Scope) -> None:
        """Put a URL into service; requests in flight finish on what it was."""
        self._programs[config.url_id] = _Program(config, scope)

    def withdraw(self, url_id: str) -> None:
        self._programs.pop(url_id, None)

    async def handle(self, request: Request, url_id: str, path: str) -> Response:
        """Answer a request to `path`, undecoded as it was sent.

        AWS: Lambda developer guide, function URLs; an id that is not there is 403.
        Differs: the addresses of this machine carry no TLS, and forwarding headers say 443, https
        and TLSv1.3 all the same.
        """
        program = self._programs.get(url_id)
        request_id = self._ids.request_id()
        if program is None:
            return _finished(denied_response(None), request_id, "")
        received = self._requests.receive(request, request_id)
        origin = received.headers.get("origin", "")
        cors = program.cors
        if cors is not None and origin and request.method == "OPTIONS":
            response = Response(headers=cors.allowed(origin, cors.preflight_fields))
            return _finished(response, request_id, received.trace_id)
        response = await self._answer(program, request, received, request_id, path or "/")
        if cors is not None:
            response.headers = [
                pair for pair in response.headers if not pair[0].lower().startswith(_CORS_PREFIX)
            ]
            if origin:
                response.headers += cors.allowed(origin, cors.fields)
        return _finished(response, request_id, received.trace_id)

    async def _answer(
        self,
        program: _Program,
        request: Request,
        received: Received,
        request_id: str,
        path: str,
    ) -> Response:
        caller: UrlCaller | None = None
        if program.config.auth_type == "NONE":
            if not self._is_public(program):
                return denied_response(_FORBIDDEN)
        else:
            try:
                caller = await self._identify(request)
            except SignatureError as error:
                return unsigned_response(error.message, error.code)
            if caller is None or not self._is_allowed(program, caller):
                return denied_response(_FORBIDDEN)
        event = encode_event(program.address, request, received, request_id, path, caller)
        if len(event) > REQUEST_PAYLOAD_MAX_BYTES:
            return too_large_response()
        invocation = Invocation(
            function_arn=program.function_arn,
            payload=event,
            trace_id=received.trace_id,
            request_id=request_id,
            checked=True,
        )
        try:
            if program.streams:
                return await streamed_response(await self._invoker.invoke_streamed(invocation))
            result = await self._invoker.invoke(invocation)
        except AwsError as error:
            return refused_response(error)
        if result.function_error:
            return bad_gateway()
        return buffered_response(result.payload)

    def _is_public(self, program: _Program) -> bool:
        """Whether anybody may call: asked once for each state of the policies.

        AWS: since October 2025 a URL without authorization needs both statements.
        """
        version = self._policies.policy_version
        if program.judged_version != version:
            statements = self._policies.statements(program.config, program.scope)
            missing = [
                action
                for action in (URL_ACTION, INVOKE_ACTION)
                if not permits(statements, action, "*", "NONE")
            ]
            program.judged_version, program.is_public = version, not missing
            if missing:
                LOGGER.warning(
                    "the URL of %s answers 403: its policy does not allow %s to everybody",
                    program.function_arn,
                    " and ".join(missing),
                )
        return program.is_public

    def _is_allowed(self, program: _Program, caller: UrlCaller) -> bool:
        """AWS: within an account one policy has to allow, the caller's or the function's; a caller
        of another account needs both.
        """
        statements = self._policies.statements(program.config, program.scope)
        foreign = caller.account_id != program.scope.account_id
        for action in (URL_ACTION, INVOKE_ACTION):
            own = "allow"
            if caller.decide is not None:
                own = caller.decide(action, program.function_arn)
            elif not foreign:
                continue
            granted = permits(statements, action, caller.account_id, "AWS_IAM")
            needed = (own == "allow") + granted
            if own == "deny" or needed < (2 if foreign else 1):
                return False
        return True


def _finished(response: Response, request_id: str, trace_id: str) -> Response:
    response.headers.append(("x-amzn-RequestId", request_id))
    if trace_id:
        response.headers.append((TRACE_HEADER, trace_id))
    return response
