"""IAM authorization: who signed a request to a method, and whether IAM lets the signer call it.

Left to others: signatures (`core.sigv4`), who owns which key (`Signers`), and what an API's own
policy says (`resource_policies`).
"""

from lamington.core.aws import Scope
from lamington.core.clock import Clock
from lamington.core.http import Headers, Request
from lamington.core.policies import Decision, evaluate
from lamington.core.policy_matching import Values
from lamington.core.sigv4 import (
    ExpiredKey,
    InvalidSignature,
    SignatureError,
    Signer,
    Signers,
    authenticate,
)
from lamington.gateway.authorization.resource_policies import (
    INVOKE,
    MethodArns,
    ResourcePolicy,
    caller_denied,
    combined,
)
from lamington.gateway.mapping import Gate, MethodRequest
from lamington.gateway.responses import Refusal

SERVICE = "execute-api"


def compile_iam(
    *,
    arns: MethodArns,
    policy: ResourcePolicy | None,
    scope: Scope,
    signers: Signers,
    clock: Clock,
) -> Gate:
    """Compile the check of a method of type AWS_IAM.

    AWS: API Gateway developer guide, control access with IAM permissions; a caller of another
    account needs the leave of the API's policy too.
    """

    def gate(request: MethodRequest) -> None:
        arn = arns.of(request)
        if policy is not None and policy.decide(request, arn) == "deny":
            raise caller_denied("anonymous", arn, explicit=True)
        facts = request.facts = {} if request.facts is None else request.facts
        try:
            signer = require_signer(signed_request(request), signers, clock)
        except Refusal as refusal:
            facts["authenticate.status"] = str(refusal.status)
            facts["authenticate.error"] = refusal.message.partition("\n")[0]
            raise
        facts["authenticate.status"] = "200"
        account_id = signer.of_account(scope.account_id)
        who = caller_arn(signer, scope)
        _introduce(request, signer, account_id, who)
        identity: Decision = "allow"
        if signer.policies is not None:
            values = {**caller_values(signer, scope), **_request_values(request)}
            identity = identity_decision(signer, arn, values)
        decision: Decision = "silent"
        if policy is not None:
            names = principals_of(signer, scope)
            decision = policy.decide(request, arn, names, caller_values(signer, scope))
        outcome = combined(identity, decision, cross_account=account_id != scope.account_id)
        if request.recording is not None:
            request.recording.add(
                "authorizer",
                name="AWS_IAM",
                kind="AWS_IAM",
                cached=False,
                principal=who,
                identity_policy=identity,
                resource_policy=decision,
                decision=outcome,
            )
        if outcome != "allow":
            denied = caller_denied(who, arn, explicit=outcome == "deny")
            facts["authorize.status"], facts["authorize.error"] = "403", denied.message
            raise denied
        facts["authorize.status"] = "200"

    return gate


def signed_request(request: MethodRequest) -> Request:
    """A request as its client signed it."""
    if request.sent is not None:
        return request.sent
    return Request(
        method=request.method,
        path=request.context_path,
        query=request.query,
        headers=Headers(request.fields),
        body=request.body,
        source_ip=request.source_ip,
    )


def require_signer(request: Request, signers: Signers, clock: Clock) -> Signer:
    """Who signed a request to an API; raises Refusal for nobody, or nobody to be believed."""
    try:
        signer = authenticate(request, signers, clock.now(), SERVICE)
    except SignatureError as error:
        raise _refusal(error) from None
    if signer is None:
        raise Refusal("The request is not signed", response_type="MISSING_AUTHENTICATION_TOKEN")
    return signer


def _refusal(error: SignatureError) -> Refusal:
    match error:
        case ExpiredKey():
            response_type = "EXPIRED_TOKEN"
        case InvalidSignature():
            response_type = "INVALID_SIGNATURE"
        case _:
            response_type = "MISSING_AUTHENTICATION_TOKEN"
    return Refusal(
        error.message,
        response_type=response_type,
        client_message=error.message,
        error_type=error.code,
    )


def caller_arn(signer: Signer, scope: Scope) -> str:
    """The signer's ARN; an account of which no more is known is its root user."""
    return signer.arn or Scope(
        account_id=signer.of_account(scope.account_id), region=scope.region
    ).global_arn("iam", "root")


def principals_of(signer: Signer, scope: Scope) -> frozenset[str]:
    """All names that policies may call a signer by."""
    return signer.names | {caller_arn(signer, scope), signer.of_account(scope.account_id)}


def caller_values(signer: Signer, scope: Scope) -> Values:
    """The condition keys that tell who signed."""
    arn = caller_arn(signer, scope)
    kind, _, name = arn.rpartition(":")[2].partition("/")
    values = {
        "aws:principalarn": next(iter(signer.names), arn),
        "aws:principalaccount": signer.of_account(scope.account_id),
        "aws:userid": signer.user_id or signer.of_account(scope.account_id),
        "aws:principaltype": _PRINCIPAL_TYPES.get(kind, "Account"),
    }
    if kind == "user":
        values["aws:username"] = name.rpartition("/")[2]
    return values


_PRINCIPAL_TYPES = {"user": "User", "assumed-role": "AssumedRole", "root": "Account"}


def _request_values(request: MethodRequest) -> Values:
    return {
        "aws:sourceip": request.source_ip,
        "aws:useragent": request.known.get("user-agent", ""),
        "aws:securetransport": "true",
    }


def identity_decision(signer: Signer, arn: str, values: Values, action: str = INVOKE) -> Decision:
    """What the signer's own policies say; one without any kept may do everything."""
    if signer.policies is None:
        return "allow"
    return evaluate(signer.policies(), action, arn, values)


def _introduce(request: MethodRequest, signer: Signer, account_id: str, who: str) -> None:
    """Tell the request who calls.

    AWS: API Gateway developer guide, `$context.identity`.
    """
    user_id = signer.user_id or account_id
    request.principal_arn = who
    request.identity = {
        **request.identity,
        "accountId": account_id,
        "caller": user_id,
        "accessKey": signer.access_key,
        "userArn": who,
        "user": user_id,
    }
