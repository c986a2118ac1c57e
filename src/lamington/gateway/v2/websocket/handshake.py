"""Who may connect: the authorization and the API key of `$connect`.

AWS has both on this route alone. What a handshake runs on afterwards is `program`'s.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from lamington.core.aws import Scope
from lamington.core.clock import Clock
from lamington.core.http import Request
from lamington.gateway.admission import masked
from lamington.gateway.authorization.authorizer_functions import (
    AUTHORIZER_URI,
    AuthorizerFunction,
    AuthorizerNames,
    unauthorized,
)
from lamington.gateway.authorization.authorizer_results import read_policy_answer
from lamington.gateway.authorization.iam import compile_iam
from lamington.gateway.authorization.resource_policies import MethodArns, access_denied
from lamington.gateway.mapping import (
    Gate,
    MethodRequest,
    receive_headers,
    substitute_stage_variables,
)
from lamington.gateway.recording import Recording
from lamington.gateway.responses import Refusal
from lamington.gateway.templates import Note
from lamington.gateway.v2 import entities
from lamington.gateway.v2.websocket.events import handshake_members
from lamington.gateway.v2.websocket.exchange import CONNECT_ROUTE, Exchange
from lamington.gateway.v2.websocket.parts import WebSocketParts
from lamington.gateway.v2.websocket.selection import Selector, compile_selection
from lamington.gateway.vtl.limits import TemplateError

WEB_SOCKET_VERSION = "13"
KEY_BYTES = 16
USAGE_KEY_EXPRESSION = "$context.authorizer.usageIdentifierKey"

Admit = Callable[[MethodRequest, Exchange], Awaitable[None] | None]
"""One check of a handshake; raises Refusal, and puts what it learns into the request."""


def offers_web_socket(request: Request) -> bool:
    """Whether a client asks for a WebSocket, and the server can give it one."""
    upgrade = request.headers.get("upgrade").strip().lower()
    return request.method == "GET" and upgrade == "websocket"


def is_well_formed(request: Request) -> bool:
    """Whether the offer is one that RFC 6455 lets a server accept: version and key."""
    headers = request.headers
    if headers.all("sec-websocket-version") != [WEB_SOCKET_VERSION]:
        return False
    keys = headers.all("sec-websocket-key")
    try:
        return len(keys) == 1 and len(base64.b64decode(keys[0], validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        return False


def receive(request: Request, exchange: Exchange) -> MethodRequest:
    """A handshake as the checks of REST APIs take a request; its method is the route itself."""
    headers, known = receive_headers(request.headers.fields, request.source_ip, exchange.trace_id)
    return MethodRequest(
        method="",
        path=CONNECT_ROUTE,
        context_path=request.path,
        path_parameters={},
        query=request.query,
        fields=request.headers.fields,
        headers=headers,
        known=known,
        body=b"",
        source_ip=request.source_ip,
        host=request.host,
        request_id=exchange.request_id,
        extended_request_id=exchange.request_id,
        trace_id=exchange.trace_id,
        moment=exchange.moment,
        identity={},
        sent=request,
        recording=exchange.recording,
    )


def compile_admission(
    api: entities.Api, stage: entities.Stage, scope: Scope, parts: WebSocketParts, note: Note
) -> tuple[Admit, ...]:
    """Compile the checks that come before the integration of `$connect`."""
    route = next((each for each in api.routes.values() if each.route_key == CONNECT_ROUTE), None)
    if route is None:
        return ()
    checks: list[Admit] = []
    arns = MethodArns(api.api_id, stage.stage_name, scope)
    match route.authorization_type:
        case "" | "NONE":
            pass
        case "AWS_IAM":
            gate = compile_iam(
                arns=arns, policy=None, scope=scope, signers=parts.signers, clock=parts.clock
            )
            checks.append(_plain(gate))
        case "CUSTOM":
            authorizer = api.authorizers.get(route.authorizer_id)
            checks.append(_compile_authorizer(authorizer, arns, api, stage, scope, parts, note))
        case unknown:
            checks.append(_refuse(f"The authorization type `{unknown}` is not known", note))
    if route.api_key_required:
        checks.append(_compile_api_key(api, stage, parts, note))
    return tuple(checks)


def _plain(gate: Gate) -> Admit:
    return lambda request, exchange: gate(request)


def _refuse(why: str, note: Note) -> Admit:
    """A route that asks who calls is never open because nobody can be asked."""
    note(why)

    def refuse(request: MethodRequest, exchange: Exchange) -> None:
        raise Refusal(
            f"Execution failed due to configuration error: {why}",
            response_type="AUTHORIZER_CONFIGURATION_ERROR",
        )

    return refuse


def _compile_authorizer(
    authorizer: entities.Authorizer | None,
    arns: MethodArns,
    api: entities.Api,
    stage: entities.Stage,
    scope: Scope,
    parts: WebSocketParts,
    note: Note,
) -> Admit:
    """Compile a Lambda authorizer.

    AWS: API Gateway developer guide, WebSocket APIs, Lambda authorizers: of type REQUEST only;
    an identity source without a value is 401 and the function is not called; nothing is kept.
    """
    if authorizer is None:
        return _refuse("The route's authorizer does not exist", note)
    found = AUTHORIZER_URI.fullmatch(
        substitute_stage_variables(authorizer.authorizer_uri, stage.variables)
    )
    if found is None:
        return _refuse("Invalid authorizer URI", note)
    sources = []
    for text in authorizer.identity_source:
        try:
            sources.append(_compile_identity(text))
        except TemplateError as error:
            return _refuse(f"Identity source `{text}`: {error.message}", note)
    function = AuthorizerFunction(
        AuthorizerNames(
            api_id=api.api_id,
            authorizer_id=authorizer.authorizer_id,
            name=authorizer.name,
            kind=authorizer.authorizer_type,
            role=authorizer.credentials_arn,
        ),
        found["arn"],
        scope=scope,
        invoker=parts.invoker,
        permitted=parts.permitted,
        clock=parts.clock,
    )

    return _Authorization(
        authorizer=authorizer, function=function, sources=sources, arns=arns, clock=parts.clock
    ).ask


@dataclass(frozen=True, slots=True, kw_only=True)
class _Authorization:
    """A Lambda authorizer of `$connect`."""

    authorizer: entities.Authorizer
    function: AuthorizerFunction
    sources: Sequence[Selector]
    arns: MethodArns
    clock: Clock

    async def ask(self, request: MethodRequest, exchange: Exchange) -> None:
        """Call the function; raises Refusal unless it lets the client in."""
        subject = exchange.subject()
        identity = [read(subject) for read in self.sources]
        if exchange.recording is not None:
            _hide(exchange.recording, self.authorizer, identity)
        if not all(identity):
            raise unauthorized("an identity source is missing")
        arn = self.arns.of(request)
        event = _authorizer_event(exchange, arn)
        began, output = self.clock.monotonic(), b""
        try:
            output = (await self.function.call(event, exchange.trace_id)).payload
            answer = read_policy_answer(output, self.clock)
        except Refusal as refusal:
            self.function.record_asked(
                exchange.recording,
                event,
                output,
                began=began,
                error=refusal.hint or refusal.message,
            )
            raise
        decision = answer.decide(request, arn)
        self.function.record_asked(
            exchange.recording,
            event,
            output,
            began=began,
            decision=decision,
            principal=answer.principal_id,
        )
        if decision != "allow":
            raise access_denied(explicit=decision == "deny")
        request.authorizer = answer.context
        request.usage_key = answer.usage_key


def _hide(recording: Recording, authorizer: entities.Authorizer, identity: Sequence[str]) -> None:
    """What identifies a caller is a secret, wherever in the handshake it came."""
    for source, value in zip(authorizer.identity_source, identity, strict=True):
        if source.removeprefix("$").startswith("route.request."):
            recording.hidden.append(value)


def _compile_identity(text: str) -> Selector:
    """AWS: `route.request.header.X`, `route.request.querystring.X`, `context.X`,
    `stageVariables.X`."""
    return compile_selection(f"${text.removeprefix('$')}")


def _authorizer_event(exchange: Exchange, arn: str) -> bytes:
    members: dict[str, Any] = {
        "queryStringParameters": {},
        "multiValueQueryStringParameters": {},
        **handshake_members(exchange),
    }
    return msgspec.json.encode(
        {
            "type": "REQUEST",
            "methodArn": arn,
            "headers": members["headers"],
            "multiValueHeaders": members["multiValueHeaders"],
            "queryStringParameters": members["queryStringParameters"],
            "multiValueQueryStringParameters": members["multiValueQueryStringParameters"],
            "stageVariables": dict(exchange.variables),
            "requestContext": exchange.context(),
        }
    )


def _compile_api_key(
    api: entities.Api, stage: entities.Stage, parts: WebSocketParts, note: Note
) -> Admit:
    """Compile the check of an API key and of what its plan allows.

    AWS: API Gateway developer guide, API key selection expressions.
    Differs: of a plan's throttles only its own is asked, none for single routes.
    """
    if parts.plans is None:
        return _refuse("API keys cannot be asked for here", note)
    subscriptions = parts.plans.stage(api.api_id, stage.stage_name)
    expression = api.api_key_selection_expression
    by_authorizer = expression == USAGE_KEY_EXPRESSION
    try:
        select = compile_selection(expression)
    except TemplateError as error:
        return _refuse(f"API key selection expression: {error.message}", note)

    def admit(request: MethodRequest, exchange: Exchange) -> None:
        value = request.usage_key if by_authorizer else select(exchange.subject())
        subscription = subscriptions.by_value.get(value)
        if subscription is None:
            _record_plan(exchange, value, "", "not authorized", "no plan of the stage has this key")
            raise Refusal("API Key is not valid", response_type="INVALID_API_KEY")
        request.identity = {**request.identity, **subscription.identity}
        if subscription.bucket is not None and not subscription.bucket.take():
            _record_plan(exchange, value, subscription.plan_id, "throttled")
            raise Refusal("Rate exceeded for key", response_type="THROTTLED")
        if not subscription.counter.take():
            if subscription.bucket is not None:
                subscription.bucket.give_back()
            _record_plan(exchange, value, subscription.plan_id, "over quota")
            raise Refusal("Quota exceeded for key", response_type="QUOTA_EXCEEDED")
        _record_plan(exchange, value, subscription.plan_id, "allowed")

    return admit


def _record_plan(
    exchange: Exchange, value: str, plan_id: str, decision: str, why: str = ""
) -> None:
    if exchange.recording is None:
        return
    client = exchange.client
    exchange.recording.hidden.append(value)
    exchange.recording.add(
        "usage_plan",
        key=masked(value),
        plan=plan_id,
        stage=f"{client.api_id}/{client.stage}",
        decision=decision,
        why=why,
    )
