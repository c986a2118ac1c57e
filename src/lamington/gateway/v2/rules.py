"""What API Gateway refuses of the parts of an HTTP or WebSocket API, in AWS's own words.

An import and the operations that build an API by hand hold to the same rules; both call these.
Quotas that AWS raises on request are not held to; those that are fixed are.
"""

import re
from collections.abc import Iterable, Mapping

import msgspec

from lamington.core.aws import Arn
from lamington.core.errors import AwsError, LamingtonError
from lamington.gateway.access_logs import require_access_log
from lamington.gateway.entities import (
    ANY,
    INTEGRATION_TIMEOUT_MIN_MS,
    VERBS,
    BadRequestException,
    ConflictException,
    NotFoundException,
)
from lamington.gateway.service_quotas import quota_message
from lamington.gateway.stage_rules import require_stage_name, require_stage_variables
from lamington.gateway.v2.entities import (
    DEFAULT_ROUTE,
    DEFAULT_STAGE,
    HTTP_INTEGRATION_TIMEOUT_MAX_MS,
    WEBSOCKET_INTEGRATION_TIMEOUT_MAX_MS,
    Api,
    Authorizer,
    Cors,
    Integration,
    ProtocolType,
    Route,
    RouteSettings,
    Stage,
)

AUDIENCES_MAX = 50
AUTHORIZER_TTL_MAX_S = 3600
MAX_AGE_MAX_S = 86_400
SCOPES_MAX = 10

INTEGRATION_TYPES = ("AWS", "AWS_PROXY", "HTTP", "HTTP_PROXY", "MOCK")
AUTHORIZATION_TYPES = ("NONE", "AWS_IAM", "CUSTOM", "JWT")

SUBTYPES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "EventBridge-PutEvents": (
        ("Detail", "DetailType", "Source"),
        ("Time", "EventBusName", "Resources", "Region", "TraceHeader"),
    ),
    "SQS-SendMessage": (
        ("QueueUrl", "MessageBody"),
        (
            *("DelaySeconds", "MessageAttributes", "MessageDeduplicationId"),
            *("MessageGroupId", "MessageSystemAttributes", "Region"),
        ),
    ),
    "SQS-ReceiveMessage": (
        ("QueueUrl",),
        (
            *("AttributeNames", "MaxNumberOfMessages", "MessageAttributeNames"),
            *("ReceiveRequestAttemptId", "VisibilityTimeout", "WaitTimeSeconds", "Region"),
        ),
    ),
    "SQS-DeleteMessage": (("ReceiptHandle", "QueueUrl"), ("Region",)),
    "SQS-PurgeQueue": (("QueueUrl",), ("Region",)),
    "AppConfig-GetConfiguration": (
        ("Application", "Environment", "Configuration", "ClientId"),
        ("ClientConfigurationVersion", "Region"),
    ),
    "Kinesis-PutRecord": (
        ("StreamName", "Data", "PartitionKey"),
        ("SequenceNumberForOrdering", "ExplicitHashKey", "Region"),
    ),
    "StepFunctions-StartExecution": (("StateMachineArn",), ("Name", "Input", "Region")),
    "StepFunctions-StartSyncExecution": (
        ("StateMachineArn",),
        ("Name", "Input", "Region", "TraceHeader"),
    ),
    "StepFunctions-StopExecution": (("ExecutionArn",), ("Cause", "Error", "Region")),
}
"""The required and the optional parameters of each service action that an HTTP API may call."""

ROUTE_KEY_TEXT = (
    "The provided route key is not formatted properly for HTTP protocol. Format should be"
    ' "<HTTP METHOD> /<RESOURCE PATH>" or "$default"'
)

_PARAMETER_PART = re.compile(r"\{[a-zA-Z0-9._\-:]+\+?\}")
_MODEL_NAME = re.compile(r"[a-zA-Z0-9]+")
_IDENTITY_SOURCES: Mapping[ProtocolType, re.Pattern[str]] = {
    "HTTP": re.compile(r"\$(request\.(header|querystring)|context|stageVariables)\.[^\s]+"),
    "WEBSOCKET": re.compile(r"(route\.request\.(header|querystring)|context|stageVariables)\..+"),
}
_REQUEST_TARGET = re.compile(
    r"(append|overwrite|remove):(header|querystring)\.([^\s]+)|overwrite:path"
)
_RESPONSE_TARGET = re.compile(r"(append|overwrite|remove):(header)\.([^\s]+)|overwrite:statuscode")
_STATUS = re.compile(r"[2-5]\d\d")
_RESERVED_HEADER = re.compile(
    r"access-control-.*|apigw-.*|authorization|connection|content-encoding|content-length"
    r"|content-location|forwarded|keep-alive|origin|proxy-authenticate|proxy-authorization|te"
    r"|trailers|transfer-encoding|upgrade|x-amz-.*|x-amzn-.*|x-forwarded-(for|host|proto)|via",
    re.IGNORECASE,
)
_AUTHORIZER_URI = re.compile(r"arn:[^:]+:apigateway:[^:]+:lambda:path/.+/invocations")
_FULL_URL = re.compile(r"https?://.+|\$\{stageVariables\..+", re.IGNORECASE)


class TooManyRequestsException(AwsError):
    status = 429


# Routes


def require_route_key(protocol: ProtocolType, route_key: str) -> None:
    """Raise BadRequestException where no route may have this key."""
    if protocol == "HTTP":
        if route_key != DEFAULT_ROUTE:
            verb, _, path = route_key.partition(" ")
            if verb not in (*VERBS, ANY) or not _is_path(path):
                raise BadRequestException(
                    ROUTE_KEY_TEXT, hint="a parameter is a whole segment: `GET /pets/{petId}`"
                )
    elif not route_key.strip():
        raise BadRequestException("Route key must not be empty")


def _is_path(path: str) -> bool:
    if not path.startswith("/") or re.search(r"\s", path):
        return False
    segments = path[1:].split("/")
    names = [each for each in segments if "{" in each or "}" in each]
    return (
        all(_PARAMETER_PART.fullmatch(each) for each in names)
        and not any(each.endswith("+}") for each in segments[:-1])
        and len(names) == len({each.strip("{+}") for each in names})
    )


def require_new_route_key(api: Api, route_key: str, route_id: str = "") -> None:
    """Raise ConflictException where another route of the API has this key."""
    if any(
        each.route_key == route_key and each.route_id != route_id for each in api.routes.values()
    ):
        raise ConflictException(f"Route with key {route_key} already exists for this API")


def require_route(api: Api, route: Route) -> None:
    """Raise where the API cannot have the route as it is: key, target, authorization."""
    require_route_key(api.protocol_type, route.route_key)
    require_new_route_key(api, route.route_key, route.route_id)
    if route.target:
        kind, _, integration_id = route.target.partition("/")
        if kind != "integrations" or integration_id not in api.integrations:
            raise BadRequestException(
                f"Invalid target specified: {route.target}",
                hint="the form is `integrations/{integrationId}`, of an integration of this API",
            )
    _require_authorization(api, route)
    if api.protocol_type == "HTTP":
        for name, value in (
            ("ApiKeyRequired", route.api_key_required),
            ("RequestParameters", route.request_parameters),
            ("RequestModels", route.request_models),
            ("RouteResponseSelectionExpression", route.route_response_selection_expression),
            ("ModelSelectionExpression", route.model_selection_expression),
        ):
            if value:
                raise BadRequestException(f"{name} is not supported on protocolType HTTP")


def _require_authorization(api: Api, route: Route) -> None:
    kind = route.authorization_type
    if kind not in AUTHORIZATION_TYPES:
        raise BadRequestException(f"Invalid authorization type specified: {kind}")
    if kind == "NONE":
        return
    if api.protocol_type == "WEBSOCKET" and route.route_key != "$connect":
        raise BadRequestException(
            "Currently, authorization is restricted to the $connect route only"
        )
    if kind != "JWT" and route.authorization_scopes:
        raise BadRequestException(
            "Authorization scopes are supported only for the authorization type JWT"
        )
    if len(route.authorization_scopes) > SCOPES_MAX:
        raise BadRequestException(f"A route may have {SCOPES_MAX} authorization scopes")
    wanted = {"JWT": "JWT", "CUSTOM": "REQUEST"}.get(kind)
    authorizer = api.authorizers.get(route.authorizer_id)
    if wanted and (authorizer is None or authorizer.authorizer_type != wanted):
        noun = "a valid JWT authorizer" if kind == "JWT" else "a valid authorizer"
        raise BadRequestException(
            "Invalid authorizer ID specified. Setting the authorization type to"
            f" {kind} requires {noun}."
        )


# Integrations


def require_integration(protocol: ProtocolType, integration: Integration) -> None:
    """Raise BadRequestException where the integration cannot stand behind a route."""
    kind = integration.integration_type
    if kind not in INTEGRATION_TYPES:
        raise BadRequestException(
            f"Invalid integration type: {kind}", hint=f"one of {', '.join(INTEGRATION_TYPES)}"
        )
    highest = (
        HTTP_INTEGRATION_TIMEOUT_MAX_MS
        if protocol == "HTTP"
        else WEBSOCKET_INTEGRATION_TIMEOUT_MAX_MS
    )
    timeout = integration.timeout_ms
    if timeout and not INTEGRATION_TIMEOUT_MIN_MS <= timeout <= highest:
        raise BadRequestException(
            f"Timeout should be between {INTEGRATION_TIMEOUT_MIN_MS} ms and {highest} ms"
        )
    if integration.connection_type == "VPC_LINK" and not integration.connection_id:
        raise BadRequestException("ConnectionId is a required parameter for a VPC_LINK integration")
    if protocol == "HTTP":
        _require_http_integration(integration)
    else:
        _require_websocket_integration(integration)


def _require_http_integration(integration: Integration) -> None:
    kind, subtype = integration.integration_type, integration.integration_subtype
    version = integration.payload_format_version
    if kind not in ("AWS_PROXY", "HTTP_PROXY"):
        raise BadRequestException(
            "Currently, an API with a protocol type of HTTP may only be associated with proxy"
            " integrations (AWS_PROXY, HTTP_PROXY)"
        )
    if not version:
        raise BadRequestException("PayloadFormatVersion is a required parameter for integration")
    is_function = kind == "AWS_PROXY" and not subtype
    if version not in (("1.0", "2.0") if is_function else ("1.0",)):
        raise BadRequestException(f"Invalid payload format version specified: {version}")
    if subtype:
        _require_subtype(integration)
    elif is_function:
        _require_function(integration.integration_uri)
    else:
        _require_url(integration)
    if not subtype:
        _require_targets(integration.request_parameters, _REQUEST_TARGET)
    for status, parameters in integration.response_parameters.items():
        if not _STATUS.fullmatch(status):
            raise BadRequestException(f"Invalid response status code specified: {status}")
        _require_targets(parameters, _RESPONSE_TARGET)


def _require_websocket_integration(integration: Integration) -> None:
    kind = integration.integration_type
    if integration.integration_subtype:
        raise BadRequestException("IntegrationSubtype is not supported on protocolType WEBSOCKET")
    if integration.payload_format_version not in ("", "1.0"):
        raise BadRequestException(
            f"Invalid payload format version specified: {integration.payload_format_version}"
        )
    if kind == "MOCK":
        return
    if kind.startswith("HTTP"):
        _require_url(integration)
        return
    arn = _integration_arn(integration.integration_uri)
    if arn.service != "apigateway" or not arn.resource.startswith(("path/", "action/")):
        raise BadRequestException("AWS ARN for integration must contain path or action")


def _require_subtype(integration: Integration) -> None:
    subtype = integration.integration_subtype
    if integration.integration_type != "AWS_PROXY" or subtype not in SUBTYPES:
        raise BadRequestException(
            f"Invalid integration subtype specified: {subtype}",
            hint=f"of type AWS_PROXY, one of {', '.join(SUBTYPES)}",
        )
    if not integration.credentials_arn:
        raise BadRequestException("Credentials are required for integrations with a subtype")
    required, optional = SUBTYPES[subtype]
    for name in required:
        if name not in integration.request_parameters:
            raise BadRequestException(f"Parameter: {name} is required for {subtype}")
    for name in integration.request_parameters:
        if name not in required and name not in optional:
            raise BadRequestException(f"Parameter: {name} is not supported for {subtype}")


def _require_function(uri: str) -> None:
    """An HTTP API takes a function's own ARN and the invocation ARN of REST APIs."""
    arn = _integration_arn(uri)
    is_function = arn.service == "lambda" and arn.resource.startswith("function:")
    is_invocation = arn.service == "apigateway" and arn.account_id == "lambda"
    if not is_function and not is_invocation:
        raise BadRequestException(
            "Invalid integration URI specified", hint="an AWS_PROXY integration is a function's ARN"
        )


def _integration_arn(uri: str) -> Arn:
    try:
        return Arn.parse(uri)
    except LamingtonError:
        raise BadRequestException("Invalid ARN specified in the request") from None


def _require_url(integration: Integration) -> None:
    if not integration.integration_method:
        raise BadRequestException("Enumeration value for HttpMethod must be non-empty")
    verb = integration.integration_method.upper()
    if verb not in VERBS and verb != ANY:
        raise BadRequestException(
            f"Invalid HttpMethod specified. Valid options are {','.join((*VERBS, ANY))}"
        )
    uri = integration.integration_uri
    is_private = integration.connection_type == "VPC_LINK" and uri.startswith("arn:")
    if not is_private and not _FULL_URL.fullmatch(uri):
        raise BadRequestException("Invalid HTTP endpoint specified for URI")


def _require_targets(parameters: Mapping[str, str], form: re.Pattern[str]) -> None:
    for target, source in parameters.items():
        found = form.fullmatch(target)
        if found is None or (target.startswith("remove:") and source not in ("", "''")):
            raise BadRequestException(
                "Invalid mapping expression specified: Validation Result: warnings : [], errors :"
                f" [Invalid mapping expression specified: {target if found is None else source}]"
            )
        if found[2] == "header" and _RESERVED_HEADER.fullmatch(found[3]):
            raise BadRequestException(f"Operations on header {found[3]} are restricted")


def require_room(count: int, quota: int, things: str) -> None:
    """Raise TooManyRequestsException where an API would have more of something than it may.

    AWS: recorded for integrations, with the two spaces.
    """
    if count > quota:
        raise TooManyRequestsException(quota_message(things, "API"))


def require_unused_integration(api: Api, integration_id: str) -> None:
    """Raise ConflictException, which names the routes, where routes lead to the integration."""
    routes = [each.route_id for each in api.routes.values() if _leads_to(each, integration_id)]
    if routes:
        raise ConflictException(
            "Cannot delete Integration because it is referenced by the following Routes with Ids:"
            f" [{', '.join(routes)}]"
        )


def _leads_to(route: Route, integration_id: str) -> bool:
    return bool(route.target) and route.integration_id == integration_id


def require_integration_response_key(key: str) -> None:
    """Raise where the key is neither `$default` nor a pattern between slashes."""
    if key != "$default" and not (len(key) > 2 and key.startswith("/") and key.endswith("/")):
        raise BadRequestException(
            f"Invalid integration response key specified: {key}",
            hint="`$default`, or a pattern between slashes: `/2\\d\\d/`",
        )


# Authorizers


def require_authorizer(api: Api, authorizer: Authorizer) -> None:
    """Raise BadRequestException where the API cannot have the authorizer.

    Differs: the issuer of a JWT authorizer is not asked for its configuration before it is needed.
    """
    for each in api.authorizers.values():
        if each.name == authorizer.name and each.authorizer_id != authorizer.authorizer_id:
            raise BadRequestException(
                f"Authorizer name must be unique. Authorizer {authorizer.name} already exists in"
                " this API."
            )
    if not 0 <= (authorizer.result_ttl_s or 0) <= AUTHORIZER_TTL_MAX_S:
        raise BadRequestException(
            f"Authorizer result TTL must be between 0 and {AUTHORIZER_TTL_MAX_S} seconds"
        )
    sources = _IDENTITY_SOURCES[api.protocol_type]
    for source in authorizer.identity_source:
        if not sources.fullmatch(source):
            raise BadRequestException(f"Invalid identity source specified: {source}")
    if authorizer.authorizer_type == "JWT":
        _require_jwt(api.protocol_type, authorizer)
    elif authorizer.authorizer_type == "REQUEST":
        _require_request_authorizer(api.protocol_type, authorizer)
    else:
        raise BadRequestException(f"Invalid authorizer type: {authorizer.authorizer_type}")


def _require_jwt(protocol: ProtocolType, authorizer: Authorizer) -> None:
    if protocol != "HTTP":
        raise BadRequestException(f"JWT authorizers are not supported on protocolType {protocol}")
    if not authorizer.jwt_issuer or not authorizer.jwt_audience:
        raise BadRequestException("JwtConfiguration is a required parameter for JWT authorizer")
    if len(authorizer.jwt_audience) > AUDIENCES_MAX:
        raise BadRequestException(f"An authorizer may have {AUDIENCES_MAX} audiences")
    if len(authorizer.identity_source) != 1:
        raise BadRequestException("A JWT authorizer has exactly one identity source")


def _require_request_authorizer(protocol: ProtocolType, authorizer: Authorizer) -> None:
    if not authorizer.authorizer_uri:
        raise BadRequestException("AuthorizerUri is a required parameter for REQUEST authorizer")
    version = authorizer.payload_format_version
    if protocol == "HTTP" and not version:
        raise BadRequestException(
            "AuthorizerPayloadFormatVersion is a required parameter for REQUEST authorizer"
        )
    if version not in (("1.0", "2.0") if protocol == "HTTP" else ("", "1.0")):
        raise BadRequestException(f"Invalid authorizer payload format version: {version}")
    if not _AUTHORIZER_URI.fullmatch(authorizer.authorizer_uri):
        raise BadRequestException(
            f"Invalid Authorizer URI: {authorizer.authorizer_uri}. Authorizer URI should be a valid"
            " API Gateway ARN that represents a Lambda function invocation."
        )
    if authorizer.enable_simple_responses and version != "2.0":
        raise BadRequestException(
            "EnableSimpleResponses is only supported with AuthorizerPayloadFormatVersion 2.0"
        )
    if protocol == "HTTP" and authorizer.result_ttl_s and not authorizer.identity_source:
        raise BadRequestException("An authorizer that caches its results needs an identity source")


def require_unused_authorizer(api: Api, authorizer: Authorizer) -> None:
    """Raise ConflictException, which names the route, where a route asks the authorizer."""
    for route in api.routes.values():
        if route.authorizer_id == authorizer.authorizer_id:
            raise ConflictException(
                f"Cannot delete authorizer '{authorizer.name}', is referenced in route:"
                f" {route.route_key}"
            )


# APIs


def require_cors(protocol: ProtocolType, cors: Cors | None) -> None:
    """Raise BadRequestException for a CORS configuration that no browser would take."""
    if cors is None:
        return
    if protocol != "HTTP":
        raise BadRequestException(f"CORS configuration is not supported on protocolType {protocol}")
    if cors.allow_credentials and "*" in cors.allow_origins:
        raise BadRequestException("allow-credentials is not supported if 'allow-origin' is *")
    if cors.max_age_s is not None and not -1 <= cors.max_age_s <= MAX_AGE_MAX_S:
        raise BadRequestException(f"MaxAge must be between -1 and {MAX_AGE_MAX_S} seconds")


def require_model(name: str, schema: str) -> None:
    """Raise BadRequestException for a name or a schema that no model may have."""
    if not _MODEL_NAME.fullmatch(name):
        raise BadRequestException(f"Model name must be alphanumeric: {name}")
    try:
        msgspec.json.decode(schema)
    except (msgspec.DecodeError, RecursionError):
        raise BadRequestException("Invalid model schema specified") from None


# Stages


def require_stage(api: Api, stage: Stage) -> None:
    """Raise where the API cannot have the stage as it is."""
    is_default = api.protocol_type == "HTTP" and stage.stage_name == DEFAULT_STAGE
    if not is_default:
        require_stage_name(stage.stage_name)
    require_stage_variables(stage.variables)
    keys = {each.route_key for each in api.routes.values()}
    for key in stage.route_settings:
        if key not in keys:
            raise NotFoundException(
                f"Unable to find Route by key {key} within the provided RouteSettings"
            )
    if api.protocol_type == "HTTP":
        _require_no_execution_logs([stage.default_route_settings, *stage.route_settings.values()])
    require_access_log(
        {
            "destinationArn": str(stage.access_log.get("DestinationArn") or ""),
            "format": str(stage.access_log.get("Format") or ""),
        },
        rest=False,
    )


def _require_no_execution_logs(settings: Iterable[RouteSettings]) -> None:
    for each in settings:
        if each.logging_level is not None or each.data_trace_enabled:
            raise BadRequestException("Execution logs are not supported on protocolType HTTP")


def require_deployable(api: Api) -> None:
    """Raise BadRequestException for an API without routes."""
    if not api.routes:
        raise BadRequestException(
            "Unable to deploy API because no routes exist in this API"
            if api.protocol_type == "HTTP"
            else "At least one route is required before deploying the Api"
        )
