"""What stages need of the engine, gathered once: the ports and the state that all of them share.

What is made of them is `deployment`'s and `method_gates`'.
"""

from dataclasses import dataclass

from lamington.functions.invoke import Invoker
from lamington.gateway.authorization.gate import AuthorizationParts
from lamington.gateway.cache import CacheStore, MayInvalidate
from lamington.gateway.http_integrations import HttpParts
from lamington.gateway.lambda_streaming import StreamingInvoker
from lamington.gateway.mapping import MethodRequest
from lamington.gateway.permits import Permissions
from lamington.gateway.service_integrations import ServiceParts
from lamington.gateway.throttling import Buckets
from lamington.gateway.usage_plans import UsagePlans


def _nobody(request: MethodRequest) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class StageParts:
    """What stages need of the engine, the same for all of them.

    A part that is None is one that whoever compiles does without: a method that needs it refuses
    every request, and a stage without `cache` or `buckets` keeps and counts nothing.
    """

    invoker: Invoker
    permitted: Permissions
    streaming: StreamingInvoker | None = None
    http: HttpParts | None = None
    services: ServiceParts | None = None
    authorization: AuthorizationParts | None = None
    plans: UsagePlans | None = None
    buckets: Buckets | None = None
    cache: CacheStore | None = None
    may_invalidate: MayInvalidate = _nobody
