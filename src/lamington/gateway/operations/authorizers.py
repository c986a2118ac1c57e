"""The API Gateway operations on authorizers of REST APIs.

Left to others: what an authorizer does (`authorization`), and which method names it (`methods`).
An authorizer has one form, that of a definition's `x-amazon-apigateway-authorizer`, wherever it
came from. A change has effect with the next deployment.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import msgspec

from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Calendar, Ids
from lamington.gateway.authorization.authorizer_functions import AUTHORIZER_URI
from lamington.gateway.authorization.authorizer_results import (
    TTL_DEFAULT_S,
    TTL_MAX_S,
    AuthorizerCaches,
)
from lamington.gateway.authorization.cognito import compile_cognito
from lamington.gateway.authorization.gate import AuthorizationParts
from lamington.gateway.authorization.lambda_authorizers import (
    compile_lambda_authorizer,
    identity_sources,
)
from lamington.gateway.authorization.resource_policies import MethodArns
from lamington.gateway.entities import (
    Authorizer,
    BadRequestException,
    ConflictException,
    Method,
    NotFoundException,
    RestApi,
)
from lamington.gateway.mapping import MethodRequest, RouteConstants, receive_headers
from lamington.gateway.operations.tables import GatewayTables, Patch, listing, parse_patches
from lamington.gateway.recording import Recording
from lamington.gateway.responses import Refusal
from lamington.gateway.results import shown, without
from lamington.gateway.service_quotas import DEFAULT_QUOTAS, ServiceQuotas, require_room

TEST_STAGE = "test-invoke-stage"

AUTHORIZER_PATCH_PATHS = (
    "/name",
    "/type",
    "/authType",
    "/authorizerUri",
    "/authorizerCredentials",
    "/authorizerResultTtlInSeconds",
    "/identitySource",
    "/identityValidationExpression",
    "/providerARNs",
)
_TEXTS = (
    "authorizerUri",
    "authorizerCredentials",
    "identitySource",
    "identityValidationExpression",
)
_SOURCE = re.compile(
    r"(?:method\.request\.(?:header|querystring)|stageVariables|context)\.[A-Za-z0-9._$-]+"
)


class AuthorizerOperations:
    """What AWS's API says of authorizers; `parts` are what a test of one needs."""

    def __init__(
        self,
        *,
        tables: GatewayTables,
        ids: Ids,
        parts: AuthorizationParts,
        quotas: ServiceQuotas = DEFAULT_QUOTAS,
    ) -> None:
        self._quotas = quotas
        self._tables = tables
        self._ids = ids
        self._parts = parts

    def operations(self) -> dict[str, Callable[[Params, Scope], Awaitable[Result]]]:
        return {
            "apigateway:CreateAuthorizer": self.create_authorizer,
            "apigateway:GetAuthorizer": self.get_authorizer,
            "apigateway:GetAuthorizers": self.get_authorizers,
            "apigateway:UpdateAuthorizer": self.update_authorizer,
            "apigateway:DeleteAuthorizer": self.delete_authorizer,
            "apigateway:TestInvokeAuthorizer": self.test_invoke_authorizer,
        }

    async def create_authorizer(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["restApiId"])
        require_room(len(api.authorizers), self._quotas.authorizers_per_api, "Authorizers")
        kind = params["type"]
        definition: dict[str, Any] = {"type": kind.lower()}
        for name in (*_TEXTS, "providerARNs"):
            if params.get(name):
                definition[name] = params[name]
        ttl = params.get("authorizerResultTtlInSeconds")
        if ttl is not None or kind != "COGNITO_USER_POOLS":
            definition["authorizerResultTtlInSeconds"] = TTL_DEFAULT_S if ttl is None else ttl
        authorizer = Authorizer(
            authorizer_id=self._ids.token(6),
            name=params["name"],
            type=kind,
            auth_type=params.get("authType") or _auth_type(kind),
            definition=definition,
        )
        self._put(api, authorizer, scope)
        return authorizer_result(authorizer)

    async def get_authorizer(self, params: Params, scope: Scope) -> Result:
        return authorizer_result(self._require(params, scope)[1])

    async def get_authorizers(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["restApiId"])
        return listing(params, api.authorizers.items(), authorizer_result)

    async def update_authorizer(self, params: Params, scope: Scope) -> Result:
        api, authorizer = self._require(params, scope)
        for patch in parse_patches(params):
            authorizer = _patched(authorizer, patch)
        self._put(api, authorizer, scope)
        return authorizer_result(authorizer)

    async def delete_authorizer(self, params: Params, scope: Scope) -> Result:
        """Differs: the sentence for one that a method names is a likely one; no record of it."""
        api, authorizer = self._require(params, scope)
        for resource in api.resources.values():
            for method in resource.methods.values():
                if method.authorizer_id == authorizer.authorizer_id:
                    raise ConflictException(
                        f"Cannot delete authorizer '{authorizer.authorizer_id}', is referenced in"
                        f" method: {method.http_method} {resource.path}"
                    )
        kept = without(api.authorizers, authorizer.authorizer_id)
        self._tables.apis.put(scope, replace(api, authorizers=kept))
        return {}

    def _require(self, params: Params, scope: Scope) -> tuple[RestApi, Authorizer]:
        api = self._tables.require_api(scope, params["restApiId"])
        authorizer = api.authorizers.get(params["authorizerId"])
        if authorizer is None:
            raise NotFoundException("Invalid Authorizer identifier specified")
        return api, authorizer

    def _put(self, api: RestApi, authorizer: Authorizer, scope: Scope) -> None:
        _require_valid(authorizer)
        for each in api.authorizers.values():
            if each.name == authorizer.name and each.authorizer_id != authorizer.authorizer_id:
                raise ConflictException(
                    f"Authorizer name must be unique. Authorizer {authorizer.name} already exists"
                    " in this RestApi."
                )
        authorizers = {**api.authorizers, authorizer.authorizer_id: authorizer}
        self._tables.apis.put(scope, replace(api, authorizers=authorizers))

    # TestInvokeAuthorizer

    async def test_invoke_authorizer(self, params: Params, scope: Scope) -> Result:
        """Ask an authorizer as a request to `/` would, and show what it says; nothing is kept.

        AWS: the stage is `test-invoke-stage`. Differs: the log has the lines of the authorizer's
        call alone.
        """
        api, authorizer = self._require(params, scope)
        clock = self._parts.clock
        request = self._test_request(params)
        request.recording = Recording(clock)
        began = clock.monotonic()
        status = 0
        result: Result = {}
        try:
            if authorizer.type == "COGNITO_USER_POOLS":
                result = await self._test_pool(authorizer, request, scope)
            else:
                result = await self._test_function(api, authorizer, request, params, scope)
        except Refusal as refusal:
            status = refusal.status
        return {
            "clientStatus": status,
            "log": _test_log(request, authorizer, clock.now().strftime("%a %b %d %H:%M:%S UTC %Y")),
            "latency": round((clock.monotonic() - began) * 1000),
            **result,
        }

    async def _test_pool(
        self, authorizer: Authorizer, request: MethodRequest, scope: Scope
    ) -> Result:
        gate = compile_cognito(
            authorizer, Method(http_method="GET"), self._parts.tokens, self._parts.clock
        )
        pending = gate(request)
        if pending is not None:
            await pending
        claims = (request.authorizer or {}).get("claims", {})
        return {"claims": dict(claims), "principalId": claims.get("sub", "")}

    async def _test_function(
        self,
        api: RestApi,
        authorizer: Authorizer,
        request: MethodRequest,
        params: Params,
        scope: Scope,
    ) -> Result:
        compiled = compile_lambda_authorizer(
            authorizer,
            route=RouteConstants(
                resource_id=api.root.resource_id,
                resource_path="/",
                account_id=scope.account_id,
                api_id=api.api_id,
                stage=TEST_STAGE,
                deployment_id="",
                variables=params.get("stageVariables") or {},
            ),
            scope=scope,
            invoker=self._parts.invoker,
            permitted=self._parts.permitted,
            caches=AuthorizerCaches(self._parts.clock),
            clock=self._parts.clock,
            note=_unheard,
        )
        if compiled is None:
            raise BadRequestException("Invalid Authorizer URI")
        key = compiled.read_identity(request)
        arn = MethodArns(api.api_id, TEST_STAGE, scope).of(request)
        answer = await compiled.ask(request, key, arn)
        assert request.recording is not None
        output = msgspec.json.decode(request.recording.steps[-1].values["output"])
        return {
            "principalId": answer.principal_id,
            "policy": msgspec.json.encode(output["policyDocument"]).decode(),
        }

    def _test_request(self, params: Params) -> MethodRequest:
        path, _, query = (params.get("pathWithQueryString") or "/").partition("?")
        fields = list((params.get("headers") or {}).items())
        for name, values in (params.get("multiValueHeaders") or {}).items():
            fields += [(name, value) for value in values]
        headers, known = receive_headers(fields, "test-invoke-source-ip", "")
        request_id = self._ids.request_id()
        return MethodRequest(
            method="GET",
            path=path if path.startswith("/") else f"/{path}",
            context_path=unquote(path),
            path_parameters={},
            query=query,
            fields=fields,
            headers=headers,
            known=known,
            body=(params.get("body") or "").encode(),
            source_ip="test-invoke-source-ip",
            host="testPrefix.testDomainName",
            request_id=request_id,
            extended_request_id=f"{self._ids.token(15)}=",
            trace_id="",
            moment=Calendar(self._parts.clock).moment(),
            identity={},
        )


def _unheard(message: str, template: str = "", line: int = 0, column: int = 0) -> None:
    """A test tells of problems by its outcome."""


def authorizer_result(authorizer: Authorizer) -> Result:
    """An authorizer as AWS shows it."""
    definition = authorizer.definition
    ttl = definition.get("authorizerResultTtlInSeconds")
    if ttl is None and authorizer.type != "COGNITO_USER_POOLS":
        ttl = TTL_DEFAULT_S
    result = shown(
        {
            "id": authorizer.authorizer_id,
            "name": authorizer.name,
            "type": authorizer.type,
            "providerARNs": list(definition.get("providerARNs") or ()),
            "authType": authorizer.auth_type or _auth_type(authorizer.type),
            **{name: definition.get(name) for name in _TEXTS},
        }
    )
    return result if ttl is None else {**result, "authorizerResultTtlInSeconds": int(ttl)}


def _auth_type(kind: str) -> str:
    return "cognito_user_pools" if kind == "COGNITO_USER_POOLS" else "custom"


def _patched(authorizer: Authorizer, patch: Patch) -> Authorizer:
    name = patch.path[0]
    definition = dict(authorizer.definition)
    if name == "providerARNs":
        arns = [each for each in definition.get("providerARNs") or () if each != patch.value]
        definition[name] = arns if patch.op == "remove" else [*arns, patch.value]
        return replace(authorizer, definition=definition)
    if f"/{name}" not in AUTHORIZER_PATCH_PATHS or len(patch.path) != 1:
        raise patch.refused(AUTHORIZER_PATCH_PATHS)
    if patch.op not in ("replace", "add") and not (patch.op == "remove" and name in _TEXTS):
        raise patch.unsupported
    match name:
        case "name":
            return replace(authorizer, name=patch.value)
        case "type":
            definition["type"] = patch.value.lower()
            return replace(authorizer, type=patch.value, definition=definition)
        case "authType":
            return replace(authorizer, auth_type=patch.value)
        case "authorizerResultTtlInSeconds":
            definition[name] = patch.whole
        case _ if patch.op == "remove" or not patch.value:
            definition.pop(name, None)
        case _:
            definition[name] = patch.value
    return replace(authorizer, definition=definition)


def _require_valid(authorizer: Authorizer) -> None:
    """Raise BadRequestException for what AWS would not keep.

    Differs: the sentences on TTLs, pools and identity sources are likely ones.
    """
    definition: Mapping[str, Any] = authorizer.definition
    if authorizer.type not in ("TOKEN", "REQUEST", "COGNITO_USER_POOLS"):
        raise BadRequestException(
            "Invalid authorizer type specified. Must be one of: [TOKEN, REQUEST,"
            " COGNITO_USER_POOLS]"
        )
    ttl = definition.get("authorizerResultTtlInSeconds", TTL_DEFAULT_S)
    if not 0 <= ttl <= TTL_MAX_S:
        raise BadRequestException(
            f"Authorizer result TTL must be between 0 and {TTL_MAX_S} seconds"
        )
    for source in identity_sources(definition):
        if _SOURCE.fullmatch(source) is None:
            raise BadRequestException(
                "Invalid mapping expression specified: Validation Result: warnings : [], errors :"
                f" [Invalid mapping expression parameter specified: {source}]"
            )
    if authorizer.type == "COGNITO_USER_POOLS":
        if not definition.get("providerARNs"):
            raise BadRequestException("Provider ARNs are required for user pools")
        return
    uri = definition.get("authorizerUri")
    if not uri or (AUTHORIZER_URI.fullmatch(uri) is None and "${" not in uri):
        raise BadRequestException(
            f"Invalid Authorizer URI: {uri or 'null'}. Authorizer URI should be a valid API"
            " Gateway ARN that represents a Lambda function invocation."
        )
    if authorizer.type == "REQUEST" and ttl and not identity_sources(definition):
        raise BadRequestException("Identity source is required when caching is enabled")


def _test_log(request: MethodRequest, authorizer: Authorizer, time: str) -> str:
    lines = [f"Execution log for request {request.request_id}"]

    def add(text: str) -> None:
        lines.append(f"{time} : {text}")

    add(f"Starting authorizer: {authorizer.authorizer_id}")
    for step in request.recording.steps if request.recording else ():
        values = step.values
        add(f"Endpoint request body after transformations: {values.get('input', '')}")
        add(f"Authorizer result body before parsing: {values.get('output', '')}")
        if values.get("error"):
            add(f"Execution failed due to configuration error: {values['error']}")
        elif values.get("principal"):
            add(f"Using valid authorizer policy for principal: {_masked(values['principal'])}")
            add("Successfully completed authorizer execution")
    return "\n".join(lines) + "\n"


def _masked(text: str) -> str:
    """AWS: all but the last six characters are hidden."""
    return "*" * max(len(text) - 6, 0) + text[-6:]
