"""What of a definition is kept and shown but has no effect here, each as a plain sentence.

A user must hear of it before a request meets it: the import keeps the sentences with the API,
and the command line prints them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from lamington.gateway.definition_values import members_of, object_of, objects_of
from lamington.gateway.entities import AUTHORIZATION_TYPES, RestApi
from lamington.gateway.security import AUTHORIZER, is_api_key, is_iam, schemes_of

NAMED_MAX = 3

_HTTP_ONLY = "`{name}` is for HTTP APIs and has no effect."
_HTTP_ROOT = ("x-amazon-apigateway-cors", "x-amazon-apigateway-importexport-version")
_HTTP_INTEGRATION = ("payloadFormatVersion", "integrationSubtype")
_HTTP_AUTHORIZER = ("authorizerPayloadFormatVersion", "enableSimpleResponses", "jwtConfiguration")


def unacted(api: RestApi, document: Mapping[str, Any]) -> tuple[str, ...]:
    """The sentences for an API and the definition that it was imported from."""
    return (
        *_of_methods(api),
        *_of_api(api),
        *(_HTTP_ONLY.format(name=name) for name in _of_http_apis(document)),
        *_of_schemes(document),
    )


def _of_methods(api: RestApi) -> Iterator[str]:
    names = [
        f"`{method.http_method} {resource.path}`"
        for resource in api.resources.values()
        for method in resource.methods.values()
        if method.authorization_type not in AUTHORIZATION_TYPES
    ]
    if names:
        yield (
            f"The authorization type of {_listed(names)} is not known: every request there is"
            " refused."
        )


def _of_api(api: RestApi) -> Iterator[str]:
    if api.security_policy or api.endpoint_access_mode:
        yield "TLS policies and endpoint access modes have no effect here: no TLS is spoken."


def _of_http_apis(document: Mapping[str, Any]) -> Iterator[str]:
    """What the definition says to HTTP APIs alone, each name once."""
    yield from (name for name in _HTTP_ROOT if name in document)
    components = object_of(document.get("components"))
    if "x-amazon-apigateway-integrations" in components:
        yield "x-amazon-apigateway-integrations"
    if any("x-amazon-apigateway-tag-value" in each for each in objects_of(document.get("tags"))):
        yield "x-amazon-apigateway-tag-value"
    operations = [
        operation
        for _, item in members_of(document.get("paths"))
        for _, operation in members_of(item)
    ]
    if any("isDefaultRoute" in each for each in operations):
        yield "isDefaultRoute"
    integrations = [object_of(each.get("x-amazon-apigateway-integration")) for each in operations]
    yield from (name for name in _HTTP_INTEGRATION if any(name in each for each in integrations))
    if any("serverNameToVerify" in object_of(each.get("tlsConfig")) for each in integrations):
        yield "serverNameToVerify"
    schemes = schemes_of(document, 3 if "openapi" in document else 2)
    authorizers = [object_of(each.get(AUTHORIZER)) for each in schemes.values()]
    yield from (name for name in _HTTP_AUTHORIZER if any(name in each for each in authorizers))


def _of_schemes(document: Mapping[str, Any]) -> Iterator[str]:
    version = 3 if "openapi" in document else 2
    for name, scheme in schemes_of(document, version).items():
        if AUTHORIZER not in scheme and not is_iam(scheme) and not is_api_key(scheme):
            yield (
                f"Security scheme `{name}` has no effect in a REST API, here as on AWS:"
                " it names no authorizer."
            )


def _listed(names: list[str]) -> str:
    if len(names) <= NAMED_MAX:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED_MAX])} and {len(names) - NAMED_MAX} more"
