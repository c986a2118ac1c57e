"""What HTTP APIs and WebSocket APIs are made of, as rows: APIs, routes, integrations, stages.

Left to others: what the API of API Gateway version 2 shows of them (`operations/`), and what a
request or a message meets (`http/` and `websocket/` freeze an API for a stage).
"""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from lamington.core.aws import Scope

ProtocolType = Literal["HTTP", "WEBSOCKET"]

DEFAULT_STAGE = "$default"
DEFAULT_ROUTE = "$default"
HTTP_INTEGRATION_TIMEOUT_MAX_MS = 30_000
WEBSOCKET_INTEGRATION_TIMEOUT_MAX_MS = 29_000


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationResponse:
    """How one kind of answer from behind becomes a message to the client; WebSocket APIs only.

    `integration_response_key` is `$default` or a regular expression between slashes.
    """

    integration_response_id: str
    integration_response_key: str
    content_handling_strategy: str = ""
    response_parameters: dict[str, str] = field(default_factory=dict)
    response_templates: dict[str, str] = field(default_factory=dict)
    template_selection_expression: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """What stands behind routes; `response_parameters` are by status code, HTTP APIs only.

    `timeout_ms` is 0 where none was given: the highest that the protocol allows.
    """

    integration_id: str
    integration_type: str
    integration_method: str = ""
    integration_uri: str = ""
    integration_subtype: str = ""
    connection_type: str = "INTERNET"
    connection_id: str = ""
    credentials_arn: str = ""
    description: str = ""
    payload_format_version: str = "1.0"
    passthrough_behavior: str = ""
    content_handling_strategy: str = ""
    request_parameters: dict[str, str] = field(default_factory=dict)
    request_templates: dict[str, str] = field(default_factory=dict)
    response_parameters: dict[str, dict[str, str]] = field(default_factory=dict)
    template_selection_expression: str = ""
    timeout_ms: int = 0
    tls_server_name: str = ""
    responses: dict[str, IntegrationResponse] = field(default_factory=dict)
    api_gateway_managed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteResponse:
    """That a route answers its messages at all; WebSocket APIs only, the key is `$default`."""

    route_response_id: str
    route_response_key: str
    model_selection_expression: str = ""
    response_models: dict[str, str] = field(default_factory=dict)
    response_parameters: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A route key, such as `GET /pets/{id}`, `$default` or `$connect`, and where it leads.

    `target` is `integrations/{id}`; `responses` are by id.
    """

    route_id: str
    route_key: str
    target: str = ""
    authorization_type: str = "NONE"
    authorizer_id: str = ""
    authorization_scopes: tuple[str, ...] = ()
    api_key_required: bool = False
    operation_name: str = ""
    model_selection_expression: str = ""
    request_models: dict[str, str] = field(default_factory=dict)
    request_parameters: dict[str, bool] = field(default_factory=dict)
    route_response_selection_expression: str = ""
    responses: dict[str, RouteResponse] = field(default_factory=dict)
    api_gateway_managed: bool = False

    @property
    def integration_id(self) -> str:
        """The id within `target`, "" for none."""
        return self.target.removeprefix("integrations/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorizer:
    """An authorizer; `authorizer_type` is JWT or REQUEST.

    `result_ttl_s` is None where nobody said: what that means is the data plane's to say.
    """

    authorizer_id: str
    name: str
    authorizer_type: str
    authorizer_uri: str = ""
    credentials_arn: str = ""
    payload_format_version: str = ""
    enable_simple_responses: bool = False
    result_ttl_s: int | None = None
    identity_source: tuple[str, ...] = ()
    identity_validation_expression: str = ""
    jwt_issuer: str = ""
    jwt_audience: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    model_id: str
    name: str
    content_type: str = "application/json"
    schema: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cors:
    """An HTTP API's CORS configuration; `max_age_s` is None where none was given."""

    allow_credentials: bool = False
    allow_headers: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """An HTTP or WebSocket API with all that belongs to it: one row, changed whole.

    `routes`, `integrations`, `authorizers` and `models` are by id; `unacted` are sentences on what
    is kept and shown but has no effect.
    """

    api_id: str
    name: str
    protocol_type: ProtocolType
    created: str
    description: str = ""
    version: str = ""
    route_selection_expression: str = ""
    api_key_selection_expression: str = "$request.header.x-api-key"
    cors: Cors | None = None
    disable_execute_api_endpoint: bool = False
    disable_schema_validation: bool = False
    ip_address_type: str = "ipv4"
    tags: dict[str, str] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)
    integrations: dict[str, Integration] = field(default_factory=dict)
    authorizers: dict[str, Authorizer] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    import_info: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    unacted: tuple[str, ...] = ()
    api_gateway_managed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSettings:
    """Conditions of operation of a stage or of one route of it; None where nobody said."""

    data_trace_enabled: bool | None = None
    detailed_metrics_enabled: bool | None = None
    logging_level: str | None = None
    throttling_burst_limit: int | None = None
    throttling_rate_limit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A deployment made callable under a name; `route_settings` are by route key.

    `access_log` has `DestinationArn` and `Format`.
    """

    api_id: str
    stage_name: str
    created: str
    last_updated: str
    deployment_id: str = ""
    auto_deploy: bool = False
    description: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    default_route_settings: RouteSettings = field(default_factory=RouteSettings)
    route_settings: dict[str, RouteSettings] = field(default_factory=dict)
    access_log: dict[str, Any] = field(default_factory=dict)
    client_certificate_id: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    last_deployment_status_message: str = ""
    api_gateway_managed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A snapshot of an API: stages serve this, not the API as it is now."""

    api_id: str
    deployment_id: str
    created: str
    description: str = ""
    auto_deployed: bool = False
    api: Api


@dataclass(frozen=True, slots=True, kw_only=True)
class VpcLink:
    """A way into a virtual private cloud, which integrations name by its id."""

    vpc_link_id: str
    name: str
    created: str
    security_group_ids: tuple[str, ...] = ()
    subnet_ids: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)


class DataPlane(Protocol):
    """Serves the stages of one protocol's APIs."""

    def deploy(self, api: Api, stage: Stage, scope: Scope) -> None:
        """Put an API, as its deployment holds it, into service; swaps what was there."""
        ...

    def withdraw(self, api_id: str, stage_name: str) -> None: ...

    def serves(self, api_id: str) -> bool: ...
