"""What HTTP APIs need of the engine, without what serves them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lamington.core.aws import AwsCaller
from lamington.core.clock import Clock
from lamington.core.sigv4 import Signers
from lamington.functions.invoke import Invoker
from lamington.gateway.authorization.authorizer_results import AuthorizerCaches
from lamington.gateway.http_client import HttpClient
from lamington.gateway.http_integrations import VpcLinks
from lamington.gateway.permits import Permissions
from lamington.gateway.throttling import Buckets


class Tokens(Protocol):
    """Verifies JSON Web Tokens, and remembers those that held."""

    def recall(
        self, token: str, *, issuer: str, audiences: tuple[str, ...]
    ) -> Mapping[str, Any] | None:
        """The claims of a token that was verified before and still holds."""
        ...

    async def verify(
        self, token: str, *, issuer: str, audiences: tuple[str, ...]
    ) -> Mapping[str, Any]:
        """The claims of a token; raises TokenError, whose message is AWS's description."""
        ...


def _everything(operation: str) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpApiParts:
    """What HTTP APIs need of the engine."""

    invoker: Invoker
    permitted: Permissions
    clock: Clock
    caller: AwsCaller
    signers: Signers
    tokens: Tokens
    caches: AuthorizerCaches
    buckets: Buckets
    client: HttpClient
    vpc_links: VpcLinks
    emulates: Callable[[str], bool] = _everything
    """Whether the caller has an operation, such as `sqs:SendMessage`."""
