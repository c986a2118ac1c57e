"""The operations on HTTP and WebSocket APIs as a whole: create, import, export, change, tags.

An API's `ApiEndpoint` is shown as on AWS. Here the engine's own endpoint serves it: under the Host
of that URL, or at `/_aws/execute-api/{api}/{stage}/`. Left to others: what an API is made of.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Clock, Ids
from lamington.gateway.entities import BadRequestException
from lamington.gateway.openapi import parse_definition
from lamington.gateway.results import parse_time, shown
from lamington.gateway.tag_holders import TagHolder
from lamington.gateway.v2.definition import import_definition
from lamington.gateway.v2.entities import (
    DEFAULT_ROUTE,
    DEFAULT_STAGE,
    Api,
    Cors,
    Integration,
    Route,
    Stage,
)
from lamington.gateway.v2.export import export_definition, render_definition
from lamington.gateway.v2.operations.members import given
from lamington.gateway.v2.operations.publication import Publication
from lamington.gateway.v2.rules import require_cors, require_integration, require_route
from lamington.gateway.v2.tables import V2Tables, listing

HTTP_ROUTE_SELECTION = "$request.method $request.path"
EXPORT_VERSION = "1.0"

_MEMBERS = {
    "Name": "name",
    "Description": "description",
    "Version": "version",
    "RouteSelectionExpression": "route_selection_expression",
    "ApiKeySelectionExpression": "api_key_selection_expression",
    "DisableExecuteApiEndpoint": "disable_execute_api_endpoint",
    "DisableSchemaValidation": "disable_schema_validation",
    "IpAddressType": "ip_address_type",
}
_CORS_MEMBERS = {
    "AllowCredentials": "allow_credentials",
    "AllowHeaders": "allow_headers",
    "AllowMethods": "allow_methods",
    "AllowOrigins": "allow_origins",
    "ExposeHeaders": "expose_headers",
    "MaxAge": "max_age_s",
}


class ApiOperations:
    """What AWS's API says of HTTP and WebSocket APIs and of tags.

    `tag_holders` keep the tags of other things, by the first part of their ARN's path.
    """

    def __init__(
        self,
        *,
        tables: V2Tables,
        publication: Publication,
        clock: Clock,
        ids: Ids,
        tag_holders: Mapping[str, TagHolder],
    ) -> None:
        self._tables = tables
        self._publication = publication
        self._clock = clock
        self._ids = ids
        self._tag_holders = tag_holders

    def operations(self) -> dict[str, Operation]:
        return {
            "apigatewayv2:CreateApi": self.create_api,
            "apigatewayv2:ImportApi": self.import_api,
            "apigatewayv2:ReimportApi": self.reimport_api,
            "apigatewayv2:ExportApi": self.export_api,
            "apigatewayv2:GetApi": self.get_api,
            "apigatewayv2:GetApis": self.get_apis,
            "apigatewayv2:UpdateApi": self.update_api,
            "apigatewayv2:DeleteApi": self.delete_api,
            "apigatewayv2:DeleteCorsConfiguration": self.delete_cors_configuration,
            "apigatewayv2:TagResource": self.tag_resource,
            "apigatewayv2:UntagResource": self.untag_resource,
            "apigatewayv2:GetTags": self.get_tags,
        }

    # APIs

    async def create_api(self, params: Params, scope: Scope) -> Result:
        """Create an API; with a target, one that is served at once (quick create)."""
        protocol = params["ProtocolType"]
        if protocol not in ("HTTP", "WEBSOCKET"):
            raise BadRequestException(
                "Invalid protocol specified. Must be one of [HTTP, WEBSOCKET]"
            )
        api = Api(
            api_id=self._ids.token(10),
            protocol_type=protocol,
            created=self._clock.now().isoformat(),
            cors=_cors(params),
            tags=dict(params.get("Tags") or {}),
            **given(params, _MEMBERS),
        )
        api = _checked(api)
        target = params.get("Target")
        if not target:
            self._tables.apis.put(scope, api)
            return api_result(api, scope)
        if protocol != "HTTP":
            raise BadRequestException("Target is not supported on protocolType WEBSOCKET")
        api = self._with_quick_target(api, params)
        with self._tables.transaction():
            self._tables.apis.put(scope, api)
            stage = self._publication.redeployed(
                api,
                Stage(
                    api_id=api.api_id,
                    stage_name=DEFAULT_STAGE,
                    created=api.created,
                    last_updated=api.created,
                    auto_deploy=True,
                    api_gateway_managed=True,
                ),
                scope,
            )
            self._tables.stages.put(scope, stage)
        self._publication.serve(stage, scope)
        return api_result(api, scope)

    async def get_api(self, params: Params, scope: Scope) -> Result:
        return api_result(self._found(params, scope), scope)

    async def get_apis(self, params: Params, scope: Scope) -> Result:
        apis = [(api.api_id, api) for api in self._tables.apis.all(scope)]
        return listing(params, apis, lambda api: api_result(api, scope))

    async def update_api(self, params: Params, scope: Scope) -> Result:
        """Change an API; `Target`, `RouteKey` and `CredentialsArn` change what quick create made.

        AWS: a CORS configuration is replaced as a whole.
        """
        before = self._found(params, scope)
        changes = given(params, _MEMBERS)
        if params.get("CorsConfiguration") is not None:
            changes["cors"] = _cors(params)
        api = _checked(replace(before, **changes))
        if any(params.get(name) for name in ("Target", "RouteKey", "CredentialsArn")):
            api = self._with_quick_target(api, params)
        self._publication.put_api(api, scope)
        return api_result(api, scope)

    async def delete_api(self, params: Params, scope: Scope) -> Result:
        self._publication.delete_api(self._found(params, scope), scope)
        return {}

    async def delete_cors_configuration(self, params: Params, scope: Scope) -> Result:
        self._publication.put_api(replace(self._found(params, scope), cors=None), scope)
        return {}

    def _with_quick_target(self, api: Api, params: Params) -> Api:
        """The API with its managed route and integration made, or changed where they are there.

        AWS: a function's ARN becomes a Lambda proxy of payload format 2.0, a URL an HTTP proxy
        (API reference, CreateApi, target).
        """
        integration = next(
            (each for each in api.integrations.values() if each.api_gateway_managed), None
        )
        target = params.get("Target") or (integration.integration_uri if integration else "")
        if not target:
            raise BadRequestException("Target is a required parameter of quick create")
        is_function = target.startswith("arn:")
        integration = replace(
            integration
            or Integration(
                integration_id=self._ids.token(7), integration_type="", api_gateway_managed=True
            ),
            integration_type="AWS_PROXY" if is_function else "HTTP_PROXY",
            integration_method="POST" if is_function else "ANY",
            integration_uri=target,
            payload_format_version="2.0" if is_function else "1.0",
            **given(params, {"CredentialsArn": "credentials_arn"}),
        )
        require_integration(api.protocol_type, integration)
        api = replace(
            api, integrations={**api.integrations, integration.integration_id: integration}
        )
        route = next((each for each in api.routes.values() if each.api_gateway_managed), None)
        route = replace(
            route
            or Route(
                route_id=self._ids.token(7), route_key=DEFAULT_ROUTE, api_gateway_managed=True
            ),
            target=f"integrations/{integration.integration_id}",
            **given(params, {"RouteKey": "route_key"}),
        )
        require_route(api, route)
        return replace(api, routes={**api.routes, route.route_id: route})

    # Import and export

    async def import_api(self, params: Params, scope: Scope) -> Result:
        blank = Api(
            api_id=self._ids.token(10),
            name="",
            protocol_type="HTTP",
            created=self._clock.now().isoformat(),
            route_selection_expression=HTTP_ROUTE_SELECTION,
        )
        api = self._imported(blank, params, scope)
        self._publication.require_room(api, scope)
        self._tables.apis.put(scope, api)
        return api_result(api, scope)

    async def reimport_api(self, params: Params, scope: Scope) -> Result:
        """Put a definition in the place of what an API is; its stages stay."""
        before = self._found(params, scope)
        if before.protocol_type != "HTTP":
            raise BadRequestException("Import is not supported on protocolType WEBSOCKET")
        api = self._imported(before, params, scope)
        self._publication.put_api(api, scope)
        return api_result(api, scope)

    def _imported(self, before: Api, params: Params, scope: Scope) -> Api:
        return import_definition(
            parse_definition((params.get("Body") or "").encode()),
            api=before,
            base_path=str(params.get("Basepath") or "ignore").lower(),
            fail_on_warnings=bool(params.get("FailOnWarnings")),
            scope=scope,
            ids=self._ids,
        )

    async def export_api(self, params: Params, scope: Scope) -> Result:
        """The definition of an API, as a stage serves it or as it is now."""
        api = self._found(params, scope)
        if api.protocol_type != "HTTP":
            raise BadRequestException("Export is not supported on protocolType WEBSOCKET")
        if params["Specification"] != "OAS30":
            raise BadRequestException("Invalid specification type. Must be OAS30")
        if params.get("ExportVersion") not in (None, "", EXPORT_VERSION):
            raise BadRequestException(f"Invalid export version. Must be {EXPORT_VERSION}")
        form = str(params["OutputType"]).upper()
        if form not in ("JSON", "YAML"):
            raise BadRequestException("Invalid output type. Must be JSON or YAML")
        name = params.get("StageName") or ""
        if name:
            stage = self._tables.require_stage(scope, api.api_id, name)
            deployment = self._tables.deployments.get(scope, api.api_id, stage.deployment_id)
            if deployment is None:
                raise BadRequestException("The stage has no deployment to export")
            api = deployment.api
        with_extensions = params.get("IncludeExtensions") is not False
        document = export_definition(api, name, scope, with_extensions=with_extensions)
        return {"body": render_definition(document, form == "YAML")}

    # Tags

    async def tag_resource(self, params: Params, scope: Scope) -> Result:
        tags, put = self._tagged(params["ResourceArn"], scope)
        put({**tags, **(params.get("Tags") or {})})
        return {}

    async def untag_resource(self, params: Params, scope: Scope) -> Result:
        tags, put = self._tagged(params["ResourceArn"], scope)
        gone = params.get("TagKeys") or ()
        put({key: value for key, value in tags.items() if key not in gone})
        return {}

    async def get_tags(self, params: Params, scope: Scope) -> Result:
        return {"Tags": self._tagged(params["ResourceArn"], scope)[0]}

    def _tagged(
        self, arn: str, scope: Scope
    ) -> tuple[dict[str, str], Callable[[dict[str, str]], None]]:
        """The tags of what an ARN names, and what puts other ones there.

        Tags are no part of what is served: nothing is deployed.
        """
        tables = self._tables
        match arn.rpartition(":/")[2].split("/"):
            case ["apis", api_id]:
                api = tables.require_api(scope, api_id)
                return api.tags, lambda tags: tables.apis.put(scope, replace(api, tags=tags))
            case ["apis", api_id, "stages", stage_name]:
                stage = tables.require_stage(scope, api_id, stage_name)
                return stage.tags, lambda tags: tables.stages.put(scope, replace(stage, tags=tags))
            case ["vpclinks", vpc_link_id] if tables.vpc_links.get(scope, vpc_link_id):
                link = tables.require_vpc_link(scope, vpc_link_id)
                return link.tags, lambda tags: tables.vpc_links.put(scope, replace(link, tags=tags))
            case [kind, row_id] if kind in self._tag_holders:
                holder = self._tag_holders[kind]
                return dict(holder.tags(scope, row_id)), lambda tags: holder.put_tags(
                    scope, row_id, tags
                )
            case ["vpclinks", vpc_link_id]:
                tables.require_vpc_link(scope, vpc_link_id)
        raise BadRequestException("Invalid ARN specified in the request")

    def _found(self, params: Params, scope: Scope) -> Api:
        return self._tables.require_api(scope, params["ApiId"])


def _checked(api: Api) -> Api:
    if not api.name.strip():
        raise BadRequestException("API name is required")
    require_cors(api.protocol_type, api.cors)
    if api.protocol_type == "HTTP":
        selection = api.route_selection_expression.replace("{", "").replace("}", "")
        if selection not in ("", HTTP_ROUTE_SELECTION):
            raise BadRequestException(
                "Invalid route selection expression. It must be ${request.method} ${request.path}"
                " for an API with a protocol type of HTTP"
            )
        return replace(api, route_selection_expression=HTTP_ROUTE_SELECTION)
    if not api.route_selection_expression:
        raise BadRequestException(
            "RouteSelectionExpression is a required parameter for an API with a protocol type of"
            " WEBSOCKET"
        )
    return api


def _cors(params: Params) -> Cors | None:
    configuration = params.get("CorsConfiguration")
    return None if configuration is None else Cors(**given(configuration, _CORS_MEMBERS))


def api_result(api: Api, scope: Scope) -> Result:
    """An API as AWS shows it; members that are not set are left out.

    Differs: `ApiEndpoint` is AWS's, which nobody finds this machine by: the engine's own endpoint
    serves the API at `/_aws/execute-api/{api}/{stage}/`, and under that Host.
    """
    scheme = "https" if api.protocol_type == "HTTP" else "wss"
    return {
        **shown(
            {
                "ApiId": api.api_id,
                "Name": api.name,
                "ProtocolType": api.protocol_type,
                "ApiEndpoint": (
                    f"{scheme}://{api.api_id}.execute-api.{scope.region}.{scope.url_suffix}"
                ),
                "RouteSelectionExpression": api.route_selection_expression,
                "ApiKeySelectionExpression": api.api_key_selection_expression,
                "CreatedDate": parse_time(api.created),
                "Description": api.description,
                "Version": api.version,
                "CorsConfiguration": None if api.cors is None else cors_result(api.cors),
                "DisableExecuteApiEndpoint": api.disable_execute_api_endpoint,
                "DisableSchemaValidation": api.disable_schema_validation or None,
                "IpAddressType": api.ip_address_type,
                "ApiGatewayManaged": api.api_gateway_managed or None,
                "ImportInfo": list(api.import_info),
                "Warnings": list(api.warnings),
            }
        ),
        "Tags": dict(api.tags),
    }


def cors_result(cors: Cors) -> Result:
    """A CORS configuration as AWS shows it: the members that were given."""
    return shown(
        {
            "AllowCredentials": cors.allow_credentials or None,
            "AllowHeaders": list(cors.allow_headers),
            "AllowMethods": list(cors.allow_methods),
            "AllowOrigins": list(cors.allow_origins),
            "ExposeHeaders": list(cors.expose_headers),
            "MaxAge": cors.max_age_s,
        }
    )
