"""Swagger 2.0 and OpenAPI 3 definitions, with AWS's extensions, to a REST API.

An import is pure: a document and the API as it was give the API as it is to be. Left to others:
what may stand behind a method (`rules`), what the API's methods become (`deployment`), and what
is kept without effect (`unacted` says it in sentences).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from lamington.core.aws import Scope
from lamington.core.clock import Ids
from lamington.core.documents import load_document
from lamington.core.errors import AwsError, UsageError
from lamington.gateway.definition_integrations import read_integration
from lamington.gateway.definition_models import ModelReader
from lamington.gateway.definition_values import (
    Findings,
    Object,
    at_pointer,
    members_of,
    object_of,
    objects_of,
    strings_of,
    text_of,
    texts_of,
    whole_of,
)
from lamington.gateway.documentation import documented
from lamington.gateway.entities import (
    ANY,
    COMPRESSION_SIZE_MAX_BYTES,
    DEFINITION_MAX_BYTES,
    INTEGRATION_TIMEOUT_DEFAULT_MS,
    VERBS,
    BadRequestException,
    GatewayResponseDefinition,
    Method,
    MethodResponseDefinition,
    RequestValidator,
    Resource,
    RestApi,
)
from lamington.gateway.rules import (
    require_gateway_response_type,
    require_place,
)
from lamington.gateway.security import Security, read_policy, read_security
from lamington.gateway.unacted import unacted

Mode = Literal["merge", "overwrite"]

JSON_MEDIA_TYPE = "application/json"
ANY_METHOD = "x-amazon-apigateway-any-method"
INTEGRATION = "x-amazon-apigateway-integration"
REFERENCES_MAX = 32
API_KEY_SOURCES = ("HEADER", "AUTHORIZER")

_PLACES = {"header": "header", "query": "querystring", "path": "path"}
_ITEM_KEYS = frozenset({"parameters", "summary", "description", "servers", "$ref"})


def parse_definition(body: bytes) -> Object:
    """Read a definition's JSON or YAML text; raises BadRequestException for anything else."""
    if len(body) > DEFINITION_MAX_BYTES:
        raise BadRequestException("Invalid OpenAPI input.", hint="a definition may have 6 MB")
    try:
        value = load_document(body.decode(), "definition").value
    except UnicodeDecodeError:
        raise BadRequestException("Invalid OpenAPI input.", hint="the text is not UTF-8") from None
    except UsageError as error:
        raise BadRequestException("Invalid OpenAPI input.", hint=str(error)) from None
    if not isinstance(value, dict):
        raise BadRequestException("Invalid OpenAPI input.", hint="a definition is an object")
    return value


def import_definition(
    document: Object,
    *,
    api: RestApi,
    mode: Mode,
    base_path: str,
    scope: Scope,
    ids: Ids,
    timeout_max_ms: int = INTEGRATION_TIMEOUT_DEFAULT_MS,
) -> tuple[RestApi, list[str]]:
    """The API with the definition merged into it or in its place, and the import's warnings.

    `base_path` is `ignore`, `prepend` or `split`. Raises BadRequestException that lists every
    error of the definition; the API given is never changed.

    AWS: merging replaces methods of the same path and verb; neither mode touches stages
    (developer guide, import an API).
    Differs: resources that stay keep their ids when a definition overwrites.
    """
    version = definition_version(document)
    if base_path not in ("ignore", "prepend", "split"):
        raise BadRequestException(f"Invalid basepath option: {base_path}")
    findings = Findings()
    draft = _Draft(
        document=document,
        version=version,
        api=api,
        scope=scope,
        ids=ids,
        findings=findings,
        timeout_max_ms=timeout_max_ms,
        known_ids={each.path: each.resource_id for each in api.resources.values()},
        models=ModelReader(
            document=document,
            api_id=api.api_id,
            models=api.models if mode == "merge" else {},
            known=api.models,
            ids=ids,
            findings=findings,
        ),
    )
    if mode == "merge":
        draft.start_from(api)
    draft.read_root()
    prefix = _base_path(document, version, base_path)
    for path, item in members_of(document.get("paths")):
        if path.startswith("/"):
            draft.read_path(prefix + path, path, item)
        elif not path.startswith("x-"):
            findings.warnings.append(f"Parse issue: attribute paths.'{path}' is unexpected")
    draft.models.warn_of_missing()
    if findings.errors:
        raise BadRequestException("Errors found during import:\n\t" + "\n\t".join(findings.errors))
    return draft.finished(mode), findings.warnings


def definition_version(document: Object) -> int:
    """2 for Swagger 2.0, 3 for OpenAPI 3; raises BadRequestException for what is neither."""
    swagger, openapi = document.get("swagger"), document.get("openapi")
    if not isinstance(document.get("paths"), Mapping):
        raise BadRequestException("Invalid OpenAPI input.", hint="`paths` is missing")
    info = document.get("info")
    if not isinstance(info, Mapping) or not info.get("title"):
        raise BadRequestException("Invalid OpenAPI input.", hint="`info.title` is missing")
    if str(swagger) in ("2.0", "2"):
        return 2
    if str(openapi).startswith(("3.0", "3.1")):
        return 3
    raise BadRequestException(
        "Invalid OpenAPI input.", hint='say `swagger: "2.0"` or `openapi: "3.0.1"`'
    )


def _base_path(document: Object, version: int, option: str) -> str:
    """What goes before every path; a base path of one segment cannot be split."""
    if option == "ignore":
        return ""
    text = str(document.get("basePath") or "") if version == 2 else _server_path(document)
    segments = [segment for segment in text.split("/") if segment]
    if option == "split":
        segments = segments[1:]
    return "".join(f"/{segment}" for segment in segments)


def _server_path(document: Object) -> str:
    """AWS: the first `basePath` variable of a server, else the path of the first server's URL."""
    servers = objects_of(document.get("servers"))
    for server in servers:
        variables = dict(members_of(server.get("variables")))
        if "basePath" in variables:
            return str(variables["basePath"].get("default", ""))
    return urlsplit(str(servers[0].get("url", ""))).path if servers else ""


@dataclass(slots=True, kw_only=True)
class _Draft:
    """An API being read: what is there so far, by path, and what is wrong with the rest."""

    document: Object
    version: int
    api: RestApi
    scope: Scope
    ids: Ids
    known_ids: Mapping[str, str]
    resources: dict[str, Resource] = field(default_factory=dict)
    children: dict[str, list[Resource]] = field(default_factory=dict)
    models: ModelReader
    validators: dict[str, RequestValidator] = field(default_factory=dict)
    gateway_responses: dict[str, GatewayResponseDefinition] = field(default_factory=dict)
    security: Security = field(default_factory=Security)
    policy: str = ""
    findings: Findings
    timeout_max_ms: int

    def start_from(self, api: RestApi) -> None:
        self.resources = {each.path: each for each in api.resources.values()}
        for each in api.resources.values():
            self.children.setdefault(each.parent_id, []).append(each)
        self.validators = dict(api.request_validators)
        self.gateway_responses = dict(api.gateway_responses)
        self.policy = api.policy

    # What stands at the root of the document

    def read_root(self) -> None:
        self._resource_at("/")
        for name, schema in members_of(self._schemas()):
            self.models.read(name, schema)
        by_name = {each.name: each for each in self.api.request_validators.values()}
        for name, each in members_of(self.document.get("x-amazon-apigateway-request-validators")):
            known = by_name.get(name)
            validator = RequestValidator(
                validator_id=known.validator_id if known else self.ids.token(6),
                name=name,
                validate_body=bool(each.get("validateRequestBody")),
                validate_parameters=bool(each.get("validateRequestParameters")),
            )
            self.validators[validator.validator_id] = validator
        self.security = read_security(
            self.document, self.version, self.api.authorizers, self.scope, self.ids, self.findings
        )
        for name, each in members_of(self.document.get("x-amazon-apigateway-gateway-responses")):
            self._gateway_response(name, each)
        policy = self.document.get("x-amazon-apigateway-policy")
        if policy:
            self.policy = read_policy(policy, self.api.api_id, self.scope, self.findings)

    def _schemas(self) -> Any:
        if self.version == 2:
            return self.document.get("definitions")
        return object_of(self.document.get("components")).get("schemas")

    def _gateway_response(self, response_type: str, definition: Object) -> None:
        try:
            require_gateway_response_type(response_type)
        except AwsError as error:
            self.findings.errors.append(
                f"Unable to put gateway response '{response_type}': {error.message}"
            )
            return
        self.gateway_responses[response_type] = GatewayResponseDefinition(
            response_type=response_type,
            status_code=text_of(definition.get("statusCode")),
            response_parameters=texts_of(definition.get("responseParameters")),
            response_templates=texts_of(definition.get("responseTemplates")),
        )

    # Paths

    def read_path(self, path: str, written: str, item: Object) -> None:
        item = self._resolved(item)
        try:
            resource = self._resource_at(path)
        except AwsError as error:
            self.findings.errors.append(
                f"Unable to create resource at path '{path}': {error.message}"
            )
            return
        methods = dict(resource.methods)
        for key, operation in members_of(item):
            verb = ANY if key == ANY_METHOD else key.upper()
            if key == ANY_METHOD or (verb in VERBS and key == key.lower()):
                method = self._method(path, written, verb, item, operation)
                if method is not None:
                    methods[verb] = method
            elif not key.startswith("x-") and key not in _ITEM_KEYS:
                self.findings.warnings.append(
                    f"Parse issue: attribute paths.'{written}'.{key} is unexpected"
                )
        self.resources[path if path == "/" else path.rstrip("/")] = replace(
            resource, methods=methods
        )

    def _resource_at(self, path: str) -> Resource:
        """The resource of a path, made with all that lie between it and the root."""
        found = self.resources.get("/") or self._add(Resource(resource_id="", path="/"))
        at = ""
        for path_part in path.rstrip("/").split("/")[1:]:
            at = f"{at}/{path_part}"
            known = self.resources.get(at)
            if known is None:
                siblings = self.children.setdefault(found.resource_id, [])
                require_place(found, path_part, siblings)
                known = self._add(
                    Resource(
                        resource_id="",
                        parent_id=found.resource_id,
                        path_part=path_part,
                        path=at,
                    )
                )
                siblings.append(known)
            found = known
        return found

    def _add(self, resource: Resource) -> Resource:
        """Take a resource in, under the id that its path had before."""
        length = 10 if resource.path == "/" else 6
        resource_id = self.known_ids.get(resource.path) or self.ids.token(length)
        added = replace(resource, resource_id=resource_id)
        self.resources[resource.path] = added
        return added

    def _resolved(self, value: Object) -> Object:
        """Follow `$ref` to another place of the document."""
        for _ in range(REFERENCES_MAX):
            reference = value.get("$ref")
            if not isinstance(reference, str):
                return value
            found = at_pointer(self.document, reference)
            if not reference.startswith("#/") or not isinstance(found, Mapping):
                self.findings.errors.append(f"Unable to resolve reference '{reference}'")
                return {}
            value = found
        self.findings.errors.append(f"Unable to resolve reference '{value.get('$ref')}'")
        return {}

    def _method(
        self, path: str, written: str, verb: str, item: Object, operation: Object
    ) -> Method | None:
        where = f"on '{verb}' for resource at path '{path}'"
        parameters = self._parameters(item, operation)
        access = self.security.access_of(operation, where)
        self.findings.warnings.extend(access.warnings)
        if not operation.get("responses"):
            self.findings.warnings.append(
                f"Parse issue: attribute paths.'{written}'({verb.lower()}).responses is missing"
            )
        method = Method(
            http_method=verb,
            authorization_type=access.authorization_type,
            authorizer_id=access.authorizer_id,
            authorization_scopes=access.scopes,
            api_key_required=access.api_key_required,
            operation_name=text_of(operation.get("operationId")),
            request_parameters=self._request_parameters(path, parameters),
            request_models=self._request_models(operation, parameters),
            request_validator_id=self._validator_of(operation),
            responses=self._responses(operation),
        )
        definition = operation.get(INTEGRATION)
        if not isinstance(definition, Mapping):
            return method
        try:
            return replace(
                method,
                integration=read_integration(
                    definition, method, where, self.scope, self.findings, self.timeout_max_ms
                ),
            )
        except AwsError as error:
            self.findings.errors.append(f"Unable to put integration {where}: {error.message}")
            return None

    def _parameters(self, item: Object, operation: Object) -> list[Object]:
        """The parameters of an operation; those of its path stand unless it has its own."""
        found: dict[tuple[str, str], Object] = {}
        for owner in (item, operation):
            for each in objects_of(owner.get("parameters")):
                parameter = self._resolved(each)
                found[text_of(parameter.get("in")), text_of(parameter.get("name"))] = parameter
        return list(found.values())

    def _request_parameters(self, path: str, parameters: Iterable[Object]) -> dict[str, bool]:
        result: dict[str, bool] = {}
        for parameter in parameters:
            place, name = text_of(parameter.get("in")), text_of(parameter.get("name"))
            if place in _PLACES:
                required = place == "path" or parameter.get("required") is True
                result[f"method.request.{_PLACES[place]}.{name}"] = required
            elif place in ("formData", "cookie"):
                self.findings.warnings.append(
                    f"Parameter '{name}' in '{place}' is not supported by API Gateway. Ignoring."
                )
        for segment in path.split("/"):
            if segment.startswith("{"):
                result[f"method.request.path.{segment.strip('{}').removesuffix('+')}"] = True
        return result

    def _request_models(self, operation: Object, parameters: Iterable[Object]) -> dict[str, str]:
        schemas: dict[str, Any] = {}
        if self.version == 3:
            body = self._resolved(object_of(operation.get("requestBody")))
            schemas = {name: each.get("schema") for name, each in members_of(body.get("content"))}
        else:
            consumes = strings_of(operation.get("consumes", self.document.get("consumes")))
            for parameter in parameters:
                if parameter.get("in") == "body":
                    media_types = consumes or (JSON_MEDIA_TYPE,)
                    schemas = dict.fromkeys(media_types, parameter.get("schema"))
        return self.models.named(schemas)

    def _validator_of(self, operation: Object) -> str:
        key = "x-amazon-apigateway-request-validator"
        name = operation.get(key, self.document.get(key))
        if not name:
            return ""
        for validator in self.validators.values():
            if validator.name == name:
                return validator.validator_id
        self.findings.errors.append(f"Invalid Request Validator identifier specified: {name}")
        return ""

    def _responses(self, operation: Object) -> tuple[MethodResponseDefinition, ...]:
        result = []
        for status, each in members_of(operation.get("responses")):
            if status == "default":
                self.findings.warnings.append("Default responses are not supported. Ignoring.")
            if status.startswith("x-") or status == "default":
                continue
            response = self._resolved(each)
            if self.version == 3:
                content = members_of(response.get("content"))
                schemas = {media_type: it.get("schema") for media_type, it in content}
            else:
                produces = strings_of(operation.get("produces", self.document.get("produces")))
                media_types = produces or (JSON_MEDIA_TYPE,)
                schemas = dict.fromkeys(media_types, response.get("schema"))
            headers = object_of(response.get("headers"))
            result.append(
                MethodResponseDefinition(
                    status_code=status,
                    response_parameters={f"method.response.header.{it}": False for it in headers},
                    response_models=self.models.named(schemas),
                )
            )
        return tuple(result)

    # The API as a whole

    def finished(self, mode: Mode) -> RestApi:
        """Put what was read into the API; what the document does not say stays as it is."""
        document, info, api = self.document, self.document["info"], self.api
        binary = strings_of(document.get("x-amazon-apigateway-binary-media-types"))
        if mode == "merge":
            binary = tuple(dict.fromkeys((*api.binary_media_types, *binary)))
        endpoint = self._endpoint()
        changed = replace(
            api,
            name=text_of(info["title"]),
            description=text_of(info.get("description")) or api.description,
            version=text_of(info.get("version")) or api.version,
            resources={each.resource_id: each for each in self.resources.values()},
            models=self.models.models,
            gateway_responses=self.gateway_responses,
            request_validators=self.validators,
            authorizers={**(api.authorizers if mode == "merge" else {}), **self.security.kept},
            binary_media_types=binary,
            minimum_compression_size=self._compression(),
            api_key_source=self._api_key_source(),
            policy=self.policy,
            disable_execute_api_endpoint=bool(
                endpoint.get("disableExecuteApiEndpoint", api.disable_execute_api_endpoint)
            ),
            vpc_endpoint_ids=strings_of(endpoint.get("vpcEndpointIds")) or api.vpc_endpoint_ids,
            ip_address_type=text_of(endpoint.get("ipAddressType")) or api.ip_address_type,
            security_policy=text_of(self._of_server("x-amazon-apigateway-security-policy"))
            or api.security_policy,
            endpoint_access_mode=text_of(
                self._of_server("x-amazon-apigateway-endpoint-access-mode")
            ).upper()
            or api.endpoint_access_mode,
        )
        changed, _ = documented(changed, document, self.version, self.ids, merge=mode == "merge")
        before = api.definition_extensions if mode == "merge" else ()
        sentences = dict.fromkeys((*before, *unacted(changed, document)))
        return replace(changed, definition_extensions=tuple(sentences))

    def _compression(self) -> int | None:
        size = self.document.get("x-amazon-apigateway-minimum-compression-size")
        if size is None:
            return self.api.minimum_compression_size
        number = whole_of(size, -1)
        if not 0 <= number <= COMPRESSION_SIZE_MAX_BYTES:
            raise BadRequestException(
                "Invalid minimum compression size, must be between 0 and "
                f"{COMPRESSION_SIZE_MAX_BYTES}"
            )
        return number

    def _api_key_source(self) -> str:
        given = self.document.get("x-amazon-apigateway-api-key-source")
        source = text_of(given).upper() or self.api.api_key_source
        if source not in API_KEY_SOURCES:
            raise BadRequestException(
                f"Invalid API key source: {text_of(given)}", hint=f"one of {API_KEY_SOURCES}"
            )
        return source

    def _endpoint(self) -> Object:
        return object_of(self._of_server("x-amazon-apigateway-endpoint-configuration"))

    def _of_server(self, key: str) -> Any:
        """An extension that stands at the root or within a server, the first that is not null."""
        places = (self.document, *objects_of(self.document.get("servers")))
        return next((place[key] for place in places if place.get(key) is not None), None)
