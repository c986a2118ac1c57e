"""Naming AWS things and calling AWS operations: Arn, Scope and AwsCaller."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

from lamington.core.errors import LamingtonError

Params = Mapping[str, Any]
"""An operation's input, in the members of its service model (PascalCase or as the model says)."""

Result = dict[str, Any]
"""An operation's output, in the members of its service model."""

DEFAULT_ACCOUNT_ID = "000000000000"
DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The account and region that everything lives in."""

    account_id: str = DEFAULT_ACCOUNT_ID
    region: str = DEFAULT_REGION

    @property
    def partition(self) -> str:
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    @property
    def url_suffix(self) -> str:
        return "amazonaws.com.cn" if self.partition == "aws-cn" else "amazonaws.com"

    def arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of this account and region."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account_id}:{resource}"

    def global_arn(self, service: str, resource: str) -> str:
        """The ARN of a resource of this account that is in no region, such as a role."""
        return f"arn:{self.partition}:{service}::{self.account_id}:{resource}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arn:
    """An Amazon resource name in its parts; `resource` is all after the fifth colon."""

    partition: str
    service: str
    region: str
    account_id: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises LamingtonError where the text is not an ARN."""
        parts = text.split(":", 5)
        if len(parts) != 6 or parts[0] != "arn":
            raise LamingtonError(f"`{text}` is not an ARN")
        return cls(
            partition=parts[1],
            service=parts[2],
            region=parts[3],
            account_id=parts[4],
            resource=parts[5],
        )

    def __str__(self) -> str:
        return ":".join(
            ("arn", self.partition, self.service, self.region, self.account_id, self.resource)
        )


class AwsCaller(Protocol):
    """Any AWS operation, in this process or in the cloud."""

    async def call(self, operation: str, params: Params, scope: Scope) -> Result:
        """Call `service:Operation`, such as `lambda:CreateFunction`.

        Raises the AwsError that the service answers with.
        """
        ...


Operation = Callable[[Params, Scope], Awaitable[Result]]
"""One AWS operation; raises the AwsErrors that it answers with."""
