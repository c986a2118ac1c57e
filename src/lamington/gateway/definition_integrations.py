"""The `x-amazon-apigateway-integration` of an operation, to what stands behind its method."""

from dataclasses import replace

from lamington.core.aws import Scope
from lamington.core.errors import AwsError
from lamington.gateway.definition_values import (
    Findings,
    Object,
    members_of,
    object_of,
    strings_of,
    substitute_variables,
    templates_of,
    text_of,
    texts_of,
    whole_of,
)
from lamington.gateway.entities import (
    INTEGRATION_TIMEOUT_DEFAULT_MS,
    IntegrationResponse,
    Method,
    MethodIntegration,
)
from lamington.gateway.rules import (
    require_content_handling,
    require_integration,
    require_integration_response,
    require_status_code,
    require_templates,
)


def read_integration(
    definition: Object,
    method: Method,
    where: str,
    scope: Scope,
    findings: Findings,
    timeout_max_ms: int = INTEGRATION_TIMEOUT_DEFAULT_MS,
) -> MethodIntegration:
    """Read the integration of a method; raises BadRequestException for one that cannot be.

    AWS: a missing `httpMethod` is the operation's own verb, a Lambda proxy always posts; proxies
    have no responses.
    """
    kind = text_of(definition.get("type")).upper()
    verb = text_of(definition.get("httpMethod")).upper() or method.http_method
    tls = object_of(definition.get("tlsConfig"))
    connection_type = text_of(definition.get("connectionType")).upper()
    integration = MethodIntegration(
        type=kind,
        uri=substitute_variables(text_of(definition.get("uri")), scope),
        http_method={"AWS_PROXY": "POST", "MOCK": ""}.get(kind, verb),
        credentials=substitute_variables(text_of(definition.get("credentials")), scope),
        passthrough_behavior=text_of(definition.get("passthroughBehavior")).upper()
        or "WHEN_NO_MATCH",
        request_parameters=texts_of(definition.get("requestParameters")),
        request_templates=templates_of(definition.get("requestTemplates")),
        content_handling=text_of(definition.get("contentHandling")).upper(),
        timeout_ms=whole_of(definition.get("timeoutInMillis"), INTEGRATION_TIMEOUT_DEFAULT_MS),
        cache_key_parameters=strings_of(definition.get("cacheKeyParameters")),
        cache_namespace=text_of(definition.get("cacheNamespace")),
        connection_type=connection_type or ("INTERNET" if kind.startswith("HTTP") else ""),
        connection_id=text_of(definition.get("connectionId")),
        insecure_skip_verification=tls.get("insecureSkipVerification") is True,
        response_transfer_mode=text_of(definition.get("responseTransferMode")).upper()
        or "BUFFERED",
        integration_target=text_of(definition.get("integrationTarget")),
    )
    require_integration(integration, method, timeout_max_ms)
    if kind.endswith("_PROXY"):
        return integration
    return replace(integration, responses=_read_responses(definition, method, where, findings))


def _read_responses(
    definition: Object, method: Method, where: str, findings: Findings
) -> tuple[IntegrationResponse, ...]:
    """One for each status: AWS keeps them by it, so the last of two with one status stays."""
    by_status: dict[str, IntegrationResponse] = {}
    for pattern, each in members_of(definition.get("responses")):
        status = text_of(each.get("statusCode"))
        parameters = texts_of(each.get("responseParameters"))
        content_handling = text_of(each.get("contentHandling")).upper()
        declared = next((it for it in method.responses if it.status_code == status), None)
        try:
            require_status_code(status)
            require_integration_response(parameters, declared)
            require_templates(texts_of(each.get("responseTemplates")))
            require_content_handling(content_handling)
        except AwsError as error:
            findings.errors.append(f"Unable to put integration response {where}: {error.message}")
            continue
        if declared is None:
            findings.warnings.append(
                f"Integration response '{pattern}' {where} answers {status}, which the method"
                " does not declare under `responses`: it will fail with 500."
            )
        if status in by_status:
            findings.warnings.append(
                f"Integration response '{pattern}' {where} takes the place of"
                f" '{by_status.pop(status).selection_pattern or 'default'}': both have the"
                f" status {status}."
            )
        by_status[status] = IntegrationResponse(
            status_code=status,
            selection_pattern="" if pattern == "default" else pattern,
            response_parameters=parameters,
            response_templates=templates_of(each.get("responseTemplates")),
            content_handling=content_handling,
        )
    return tuple(by_status.values())
