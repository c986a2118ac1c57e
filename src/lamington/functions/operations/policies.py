"""Statements of a resource policy: made from AddPermission, rendered, and judged.

Pure. Left to others: where policies are kept (`registry`), the API of them (`permissions`).
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from lamington.core.aws import Params
from lamington.functions.entities import InvalidParameterValueException, ResourcePolicy

GATEWAY_PRINCIPAL = "apigateway.amazonaws.com"
INVOKE_ACTION = "lambda:InvokeFunction"

_ACCOUNT = re.compile(r"\d{12}")
_ARN = re.compile(r"arn:aws[a-zA-Z-]*:(iam|sts|cloudfront)::(\d{12}|cloudfront):.+")
_SERVICE = re.compile(r"[a-zA-Z0-9.-]+\.(amazonaws\.com(\.cn)?|amazon\.com|internal)")

_STRING_CONDITIONS = {
    "SourceAccount": "AWS:SourceAccount",
    "FunctionUrlAuthType": "lambda:FunctionUrlAuthType",
    "EventSourceToken": "lambda:EventSourceToken",
    "PrincipalOrgID": "aws:PrincipalOrgID",
}


def build_statement(params: Params, resource_arn: str, partition: str) -> dict[str, Any]:
    """The statement that AddPermission adds; raises where the principal is none.

    AWS: AddPermission; the order of the members is the service's.
    """
    statement: dict[str, Any] = {
        "Sid": params["StatementId"],
        "Effect": "Allow",
        "Principal": _principal(params["Principal"], partition),
        "Action": params["Action"],
        "Resource": resource_arn,
    }
    condition: dict[str, dict[str, str]] = {}
    strings = {
        key: str(params[member])
        for member, key in _STRING_CONDITIONS.items()
        if params.get(member) is not None
    }
    if strings:
        condition["StringEquals"] = strings
    if params.get("InvokedViaFunctionUrl") is not None:
        via = "true" if params["InvokedViaFunctionUrl"] else "false"
        condition["Bool"] = {"lambda:InvokedViaFunctionUrl": via}
    if params.get("SourceArn") is not None:
        condition["ArnLike"] = {"AWS:SourceArn": params["SourceArn"]}
    if condition:
        statement["Condition"] = condition
    return statement


def _principal(principal: str, partition: str) -> Any:
    if principal == "*":
        return "*"
    if _ACCOUNT.fullmatch(principal):
        return {"AWS": f"arn:{partition}:iam::{principal}:root"}
    if _ARN.fullmatch(principal):
        return {"AWS": principal}
    if _SERVICE.fullmatch(principal):
        return {"Service": principal}
    raise InvalidParameterValueException(
        "The provided principal was invalid. Please check the principal and try again."
    )


def render_statement(statement: Mapping[str, Any]) -> str:
    return msgspec.json.encode(statement).decode()


def render_policy(policy: ResourcePolicy) -> str:
    """The policy as GetPolicy shows it: JSON text without spaces."""
    document = {"Version": "2012-10-17", "Id": "default", "Statement": policy.statements}
    return msgspec.json.encode(document).decode()


def permits_gateway(statement: Mapping[str, Any], source_arn: str, account_id: str) -> bool:
    """Whether a statement lets API Gateway invoke the function for this source.

    A condition on anything but the source's ARN and account is never met: the gateway brings
    neither a token nor an organization.

    AWS: IAM user guide, policy elements Condition (ArnLike, ArnEquals, StringEquals, StringLike).
    """
    return (
        statement.get("Effect") == "Allow"
        and _names_gateway(statement.get("Principal"))
        and _wildcard(str(statement.get("Action")), ignore_case=True).fullmatch(INVOKE_ACTION)
        is not None
        and all(
            _met(operator, key, str(expected), source_arn, account_id)
            for operator, pairs in statement.get("Condition", {}).items()
            for key, expected in pairs.items()
        )
    )


def _names_gateway(principal: Any) -> bool:
    if isinstance(principal, Mapping):
        return principal.get("Service") == GATEWAY_PRINCIPAL or principal.get("AWS") == "*"
    return bool(principal == "*")


def _met(operator: str, key: str, expected: str, source_arn: str, account_id: str) -> bool:
    match key.lower():
        case "aws:sourcearn":
            actual = source_arn
        case "aws:sourceaccount":
            actual = account_id
        case _:
            return False
    match operator:
        case "ArnLike" | "ArnEquals":
            return arn_matches(expected, actual)
        case "StringEquals":
            return expected == actual
        case "StringLike":
            return _wildcard(expected).fullmatch(actual) is not None
        case _:
            return False


def arn_matches(pattern: str, arn: str) -> bool:
    """Whether an ARN fits a pattern: each of the six parts by itself, `*` and `?` within it."""
    patterns, parts = pattern.split(":", 5), arn.split(":", 5)
    if pattern == "*":
        return True
    return len(patterns) == len(parts) == 6 and all(
        _wildcard(each).fullmatch(part) is not None
        for each, part in zip(patterns, parts, strict=True)
    )


@lru_cache(maxsize=1024)
def _wildcard(pattern: str, *, ignore_case: bool = False) -> re.Pattern[str]:
    text = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(text, re.DOTALL | (re.IGNORECASE if ignore_case else 0))
