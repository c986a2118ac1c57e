"""The operations on routes, on the parameters that they ask for and on their responses.

Left to others: what a route leads to (`integrations`), and who may call it (`authorizers`).
"""

from dataclasses import replace

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Ids
from lamington.gateway.entities import BadRequestException, ConflictException, NotFoundException
from lamington.gateway.results import shown, without
from lamington.gateway.v2.entities import Api, Route, RouteResponse
from lamington.gateway.v2.operations.members import (
    given,
    merged,
    requirements,
    shown_requirements,
)
from lamington.gateway.v2.operations.publication import Publication
from lamington.gateway.v2.rules import require_route as require_rules
from lamington.gateway.v2.tables import V2Tables, listing, require_member, require_route

DEFAULT_RESPONSE = "$default"

_MEMBERS = {
    "RouteKey": "route_key",
    "Target": "target",
    "AuthorizationType": "authorization_type",
    "AuthorizerId": "authorizer_id",
    "AuthorizationScopes": "authorization_scopes",
    "ApiKeyRequired": "api_key_required",
    "OperationName": "operation_name",
    "ModelSelectionExpression": "model_selection_expression",
    "RouteResponseSelectionExpression": "route_response_selection_expression",
}
_RESPONSE_MEMBERS = {
    "RouteResponseKey": "route_response_key",
    "ModelSelectionExpression": "model_selection_expression",
}


class RouteOperations:
    """What AWS's API says of routes and route responses."""

    def __init__(self, *, tables: V2Tables, publication: Publication, ids: Ids) -> None:
        self._tables = tables
        self._publication = publication
        self._ids = ids

    def operations(self) -> dict[str, Operation]:
        return {
            "apigatewayv2:CreateRoute": self.create_route,
            "apigatewayv2:GetRoute": self.get_route,
            "apigatewayv2:GetRoutes": self.get_routes,
            "apigatewayv2:UpdateRoute": self.update_route,
            "apigatewayv2:DeleteRoute": self.delete_route,
            "apigatewayv2:DeleteRouteRequestParameter": self.delete_route_request_parameter,
            "apigatewayv2:CreateRouteResponse": self.create_route_response,
            "apigatewayv2:GetRouteResponse": self.get_route_response,
            "apigatewayv2:GetRouteResponses": self.get_route_responses,
            "apigatewayv2:UpdateRouteResponse": self.update_route_response,
            "apigatewayv2:DeleteRouteResponse": self.delete_route_response,
        }

    # Routes

    async def create_route(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["ApiId"])
        route = _settled(
            Route(
                route_id=self._ids.token(7),
                request_parameters=requirements(params, "RequestParameters"),
                request_models=dict(params.get("RequestModels") or {}),
                **given(params, _MEMBERS),
            )
        )
        self._put(api, route, scope)
        return route_result(route)

    async def get_route(self, params: Params, scope: Scope) -> Result:
        return route_result(self._found(params, scope)[1])

    async def get_routes(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["ApiId"])
        return listing(params, api.routes.items(), route_result)

    async def update_route(self, params: Params, scope: Scope) -> Result:
        """Change a route; request parameters and models that are not named stay."""
        api, before = self._found(params, scope)
        changes = given(params, _MEMBERS)
        if before.api_gateway_managed and changes.get("route_key", "") not in (
            "",
            before.route_key,
        ):
            raise BadRequestException(
                "The route key of a route that is managed by API Gateway cannot be changed",
                hint="it was made by quick create: give `RouteKey` to UpdateApi",
            )
        parameters = before.request_parameters | requirements(params, "RequestParameters")
        route = _settled(
            replace(
                before,
                request_parameters=parameters,
                request_models=merged(before.request_models, params.get("RequestModels")),
                **changes,
            )
        )
        self._put(api, route, scope)
        return route_result(route)

    async def delete_route(self, params: Params, scope: Scope) -> Result:
        api, route = self._found(params, scope)
        routes = without(api.routes, route.route_id)
        self._publication.put_api(replace(api, routes=routes), scope)
        return {}

    async def delete_route_request_parameter(self, params: Params, scope: Scope) -> Result:
        api, route = self._found(params, scope)
        parameters = dict(route.request_parameters)
        if parameters.pop(params["RequestParameterKey"], None) is None:
            raise NotFoundException("Invalid request parameter key specified")
        self._put(api, replace(route, request_parameters=parameters), scope)
        return {}

    # Route responses

    async def create_route_response(self, params: Params, scope: Scope) -> Result:
        api, route = self._found(params, scope)
        response = RouteResponse(
            route_response_id=self._ids.token(7),
            response_parameters=requirements(params, "ResponseParameters"),
            response_models=dict(params.get("ResponseModels") or {}),
            **given(params, _RESPONSE_MEMBERS),
        )
        self._put_response(api, route, response, scope)
        return route_response_result(response)

    async def get_route_response(self, params: Params, scope: Scope) -> Result:
        _, route = self._found(params, scope)
        return route_response_result(_response(route, params))

    async def get_route_responses(self, params: Params, scope: Scope) -> Result:
        _, route = self._found(params, scope)
        return listing(params, route.responses.items(), route_response_result)

    async def update_route_response(self, params: Params, scope: Scope) -> Result:
        api, route = self._found(params, scope)
        before = _response(route, params)
        response = replace(
            before,
            response_parameters=before.response_parameters
            | requirements(params, "ResponseParameters"),
            response_models=merged(before.response_models, params.get("ResponseModels")),
            **given(params, _RESPONSE_MEMBERS),
        )
        self._put_response(api, route, response, scope)
        return route_response_result(response)

    async def delete_route_response(self, params: Params, scope: Scope) -> Result:
        api, route = self._found(params, scope)
        gone = _response(route, params).route_response_id
        responses = without(route.responses, gone)
        self._put(api, replace(route, responses=responses), scope)
        return {}

    # Finding and writing down

    def _found(self, params: Params, scope: Scope) -> tuple[Api, Route]:
        api = self._tables.require_api(scope, params["ApiId"])
        return api, require_route(api, params["RouteId"])

    def _put(self, api: Api, route: Route, scope: Scope) -> None:
        require_rules(api, route)
        routes = {**api.routes, route.route_id: route}
        self._publication.put_api(replace(api, routes=routes), scope)

    def _put_response(self, api: Api, route: Route, response: RouteResponse, scope: Scope) -> None:
        if api.protocol_type == "HTTP":
            raise BadRequestException("Route responses are not supported on protocolType HTTP")
        if response.route_response_key != DEFAULT_RESPONSE:
            raise BadRequestException(
                f"Invalid route response key specified: {response.route_response_key}",
                hint="routes have the one response `$default`",
            )
        for each in route.responses.values():
            if each.route_response_id != response.route_response_id:
                raise ConflictException(
                    f"RouteResponse with key {response.route_response_key} already exists for this"
                    " Route"
                )
        responses = {**route.responses, response.route_response_id: response}
        self._put(api, replace(route, responses=responses), scope)


def _settled(route: Route) -> Route:
    """Without authorization there is no authorizer: this is how clients take one away."""
    if route.authorization_type in ("NONE", "AWS_IAM"):
        return replace(route, authorizer_id="", authorization_scopes=())
    return route


def _response(route: Route, params: Params) -> RouteResponse:
    return require_member(route.responses, "RouteResponse", params["RouteResponseId"])


def route_result(route: Route) -> Result:
    """A route as AWS shows it; members that are not set are left out."""
    return shown(
        {
            "RouteId": route.route_id,
            "RouteKey": route.route_key,
            "Target": route.target,
            "AuthorizationType": route.authorization_type,
            "AuthorizerId": route.authorizer_id,
            "AuthorizationScopes": list(route.authorization_scopes),
            "ApiKeyRequired": route.api_key_required,
            "ApiGatewayManaged": route.api_gateway_managed or None,
            "OperationName": route.operation_name,
            "ModelSelectionExpression": route.model_selection_expression,
            "RequestModels": dict(route.request_models),
            "RequestParameters": shown_requirements(route.request_parameters),
            "RouteResponseSelectionExpression": route.route_response_selection_expression,
        }
    )


def route_response_result(response: RouteResponse) -> Result:
    """A route response as AWS shows it."""
    return shown(
        {
            "RouteResponseId": response.route_response_id,
            "RouteResponseKey": response.route_response_key,
            "ModelSelectionExpression": response.model_selection_expression,
            "ResponseModels": dict(response.response_models),
            "ResponseParameters": shown_requirements(response.response_parameters),
        }
    )
