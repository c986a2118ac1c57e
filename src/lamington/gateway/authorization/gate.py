"""The first gate of a method: who calls, and may they; compiled when a stage is deployed.

The order is AWS's: what the API's policy forbids outright, then the method's own authorization,
then both together. Left to others: each kind of authorization (`iam`, `lambda_authorizers`,
`cognito`), and API keys, which come after.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from functools import partial

from lamington.core.aws import Scope
from lamington.core.clock import Clock
from lamington.core.policies import Decision
from lamington.core.sigv4 import Signers
from lamington.functions.invoke import Invoker
from lamington.gateway.authorization.authorizer_results import AuthorizerCaches
from lamington.gateway.authorization.cognito import compile_cognito
from lamington.gateway.authorization.iam import compile_iam
from lamington.gateway.authorization.json_web_tokens import TokenVerifier
from lamington.gateway.authorization.lambda_authorizers import (
    LambdaAuthorizer,
    compile_lambda_authorizer,
)
from lamington.gateway.authorization.mutual_tls import compile_client_certificate
from lamington.gateway.authorization.resource_policies import (
    MethodArns,
    ResourcePolicy,
    access_denied,
    caller_denied,
    combined,
    compile_resource_policy,
)
from lamington.gateway.entities import Method, Resource, RestApi, Stage
from lamington.gateway.mapping import Gate, MethodRequest, RouteConstants
from lamington.gateway.permits import Permissions
from lamington.gateway.responses import Refusal
from lamington.gateway.templates import Note


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationParts:
    """What authorization needs of the engine."""

    invoker: Invoker
    permitted: Permissions
    clock: Clock
    signers: Signers
    tokens: TokenVerifier
    caches: AuthorizerCaches
    client_certificate_header: str = ""


def compile_authorization(
    *,
    api: RestApi,
    stage: Stage,
    resource: Resource,
    method: Method,
    scope: Scope,
    parts: AuthorizationParts,
    note: Note,
) -> Gate | None:
    """Compile who may call a method; None where anybody may and nothing is to be learned."""
    check = _compile_check(
        api=api,
        stage=stage,
        resource=resource,
        method=method,
        scope=scope,
        parts=parts,
        note=note,
    )
    introduce = compile_client_certificate(parts.client_certificate_header)
    if introduce is None or check is None:
        return check or introduce

    def gate(request: MethodRequest) -> Awaitable[None] | None:
        introduce(request)
        return check(request)

    return gate


def _compile_check(
    *,
    api: RestApi,
    stage: Stage,
    resource: Resource,
    method: Method,
    scope: Scope,
    parts: AuthorizationParts,
    note: Note,
) -> Gate | None:
    arns = MethodArns(api.api_id, stage.stage_name, scope)
    policy = compile_resource_policy(
        api.policy, api_id=api.api_id, scope=scope, clock=parts.clock, note=note
    )
    match method.authorization_type:
        case "" | "NONE":
            return None if policy is None else partial(_require_policy, policy, arns)
        case "AWS_IAM":
            return compile_iam(
                arns=arns, policy=policy, scope=scope, signers=parts.signers, clock=parts.clock
            )
        case "CUSTOM" | "COGNITO_USER_POOLS":
            authorizer = api.authorizers.get(method.authorizer_id)
        case unknown:
            return _refuse(f"The authorization type `{unknown}` is not known", note)
    if authorizer is None:
        return _refuse("The method's authorizer does not exist", note)
    if authorizer.type == "COGNITO_USER_POOLS":
        token_gate = compile_cognito(authorizer, method, parts.tokens, parts.clock, note)
        return token_gate if policy is None else _TokenThenPolicy(token_gate, policy, arns)
    compiled = compile_lambda_authorizer(
        authorizer,
        route=RouteConstants(
            resource_id=resource.resource_id,
            resource_path=resource.path,
            account_id=scope.account_id,
            api_id=api.api_id,
            stage=stage.stage_name,
            deployment_id=stage.deployment_id,
            variables=stage.variables,
        ),
        scope=scope,
        invoker=parts.invoker,
        permitted=parts.permitted,
        caches=parts.caches,
        clock=parts.clock,
        note=note,
    )
    if compiled is None:
        return _refuse("Invalid authorizer URI", None)
    return compile_lambda_gate(compiled, policy, arns)


def _refuse(why: str, note: Note | None) -> Gate:
    """A method that asks who calls is never open because nobody can be asked."""
    if note is not None:
        note(why)

    def gate(request: MethodRequest) -> None:
        raise Refusal(
            f"Execution failed due to configuration error: {why}",
            response_type="AUTHORIZER_CONFIGURATION_ERROR",
        )

    return gate


def _require_policy(policy: ResourcePolicy, arns: MethodArns, request: MethodRequest) -> None:
    """AWS: a policy by itself has to allow; silence is no."""
    arn = arns.of(request)
    decision = policy.decide(request, arn)
    if decision != "allow":
        raise caller_denied("anonymous", arn, explicit=decision == "deny")


class _TokenThenPolicy:
    """AWS: with a user pool the token comes first, then the policy by itself has to allow."""

    __slots__ = ("_arns", "_gate", "_policy")

    def __init__(self, gate: Gate, policy: ResourcePolicy, arns: MethodArns) -> None:
        self._gate = gate
        self._policy = policy
        self._arns = arns

    def __call__(self, request: MethodRequest) -> Awaitable[None] | None:
        pending = self._gate(request)
        if pending is not None:
            return self._then(pending, request)
        _require_policy(self._policy, self._arns, request)
        return None

    async def _then(self, pending: Awaitable[None], request: MethodRequest) -> None:
        await pending
        _require_policy(self._policy, self._arns, request)


def compile_lambda_gate(
    authorizer: LambdaAuthorizer, policy: ResourcePolicy | None, arns: MethodArns
) -> Gate:
    """Compile the check of a method that has a Lambda authorizer.

    AWS: what the API's policy denies outright never comes to the function. A kept result is
    asked again for each method.
    """
    kept, read_identity, arn_of = authorizer.kept, authorizer.read_identity, arns.of

    async def ask(request: MethodRequest, key: object, arn: str, own: Decision) -> None:
        result = await authorizer.ask(request, key, arn)
        _require_allowed(request, result.decide(request, arn), own)
        request.usage_key = result.usage_key

    def gate(request: MethodRequest) -> Awaitable[None] | None:
        arn = arn_of(request)
        own: Decision = "silent"
        if policy is not None:
            own = policy.decide(request, arn)
            if own == "deny":
                raise caller_denied("anonymous", arn, explicit=True)
        key = read_identity(request)
        result = kept(request, key)
        if result is None:
            return ask(request, key, arn, own)
        decision = result.decide(request, arn)
        request.authorizer = result.context
        if request.recording is not None:
            authorizer.function.record_kept(
                request.recording, decision=decision, principal=result.principal_id
            )
        _require_allowed(request, decision, own)
        request.usage_key = result.usage_key
        return None

    return gate


def _require_allowed(request: MethodRequest, decision: Decision, own: Decision) -> None:
    if decision == "allow":
        return
    outcome = combined(decision, own)
    if outcome != "allow":
        if request.facts is None:
            request.facts = {}
        request.facts["authorizer.status"] = "403"
        raise access_denied(explicit=outcome == "deny")
