"""What a caller of the control plane needs a permission for: an operation's action and resource.

Left to others: who calls (`signers`), and the language of policies (`core.policies`).

Differs: identity policies alone are evaluated, with the keys of the request and its caller;
conditions on a service's own keys, such as tags, are as if the request had none.
"""

from collections.abc import Callable, Mapping
from typing import Any

from lamington.core.aws import Scope
from lamington.core.http import Request
from lamington.core.policies import Decision, evaluate
from lamington.core.sigv4 import Signer

PREFIXES: Mapping[str, str] = {"monitoring": "cloudwatch", "apigatewayv2": "apigateway"}
"""Where IAM has another name for a service than its requests are signed for."""

ALWAYS_ALLOWED = frozenset({"sts:GetCallerIdentity"})

_ACTIONS: Mapping[str, str] = {
    "lambda:Invoke": "lambda:InvokeFunction",
    "lambda:InvokeWithResponseStream": "lambda:InvokeFunction",
}
"""Where IAM has another name for an action than its operation has."""

Params = Mapping[str, Any]


def decide(
    signer: Signer, service: str, operation: str, request: Request, params: Params, scope: Scope
) -> tuple[Decision, str, str]:
    """Whether the caller's policies allow an operation, with the action and resource asked for."""
    action, resources = required_permission(service, operation, request, params, scope)
    if signer.policies is None or action in ALWAYS_ALLOWED:
        return "allow", action, resources[0]
    values = {
        "aws:sourceip": request.source_ip,
        "aws:useragent": request.headers.get("user-agent"),
        "aws:principalarn": next(iter(signer.names), signer.arn),
        "aws:principalaccount": signer.account_id,
        "aws:userid": signer.user_id,
        "aws:requestedregion": scope.region,
    }
    if ":user/" in signer.arn:
        values["aws:username"] = signer.arn.rpartition("/")[2]
    policies = signer.policies()
    decisions = [evaluate(policies, action, each, values) for each in resources]
    for decision in ("deny", "allow"):
        if decision in decisions:
            return decision, action, resources[0]
    return "silent", action, resources[0]


def required_permission(
    service: str, operation: str, request: Request, params: Params, scope: Scope
) -> tuple[str, tuple[str, ...]]:
    """The action that an operation is, and the names that policies may have for its resource.

    AWS: service authorization reference; API Gateway's actions are the HTTP verbs on its paths.
    """
    prefix = PREFIXES.get(service, service)
    if prefix == "apigateway":
        arn = f"arn:{scope.partition}:apigateway:{scope.region}::{request.path}"
        return f"apigateway:{request.method}", (arn,)
    action = _ACTIONS.get(f"{service}:{operation}", f"{prefix}:{operation}")
    name = _RESOURCES.get(service)
    return action, name(params, scope) if name is not None else ("*",)


def _lambda_resources(params: Params, scope: Scope) -> tuple[str, ...]:
    name = str(params.get("FunctionName") or params.get("FunctionArn") or "")
    if name:
        if name.startswith("arn:"):
            arn = name
        else:
            parts = name.split(":function:")
            arn = scope.arn("lambda", f"function:{parts[-1]}")
        qualifier = params.get("Qualifier")
        return (f"{arn}:{qualifier}",) if qualifier else (arn,)
    if params.get("LayerName"):
        layer = str(params["LayerName"])
        arn = layer if layer.startswith("arn:") else scope.arn("lambda", f"layer:{layer}")
        number = params.get("VersionNumber")
        return (f"{arn}:{number}",) if number else (arn,)
    if params.get("UUID"):
        return (scope.arn("lambda", f"event-source-mapping:{params['UUID']}"),)
    return (str(params.get("Resource") or "*"),)


def _log_resources(params: Params, scope: Scope) -> tuple[str, ...]:
    group = str(params.get("logGroupName") or params.get("logGroupIdentifier") or "")
    if not group:
        return ("*",)
    arn = group if group.startswith("arn:") else scope.arn("logs", f"log-group:{group}")
    if params.get("logStreamName"):
        return (f"{arn}:log-stream:{params['logStreamName']}",)
    return (arn, f"{arn}:*")


def _stack_resources(params: Params, scope: Scope) -> tuple[str, ...]:
    name = str(params.get("StackName") or "")
    if not name:
        return ("*",)
    return (name if name.startswith("arn:") else scope.arn("cloudformation", f"stack/{name}/*"),)


def _iam_resources(params: Params, scope: Scope) -> tuple[str, ...]:
    path = str(params.get("Path") or "/")
    if params.get("RoleName"):
        return (scope.global_arn("iam", f"role{path}{params['RoleName']}"),)
    if params.get("PolicyArn"):
        return (str(params["PolicyArn"]),)
    if params.get("PolicyName"):
        return (scope.global_arn("iam", f"policy{path}{params['PolicyName']}"),)
    return ("*",)


def _sts_resources(params: Params, scope: Scope) -> tuple[str, ...]:
    return (str(params.get("RoleArn") or "*"),)


_RESOURCES: Mapping[str, Callable[[Params, Scope], tuple[str, ...]]] = {
    "lambda": _lambda_resources,
    "logs": _log_resources,
    "cloudformation": _stack_resources,
    "iam": _iam_resources,
    "sts": _sts_resources,
}


def denial(who: str, action: str, resource: str, decision: Decision) -> str:
    """What AWS says of a caller without a permission."""
    why = (
        "with an explicit deny in an identity-based policy"
        if decision == "deny"
        else f"because no identity-based policy allows the {action} action"
    )
    on = "" if resource == "*" else f" on resource: {resource}"
    return f"User: {who} is not authorized to perform: {action}{on} {why}"
