"""Whose name API Gateway acts in towards other services: roles that it assumes, or its caller.

Left to others: what is signed with the credentials (`service_integrations`), and IAM itself.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec

from lamington.core.aws import Arn, AwsCaller, Scope
from lamington.core.clock import Clock
from lamington.core.errors import AwsError, LamingtonError
from lamington.core.policies import PolicyError, compile_policy
from lamington.gateway.responses import Refusal, configuration_error

SERVICE = "apigateway.amazonaws.com"
CALLER = "arn:aws:iam::*:user/*"
"""The credentials that mean whoever calls the method."""

KEPT_S = 60.0
SESSION = "BackplaneAssumeRoleSession"
"""AWS: what sessions of API Gateway are called in CloudTrail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsCredentials:
    """What requests to AWS are signed with."""

    access_key: str
    secret: str
    session_token: str = ""


class AssumedRoles:
    """Credentials of roles, each kept for a minute: so late is a changed role noticed."""

    def __init__(self, caller: AwsCaller, clock: Clock) -> None:
        self._caller = caller
        self._clock = clock
        self._kept: dict[tuple[str, Scope], tuple[float, AwsCredentials]] = {}

    async def credentials(self, role_arn: str, scope: Scope) -> AwsCredentials:
        """Assume a role; raises a Refusal where it is not there or does not trust API Gateway.

        AWS: API Gateway developer guide, permissions of integrations; the text is recorded.
        """
        now = self._clock.monotonic()
        kept = self._kept.get((role_arn, scope))
        if kept is not None and now < kept[0]:
            return kept[1]
        await self._require_trust(role_arn, scope)
        try:
            result = await self._caller.call(
                "sts:AssumeRole", {"RoleArn": role_arn, "RoleSessionName": SESSION}, scope
            )
        except AwsError as error:
            raise _not_assumed(role_arn, error.message) from error
        found: dict[str, Any] = result["Credentials"]
        credentials = AwsCredentials(
            access_key=found["AccessKeyId"],
            secret=found["SecretAccessKey"],
            session_token=found["SessionToken"],
        )
        self._kept[role_arn, scope] = (now + KEPT_S, credentials)
        return credentials

    async def _require_trust(self, role_arn: str, scope: Scope) -> None:
        try:
            arn = Arn.parse(role_arn)
        except LamingtonError as error:
            raise _not_assumed(role_arn, error.message) from error
        owner = Scope(account_id=arn.account_id or scope.account_id, region=scope.region)
        name = arn.resource.rpartition("/")[2]
        try:
            role = (await self._caller.call("iam:GetRole", {"RoleName": name}, owner))["Role"]
            document = msgspec.json.decode(unquote(role["AssumeRolePolicyDocument"]))
            policy = compile_policy(document)
        except AwsError as error:
            raise _not_assumed(role_arn, error.message) from error
        except (msgspec.DecodeError, PolicyError) as error:
            raise _not_assumed(role_arn, f"its trust policy is none: {error}") from error
        if policy.evaluate("sts:AssumeRole", "", principals=frozenset({SERVICE})) != "allow":
            raise _not_assumed(role_arn, f"its trust policy does not name {SERVICE}")


def _not_assumed(role_arn: str, why: str) -> Refusal:
    return configuration_error(
        f"API Gateway does not have permission to assume the provided role {role_arn}", hint=why
    )
