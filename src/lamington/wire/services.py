"""AWS's service models, and which service and operation of theirs a request names.

The models are botocore's, loaded when the first request over HTTP needs one: nothing here imports
botocore before. What a request's parameters are is left to `parse`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from lamington.core.aws import Scope
from lamington.core.clock import UPPER_ALPHANUMERIC, Ids
from lamington.core.errors import AwsError
from lamington.core.http import Headers, Request, parse_query

if TYPE_CHECKING:
    from botocore.model import OperationModel, ServiceModel


class NotEmulated(AwsError):
    """AWS has this, and the engine does not."""

    status = 501
    fault = "Receiver"

    @property
    def code(self) -> str:
        return "NotImplemented"


class UnknownOperationException(AwsError):
    status = 404


class InvalidAction(AwsError):
    status = 400


class SerializationException(AwsError):
    status = 400


class MalformedInput(AwsError):
    status = 400


EMULATED = (
    *("lambda", "apigateway", "apigatewayv2", "cloudformation", "logs", "monitoring", "sts"),
    "iam",
)
"""By the name that requests are signed for; those that share one, by the name of their model."""

MODEL_NAMES: Mapping[str, str] = {"monitoring": "cloudwatch"}
"""Where botocore's model has another name than the one that requests are signed for."""

SUPPORTED_PROTOCOLS = frozenset({"query", "json", "rest-json", "smithy-rpc-v2-cbor"})

TARGETS: Mapping[str, str] = {
    "Logs_20140328": "logs",
    "GraniteServiceVersion20100801": "monitoring",
}
"""Services of the protocol `json`, by the prefix of X-Amz-Target."""

VERSIONS: Mapping[str, str] = {
    "2010-05-15": "cloudformation",
    "2011-06-15": "sts",
    "2010-05-08": "iam",
    "2010-08-01": "monitoring",
}
"""Services of the protocol `query`, by the API version that each request carries."""

SHARED_NAMES: Mapping[str, tuple[re.Pattern[str], str]] = {
    "apigateway": (re.compile(r"/v2(?:/|$)"), "apigatewayv2"),
}
"""The other service that is signed for under a name, and the paths by which it is told apart."""

PATHS = (
    (
        re.compile(
            r"/20\d\d-\d\d-\d\d/(?:functions|layers|event-source-mappings|tags|account-settings"
            r"|code-signing-configs|capacity-providers|durable-execution|resource-policy)"
        ),
        "lambda",
    ),
    (
        re.compile(
            r"/(?:restapis|apikeys|usageplans|domainnames|vpclinks|clientcertificates|sdktypes"
            r"|account|tags|domainnameaccessassociations)(?:/|$)"
        ),
        "apigateway",
    ),
    (re.compile(r"/v2/(?:apis|domainnames|vpclinks|tags|portal)"), "apigatewayv2"),
    (re.compile("/service/GraniteServiceVersion20100801/operation/"), "monitoring"),
)
"""Services of REST protocols, by the first part of the path: an unsigned request has no more."""

_AWS_HOST = re.compile(
    r"(?P<service>[a-z0-9-]+)(?:\.(?P<region>[a-z]{2}(?:-[a-z]+)+-\d))?"
    r"\.(?:amazonaws\.com(?:\.cn)?|localhost(?:\.localstack\.cloud)?)(?::\d+)?",
    re.IGNORECASE,
)

_OWN_KEY = "ASIALAM"
_BASE_32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """What a signature says of its request: who, where and for which service."""

    access_key: str = ""
    region: str = ""
    service: str = ""


def parse_credential(request: Request) -> Credential:
    """The credential scope of a SigV4 signature, in a header or in the query; empty for none."""
    text = _signed_credential(request.headers)
    if not text:
        if "X-Amz-Credential=" not in request.query:
            return Credential()
        text = dict(parse_query(request.query)).get("X-Amz-Credential", "")
    parts = text.strip().split("/")
    if len(parts) < 5:
        return Credential(access_key=parts[0])
    return Credential(access_key="/".join(parts[:-4]), region=parts[-3], service=parts[-2])


def _signed_credential(headers: Headers) -> str:
    text = headers.get("authorization")
    return text.partition("Credential=")[2].partition(",")[0] if "Credential=" in text else ""


def access_key_of(headers: Headers) -> str:
    """The access key of a signed request, "" for one that is not signed in its headers."""
    return _signed_credential(headers).strip().partition("/")[0]


def scope_of(request: Request, credential: Credential, default: Scope) -> Scope:
    """The account and region that a request is for.

    Differs: an access key of twelve digits is the account's number; any other key means the
    default account, since there is nobody to ask whose key it is.
    """
    region = credential.region
    if not region or region == "aws-global":
        found = _AWS_HOST.fullmatch(request.host)
        region = (found["region"] if found else "") or default.region
    account_id = account_of(credential.access_key) or default.account_id
    return Scope(account_id=account_id, region=region)


def account_of(access_key: str) -> str:
    """The account that an access key tells of itself, "" for none."""
    if len(access_key) == 12 and access_key.isdigit() and access_key.isascii():
        return access_key
    if access_key.startswith(_OWN_KEY) and len(access_key) == 20:
        number = 0
        for letter in access_key[7:15]:
            number = number * 32 + max(_BASE_32.find(letter), 0)
        return f"{number:012d}"
    return ""


def render_temporary_access_key(account_id: str, ids: Ids) -> str:
    """An access key of the form of AWS STS's; its account is written in it, as in AWS's own."""
    number = int(account_id)
    letters = ""
    for _ in range(8):
        number, digit = divmod(number, 32)
        letters = _BASE_32[digit] + letters
    return _OWN_KEY + letters + ids.token(5, UPPER_ALPHANUMERIC)


def service_name_of(request: Request, credential: Credential) -> str:
    """The signing name of the service that a request is for, "" where nothing tells.

    The signature says it best; then X-Amz-Target, Host, path and the version of a `query` call.
    """
    if credential.service:
        return _told_apart(credential.service, request)
    target = request.headers.get("x-amz-target")
    if target:
        prefix = target.partition(".")[0]
        return TARGETS.get(prefix) or prefix.partition("_")[0].lower()
    host = _AWS_HOST.fullmatch(request.host)
    if host:
        return _told_apart(host["service"].lower(), request)
    for form, name in PATHS:
        if form.match(request.path):
            return name
    return VERSIONS.get(dict(form_fields(request)).get("Version", ""), "")


def _told_apart(name: str, request: Request) -> str:
    other = SHARED_NAMES.get(name)
    return other[1] if other is not None and other[0].match(request.path) else name


def form_fields(request: Request) -> list[tuple[str, str]]:
    """The fields of a `query` call: those of the query string, then those of the form."""
    fields = parse_query(request.query)
    if request.body and request.headers.get("content-type").startswith(
        "application/x-www-form-urlencoded"
    ):
        fields.extend(parse_query(request.body.decode("utf-8", "replace")))
    return fields


@dataclass(slots=True)
class _Node:
    """One place in the tree of request paths."""

    literals: "dict[str, _Node]" = field(default_factory=dict)
    label: "_Node | None" = None
    rest: "_Node | None" = None
    routes: "list[Route]" = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An operation at its path; `constants` are query pairs that its path demands."""

    method: str
    operation: str
    labels: tuple[str, ...]
    constants: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteMatch:
    operation: str
    labels: dict[str, str]
    constants: tuple[tuple[str, str], ...]


class PathRouter:
    """Finds the operation of a REST service by method, path and query; decodes the labels."""

    def __init__(self, routes: Mapping[str, tuple[str, str]]) -> None:
        """`routes` gives each operation its method and request URI, as the service model does."""
        self._root = _Node()
        for operation, (method, uri) in routes.items():
            self._add(operation, method, uri)

    def match(self, request: Request) -> RouteMatch | None:
        segments = request.path.rstrip("/").split("/")[1:]
        pairs = parse_query(request.query)
        return _find(self._root, segments, [], request.method, pairs)

    def _add(self, operation: str, method: str, uri: str) -> None:
        path, _, query = uri.partition("?")
        node = self._root
        labels = []
        for segment in path.rstrip("/").split("/")[1:]:
            if segment.startswith("{"):
                labels.append(segment.strip("{+}"))
                if segment.endswith("+}"):
                    node.rest = node.rest or _Node()
                    node = node.rest
                else:
                    node.label = node.label or _Node()
                    node = node.label
            else:
                node = node.literals.setdefault(segment, _Node())
        node.routes.append(
            Route(
                method=method,
                operation=operation,
                labels=tuple(labels),
                constants=tuple(parse_query(query)),
            )
        )
        node.routes.sort(key=lambda route: -len(route.constants))


def _find(
    node: _Node,
    segments: list[str],
    values: list[str],
    method: str,
    pairs: list[tuple[str, str]],
) -> RouteMatch | None:
    """A literal segment beats a label, and a label beats the rest of the path."""
    if not segments:
        for route in node.routes:
            if route.method == method and all(each in pairs for each in route.constants):
                return RouteMatch(
                    operation=route.operation,
                    labels=dict(zip(route.labels, map(unquote, values), strict=True)),
                    constants=route.constants,
                )
        return None
    head, rest = segments[0], segments[1:]
    found = None
    if head in node.literals:
        found = _find(node.literals[head], rest, values, method, pairs)
    if found is None and node.label is not None and head:
        found = _find(node.label, rest, [*values, head], method, pairs)
    if found is None and node.rest is not None:
        found = _find(node.rest, [], [*values, "/".join(segments)], method, pairs)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One service as its model describes it."""

    name: str
    protocol: str
    model: "ServiceModel"
    operations: frozenset[str]
    router: PathRouter | None
    errors: "Mapping[str, Any]"
    """The modelled exceptions, by shape name and by wire code."""

    def operation(self, name: str) -> "OperationModel":
        return self.model.operation_model(name)


def spoken_by(request: Request, service: Service) -> Service:
    """The service in the protocol of this request: some have several, by the age of the client."""
    protocols = service.model.metadata.get("protocols") or ()
    if len(protocols) < 2:
        return service
    if request.headers.get("smithy-protocol") == "rpc-v2-cbor":
        protocol = "smithy-rpc-v2-cbor"
    elif "x-amz-target" in request.headers:
        protocol = "json"
    else:
        protocol = "query"
    return replace(service, protocol=protocol) if protocol in protocols else service


class Services:
    """The models of the emulated services, each loaded when it is first asked for."""

    def __init__(self) -> None:
        self._loaded: dict[str, Service] = {}

    def require(self, name: str) -> Service:
        """Raises NotEmulated, naming the service, for one that the engine does not have."""
        found = self._loaded.get(name)
        if found is None:
            if name not in EMULATED:
                raise NotEmulated(
                    f"Lamington does not emulate the service `{name}` yet; it has: "
                    + ", ".join(EMULATED)
                )
            found = self._loaded[name] = _load_service(name)
        return found


def _load_service(name: str) -> Service:
    from botocore.loaders import Loader
    from botocore.model import ServiceModel

    model_name = MODEL_NAMES.get(name, name)
    model = ServiceModel(Loader().load_service_model(model_name, "service-2"), model_name)
    protocol = model.metadata["protocol"]
    if protocol not in SUPPORTED_PROTOCOLS:
        raise NotEmulated(f"Lamington does not speak the protocol `{protocol}` of `{name}` yet")
    router = None
    if protocol.startswith("rest"):
        router = PathRouter(
            {
                operation: (http.get("method", "POST"), http["requestUri"])
                for operation in model.operation_names
                if (http := model.operation_model(operation).http)
            }
        )
    errors: dict[str, Any] = {}
    for shape in model.error_shapes:
        errors.setdefault(str(shape.metadata.get("error", {}).get("code", shape.name)), shape)
    for shape in model.error_shapes:
        errors.setdefault(shape.name, shape)
    return Service(
        name=name,
        protocol=protocol,
        model=model,
        operations=frozenset(model.operation_names),
        router=router,
        errors=errors,
    )
