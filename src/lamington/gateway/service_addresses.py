"""The URI of an integration with an AWS service, compiled to the address of each request to it.

By path the URI says it itself; by action the service's model does: which protocol it speaks, and
where parameters go. Left to others: what is sent there and by whom (`service_integrations`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from lamington.core.aws import Scope
from lamington.gateway import entities
from lamington.gateway.integrations import IntegrationRequest, Misconfigured
from lamington.gateway.responses import configuration_error

if TYPE_CHECKING:
    from botocore.model import ServiceModel

SERVICE_URI = re.compile(
    r"arn:[^:]+:apigateway:(?P<region>[^:]*):(?P<name>[^:]+):(?P<kind>path|action)/(?P<rest>.*)",
    re.DOTALL,
)

MODEL_NAMES: Mapping[str, str] = {
    "email": "ses",
    "monitoring": "cloudwatch",
    "runtime.lex": "lex-runtime",
    "runtime.sagemaker": "sagemaker-runtime",
    "states": "stepfunctions",
    "tagging": "resourcegroupstaggingapi",
}
"""The service models of names that are not their own."""

QUERY_BY_ACTION = frozenset({"sqs", "ssm"})
"""AWS: these get `?Action=...` though their models say JSON."""

_WITHOUT_TARGET = frozenset({"events"})
"""AWS: EventBridge gets no X-Amz-Target unless a mapping or a template sets it."""

_PLACEHOLDER = re.compile(r"\{([^{}/]+)\}")
_SAFE = "-._~!$&'()*+,;=:@/"
_PARAMETER_SAFE = "-._~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where one request to a service goes; `headers` are what its protocol asks for."""

    method: str
    path: str
    query: str = ""
    headers: tuple[tuple[str, str], ...] = ()


MakeAddress = Callable[[IntegrationRequest], Address]


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The service that an integration's URI names, with its model where there is one."""

    region: str
    name: str
    subdomain: str
    model: "ServiceModel | None"

    @property
    def signing_name(self) -> str:
        if self.model is None:
            return self.name
        metadata: Mapping[str, Any] = self.model.metadata
        return str(metadata.get("signingName") or metadata["endpointPrefix"])

    @property
    def protocols(self) -> Sequence[str]:
        if self.model is None:
            return ()
        metadata: Mapping[str, Any] = self.model.metadata
        return (metadata["protocol"], *metadata.get("protocols", ()))

    @property
    def host(self) -> str:
        partition = Scope(region=self.region)
        name = f"{self.subdomain}.{self.name}" if self.subdomain else self.name
        return f"{name}.{self.region}.{partition.url_suffix}"


def service_of(name: str, region: str) -> Service:
    """The service that a URI names; with a subdomain before it, such as a bucket."""
    subdomain, _, last = name.rpartition(".")
    if name in MODEL_NAMES:
        subdomain, _, last = "", "", name
    return Service(region=region, name=last, subdomain=subdomain, model=_load_model(last))


def _load_model(name: str) -> "ServiceModel | None":
    """The model of a service, None for one that no model is known of."""
    from botocore.exceptions import DataNotFoundError
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    model_name = MODEL_NAMES.get(name, name)
    try:
        return ServiceModel(Loader().load_service_model(model_name, "service-2"), model_name)
    except DataNotFoundError:
        return None


def compile_path(
    service: Service, rest: str, integration: entities.MethodIntegration
) -> MakeAddress:
    """AWS: what follows `path/` is the path of the request; a bucket may be a subdomain."""
    text = "/" + rest.lstrip("/")
    if service.name == "s3" and service.subdomain:
        text = f"/{service.subdomain}{text}"
    path, _, query = text.partition("?")

    def make(request: IntegrationRequest) -> Address:
        values = request.parameters.path
        return Address(
            method=integration.http_method,
            path=_filled(path, values, _SAFE),
            query=_joined(_filled(query, values, _PARAMETER_SAFE), request.parameters.query),
        )

    return make


def compile_action(
    service: Service, rest: str, integration: entities.MethodIntegration
) -> MakeAddress:
    """Compile a request for an operation by its name; `rest` may have parameters after it."""
    action, _, written = rest.replace("?", "&", 1).partition("&")
    protocols = service.protocols
    if service.model is not None and action not in service.model.operation_names:
        raise Misconfigured(f"`{service.name}` has no action `{action}`")
    if "query" in protocols or "ec2" in protocols or service.name in QUERY_BY_ACTION:
        return _compile_query_action(service, action, written, integration)
    if "json" in protocols:
        return _compile_json_action(service, action, written, integration)
    if service.model is not None and any(each.startswith("rest") for each in protocols):
        return _compile_rest_action(service.model, action, written)
    raise Misconfigured(
        f"`{service.name}` cannot be called by action", hint="name the path of its request"
    )


_FORM = (("Content-Type", "application/x-www-form-urlencoded"),)


def _compile_query_action(
    service: Service, action: str, written: str, integration: entities.MethodIntegration
) -> MakeAddress:
    """AWS: the action becomes `?Action=...`.

    Differs: a request whose content type nothing maps is sent as a form, whatever its client's.
    """
    version = "" if service.model is None else str(service.model.metadata["apiVersion"])
    head = f"Action={action}" + (f"&Version={version}" if version else "")

    def make(request: IntegrationRequest) -> Address:
        parameters = request.parameters
        query = head
        if written:
            query = f"{query}&{_filled(written, parameters.path, _PARAMETER_SAFE)}"
        mapped = {name: value for name, value in parameters.query.items() if name != "Action"}
        return Address(
            method=integration.http_method, path="/", query=_joined(query, mapped), headers=_FORM
        )

    return make


def _compile_json_action(
    service: Service, action: str, written: str, integration: entities.MethodIntegration
) -> MakeAddress:
    """AWS: API Gateway names the target itself, as the integrations of its guide rely on."""
    assert service.model is not None
    metadata: Mapping[str, Any] = service.model.metadata
    headers: tuple[tuple[str, str], ...] = (
        ("Content-Type", f"application/x-amz-json-{metadata.get('jsonVersion', '1.1')}"),
    )
    if service.name not in _WITHOUT_TARGET:
        headers = (*headers, ("X-Amz-Target", f"{metadata['targetPrefix']}.{action}"))

    def make(request: IntegrationRequest) -> Address:
        query = _filled(written, request.parameters.path, _PARAMETER_SAFE)
        return Address(
            method=integration.http_method,
            path="/",
            query=_joined(query, request.parameters.query),
            headers=headers,
        )

    return make


def _compile_rest_action(model: "ServiceModel", action: str, written: str) -> MakeAddress:
    """Parameters go where the model has them: into the path, the query or headers."""
    operation = model.operation_model(action)
    http: Mapping[str, Any] = operation.http
    template, _, constant = http["requestUri"].partition("?")
    places: dict[str, tuple[str, str]] = {}
    if operation.input_shape is not None:
        for name, shape in operation.input_shape.members.items():
            serialization: Mapping[str, Any] = shape.serialization
            place = serialization.get("location")
            if place:
                places[name] = (place, serialization.get("name", name))

    def make(request: IntegrationRequest) -> Address:
        filled = _filled(written, request.parameters.path, _PARAMETER_SAFE)
        given = {**dict(parse_qsl(filled, keep_blank_values=True)), **request.parameters.query}
        labels: dict[str, str] = {}
        headers: list[tuple[str, str]] = []
        query: dict[str, str] = {}
        for name, value in given.items():
            place, sent = places.get(name, ("querystring", name))
            if place == "uri":
                labels[sent] = value
            elif place == "header":
                headers.append((sent, value))
            else:
                query[sent] = value
        path = _labelled(template, labels)
        return Address(
            method=http.get("method", "POST"),
            path=path,
            query=_joined(constant, query),
            headers=tuple(headers),
        )

    return make


def _labelled(template: str, labels: dict[str, str]) -> str:
    """Fill the labels of a modelled path; a bucket that has none comes first."""

    def fill(found: re.Match[str]) -> str:
        name = found[1].removesuffix("+")
        if name not in labels:
            raise configuration_error("Invalid endpoint address", hint=f"nothing gives `{name}`")
        safe = _SAFE if found[1].endswith("+") else _PARAMETER_SAFE
        return quote(labels.pop(name), safe=safe)

    path = re.sub(r"\{([^{}]+)\}", fill, template)
    bucket = labels.get("Bucket")
    return f"/{bucket}{path}" if bucket else path


def _filled(text: str, values: Mapping[str, str], safe: str) -> str:
    if "{" not in text:
        return text

    def fill(found: re.Match[str]) -> str:
        value = values.get(found[1])
        if value is None:
            raise configuration_error(
                "Invalid endpoint address", hint=f"nothing fills `{{{found[1]}}}` of the address"
            )
        return quote(value, safe=safe)

    return _PLACEHOLDER.sub(fill, text)


def _joined(query: str, mapped: Mapping[str, str]) -> str:
    added = "&".join(
        f"{quote(name, safe=_PARAMETER_SAFE)}={quote(value, safe=_PARAMETER_SAFE)}"
        for name, value in mapped.items()
    )
    return f"{query}&{added}" if query and added else query or added
