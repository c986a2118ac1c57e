"""What API Gateway is made of, as rows: REST APIs, resources, methods, stages; quotas; errors.

Left to others: what the API shows of them (`operations/`), and what a request meets
(`deployment` freezes an API for a stage).
"""

from dataclasses import dataclass, field
from typing import Any

from lamington.core.errors import AwsError

INTEGRATION_TIMEOUT_DEFAULT_MS = 29_000
INTEGRATION_TIMEOUT_MAX_MS = 300_000
"""AWS: what the quota can be raised to, for Regional and private APIs."""
PAYLOAD_MAX_BYTES = 10 * 1024 * 1024
REQUEST_LINE_AND_HEADERS_MAX_BYTES = 10_240
DEFINITION_MAX_BYTES = 6 * 1024 * 1024
INTEGRATION_TIMEOUT_MIN_MS = 50
INTEGRATION_STREAM_TIMEOUT_MAX_MS = 900_000
COMPRESSION_SIZE_MAX_BYTES = 10_485_760
THROTTLING_RATE_LIMIT = 10_000.0
THROTTLING_BURST_LIMIT = 5_000
PAGE_DEFAULT = 25
PAGE_MAX = 500

VERBS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
ANY = "ANY"
AUTHORIZATION_TYPES = ("NONE", "AWS_IAM", "CUSTOM", "COGNITO_USER_POOLS")


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationResponse:
    """How one kind of answer from behind becomes a method response.

    `selection_pattern` is a Java regular expression, "" for the default. A template that is
    empty passes the body through.
    """

    status_code: str
    selection_pattern: str = ""
    response_parameters: dict[str, str] = field(default_factory=dict)
    response_templates: dict[str, str] = field(default_factory=dict)
    content_handling: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodIntegration:
    """What stands behind a method, as the API keeps it; `type` is upper case, such as `AWS_PROXY`.

    `responses` keep the order of the definition: the first pattern that matches is taken.
    """

    type: str
    uri: str = ""
    http_method: str = ""
    credentials: str = ""
    passthrough_behavior: str = "WHEN_NO_MATCH"
    request_parameters: dict[str, str] = field(default_factory=dict)
    request_templates: dict[str, str] = field(default_factory=dict)
    content_handling: str = ""
    timeout_ms: int = INTEGRATION_TIMEOUT_DEFAULT_MS
    cache_key_parameters: tuple[str, ...] = ()
    cache_namespace: str = ""
    connection_type: str = ""
    connection_id: str = ""
    insecure_skip_verification: bool = False
    response_transfer_mode: str = "BUFFERED"
    integration_target: str = ""
    responses: tuple[IntegrationResponse, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodResponseDefinition:
    """A status that a method may answer; only the headers declared here may be produced."""

    status_code: str
    response_parameters: dict[str, bool] = field(default_factory=dict)
    response_models: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One verb (or `ANY`) of a resource; `request_parameters` map a mapping name to required."""

    http_method: str
    authorization_type: str = "NONE"
    authorizer_id: str = ""
    authorization_scopes: tuple[str, ...] = ()
    api_key_required: bool = False
    operation_name: str = ""
    request_parameters: dict[str, bool] = field(default_factory=dict)
    request_models: dict[str, str] = field(default_factory=dict)
    request_validator_id: str = ""
    responses: tuple[MethodResponseDefinition, ...] = ()
    integration: MethodIntegration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A path of an API; `path` is the whole template, such as `/pets/{petId}`."""

    resource_id: str
    parent_id: str = ""
    path_part: str = ""
    path: str
    methods: dict[str, Method] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayResponseDefinition:
    """A customised gateway response; an empty status code means the type's own default."""

    response_type: str
    status_code: str = ""
    response_parameters: dict[str, str] = field(default_factory=dict)
    response_templates: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    model_id: str
    name: str
    content_type: str = "application/json"
    schema: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestValidator:
    """What of a request is to be validated; methods name it by `validator_id`."""

    validator_id: str
    name: str
    validate_body: bool = False
    validate_parameters: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorizer:
    """A definition's authorizer; `type` is TOKEN, REQUEST or COGNITO_USER_POOLS.

    `definition` is the `x-amazon-apigateway-authorizer` object as written.
    """

    authorizer_id: str
    name: str
    type: str
    auth_type: str = ""
    definition: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentationPart:
    """What is said of one place of an API; `properties` are the JSON text of an object."""

    part_id: str
    location: dict[str, str]
    properties: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentationVersion:
    """A snapshot of an API's documentation parts, under a name that stages may show."""

    version: str
    description: str = ""
    created: str
    parts: dict[str, DocumentationPart] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestApi:
    """A REST API with all that a definition can say of it: one row, changed whole.

    `resources` are by id; `definition_extensions` lists the `x-amazon-apigateway-*` keys and other
    parts of an imported definition that are kept but not acted upon, each as a plain sentence.
    """

    api_id: str
    name: str
    description: str = ""
    version: str = ""
    created: str
    resources: dict[str, Resource] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    gateway_responses: dict[str, GatewayResponseDefinition] = field(default_factory=dict)
    binary_media_types: tuple[str, ...] = ()
    minimum_compression_size: int | None = None
    api_key_source: str = "HEADER"
    endpoint_types: tuple[str, ...] = ("EDGE",)
    policy: str = ""
    disable_execute_api_endpoint: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    request_validators: dict[str, RequestValidator] = field(default_factory=dict)
    authorizers: dict[str, Authorizer] = field(default_factory=dict)
    vpc_endpoint_ids: tuple[str, ...] = ()
    ip_address_type: str = ""
    security_policy: str = ""
    endpoint_access_mode: str = ""
    definition_extensions: tuple[str, ...] = ()
    documentation_parts: dict[str, DocumentationPart] = field(default_factory=dict)
    documentation_versions: dict[str, DocumentationVersion] = field(default_factory=dict)

    @property
    def root(self) -> Resource:
        """The resource `/`, which every API has."""
        return next(each for each in self.resources.values() if each.path == "/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A snapshot of an API: stages serve this, not the API as it is now."""

    api_id: str
    deployment_id: str
    description: str = ""
    created: str
    api: RestApi


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A deployment made callable under a name.

    `method_settings` are by `*/*` or `{path}/{METHOD}` as the patch wrote it: the path of a
    resource has `~1` for each `/`, or has no first `/`. Only members that were set are there.
    """

    api_id: str
    stage_name: str
    deployment_id: str
    description: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    method_settings: dict[str, dict[str, str | int | float | bool]] = field(default_factory=dict)
    cache_cluster_enabled: bool = False
    cache_cluster_size: str = ""
    tracing_enabled: bool = False
    access_log: dict[str, str] = field(default_factory=dict)
    canary_settings: dict[str, Any] = field(default_factory=dict)
    client_certificate_id: str = ""
    documentation_version: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    created: str
    last_updated: str

    def settings_of(self, path: str, http_method: str) -> dict[str, str | int | float | bool]:
        """A method's settings: those for all methods, and over them its own.

        Only members that were set are there.
        """
        everywhere = self.method_settings.get("*/*", {})
        return {**everywhere, **self.own_settings_of(path, http_method)}

    def own_settings_of(self, path: str, http_method: str) -> dict[str, str | int | float | bool]:
        """The settings that name this very method."""
        found: dict[str, str | int | float | bool] = {}
        for written in (path, path[1:], path.replace("/", "~1")):
            found.update(self.method_settings.get(f"{written}/{http_method}", {}))
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The settings of API Gateway for an account in a region."""

    cloudwatch_role_arn: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A client's key; `value` is what it sends. `stage_keys` are of the time before usage plans."""

    key_id: str
    value: str
    name: str = ""
    description: str = ""
    enabled: bool = True
    customer_id: str = ""
    stage_keys: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    created: str
    last_updated: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """Limits of a usage plan; None is no limit."""

    rate_limit: float | None = None
    burst_limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How many requests a key has in each DAY, WEEK or MONTH; `offset` is the day it begins on."""

    limit: int
    offset: int = 0
    period: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStage:
    """A stage that a usage plan is for; `throttle` is by `/path/VERB`."""

    api_id: str
    stage_name: str
    throttle: dict[str, Throttle] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsagePlan:
    """What each of its keys may use of some stages."""

    plan_id: str
    name: str
    description: str = ""
    api_stages: tuple[PlanStage, ...] = ()
    throttle: Throttle | None = None
    quota: Quota | None = None
    product_code: str = ""
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsagePlanKey:
    """That a key belongs to a usage plan."""

    plan_id: str
    key_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageDay:
    """What a key used of a plan on a day, `2026-01-31`, and what was left of its quota then."""

    plan_id: str
    key_id: str
    day: str
    used: int
    remaining: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VpcLink:
    """A way from API Gateway into a VPC; `target_arns` name its load balancer."""

    link_id: str
    name: str
    description: str = ""
    target_arns: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificateRow:
    """A certificate that a stage shows to its HTTPS backends; both texts are PEM."""

    certificate_id: str
    description: str = ""
    certificate: str
    private_key: str
    created: str
    expires: str
    tags: dict[str, str] = field(default_factory=dict)


class NotFoundException(AwsError):
    status = 404


class BadRequestException(AwsError):
    status = 400


class ConflictException(AwsError):
    status = 409


class ValidationException(AwsError):
    status = 400


class LimitExceededException(AwsError):
    status = 429
