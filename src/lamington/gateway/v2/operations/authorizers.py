"""The operations on authorizers of HTTP and WebSocket APIs.

Left to others: to authorize (the data planes); which authorizers there may be (`rules`).
"""

from collections.abc import Callable
from dataclasses import replace

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.clock import Ids
from lamington.gateway.entities import BadRequestException
from lamington.gateway.results import shown, without
from lamington.gateway.v2.entities import Api, Authorizer
from lamington.gateway.v2.operations.members import given
from lamington.gateway.v2.operations.publication import Publication
from lamington.gateway.v2.rules import require_authorizer as require_rules
from lamington.gateway.v2.rules import require_unused_authorizer
from lamington.gateway.v2.tables import V2Tables, listing, require_authorizer

_MEMBERS = {
    "Name": "name",
    "AuthorizerType": "authorizer_type",
    "AuthorizerUri": "authorizer_uri",
    "AuthorizerCredentialsArn": "credentials_arn",
    "AuthorizerPayloadFormatVersion": "payload_format_version",
    "EnableSimpleResponses": "enable_simple_responses",
    "AuthorizerResultTtlInSeconds": "result_ttl_s",
    "IdentitySource": "identity_source",
    "IdentityValidationExpression": "identity_validation_expression",
}


class AuthorizerOperations:
    """What AWS's API says of authorizers.

    `flush_results` forgets the kept results of an API's stage, by API id and stage name.
    """

    def __init__(
        self,
        *,
        tables: V2Tables,
        publication: Publication,
        ids: Ids,
        flush_results: Callable[[str, str], None],
    ) -> None:
        self._tables = tables
        self._publication = publication
        self._ids = ids
        self._flush_results = flush_results

    def operations(self) -> dict[str, Operation]:
        return {
            "apigatewayv2:CreateAuthorizer": self.create_authorizer,
            "apigatewayv2:GetAuthorizer": self.get_authorizer,
            "apigatewayv2:GetAuthorizers": self.get_authorizers,
            "apigatewayv2:UpdateAuthorizer": self.update_authorizer,
            "apigatewayv2:DeleteAuthorizer": self.delete_authorizer,
            "apigatewayv2:ResetAuthorizersCache": self.reset_authorizers_cache,
        }

    async def create_authorizer(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["ApiId"])
        authorizer = _changed(
            Authorizer(
                authorizer_id=self._ids.token(6),
                name=params["Name"],
                authorizer_type=params["AuthorizerType"],
            ),
            params,
        )
        self._put(api, authorizer, scope)
        return authorizer_result(authorizer)

    async def get_authorizer(self, params: Params, scope: Scope) -> Result:
        return authorizer_result(self._found(params, scope)[1])

    async def get_authorizers(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["ApiId"])
        return listing(params, api.authorizers.items(), authorizer_result)

    async def update_authorizer(self, params: Params, scope: Scope) -> Result:
        api, before = self._found(params, scope)
        authorizer = _changed(before, params)
        self._put(api, authorizer, scope)
        return authorizer_result(authorizer)

    async def delete_authorizer(self, params: Params, scope: Scope) -> Result:
        api, authorizer = self._found(params, scope)
        require_unused_authorizer(api, authorizer)
        kept = without(api.authorizers, authorizer.authorizer_id)
        self._publication.put_api(replace(api, authorizers=kept), scope)
        return {}

    async def reset_authorizers_cache(self, params: Params, scope: Scope) -> Result:
        """Forget what Lambda authorizers of a stage said.

        AWS: supported for HTTP APIs alone, to whose authorizers belongs a time to live.
        """
        stage = self._tables.require_stage(scope, params["ApiId"], params["StageName"])
        if self._tables.require_api(scope, stage.api_id).protocol_type != "HTTP":
            raise BadRequestException(
                "Authorizer caches are not supported on protocolType WEBSOCKET"
            )
        self._flush_results(stage.api_id, stage.stage_name)
        return {}

    def _found(self, params: Params, scope: Scope) -> tuple[Api, Authorizer]:
        api = self._tables.require_api(scope, params["ApiId"])
        return api, require_authorizer(api, params["AuthorizerId"])

    def _put(self, api: Api, authorizer: Authorizer, scope: Scope) -> None:
        require_rules(api, authorizer)
        authorizers = {**api.authorizers, authorizer.authorizer_id: authorizer}
        self._publication.put_api(replace(api, authorizers=authorizers), scope)


def _changed(before: Authorizer, params: Params) -> Authorizer:
    changes = given(params, _MEMBERS)
    token = params.get("JwtConfiguration")
    if token is not None:
        changes["jwt_issuer"] = token.get("Issuer") or ""
        changes["jwt_audience"] = tuple(token.get("Audience") or ())
    return replace(before, **changes)


def authorizer_result(authorizer: Authorizer) -> Result:
    """An authorizer as AWS shows it; members that are not set are left out."""
    is_request = authorizer.authorizer_type == "REQUEST"
    return shown(
        {
            "AuthorizerId": authorizer.authorizer_id,
            "Name": authorizer.name,
            "AuthorizerType": authorizer.authorizer_type,
            "AuthorizerUri": authorizer.authorizer_uri,
            "AuthorizerCredentialsArn": authorizer.credentials_arn,
            "AuthorizerPayloadFormatVersion": authorizer.payload_format_version,
            "EnableSimpleResponses": authorizer.enable_simple_responses
            if is_request and authorizer.payload_format_version
            else None,
            "AuthorizerResultTtlInSeconds": authorizer.result_ttl_s,
            "IdentitySource": list(authorizer.identity_source),
            "IdentityValidationExpression": authorizer.identity_validation_expression,
            "JwtConfiguration": shown(
                {"Issuer": authorizer.jwt_issuer, "Audience": list(authorizer.jwt_audience)}
            ),
        }
    )
