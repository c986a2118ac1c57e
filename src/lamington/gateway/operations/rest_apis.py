"""The API Gateway operations on REST APIs as a whole: import, create, show, change, delete, tags.

Left to others: resources and methods (`methods`), deployments and stages (`stages`), gateway
responses (`gateway_responses`).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Clock, Ids
from lamington.gateway.definition_unsupported import unsupported
from lamington.gateway.documentation import with_version
from lamington.gateway.entities import (
    COMPRESSION_SIZE_MAX_BYTES,
    INTEGRATION_TIMEOUT_DEFAULT_MS,
    THROTTLING_BURST_LIMIT,
    THROTTLING_RATE_LIMIT,
    Account,
    BadRequestException,
    Model,
    Resource,
    RestApi,
    Throttle,
)
from lamington.gateway.openapi import Mode, import_definition, parse_definition
from lamington.gateway.operations.tables import GatewayTables, Patch, listing, parse_patches
from lamington.gateway.results import parse_time, shown
from lamington.gateway.service_quotas import DEFAULT_QUOTAS, ServiceQuotas, require_room
from lamington.gateway.tag_holders import TagHolder

Withdraw = Callable[[str, str], None]
"""Takes an API's id and a stage's name out of service."""

API_PATCH_PATHS = (
    "/name",
    "/description",
    "/version",
    "/policy",
    "/apiKeySource",
    "/minimumCompressionSize",
    "/disableExecuteApiEndpoint",
    "/binaryMediaTypes/{mediaType}",
    "/securityPolicy",
    "/endpointAccessMode",
    "/endpointConfiguration/types/{type}",
    "/endpointConfiguration/ipAddressType",
    "/endpointConfiguration/vpcEndpointIds/{vpcEndpointId}",
)
_TEXT_MEMBERS = {
    "description": "description",
    "version": "version",
    "securityPolicy": "security_policy",
    "endpointAccessMode": "endpoint_access_mode",
}
ENDPOINT_TYPES = ("EDGE", "REGIONAL", "PRIVATE")
EMPTY_SCHEMA = (
    '{\n  "$schema": "http://json-schema.org/draft-04/schema#",\n  "title" : "Empty Schema",\n'
    '  "type" : "object"\n}'
)
ERROR_SCHEMA = (
    '{\n  "$schema" : "http://json-schema.org/draft-04/schema#",\n  "title" : "Error Schema",\n'
    '  "type" : "object",\n  "properties" : {\n    "message" : { "type" : "string" }\n  }\n}'
)
API_KEY_VERSION = "4"
POLICY_MAX = 8192
EMPTY_MODEL_DESCRIPTION = "This is a default empty schema model"
ERROR_MODEL_DESCRIPTION = "This is a default error schema model"


ACCOUNT_THROTTLE = Throttle(rate_limit=THROTTLING_RATE_LIMIT, burst_limit=THROTTLING_BURST_LIMIT)


class RestApiOperations:
    """What AWS's API says of REST APIs, the account's settings and tags."""

    def __init__(
        self,
        *,
        tables: GatewayTables,
        clock: Clock,
        ids: Ids,
        withdraw: Withdraw,
        tag_holders: Mapping[str, TagHolder] | None = None,
        timeout_max_ms: int = INTEGRATION_TIMEOUT_DEFAULT_MS,
        throttle: Throttle = ACCOUNT_THROTTLE,
        quotas: ServiceQuotas = DEFAULT_QUOTAS,
    ) -> None:
        """`tag_holders` keep the tags of other things by the first part of their ARN's path.

        `throttle` is what the account shows as its limits.
        """
        self._tables = tables
        self._tag_holders = tag_holders or {}
        self._timeout_max_ms = timeout_max_ms
        self._throttle = throttle
        self._quotas = quotas
        self._clock = clock
        self._ids = ids
        self._withdraw = withdraw

    def operations(self) -> dict[str, Callable[[Params, Scope], Awaitable[Result]]]:
        return {
            "apigateway:ImportRestApi": self.import_rest_api,
            "apigateway:PutRestApi": self.put_rest_api,
            "apigateway:CreateRestApi": self.create_rest_api,
            "apigateway:GetRestApi": self.get_rest_api,
            "apigateway:GetRestApis": self.get_rest_apis,
            "apigateway:UpdateRestApi": self.update_rest_api,
            "apigateway:DeleteRestApi": self.delete_rest_api,
            "apigateway:GetAccount": self.get_account,
            "apigateway:UpdateAccount": self.update_account,
            "apigateway:TagResource": self.tag_resource,
            "apigateway:UntagResource": self.untag_resource,
            "apigateway:GetTags": self.get_tags,
        }

    # Import

    async def import_rest_api(self, params: Params, scope: Scope) -> Result:
        parameters = params.get("parameters") or {}
        types = parameters.get("endpointConfigurationTypes")
        api = replace(
            self._new_api(name=""),
            endpoint_types=_endpoint_types([types]) if types else ("EDGE",),
        )
        api, warnings = self._imported(params, api, "overwrite", scope)
        self._tables.apis.put(scope, api)
        return api_result(api, warnings)

    async def put_rest_api(self, params: Params, scope: Scope) -> Result:
        mode: str = params.get("mode") or "merge"
        if mode not in ("merge", "overwrite"):
            raise BadRequestException(
                'Enumeration value of OpenAPI import mode must be "overwrite" or "merge"'
            )
        api = self._tables.require_api(scope, params["restApiId"])
        chosen: Mode = "merge" if mode == "merge" else "overwrite"
        api, warnings = self._imported(params, api, chosen, scope)
        self._tables.apis.put(scope, api)
        return api_result(api, warnings)

    def _imported(
        self, params: Params, api: RestApi, mode: Mode, scope: Scope
    ) -> tuple[RestApi, list[str]]:
        parameters = params.get("parameters") or {}
        body = params.get("body") or b""
        document = parse_definition(body.encode() if isinstance(body, str) else body)
        api, warnings = import_definition(
            document,
            api=api,
            mode=mode,
            base_path=str(parameters.get("basepath") or "ignore").lower(),
            scope=scope,
            ids=self._ids,
            timeout_max_ms=self._timeout_max_ms,
        )
        if warnings and params.get("failOnWarnings"):
            raise BadRequestException("Warnings found during import:\n\t" + "\n\t".join(warnings))
        require_room(len(api.resources) - 1, self._quotas.resources_per_api, "Resources")
        require_room(len(api.authorizers) - 1, self._quotas.authorizers_per_api, "Authorizers")
        warnings += unsupported(document)
        return with_version(api, document, self._clock.now().isoformat()), warnings

    # REST APIs

    async def create_rest_api(self, params: Params, scope: Scope) -> Result:
        if not params["name"].strip():
            raise BadRequestException("API name is required")
        endpoint = params.get("endpointConfiguration") or {}
        api = self._new_api(name=params["name"])
        models = [
            Model(model_id=self._ids.token(6), name=name, schema=schema, description=description)
            for name, schema, description in (
                ("Empty", EMPTY_SCHEMA, EMPTY_MODEL_DESCRIPTION),
                ("Error", ERROR_SCHEMA, ERROR_MODEL_DESCRIPTION),
            )
        ]
        source = params.get("cloneFrom")
        if source:
            original = self._tables.require_api(scope, source)
            api = replace(original, api_id=api.api_id, name=api.name, created=api.created, tags={})
        api = replace(
            api,
            description=params.get("description") or api.description,
            version=params.get("version") or api.version,
            models=api.models or {model.name: model for model in models},
            binary_media_types=tuple(params.get("binaryMediaTypes") or api.binary_media_types),
            minimum_compression_size=_compression(params.get("minimumCompressionSize")),
            api_key_source=params.get("apiKeySource") or api.api_key_source,
            endpoint_types=_endpoint_types(endpoint.get("types")),
            vpc_endpoint_ids=tuple(endpoint.get("vpcEndpointIds") or ()),
            ip_address_type=endpoint.get("ipAddressType") or "",
            policy=_policy(params.get("policy") or "") or api.policy,
            disable_execute_api_endpoint=bool(params.get("disableExecuteApiEndpoint")),
            security_policy=params.get("securityPolicy") or "",
            endpoint_access_mode=params.get("endpointAccessMode") or "",
            tags=dict(params.get("tags") or {}),
        )
        self._tables.apis.put(scope, api)
        return api_result(api)

    def _new_api(self, name: str) -> RestApi:
        root = Resource(resource_id=self._ids.token(10), path="/")
        return RestApi(
            api_id=self._ids.token(10),
            name=name,
            created=self._clock.now().isoformat(),
            resources={root.resource_id: root},
        )

    async def get_rest_api(self, params: Params, scope: Scope) -> Result:
        return api_result(self._tables.require_api(scope, params["restApiId"]))

    async def get_rest_apis(self, params: Params, scope: Scope) -> Result:
        return listing(
            params, [(api.api_id, api) for api in self._tables.apis.all(scope)], api_result
        )

    async def update_rest_api(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["restApiId"])
        for patch in parse_patches(params):
            api = _patched(api, patch)
        self._tables.apis.put(scope, api)
        return api_result(api)

    async def delete_rest_api(self, params: Params, scope: Scope) -> Result:
        """Delete the API with its deployments and stages.

        Differs: a stage ends at once; AWS takes moments.
        """
        api_id = self._tables.require_api(scope, params["restApiId"]).api_id
        stages = self._tables.stages.all(scope, api_id)
        with self._tables.transaction():
            for stage in stages:
                self._tables.stages.delete(scope, api_id, stage.stage_name)
            for deployment in self._tables.deployments.all(scope, api_id):
                self._tables.deployments.delete(scope, api_id, deployment.deployment_id)
            self._tables.apis.delete(scope, api_id)
        for stage in stages:
            self._withdraw(api_id, stage.stage_name)
        return {}

    # The account

    async def get_account(self, params: Params, scope: Scope) -> Result:
        account = self._tables.accounts.get(scope) or Account()
        return shown(
            {
                "cloudwatchRoleArn": account.cloudwatch_role_arn,
                "throttleSettings": {
                    "burstLimit": self._throttle.burst_limit,
                    "rateLimit": self._throttle.rate_limit,
                },
                "features": ["UsagePlans"],
                "apiKeyVersion": API_KEY_VERSION,
            }
        )

    async def update_account(self, params: Params, scope: Scope) -> Result:
        account = self._tables.accounts.get(scope) or Account()
        for patch in parse_patches(params):
            if patch.path != ("cloudwatchRoleArn",):
                raise patch.refused(["/cloudwatchRoleArn"])
            account = Account(cloudwatch_role_arn="" if patch.op == "remove" else patch.value)
        self._tables.accounts.put(scope, account)
        return await self.get_account({}, scope)

    # Tags

    async def tag_resource(self, params: Params, scope: Scope) -> Result:
        tags, put = self._tagged(params["resourceArn"], scope)
        put({**tags, **params["tags"]})
        return {}

    async def untag_resource(self, params: Params, scope: Scope) -> Result:
        tags, put = self._tagged(params["resourceArn"], scope)
        gone = params.get("tagKeys") or ()
        put({key: value for key, value in tags.items() if key not in gone})
        return {}

    async def get_tags(self, params: Params, scope: Scope) -> Result:
        return {"tags": dict(self._tagged(params["resourceArn"], scope)[0])}

    def _tagged(
        self, arn: str, scope: Scope
    ) -> tuple[Mapping[str, str], Callable[[dict[str, str]], None]]:
        """The tags of what an ARN names, and what puts other ones there."""
        match arn.rpartition(":/")[2].split("/"):
            case ["restapis", api_id]:
                api = self._tables.require_api(scope, api_id)
                return api.tags, lambda tags: self._tables.apis.put(scope, replace(api, tags=tags))
            case ["restapis", api_id, "stages", stage_name]:
                stage = self._tables.require_stage(scope, api_id, stage_name)
                return stage.tags, lambda tags: self._tables.stages.put(
                    scope, replace(stage, tags=tags)
                )
            case [kind, row_id] if kind in self._tag_holders:
                holder = self._tag_holders[kind]
                return holder.tags(scope, row_id), lambda tags: holder.put_tags(scope, row_id, tags)
        raise BadRequestException("Invalid ARN specified in the request")


def api_result(api: RestApi, warnings: list[str] | None = None) -> Result:
    """An API as AWS's API shows it; members that are not set are left out."""
    return shown(
        {
            "id": api.api_id,
            "name": api.name,
            "description": api.description,
            "createdDate": parse_time(api.created),
            "version": api.version,
            "warnings": warnings,
            "binaryMediaTypes": list(api.binary_media_types),
            "minimumCompressionSize": api.minimum_compression_size,
            "apiKeySource": api.api_key_source,
            "endpointConfiguration": shown(
                {
                    "types": list(api.endpoint_types),
                    "ipAddressType": api.ip_address_type
                    or ("dualstack" if "PRIVATE" in api.endpoint_types else "ipv4"),
                    "vpcEndpointIds": list(api.vpc_endpoint_ids),
                }
            ),
            "policy": api.policy,
            "tags": dict(api.tags),
            "disableExecuteApiEndpoint": api.disable_execute_api_endpoint,
            "rootResourceId": api.root.resource_id,
            "securityPolicy": api.security_policy,
            "endpointAccessMode": api.endpoint_access_mode,
        }
    )


def _patched(api: RestApi, patch: Patch) -> RestApi:
    if patch.op not in ("add", "replace", "remove"):
        raise patch.refused(API_PATCH_PATHS)
    value = "" if patch.op == "remove" else patch.value
    match patch.path:
        case ("name",):
            if not value:
                raise BadRequestException("API name is required")
            return replace(api, name=value)
        case (name,) if name in _TEXT_MEMBERS:
            changed: dict[str, Any] = {_TEXT_MEMBERS[name]: value}
            return replace(api, **changed)
        case ("policy",):
            return replace(api, policy=_policy(value))
        case ("apiKeySource",):
            return replace(api, api_key_source=value or "HEADER")
        case ("minimumCompressionSize",):
            return replace(
                api, minimum_compression_size=_compression(patch.whole if value else None)
            )
        case ("disableExecuteApiEndpoint",):
            return replace(api, disable_execute_api_endpoint=patch.flag)
        case ("binaryMediaTypes", media_type):
            kept = [each for each in api.binary_media_types if each != media_type]
            # A type is replaced by the value, added and removed by the path.
            new = {"add": [media_type], "remove": [], "replace": [patch.value or media_type]}
            return replace(api, binary_media_types=(*kept, *new[patch.op]))
        case ("endpointConfiguration", name, *rest):
            return _patched_endpoint(api, name, rest, patch)
    raise patch.refused(API_PATCH_PATHS)


def _patched_endpoint(api: RestApi, name: str, rest: list[str], patch: Patch) -> RestApi:
    match name, rest:
        case "types", [_] if patch.op == "replace":
            return replace(api, endpoint_types=_endpoint_types([patch.value]))
        case "ipAddressType", [] if patch.op == "replace":
            return replace(api, ip_address_type=patch.value)
        case "vpcEndpointIds", [endpoint_id] if patch.op in ("add", "remove"):
            kept = tuple(each for each in api.vpc_endpoint_ids if each != endpoint_id)
            added = (endpoint_id,) if patch.op == "add" else ()
            return replace(api, vpc_endpoint_ids=kept + added)
    raise patch.refused(API_PATCH_PATHS)


def _policy(text: str) -> str:
    """Differs: the refusal of a policy that is too long is a likely text; no record of it."""
    if len(text) > POLICY_MAX:
        raise BadRequestException(f"Policy exceeds the maximum size of {POLICY_MAX} characters")
    if text:
        try:
            msgspec.json.decode(text)
        except msgspec.DecodeError:
            raise BadRequestException(
                "Invalid policy document. Please check the policy syntax and ensure that"
                " Principals are valid."
            ) from None
    return text


def _compression(size: int | None) -> int | None:
    if size is not None and not 0 <= size <= COMPRESSION_SIZE_MAX_BYTES:
        raise BadRequestException(
            f"Invalid minimum compression size, must be between 0 and {COMPRESSION_SIZE_MAX_BYTES}"
        )
    return size


def _endpoint_types(types: Any) -> tuple[str, ...]:
    chosen = tuple(types or ("EDGE",))
    if len(chosen) != 1 or chosen[0] not in ENDPOINT_TYPES:
        raise BadRequestException(f"Invalid endpoint configuration types: {', '.join(chosen)}")
    return chosen
