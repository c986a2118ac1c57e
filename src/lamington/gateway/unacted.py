"""What of a definition is kept and shown but has no effect yet, each as a plain sentence.

A user must hear of it before a request meets it: the import keeps the sentences with the API,
and the command line prints them. A feature that arrives loses its sentence here.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lamington.gateway.entities import Method, RestApi
from lamington.gateway.security import AUTHORIZER, is_api_key, is_iam, schemes_of

NAMED_MAX = 3

_METHOD_SENTENCES: tuple[tuple[Callable[[Method], bool], str], ...] = (
    (
        lambda method: method.authorization_type == "AWS_IAM",
        "IAM authorization is not emulated yet: every request to {methods} is refused.",
    ),
    (
        lambda method: method.authorization_type in ("CUSTOM", "COGNITO_USER_POOLS"),
        "Authorizers are not emulated yet: every request to {methods} is refused.",
    ),
    (
        lambda method: (
            method.authorization_type not in ("NONE", "AWS_IAM", "CUSTOM", "COGNITO_USER_POOLS")
        ),
        "The authorization type of {methods} is not known: every request there is refused.",
    ),
    (
        lambda method: method.api_key_required,
        "API keys are not emulated yet: every request to {methods} is refused.",
    ),
    (
        lambda method: bool(method.request_validator_id),
        "Request validation is not emulated yet: every request to {methods} is taken.",
    ),
    (
        lambda method: _integration(method, "type", "") in ("HTTP", "HTTP_PROXY"),
        "HTTP integrations are not emulated yet: every request to {methods} fails.",
    ),
    (
        lambda method: (
            _integration(method, "type", "").startswith("AWS")
            and ":lambda:path/" not in _integration(method, "uri", "")
        ),
        "AWS integrations other than Lambda are not emulated yet: every request to {methods}"
        " fails.",
    ),
    (
        lambda method: _integration(method, "cache_key_parameters", ()) != (),
        "Response caching is not emulated yet: {methods} answer each request anew.",
    ),
    (
        lambda method: _integration(method, "connection_type", "") == "VPC_LINK",
        "VPC links are not emulated yet: {methods} need one.",
    ),
    (
        lambda method: _integration(method, "response_transfer_mode", "") == "STREAM",
        "Response streaming is not emulated yet: {methods} answer in one piece.",
    ),
)

_ROOT_SENTENCES = {
    "x-amazon-apigateway-cors": "`x-amazon-apigateway-cors` is for HTTP APIs and has no effect.",
}


def unacted(api: RestApi, document: Mapping[str, Any]) -> tuple[str, ...]:
    """The sentences for an API and the definition that it was imported from."""
    return (
        *_of_methods(api),
        *_of_api(api),
        *(text for key, text in _ROOT_SENTENCES.items() if key in document),
        *_of_schemes(document),
    )


def _of_methods(api: RestApi) -> Iterator[str]:
    methods = [
        (f"`{method.http_method} {resource.path}`", method)
        for resource in api.resources.values()
        for method in resource.methods.values()
    ]
    for applies, sentence in _METHOD_SENTENCES:
        names = [name for name, method in methods if applies(method)]
        if names:
            yield sentence.format(methods=_listed(names))


def _of_api(api: RestApi) -> Iterator[str]:
    if api.policy:
        yield "Resource policies are not emulated yet: the policy refuses nobody."
    if api.minimum_compression_size is not None:
        yield "Response compression is not emulated yet: responses are sent as they are."
    if api.api_key_source == "AUTHORIZER":
        yield "API keys from authorizers are not emulated yet."
    if api.disable_execute_api_endpoint:
        yield "The default endpoint is disabled on AWS; here it answers all the same."
    if api.security_policy or api.endpoint_access_mode:
        yield "TLS policies and endpoint access modes have no effect here: no TLS is spoken."


def _of_schemes(document: Mapping[str, Any]) -> Iterator[str]:
    version = 3 if "openapi" in document else 2
    for name, scheme in schemes_of(document, version).items():
        if AUTHORIZER not in scheme and not is_iam(scheme) and not is_api_key(scheme):
            yield (
                f"Security scheme `{name}` has no effect in a REST API, here as on AWS:"
                " it names no authorizer."
            )


def _integration(method: Method, name: str, default: Any) -> Any:
    return default if method.integration is None else getattr(method.integration, name)


def _listed(names: list[str]) -> str:
    if len(names) <= NAMED_MAX:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED_MAX])} and {len(names) - NAMED_MAX} more"
