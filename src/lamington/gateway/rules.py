"""What API Gateway refuses of a path, an integration or a mapping, in AWS's own words.

An import and the operations that build an API by hand hold to the same rules; both call these.
Whether a template compiles is none of them: AWS takes it and fails the request.
"""

import re
from collections.abc import Iterable, Mapping

from lamington.core.aws import Arn
from lamington.core.errors import LamingtonError
from lamington.gateway.entities import (
    ANY,
    INTEGRATION_STREAM_TIMEOUT_MAX_MS,
    INTEGRATION_TIMEOUT_DEFAULT_MS,
    INTEGRATION_TIMEOUT_MIN_MS,
    VERBS,
    BadRequestException,
    ConflictException,
    Method,
    MethodIntegration,
    MethodResponseDefinition,
    Resource,
    ValidationException,
)
from lamington.gateway.responses import GATEWAY_RESPONSE_TYPES

INTEGRATION_TYPES = ("HTTP", "AWS", "MOCK", "HTTP_PROXY", "AWS_PROXY")
PASSTHROUGH_BEHAVIORS = ("WHEN_NO_MATCH", "WHEN_NO_TEMPLATES", "NEVER")
RESPONSE_TRANSFER_MODES = ("BUFFERED", "STREAM")
CONTENT_HANDLINGS = ("CONVERT_TO_BINARY", "CONVERT_TO_TEXT")
TEMPLATE_MAX_BYTES = 300 * 1024
_PATH_PART = re.compile(r"[a-zA-Z0-9._\-:,]+|\{[a-zA-Z0-9._\-:]+\+?\}")
_STATUS_CODE = re.compile(r"[1-5]\d\d")
_REQUEST_TARGET = re.compile(r"integration\.request\.(path|querystring|header)\.[a-zA-Z0-9._$-]+")
_RESPONSE_TARGET = re.compile(r"method\.response\.header\.[a-zA-Z0-9._$-]+")
_PARAMETER = re.compile(r"method\.request\.(path|querystring|header)\.[a-zA-Z0-9._$-]+")
_REQUEST_PARAMETER_SOURCE = re.compile(
    r"method\.request\.(path|querystring|multivaluequerystring|header|multivalueheader)"
    r"\.([a-zA-Z0-9._$-]+)"
)
_REQUEST_SOURCE = re.compile(
    r"method\.request\.body(\..+|\[.+)?|stageVariables\..+|context\..+|'[\s\S]*'"
)
_RESPONSE_SOURCE = re.compile(
    r"integration\.response\.((multivalue)?header\..+|body(\..+|\[.+)?)"
    r"|stageVariables\..+|context\..+|'[\s\S]*'"
)


def require_path_part(path_part: str) -> None:
    """Raise BadRequestException where the text may not stand between two slashes of a path."""
    if not path_part:
        raise BadRequestException("Resource's path part must be specified")
    if not _PATH_PART.fullmatch(path_part):
        raise BadRequestException(
            "Resource's path part only allow a-zA-Z0-9._-: or a valid greedy path variable and "
            "curly braces at the beginning and the end.",
            hint="a parameter is a whole path segment: `/pets/{petId}`",
        )


def require_place(parent: Resource, path_part: str, siblings: Iterable[Resource]) -> None:
    """Raise where the parent cannot have a (further) child with this path part."""
    require_path_part(path_part)
    if parent.path_part.endswith("+}"):
        raise BadRequestException(
            f"Cannot create a child of a resource with a greedy path variable: {parent.path_part}"
        )
    for sibling in siblings:
        if sibling.path_part == path_part:
            raise ConflictException(
                f"Another resource with the same parent already has this name: {path_part}"
            )
        if path_part.startswith("{") and sibling.path_part.startswith("{"):
            raise BadRequestException(
                f"A sibling ({sibling.path_part}) of this resource already has a variable path "
                "part -- only one is allowed"
            )


def require_verb(http_method: str) -> str:
    """The verb in upper case, one of the seven or `ANY`; raises BadRequestException."""
    verb = http_method.upper()
    if verb not in VERBS and verb != ANY:
        raise BadRequestException(
            f"Invalid HttpMethod specified. Valid options are {','.join((*VERBS, ANY))}"
        )
    return verb


def require_status_code(status_code: str) -> str:
    """The status code, three digits as text; raises BadRequestException."""
    if not _STATUS_CODE.fullmatch(status_code):
        raise BadRequestException("Invalid Response status code specified")
    return status_code


def require_request_parameters(parameters: Mapping[str, bool]) -> None:
    """Raise where a method declares a parameter that is no header, query or path parameter."""
    for name in parameters:
        if not _PARAMETER.fullmatch(name):
            raise BadRequestException(
                "Invalid mapping expression specified: Validation Result: warnings : [], errors :"
                f" [Invalid mapping expression specified: {name}]"
            )


def require_unique_names(parameters: Mapping[str, bool]) -> None:
    """Raise where two parameters of a method bear one name.

    AWS: PutMethod and UpdateMethod refuse that, an import does not (recorded).
    """
    names = {name.split(".", 3)[-1] for name in parameters}
    if len(names) != len(parameters):
        raise BadRequestException(
            "Parameter names must be unique across querystring, header and path"
        )


def require_response_parameters(parameters: Iterable[str]) -> None:
    """Raise where a method response declares a parameter that is no header."""
    for name in parameters:
        if not name.startswith("method.response.header."):
            raise BadRequestException(
                "Invalid mapping expression specified: Validation Result: warnings : [], "
                f"errors : [Invalid mapping expression specified: {name}]"
            )


def require_integration(
    integration: MethodIntegration,
    method: Method,
    timeout_max_ms: int = INTEGRATION_TIMEOUT_DEFAULT_MS,
) -> None:
    """Raise BadRequestException where the integration cannot stand behind the method.

    AWS: what is streamed may take 15 minutes; all else what the quota of the account allows.
    """
    if integration.response_transfer_mode == "STREAM":
        timeout_max_ms = max(timeout_max_ms, INTEGRATION_STREAM_TIMEOUT_MAX_MS)
    if integration.type not in INTEGRATION_TYPES:
        raise BadRequestException(
            "Enumeration value for IntegrationType must be non-empty"
            if not integration.type
            else f"Invalid integration type: {integration.type}",
            hint=f"one of {', '.join(each.lower() for each in INTEGRATION_TYPES)}",
        )
    if integration.passthrough_behavior not in PASSTHROUGH_BEHAVIORS:
        raise BadRequestException(
            f"Invalid passthrough behavior: {integration.passthrough_behavior}",
            hint=f"one of {', '.join(each.lower() for each in PASSTHROUGH_BEHAVIORS)}",
        )
    require_content_handling(integration.content_handling)
    _require_transfer_mode(integration)
    if not INTEGRATION_TIMEOUT_MIN_MS <= integration.timeout_ms <= timeout_max_ms:
        raise BadRequestException(
            f"Timeout should be between {INTEGRATION_TIMEOUT_MIN_MS} ms and {timeout_max_ms} ms"
        )
    require_templates(integration.request_templates)
    if integration.type != "MOCK":
        _require_uri(integration)
    _require_mappings(_request_errors(integration.request_parameters, method))


def require_integration_response(
    parameters: Mapping[str, str], response: MethodResponseDefinition | None
) -> None:
    """Raise where a header is mapped that the method response of the status does not declare."""
    declared = {} if response is None else response.response_parameters
    errors = []
    for target, source in parameters.items():
        if not _RESPONSE_TARGET.fullmatch(target) or target not in declared:
            errors.append(f"Invalid mapping expression parameter specified: {target}")
        elif not _RESPONSE_SOURCE.fullmatch(source):
            errors.append(f"Invalid mapping expression specified: {source}")
    _require_mappings(errors)


def require_content_handling(content_handling: str) -> None:
    """Raise BadRequestException for what is no way to convert a payload; "" is none."""
    if content_handling not in ("", *CONTENT_HANDLINGS):
        raise BadRequestException(
            f"Invalid content handling: {content_handling}",
            hint=f"one of {', '.join(CONTENT_HANDLINGS)}, or none",
        )


def require_templates(templates: Mapping[str, str]) -> None:
    """Raise where a mapping template is longer than 300 KB.

    AWS: API Gateway developer guide, quotas.
    Differs: the text is a likely one; no record of it.
    """
    for content_type, text in templates.items():
        if len(text) > TEMPLATE_MAX_BYTES or len(text.encode()) > TEMPLATE_MAX_BYTES:
            raise BadRequestException(
                f"Mapping template for {content_type} exceeds the maximum size of"
                f" {TEMPLATE_MAX_BYTES} bytes"
            )


def require_gateway_response_type(response_type: str) -> None:
    """Raise ValidationException, which names the 21 types, for any other."""
    if response_type not in GATEWAY_RESPONSE_TYPES:
        raise ValidationException(
            f"1 validation error detected: Value '{response_type}' at 'responseType' failed to"
            " satisfy constraint: Member must satisfy enum value set: "
            f"[{', '.join(GATEWAY_RESPONSE_TYPES)}]"
        )


def _require_transfer_mode(integration: MethodIntegration) -> None:
    """AWS: proxies alone can stream. Differs: the sentences are likely ones."""
    mode = integration.response_transfer_mode
    if mode not in RESPONSE_TRANSFER_MODES:
        raise BadRequestException(
            f"Invalid response transfer mode: {mode}",
            hint=f"one of {', '.join(RESPONSE_TRANSFER_MODES)}",
        )
    if mode == "STREAM" and not integration.type.endswith("_PROXY"):
        raise BadRequestException(
            "Response transfer mode STREAM is only supported for AWS_PROXY and HTTP_PROXY"
            " integrations"
        )


def _require_uri(integration: MethodIntegration) -> None:
    if not integration.http_method:
        raise BadRequestException("Enumeration value for HttpMethod must be non-empty")
    if integration.type in ("HTTP", "HTTP_PROXY"):
        if not re.match(r"https?://|\$\{stageVariables\.", integration.uri):
            raise BadRequestException("Invalid HTTP endpoint specified for URI")
        return
    if not integration.uri:
        raise BadRequestException("AWS ARN for integration must contain path or action")
    try:
        arn = Arn.parse(integration.uri)
    except LamingtonError:
        raise BadRequestException(
            "Invalid ARN specified in the request",
            hint="the form is arn:aws:apigateway:{region}:lambda:path/2015-03-31/functions/"
            "{function ARN}/invocations",
        ) from None
    if not arn.resource.startswith(("path/", "action/")):
        raise BadRequestException("AWS ARN for integration must contain path or action")
    if integration.type == "AWS_PROXY" and arn.account_id not in ("lambda", "firehose"):
        raise BadRequestException(
            "Integrations of type 'AWS_PROXY' currently only supports Lambda function and"
            " Firehose stream invocations."
        )
    if arn.account_id != "lambda" and not integration.credentials:
        raise BadRequestException("Role ARN must be specified for AWS integrations")


def _request_errors(parameters: Mapping[str, str], method: Method) -> list[str]:
    errors = []
    for target, source in parameters.items():
        if not _REQUEST_TARGET.fullmatch(target):
            errors.append(f"Invalid mapping expression parameter specified: {target}")
            continue
        parameter = _REQUEST_PARAMETER_SOURCE.fullmatch(source)
        if parameter:
            place = parameter[1].removeprefix("multivalue")
            if f"method.request.{place}.{parameter[2]}" not in method.request_parameters:
                errors.append(f"Invalid mapping expression parameter specified: {source}")
        elif not _REQUEST_SOURCE.fullmatch(source):
            errors.append(f"Invalid mapping expression specified: {source}")
    return errors


def _require_mappings(errors: list[str]) -> None:
    if errors:
        raise BadRequestException(
            "Invalid mapping expression specified: Validation Result: warnings : [], errors :"
            f" [{', '.join(errors)}]"
        )
