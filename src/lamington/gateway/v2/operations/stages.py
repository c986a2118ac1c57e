"""The operations on deployments and stages of HTTP and WebSocket APIs.

Left to others: to freeze an API and to put it into service (`publication`).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.gateway.entities import (
    THROTTLING_BURST_LIMIT,
    THROTTLING_RATE_LIMIT,
    BadRequestException,
    ConflictException,
    NotFoundException,
)
from lamington.gateway.results import parse_time, shown
from lamington.gateway.v2.entities import Api, Deployment, ProtocolType, RouteSettings, Stage
from lamington.gateway.v2.operations.members import given, merged
from lamington.gateway.v2.operations.publication import Publication
from lamington.gateway.v2.rules import require_stage as require_rules
from lamington.gateway.v2.tables import V2Tables, listing

_MEMBERS = {
    "DeploymentId": "deployment_id",
    "AutoDeploy": "auto_deploy",
    "Description": "description",
    "ClientCertificateId": "client_certificate_id",
    "AccessLogSettings": "access_log",
}
_SETTINGS = {
    "DataTraceEnabled": "data_trace_enabled",
    "DetailedMetricsEnabled": "detailed_metrics_enabled",
    "LoggingLevel": "logging_level",
    "ThrottlingBurstLimit": "throttling_burst_limit",
    "ThrottlingRateLimit": "throttling_rate_limit",
}


class StageOperations:
    """What AWS's API says of deployments and stages."""

    def __init__(self, *, tables: V2Tables, publication: Publication) -> None:
        self._tables = tables
        self._publication = publication

    def operations(self) -> dict[str, Operation]:
        return {
            "apigatewayv2:CreateDeployment": self.create_deployment,
            "apigatewayv2:GetDeployment": self.get_deployment,
            "apigatewayv2:GetDeployments": self.get_deployments,
            "apigatewayv2:UpdateDeployment": self.update_deployment,
            "apigatewayv2:DeleteDeployment": self.delete_deployment,
            "apigatewayv2:CreateStage": self.create_stage,
            "apigatewayv2:GetStage": self.get_stage,
            "apigatewayv2:GetStages": self.get_stages,
            "apigatewayv2:UpdateStage": self.update_stage,
            "apigatewayv2:DeleteStage": self.delete_stage,
            "apigatewayv2:DeleteAccessLogSettings": self.delete_access_log_settings,
            "apigatewayv2:DeleteRouteSettings": self.delete_route_settings,
        }

    # Deployments

    async def create_deployment(self, params: Params, scope: Scope) -> Result:
        """Snapshot the API, and put the snapshot into service where a stage is named."""
        api = self._tables.require_api(scope, params["ApiId"])
        name = params.get("StageName")
        stage = self._tables.require_stage(scope, api.api_id, name) if name else None
        with self._tables.transaction():
            deployment = self._publication.freeze(
                api, scope, description=params.get("Description") or ""
            )
            if stage is not None:
                stage = replace(
                    stage,
                    deployment_id=deployment.deployment_id,
                    last_updated=self._publication.now(),
                )
                self._tables.stages.put(scope, stage)
        if stage is not None:
            self._publication.serve(stage, scope)
        return deployment_result(deployment)

    async def get_deployment(self, params: Params, scope: Scope) -> Result:
        return deployment_result(self._deployment(params, scope))

    async def get_deployments(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["ApiId"])
        rows = self._tables.deployments.all(scope, api.api_id)
        return listing(params, [(row.deployment_id, row) for row in rows], deployment_result)

    async def update_deployment(self, params: Params, scope: Scope) -> Result:
        deployment = self._deployment(params, scope)
        deployment = replace(deployment, **given(params, {"Description": "description"}))
        self._tables.deployments.put(scope, deployment)
        return deployment_result(deployment)

    async def delete_deployment(self, params: Params, scope: Scope) -> Result:
        deployment = self._deployment(params, scope)
        stages = self._tables.stages.all(scope, deployment.api_id)
        if any(stage.deployment_id == deployment.deployment_id for stage in stages):
            raise BadRequestException(
                "Active stages pointing to this deployment must be moved or deleted"
            )
        self._tables.deployments.delete(scope, deployment.api_id, deployment.deployment_id)
        return {}

    # Stages

    async def create_stage(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["ApiId"])
        name = params["StageName"]
        if self._tables.stages.get(scope, api.api_id, name) is not None:
            raise ConflictException("Stage already exists")
        now = self._publication.now()
        stage = Stage(
            api_id=api.api_id,
            stage_name=name,
            created=now,
            last_updated=now,
            tags=dict(params.get("Tags") or {}),
        )
        return self._put(api, stage, params, scope)

    async def get_stage(self, params: Params, scope: Scope) -> Result:
        api, stage = self._found(params, scope)
        return stage_result(stage, api.protocol_type)

    async def get_stages(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["ApiId"])
        rows = self._tables.stages.all(scope, api.api_id)
        return listing(
            params,
            [(row.stage_name, row) for row in rows],
            lambda stage: stage_result(stage, api.protocol_type),
        )

    async def update_stage(self, params: Params, scope: Scope) -> Result:
        """Change a stage; variables and settings act at once, another deployment too.

        AWS: what is not named stays; an empty text takes a variable away.
        """
        api, stage = self._found(params, scope)
        return self._put(api, replace(stage, last_updated=self._publication.now()), params, scope)

    async def delete_stage(self, params: Params, scope: Scope) -> Result:
        _, stage = self._found(params, scope)
        self._publication.delete_stage(stage, scope)
        return {}

    async def delete_access_log_settings(self, params: Params, scope: Scope) -> Result:
        _, stage = self._found(params, scope)
        self._publication.put_stage(
            replace(stage, access_log={}, last_updated=self._publication.now()), scope
        )
        return {}

    async def delete_route_settings(self, params: Params, scope: Scope) -> Result:
        _, stage = self._found(params, scope)
        settings = dict(stage.route_settings)
        if settings.pop(params["RouteKey"], None) is None:
            raise NotFoundException(
                f"Unable to find RouteSettings by key {params['RouteKey']} within the Stage"
            )
        self._publication.put_stage(
            replace(stage, route_settings=settings, last_updated=self._publication.now()), scope
        )
        return {}

    # Finding and writing down

    def _deployment(self, params: Params, scope: Scope) -> Deployment:
        return self._tables.require_deployment(scope, params["ApiId"], params["DeploymentId"])

    def _found(self, params: Params, scope: Scope) -> tuple[Api, Stage]:
        stage = self._tables.require_stage(scope, params["ApiId"], params["StageName"])
        return self._tables.require_api(scope, stage.api_id), stage

    def _put(self, api: Api, before: Stage, params: Params, scope: Scope) -> Result:
        stage = _changed(before, params)
        require_rules(api, stage)
        chosen = params.get("DeploymentId")
        if chosen and chosen != before.deployment_id:
            if stage.auto_deploy:
                raise BadRequestException(
                    "DeploymentId cannot be specified for a stage with AutoDeploy enabled"
                )
            self._tables.require_deployment(scope, api.api_id, chosen)
        with self._tables.transaction():
            if stage.auto_deploy and not before.auto_deploy:
                stage = self._publication.redeployed(api, stage, scope)
            self._publication.put_stage(stage, scope)
        return stage_result(stage, api.protocol_type)


def _changed(before: Stage, params: Params) -> Stage:
    default = params.get("DefaultRouteSettings")
    by_route = {
        key: _settings(before.route_settings.get(key, RouteSettings()), each)
        for key, each in (params.get("RouteSettings") or {}).items()
    }
    return replace(
        before,
        variables=merged(before.variables, params.get("StageVariables")),
        default_route_settings=_settings(before.default_route_settings, default or {}),
        route_settings={**before.route_settings, **by_route},
        **given(params, _MEMBERS),
    )


def _settings(before: RouteSettings, params: Mapping[str, Any]) -> RouteSettings:
    return replace(before, **given(params, _SETTINGS))


def deployment_result(deployment: Deployment) -> Result:
    """A deployment as AWS shows it: it is done when it is answered."""
    return shown(
        {
            "DeploymentId": deployment.deployment_id,
            "Description": deployment.description,
            "CreatedDate": parse_time(deployment.created),
            "AutoDeployed": deployment.auto_deployed,
            "DeploymentStatus": "DEPLOYED",
        }
    )


def stage_result(stage: Stage, protocol: ProtocolType) -> Result:
    """A stage as AWS shows it: settings, variables and tags always, other members where set."""
    return {
        **shown(
            {
                "StageName": stage.stage_name,
                "DeploymentId": stage.deployment_id,
                "AutoDeploy": stage.auto_deploy or None,
                "Description": stage.description,
                "ClientCertificateId": stage.client_certificate_id,
                "AccessLogSettings": dict(stage.access_log),
                "LastDeploymentStatusMessage": stage.last_deployment_status_message,
                "ApiGatewayManaged": stage.api_gateway_managed or None,
                "CreatedDate": parse_time(stage.created),
                "LastUpdatedDate": parse_time(stage.last_updated),
            }
        ),
        "DefaultRouteSettings": _shown_settings(stage.default_route_settings, protocol),
        "RouteSettings": {
            key: _shown_settings(each, protocol) for key, each in stage.route_settings.items()
        },
        "StageVariables": dict(stage.variables),
        "Tags": dict(stage.tags),
    }


def _shown_settings(settings: RouteSettings, protocol: ProtocolType) -> Result:
    """The settings with the defaults that AWS shows, which are more for WebSocket APIs."""
    found: Result = {"DetailedMetricsEnabled": False}
    if protocol == "WEBSOCKET":
        found |= {
            "DataTraceEnabled": False,
            "LoggingLevel": "OFF",
            "ThrottlingBurstLimit": THROTTLING_BURST_LIMIT,
            "ThrottlingRateLimit": THROTTLING_RATE_LIMIT,
        }
    for member, name in _SETTINGS.items():
        value = getattr(settings, name)
        if value is not None:
            found[member] = value
    return found
