"""What WebSocket APIs need of the engine, without what serves them."""

from dataclasses import dataclass

from lamington.core.clock import Clock, Ids
from lamington.core.sigv4 import Signers
from lamington.functions.invoke import Invoker
from lamington.gateway.http_client import HttpClient
from lamington.gateway.journal import Journal
from lamington.gateway.permits import Permissions
from lamington.gateway.service_integrations import ServiceParts
from lamington.gateway.throttling import Buckets
from lamington.gateway.usage_plans import UsagePlans

MANAGEMENT_PREFIX = "/@connections/"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketParts:
    """What the plane needs of the engine.

    Without `journal` nothing is counted or logged, without `plans` no API key is known, without
    `services` only functions and HTTP endpoints can stand behind routes.
    """

    invoker: Invoker
    permitted: Permissions
    clock: Clock
    ids: Ids
    signers: Signers
    buckets: Buckets
    client: HttpClient
    plans: UsagePlans | None = None
    journal: Journal | None = None
    services: ServiceParts | None = None
