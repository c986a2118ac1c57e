"""Whether the policy of a function lets API Gateway invoke it, asked once for each change of one.

Left to others: the policies, which are Lambda's.
"""

from collections.abc import Callable
from typing import Protocol

from lamington.core.aws import Scope


class Permissions(Protocol):
    """The policies of functions; `policy_version` changes whenever one of them does."""

    @property
    def policy_version(self) -> int: ...

    def permits(self, function_arn: str, source_arn: str, scope: Scope) -> bool: ...


def compile_permit(
    permitted: Permissions, function_arn: str, caller: str, scope: Scope, *, role: str
) -> Callable[[], bool]:
    """Ask for a permission when first needed, and again only after a policy has changed.

    `caller` is what calls, as its ARN ends: `{api}/{stage}/{method}{path}` for an integration,
    `{api}/authorizers/{id}` for an authorizer. With a `role` no permission is needed.
    """
    if role:
        return _always
    source_arn = scope.arn("execute-api", caller)
    known_version = -1
    answer = False

    def permit() -> bool:
        nonlocal known_version, answer
        version = permitted.policy_version
        if version != known_version:
            answer = permitted.permits(function_arn, source_arn, scope)
            known_version = version
        return answer

    return permit


def _always() -> bool:
    return True
