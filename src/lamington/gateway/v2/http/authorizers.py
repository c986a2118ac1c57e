"""Who may call a route: JSON Web Tokens, IAM, or what a Lambda authorizer says.

Compiled to one gate when a stage is deployed. Left to others: tokens and their keys
(`authorization.json_web_tokens`), signatures (`authorization.iam`), and authorizers' functions
(`lambda_authorizers`).
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

import msgspec

from lamington.gateway.authorization.iam import (
    caller_arn,
    caller_values,
    identity_decision,
    require_signer,
)
from lamington.gateway.authorization.json_web_tokens import TokenError, bearer_token, scopes_of
from lamington.gateway.recording import Recording
from lamington.gateway.responses import Refusal
from lamington.gateway.templates import Note
from lamington.gateway.v2 import entities
from lamington.gateway.v2.http.integrations import function_arn_of
from lamington.gateway.v2.http.lambda_authorizers import (
    compile_lambda_authorizer,
    request_values,
    route_arn,
)
from lamington.gateway.v2.http.parameters import Value, compile_value
from lamington.gateway.v2.http.parts import HttpApiParts, Tokens
from lamington.gateway.v2.http.refusals import HttpRefusal
from lamington.gateway.v2.http.requests import Caller, Gate, HttpRequest, RouteConstants
from lamington.gateway.vtl.limits import TemplateError

CALLERS_KEPT = 1_000
"""Tokens whose claims a route keeps as events have them."""


def compile_authorization(
    api: entities.Api,
    route: entities.Route,
    constants: RouteConstants,
    *,
    parts: HttpApiParts,
    note: Note,
) -> Gate | None:
    """Compile who may call a route; None where anybody may."""
    match route.authorization_type:
        case "" | "NONE":
            return None
        case "AWS_IAM":
            return _compile_iam(constants, parts)
        case "JWT" | "CUSTOM":
            authorizer = api.authorizers.get(route.authorizer_id)
        case unknown:
            return _refuse(f"The authorization type `{unknown}` is not known", note)
    if authorizer is None:
        return _refuse("The route's authorizer does not exist", note)
    try:
        sources = [compile_value(each, constants.variables) for each in authorizer.identity_source]
    except TemplateError as error:
        return _refuse(f"The identity source of `{authorizer.name}`: {error.message}", note)
    if authorizer.authorizer_type == "JWT":
        return _compile_jwt(authorizer, sources, route.authorization_scopes, parts.tokens)
    function_arn = function_arn_of(authorizer.authorizer_uri, constants.variables)
    if not function_arn:
        return _refuse(f"The authorizer `{authorizer.name}` names no function", note)
    return compile_lambda_authorizer(
        authorizer,
        sources,
        function_arn,
        constants,
        invoker=parts.invoker,
        permitted=parts.permitted,
        caches=parts.caches,
        clock=parts.clock,
    )


def _refuse(reason: str, note: Note) -> Gate:
    note(reason)

    def gate(request: HttpRequest) -> None:
        raise HttpRefusal(500, reason)

    return gate


# IAM.


def _compile_iam(route: RouteConstants, parts: HttpApiParts) -> Gate:
    """AWS: API Gateway developer guide, IAM authorization for HTTP APIs; every refusal is 403.

    Differs: a caller of another account is not refused for that.
    """
    scope = route.scope

    def gate(request: HttpRequest) -> None:
        try:
            signer = require_signer(request.sent, parts.signers, parts.clock)
        except Refusal as refusal:
            raise HttpRefusal(403, refusal.message) from None
        values = {**caller_values(signer, scope), **request_values(request)}
        who = caller_arn(signer, scope)
        decision = identity_decision(signer, route_arn(route, request), values)
        if request.recording is not None:
            request.recording.add(
                "authorizer",
                name="AWS_IAM",
                kind="AWS_IAM",
                cached=False,
                principal=who,
                identity_policy=decision,
                decision=decision,
            )
        if decision != "allow":
            raise HttpRefusal(403, f"`{who}` may not call this route")
        account_id = signer.of_account(scope.account_id)
        user_id = signer.user_id or account_id
        request.caller = Caller(
            "iam",
            {
                "accessKey": signer.access_key,
                "accountId": account_id,
                "callerId": user_id,
                "cognitoIdentity": None,
                "principalOrgId": None,
                "userArn": who,
                "userId": user_id,
            },
        )

    return gate


# JSON Web Tokens.


def _compile_jwt(
    authorizer: entities.Authorizer,
    sources: Sequence[Value],
    scopes: tuple[str, ...],
    tokens: Tokens,
) -> Gate:
    """AWS: API Gateway developer guide, JWT authorizers and their troubleshooting."""
    issuer, audiences = authorizer.jwt_issuer, authorizer.jwt_audience
    callers: dict[str, tuple[Mapping[str, Any], Caller | None]] = {}
    insufficient = f'Bearer scope="{" ".join(scopes)}" error="insufficient_scope"'

    def gate(request: HttpRequest) -> Awaitable[None] | None:
        given = next((value for each in sources if (value := each(request, None))), "")
        token = bearer_token(given)
        if request.recording is not None:
            request.recording.hidden.append(token)
        if not token:
            raise HttpRefusal(401, "The request has no token", challenge="Bearer")
        claims = tokens.recall(token, issuer=issuer, audiences=audiences)
        if claims is None:
            return verify(request, token)
        if request.recording is not None:
            _record_token(request.recording, authorizer, scopes, token, claims, cached=True)
        admit(request, token, claims)
        return None

    async def verify(request: HttpRequest, token: str) -> None:
        claims = await _verified(request, token, authorizer, scopes, tokens)
        admit(request, token, claims)

    def admit(request: HttpRequest, token: str, claims: Mapping[str, Any]) -> None:
        known = callers.get(token)
        if known is None or known[0] is not claims:
            if len(callers) >= CALLERS_KEPT:
                callers.clear()
            known = callers[token] = (claims, _token_caller(claims, scopes))
        if known[1] is None:
            raise HttpRefusal(403, "insufficient_scope", challenge=insufficient)
        request.caller = known[1]

    return gate


def _token_caller(claims: Mapping[str, Any], scopes: tuple[str, ...]) -> Caller | None:
    """Who a token says is calling; None where it has none of the scopes of the route."""
    found: list[str] | None = None
    if scopes:
        has = scopes_of(claims)
        found = [each for each in scopes if each in has]
        if not found:
            return None
    texts = {name: claim_text(value) for name, value in claims.items()}
    return Caller("jwt", {"claims": texts, "scopes": found})


async def _verified(
    request: HttpRequest,
    token: str,
    authorizer: entities.Authorizer,
    scopes: tuple[str, ...],
    tokens: Tokens,
) -> Mapping[str, Any]:
    """The claims of a token that is new; raises HttpRefusal for one that does not hold."""
    recording = request.recording
    began = 0.0 if recording is None else recording.elapsed_s
    try:
        claims = await tokens.verify(
            token, issuer=authorizer.jwt_issuer, audiences=authorizer.jwt_audience
        )
    except TokenError as error:
        if recording is not None:
            why = f"{error.message}: {error.hint}" if error.hint else error.message
            _record_token(recording, authorizer, scopes, token, {}, began=began, error=why)
        request.facts = {"authorizer.error": error.message}
        challenge = f'Bearer scope="" error="invalid_token" error_description="{error.message}"'
        raise HttpRefusal(
            401, error.message, hint=error.hint, challenge=_in_one_line(challenge)
        ) from None
    if recording is not None:
        _record_token(recording, authorizer, scopes, token, claims, began=began)
    return claims


def _record_token(
    recording: Recording,
    authorizer: entities.Authorizer,
    scopes: tuple[str, ...],
    token: str,
    claims: Mapping[str, Any],
    *,
    cached: bool = False,
    began: float | None = None,
    error: str = "",
) -> None:
    """Record what a token said; `began` is when its verification did."""
    caller = None if error else _token_caller(claims, scopes)
    recording.add(
        "authorizer",
        name=authorizer.name,
        kind="JWT",
        authorizer_id=authorizer.authorizer_id,
        cached=cached,
        issuer=authorizer.jwt_issuer,
        audience=list(authorizer.jwt_audience),
        scopes=list(scopes),
        input=token,
        output={"claims": {name: claim_text(value) for name, value in claims.items()}},
        decision="deny" if caller is None else "allow",
        error=error if error or caller is not None else "insufficient_scope",
        latency_ms=0 if began is None else round((recording.elapsed_s - began) * 1000),
        principal=claim_text(claims.get("sub", "")),
    )


def _in_one_line(challenge: str) -> str:
    """A description may name what a client sent; a header holds no control characters."""
    return "".join(each if " " <= each <= "~" else "?" for each in challenge)


def claim_text(value: Any) -> str:
    """A claim as an event has it.

    AWS: text; a list is `[a b]` (community reports).
    Differs: an object is written as JSON; no record of AWS's form.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{' '.join(claim_text(each) for each in value)}]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return msgspec.json.encode(value).decode()
