"""OpenAPI 3.0 definitions, with AWS's extensions for HTTP APIs, to an HTTP API.

An import is pure: a document and the API as it was give the API as it is to be. Left to others:
what may stand behind a route (`rules`), and to serve it (the data plane of HTTP APIs).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

import msgspec

from lamington.core.aws import Scope
from lamington.core.clock import Ids
from lamington.core.errors import AwsError
from lamington.gateway.definition_values import (
    Object,
    members_of,
    object_of,
    objects_of,
    strings_of,
    substitute_variables,
    text_of,
    texts_of,
    whole_of,
)
from lamington.gateway.entities import ANY, VERBS, BadRequestException
from lamington.gateway.openapi import ANY_METHOD, INTEGRATION
from lamington.gateway.security import AUTHORIZER, is_iam
from lamington.gateway.v2.entities import (
    DEFAULT_ROUTE,
    Api,
    Authorizer,
    Cors,
    Integration,
    Model,
    Route,
)
from lamington.gateway.v2.rules import (
    require_authorizer,
    require_cors,
    require_integration,
    require_model,
    require_route,
)

REFERENCES_MAX = 32
CORS = "x-amazon-apigateway-cors"
INTEGRATIONS = "x-amazon-apigateway-integrations"
VERSION = "x-amazon-apigateway-importexport-version"
ENDPOINT = "x-amazon-apigateway-endpoint-configuration"
TAG_VALUE = "x-amazon-apigateway-tag-value"
DISCOVERY = "/.well-known/openid-configuration"

_REST_ONLY = (
    *("api-key-source", "binary-media-types", "documentation", "gateway-responses"),
    *("minimum-compression-size", "policy", "request-validator", "request-validators"),
)
_ITEM_KEYS = frozenset({"parameters", "summary", "description", "servers", "$ref"})


def import_definition(
    document: Object,
    *,
    api: Api,
    base_path: str,
    fail_on_warnings: bool,
    scope: Scope,
    ids: Ids,
) -> Api:
    """The API with the definition in its place: name, routes, integrations, authorizers and all.

    `base_path` is `ignore`, `prepend` or `split`. Raises BadRequestException that lists every
    error of the definition, or every warning where those are to fail; the API given is never
    changed.

    AWS: OpenAPI 3.0 alone; findings are shown as `importInfo` and `warnings` of the API
    (developer guide, HTTP API OpenAPI).
    Differs: routes, integrations, authorizers and models that stay keep their ids; tags that the
    definition does not name stay.
    """
    _require_version(document)
    if base_path not in ("ignore", "prepend", "split"):
        raise BadRequestException(f"Invalid basepath option: {base_path}")
    draft = _Draft(document=document, before=api, scope=scope, ids=ids, api=_start(document, api))
    draft.read_root()
    prefix = _base_path(document, base_path)
    for path, item in members_of(document.get("paths")):
        if path.startswith("/"):
            draft.read_path(prefix, path, item)
        elif not path.startswith("x-"):
            draft.warnings.append(f"Parse issue: attribute paths.'{path}' is unexpected")
    if draft.errors:
        raise BadRequestException("Errors found during import:\n\t" + "\n\t".join(draft.errors))
    if draft.warnings and fail_on_warnings:
        raise BadRequestException("Warnings found during import:\n\t" + "\n\t".join(draft.warnings))
    return draft.finished()


def _require_version(document: Object) -> None:
    info = object_of(document.get("info"))
    if not isinstance(document.get("paths"), Mapping):
        raise BadRequestException("Invalid OpenAPI input.", hint="`paths` is missing")
    if not info.get("title"):
        raise BadRequestException("Invalid OpenAPI input.", hint="`info.title` is missing")
    if not str(document.get("openapi")).startswith("3.0"):
        raise BadRequestException(
            "Invalid OpenAPI input.", hint='HTTP APIs take OpenAPI 3.0: `openapi: "3.0.1"`'
        )


def _start(document: Object, api: Api) -> Api:
    info = object_of(document.get("info"))
    return replace(
        api,
        name=text_of(info.get("title")),
        description=text_of(info.get("description")),
        version=text_of(info.get("version")),
        cors=None,
        routes={},
        integrations={},
        authorizers={},
        models={},
        import_info=(),
        warnings=(),
    )


def _base_path(document: Object, option: str) -> str:
    """What goes before every path; a base path of one segment cannot be split."""
    if option == "ignore":
        return ""
    server = next(iter(objects_of(document.get("servers"))), {})
    variables = dict(members_of(server.get("variables")))
    if "basePath" in variables:
        text = text_of(variables["basePath"].get("default"))
    else:
        text = urlsplit(text_of(server.get("url"))).path
    segments = [segment for segment in text.split("/") if segment]
    if option == "split":
        segments = segments[1:]
    return "".join(f"/{segment}" for segment in segments)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Access:
    """Who may call an operation, in the members of a route."""

    authorization_type: str = "NONE"
    authorizer_id: str = ""
    authorization_scopes: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Draft:
    """An API being read: what is there so far, and what is wrong with the rest."""

    document: Object
    before: Api
    scope: Scope
    ids: Ids
    api: Api
    schemes: dict[str, Object] = field(default_factory=dict)
    authorizer_ids: dict[str, str] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)
    info: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def finished(self) -> Api:
        return replace(self.api, import_info=tuple(self.info), warnings=tuple(self.warnings))

    # What stands at the root of the document

    def read_root(self) -> None:
        version = self.document.get(VERSION)
        if version is not None and text_of(version) != "1.0":
            self.warnings.append(f"Parse issue: attribute {VERSION} is not 1.0")
        for name in _REST_ONLY:
            if f"x-amazon-apigateway-{name}" in self.document:
                self.info.append(f"x-amazon-apigateway-{name} is of REST APIs. Ignoring.")
        self._read_endpoint()
        self._read_cors()
        tags = {
            text_of(tag.get("name")): text_of(tag.get(TAG_VALUE))
            for tag in objects_of(self.document.get("tags"))
        }
        self.api = replace(self.api, tags={**self.api.tags, **tags})
        components = object_of(self.document.get("components"))
        self._read_models(components)
        for name, scheme in members_of(components.get("securitySchemes")):
            self.schemes[name] = self._resolved(scheme)
            self._read_authorizer(name, self.schemes[name])

    def _read_endpoint(self) -> None:
        places = [self.document, *objects_of(self.document.get("servers"))]
        for endpoint in (object_of(place.get(ENDPOINT)) for place in places):
            if "disableExecuteApiEndpoint" in endpoint:
                disabled = endpoint["disableExecuteApiEndpoint"] is True
                self.api = replace(self.api, disable_execute_api_endpoint=disabled)
            if "ipAddressType" in endpoint:
                self.api = replace(self.api, ip_address_type=text_of(endpoint["ipAddressType"]))

    def _read_cors(self) -> None:
        written = self.document.get(CORS)
        if written is None:
            return
        configuration = object_of(written)
        age = configuration.get("maxAge")
        cors = Cors(
            allow_credentials=configuration.get("allowCredentials") is True,
            allow_headers=strings_of(configuration.get("allowHeaders")),
            allow_methods=strings_of(configuration.get("allowMethods")),
            allow_origins=strings_of(configuration.get("allowOrigins")),
            expose_headers=strings_of(configuration.get("exposeHeaders")),
            max_age_s=None if age is None else whole_of(age, 0),
        )
        try:
            require_cors("HTTP", cors)
        except AwsError as error:
            self.errors.append(f"Unable to put CORS configuration: {error.message}")
        self.api = replace(self.api, cors=cors)

    def _read_models(self, components: Object) -> None:
        """Schemas are kept as models, which have no effect in an HTTP API."""
        known = {each.name: each.model_id for each in self.before.models.values()}
        models = {}
        for name, schema in members_of(components.get("schemas")):
            text = msgspec.json.encode(schema).decode()
            try:
                require_model(name, text)
            except AwsError as error:
                self.info.append(f"Unable to create model '{name}': {error.message} Ignoring.")
                continue
            model_id = known.get(name) or self.ids.token(6)
            models[model_id] = Model(
                model_id=model_id,
                name=name,
                schema=text,
                description=text_of(schema.get("description")),
            )
        self.api = replace(self.api, models=models)

    def _read_authorizer(self, name: str, scheme: Object) -> None:
        definition = object_of(scheme.get(AUTHORIZER))
        if not definition:
            return
        known = {each.name: each.authorizer_id for each in self.before.authorizers.values()}
        token = object_of(definition.get("jwtConfiguration"))
        ttl = definition.get("authorizerResultTtlInSeconds")
        kind = text_of(definition.get("type")).upper()
        authorizer = Authorizer(
            authorizer_id=known.get(name) or self.ids.token(6),
            name=name,
            authorizer_type=kind,
            authorizer_uri=self._expanded(definition.get("authorizerUri")),
            credentials_arn=self._expanded(definition.get("authorizerCredentials")),
            payload_format_version=text_of(definition.get("authorizerPayloadFormatVersion")),
            enable_simple_responses=definition.get("enableSimpleResponses") is True,
            result_ttl_s=None if ttl is None else whole_of(ttl, 0),
            identity_source=_identity_sources(definition.get("identitySource"), kind),
            jwt_issuer=self._expanded(token.get("issuer")) or _issuer_of(scheme),
            jwt_audience=strings_of(token.get("audience")),
        )
        try:
            require_authorizer(self.api, authorizer)
        except AwsError as error:
            self.errors.append(f"Unable to create authorizer '{name}': {error.message}")
            return
        self.authorizer_ids[name] = authorizer.authorizer_id
        self.api = replace(
            self.api, authorizers={**self.api.authorizers, authorizer.authorizer_id: authorizer}
        )

    # Paths

    def read_path(self, prefix: str, path: str, item: Object) -> None:
        for key, operation in members_of(self._resolved(item)):
            if key == ANY_METHOD:
                is_default = operation.get("isDefaultRoute") is True
                route_key = DEFAULT_ROUTE if is_default else f"{ANY} {prefix}{path}"
            elif key.upper() in VERBS and key == key.lower():
                route_key = f"{key.upper()} {prefix}{path}"
            else:
                if not key.startswith("x-") and key not in _ITEM_KEYS:
                    self.warnings.append(
                        f"Parse issue: attribute paths.'{path}'.{key} is unexpected"
                    )
                continue
            self._read_operation(route_key, f"paths.'{path}'({key})", operation)

    def _read_operation(self, route_key: str, where: str, operation: Object) -> None:
        self._survey_responses(where, operation)
        before = next(
            (each for each in self.before.routes.values() if each.route_key == route_key), None
        )
        access = self._access(route_key, operation)
        try:
            integration_id = self._integration(operation, before)
            route = Route(
                route_id=before.route_id if before else self.ids.token(7),
                route_key=route_key,
                target=f"integrations/{integration_id}" if integration_id else "",
                operation_name=text_of(operation.get("operationId")),
                authorization_type=access.authorization_type,
                authorizer_id=access.authorizer_id,
                authorization_scopes=access.authorization_scopes,
            )
            require_route(self.api, route)
        except AwsError as error:
            self.errors.append(f"Unable to create route '{route_key}': {error.message}")
            return
        self.api = replace(self.api, routes={**self.api.routes, route.route_id: route})

    def _survey_responses(self, where: str, operation: Object) -> None:
        """Say what is missing of an operation's responses, which have no effect besides."""
        if "responses" not in operation:
            self.warnings.append(f"Parse issue: attribute {where}.responses is missing")
        for status, response in members_of(operation.get("responses")):
            for _, content in members_of(response.get("content")):
                reference = object_of(content.get("schema")).get("$ref")
                if isinstance(reference, str) and self._at(reference) is None:
                    self.warnings.append(
                        f"Parse issue: attribute {where}.responses.{status}.content.schema."
                        f"{reference} is missing"
                    )

    def _access(self, route_key: str, operation: Object) -> _Access:
        """Read `security` and `x-amazon-apigateway-auth` of an operation.

        AWS: an operation has one kind of authorizer at most; without its own `security` it has
        the document's.
        """
        auth = object_of(operation.get("x-amazon-apigateway-auth"))
        kind = text_of(auth.get("type")).upper() or "NONE"
        if kind not in ("NONE", "AWS_IAM"):
            self.warnings.append(f"Authorization type '{kind}' of '{route_key}' is not known.")
            kind = "NONE"
        found = [_Access(authorization_type=kind)] if kind != "NONE" else []
        for name, scopes in self._requirements(operation):
            scheme = self.schemes.get(name)
            authorizer_id = self.authorizer_ids.get(name)
            if scheme is None:
                self.warnings.append(
                    f"Security scheme '{name}' of '{route_key}' not found. Ignoring."
                )
            elif authorizer_id:
                is_token = self.api.authorizers[authorizer_id].authorizer_type == "JWT"
                found.append(
                    _Access(
                        authorization_type="JWT" if is_token else "CUSTOM",
                        authorizer_id=authorizer_id,
                        authorization_scopes=strings_of(scopes) if is_token else (),
                    )
                )
            elif is_iam(scheme):
                found.append(_Access(authorization_type="AWS_IAM"))
            elif AUTHORIZER not in scheme:
                self.warnings.append(
                    f"Security scheme '{name}' of '{route_key}' has no authorizer. Ignoring."
                )
        if len(set(found)) > 1:
            self.errors.append(
                f"Unable to create route '{route_key}': an operation may have one authorizer"
            )
        return found[0] if found else _Access()

    def _requirements(self, operation: Object) -> Iterator[tuple[str, Any]]:
        security = operation.get("security", self.document.get("security"))
        for each in objects_of(security):
            yield from each.items()

    # Integrations

    def _integration(self, operation: Object, before: Route | None) -> str:
        """The id of the integration of an operation, "" for none; a shared one is read once."""
        written = operation.get(INTEGRATION)
        if not isinstance(written, Mapping):
            return ""
        reference = written.get("$ref")
        if isinstance(reference, str) and reference in self.shared:
            return self.shared[reference]
        integration = self._read_integration(self._resolved(written), operation, before)
        require_integration("HTTP", integration)
        self.api = replace(
            self.api,
            integrations={**self.api.integrations, integration.integration_id: integration},
        )
        if isinstance(reference, str):
            self.shared[reference] = integration.integration_id
        return integration.integration_id

    def _read_integration(
        self, definition: Object, operation: Object, before: Route | None
    ) -> Integration:
        kind = text_of(definition.get("type")).upper()
        subtype = text_of(definition.get("integrationSubtype"))
        is_function = kind == "AWS_PROXY" and not subtype
        known = before.integration_id if before else ""
        if known in self.api.integrations:
            known = ""
        connection_type = text_of(definition.get("connectionType")).upper()
        tls = object_of(definition.get("tlsConfig"))
        return Integration(
            integration_id=known or self.ids.token(7),
            integration_type=kind,
            integration_method=text_of(definition.get("httpMethod")).upper()
            or ("POST" if is_function else ""),
            integration_uri=self._expanded(definition.get("uri")),
            integration_subtype=subtype,
            connection_type=connection_type or "INTERNET",
            connection_id=text_of(definition.get("connectionId")),
            credentials_arn=self._expanded(definition.get("credentials")),
            description=text_of(definition.get("description")),
            payload_format_version=text_of(definition.get("payloadFormatVersion")),
            request_parameters=texts_of(definition.get("requestParameters")),
            response_parameters=_response_parameters(definition.get("responseParameters")),
            timeout_ms=whole_of(definition.get("timeoutInMillis"), 0),
            tls_server_name=text_of(tls.get("serverNameToVerify")),
        )

    # References

    def _expanded(self, value: Any) -> str:
        return substitute_variables(text_of(value), self.scope)

    def _resolved(self, value: Object) -> Object:
        """Follow `$ref` to another place of the document."""
        for _ in range(REFERENCES_MAX):
            reference = value.get("$ref")
            if not isinstance(reference, str):
                return value
            found = self._at(reference)
            if found is None:
                break
            value = found
        self.errors.append(f"Unable to resolve reference '{value.get('$ref')}'")
        return {}

    def _at(self, reference: str) -> Object | None:
        if not reference.startswith("#/"):
            return None
        found: Any = self.document
        for part in reference.removeprefix("#/").split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, Mapping) else None
        return found if isinstance(found, Mapping) else None


def _identity_sources(value: Any, kind: str) -> tuple[str, ...]:
    """A list, or a text with commas; a JWT authorizer looks at `Authorization` by itself."""
    texts = strings_of(value) if isinstance(value, list) else text_of(value).split(",")
    sources = tuple(each.strip() for each in texts if each.strip())
    return sources or (("$request.header.Authorization",) if kind == "JWT" else ())


def _issuer_of(scheme: Object) -> str:
    return text_of(scheme.get("openIdConnectUrl")).removesuffix(DISCOVERY)


def _response_parameters(value: Any) -> dict[str, dict[str, str]]:
    return {status: texts_of(parameters) for status, parameters in members_of(value)}
