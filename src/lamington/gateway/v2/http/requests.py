"""A request to an HTTP API as its route sees it, and what is known of that route beforehand.

Left to others: how the route is found (`routes`), and what the request becomes (`events`,
`integrations`).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from lamington.core.aws import Scope
from lamington.core.clock import Moment
from lamington.core.http import Request
from lamington.gateway.recording import Recording

NO_PARAMETERS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteConstants:
    """What a route says whatever the request; `route_key` is "" where none was found."""

    api_id: str
    stage: str
    route_key: str
    scope: Scope
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def verb(self) -> str:
        """The method of the route key, `ANY` included; "" for `$default`."""
        return self.route_key.partition(" ")[0] if " " in self.route_key else ""

    @property
    def resource_path(self) -> str:
        """The path template of the route key, `$default` for that route."""
        return self.route_key.partition(" ")[2] or self.route_key


@dataclass(frozen=True, slots=True)
class Caller:
    """Who an authorizer found to be calling.

    `kind` is `jwt`, `lambda` or `iam`; `members` are those of `requestContext.authorizer.{kind}`
    in payload format 2.0. `principal_id` is what a policy of a Lambda authorizer names.
    """

    kind: str
    members: Mapping[str, Any]
    principal_id: str = ""


@dataclass(slots=True)
class HttpRequest:
    """A request as its route receives it.

    `path` is decoded and without the stage. `event_path` is decoded and has the stage, unless that
    is `$default`; `raw_path` is the same undecoded; both are what a mapping of the path
    overwrites, `context_path` is not.
    `headers` have lower-case names and the values of one name joined by commas; `sent` is the
    request as it came. `request_id` is the short one that clients see.
    """

    sent: Request
    method: str
    path: str
    raw_path: str
    event_path: str
    context_path: str
    query: str
    headers: dict[str, str]
    cookies: list[str] | msgspec.UnsetType
    body: bytes
    source_ip: str
    request_id: str
    trace_id: str
    moment: Moment
    route: RouteConstants
    path_parameters: Mapping[str, str] = field(default_factory=dict)
    path_overwritten: bool = False
    integration_status: int = 0
    integration_request_id: str = ""
    integration_s: float | None = None
    caller: Caller | None = None
    base_path: str = ""
    """The path of the API mapping that a custom domain name has for this API."""
    facts: dict[str, str] | None = None
    """Names of `$context` that a gate learned and only access logs know."""
    recording: Recording | None = None
    """Not None where somebody wants to see each step."""

    @property
    def host(self) -> str:
        return self.headers.get("host", "")


Gate = Callable[[HttpRequest], Awaitable[None] | None]
"""One check of a request before its integration; raises HttpRefusal.

What it learns it puts into the request. None is what it gives when it is done at once.
"""
