"""The API Gateway operations on deployments and stages: what puts an API into service.

Each change of a stage is written down, then compiled and swapped in the data plane. Left to
others: to compile (`deployment`), to serve (`pipeline`), and the API itself (`rest_apis`).
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

import msgspec
import yaml

from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Clock, Ids
from lamington.core.http import Headers
from lamington.gateway.access_logs import require_access_log
from lamington.gateway.cache import CLUSTER_SIZES
from lamington.gateway.deployment import Canary, StageProgram
from lamington.gateway.entities import (
    BadRequestException,
    ConflictException,
    Deployment,
    RestApi,
    Stage,
)
from lamington.gateway.export import EXTENSIONS, export_definition, version_of
from lamington.gateway.operations.settings import method_settings_result
from lamington.gateway.operations.stage_changes import patched_stage
from lamington.gateway.operations.tables import (
    GatewayTables,
    listing,
    parse_patches,
    require_method,
    require_resource,
)
from lamington.gateway.pipeline import RestDataPlane
from lamington.gateway.results import parse_time, shown
from lamington.gateway.service_quotas import DEFAULT_QUOTAS, ServiceQuotas, require_room
from lamington.gateway.stage_rules import require_stage_name, require_stage_variables

TEST_STAGE = "test-invoke-stage"


class StageCompiler(Protocol):
    """`compile_stage` with all that the engine alone knows filled in."""

    def __call__(
        self, *, api: RestApi, stage: Stage, scope: Scope, is_test: bool = False
    ) -> StageProgram: ...


class StageOperations:
    """What AWS's API says of deployments and stages; keeps the data plane in step with it."""

    def __init__(
        self,
        *,
        tables: GatewayTables,
        clock: Clock,
        ids: Ids,
        data_plane: RestDataPlane,
        compile_stage: StageCompiler,
        quotas: ServiceQuotas = DEFAULT_QUOTAS,
    ) -> None:
        self._tables = tables
        self._quotas = quotas
        self._clock = clock
        self._ids = ids
        self._data_plane = data_plane
        self._compile_stage = compile_stage

    def operations(self) -> dict[str, Callable[[Params, Scope], Awaitable[Result]]]:
        return {
            "apigateway:CreateDeployment": self.create_deployment,
            "apigateway:GetDeployment": self.get_deployment,
            "apigateway:GetDeployments": self.get_deployments,
            "apigateway:UpdateDeployment": self.update_deployment,
            "apigateway:DeleteDeployment": self.delete_deployment,
            "apigateway:CreateStage": self.create_stage,
            "apigateway:GetStage": self.get_stage,
            "apigateway:GetStages": self.get_stages,
            "apigateway:UpdateStage": self.update_stage,
            "apigateway:DeleteStage": self.delete_stage,
            "apigateway:TestInvokeMethod": self.test_invoke_method,
            "apigateway:GetExport": self.get_export,
        }

    def restore(self) -> None:
        """Put every stage that is written down into service: what a start of the engine does."""
        for scope, stage in self._tables.stages.everywhere():
            self._swap(stage, scope)

    # Deployments

    async def create_deployment(self, params: Params, scope: Scope) -> Result:
        """Snapshot the API, and put the snapshot into service where a stage is named."""
        api = self._tables.require_api(scope, params["restApiId"])
        _require_deployable(api)
        deployment = Deployment(
            api_id=api.api_id,
            deployment_id=self._ids.token(6),
            description=params.get("description") or "",
            created=self._clock.now().isoformat(),
            api=api,
        )
        stage = None
        if params.get("stageName"):
            stage = self._deployed_stage(params, deployment, scope)
        with self._tables.transaction():
            self._tables.deployments.put(scope, deployment)
            if stage is not None:
                self._tables.stages.put(scope, stage)
        if stage is not None:
            self._swap(stage, scope)
        return deployment_result(deployment)

    def _deployed_stage(self, params: Params, deployment: Deployment, scope: Scope) -> Stage:
        """The stage that CreateDeployment names: made, or moved to the new deployment.

        AWS: while a stage has a canary, the canary gets the deployment; only a stage that is
        there can get one.
        """
        name = params["stageName"]
        before = self._tables.stages.get(scope, deployment.api_id, name)
        stage = before or self._new_stage(deployment, name, scope)
        asked = params.get("canarySettings")
        if asked and before is None:
            raise BadRequestException(
                "Invalid stage identifier specified", hint="a canary needs a stage that is there"
            )
        if asked or stage.canary_settings:
            stage = replace(
                stage,
                canary_settings={
                    **(asked or stage.canary_settings),
                    "deploymentId": deployment.deployment_id,
                },
            )
        else:
            stage = replace(stage, deployment_id=deployment.deployment_id)
        given = {
            "description": params.get("stageDescription"),
            "variables": params.get("variables"),
            "cache_cluster_enabled": params.get("cacheClusterEnabled"),
            "cache_cluster_size": params.get("cacheClusterSize"),
            "tracing_enabled": params.get("tracingEnabled"),
        }
        return self._checked(
            replace(
                stage,
                last_updated=self._clock.now().isoformat(),
                **{name: value for name, value in given.items() if value is not None},
            )
        )

    async def get_deployment(self, params: Params, scope: Scope) -> Result:
        deployment = self._deployment(params, scope)
        return deployment_result(deployment, "apisummary" in (params.get("embed") or ()))

    async def get_deployments(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["restApiId"])
        rows = self._tables.deployments.all(scope, api.api_id)
        return listing(params, [(row.deployment_id, row) for row in rows], deployment_result)

    async def update_deployment(self, params: Params, scope: Scope) -> Result:
        deployment = self._deployment(params, scope)
        for patch in parse_patches(params):
            if patch.path != ("description",) or patch.op != "replace":
                raise patch.refused(("/description",))
            deployment = replace(deployment, description=patch.value)
        self._tables.deployments.put(scope, deployment)
        return deployment_result(deployment)

    async def delete_deployment(self, params: Params, scope: Scope) -> Result:
        deployment = self._deployment(params, scope)
        stages = self._tables.stages.all(scope, deployment.api_id)
        if any(
            deployment.deployment_id
            in (stage.deployment_id, stage.canary_settings.get("deploymentId"))
            for stage in stages
        ):
            raise BadRequestException(
                "Active stages pointing to this deployment must be moved or deleted"
            )
        self._tables.deployments.delete(scope, deployment.api_id, deployment.deployment_id)
        return {}

    # Stages

    async def create_stage(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["restApiId"])
        name = params["stageName"]
        deployment = self._tables.deployments.get(scope, api.api_id, params["deploymentId"])
        if deployment is None:
            raise BadRequestException("Deployment id does not exist")
        if self._tables.stages.get(scope, api.api_id, name) is not None:
            raise ConflictException("Stage already exists")
        stage = self._checked(
            replace(
                self._new_stage(deployment, name, scope),
                description=params.get("description") or "",
                variables=dict(params.get("variables") or {}),
                cache_cluster_enabled=bool(params.get("cacheClusterEnabled")),
                cache_cluster_size=params.get("cacheClusterSize") or "",
                documentation_version=params.get("documentationVersion") or "",
                canary_settings=dict(params.get("canarySettings") or {}),
                tracing_enabled=bool(params.get("tracingEnabled")),
                tags=dict(params.get("tags") or {}),
            )
        )
        if stage.canary_settings.get("deploymentId"):
            self._require_known(stage.api_id, stage.canary_settings["deploymentId"], scope)
        self._tables.stages.put(scope, stage)
        self._swap(stage, scope)
        return stage_result(stage)

    def _new_stage(self, deployment: Deployment, name: str, scope: Scope) -> Stage:
        made = len(self._tables.stages.all(scope, deployment.api_id))
        require_room(made, self._quotas.stages_per_api, "Stages")
        now = self._clock.now().isoformat()
        return Stage(
            api_id=deployment.api_id,
            stage_name=name,
            deployment_id=deployment.deployment_id,
            created=now,
            last_updated=now,
        )

    async def get_stage(self, params: Params, scope: Scope) -> Result:
        return stage_result(self._stage(params, scope))

    async def get_stages(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["restApiId"])
        wanted = params.get("deploymentId")
        stages = self._tables.stages.all(scope, api.api_id)
        return {
            "item": [
                stage_result(stage) for stage in stages if wanted in (None, "", stage.deployment_id)
            ]
        }

    async def update_stage(self, params: Params, scope: Scope) -> Result:
        """Change a stage; variables and settings act at once, another deployment too."""
        stage = self._stage(params, scope)
        for patch in parse_patches(params):
            if patch.path[-1:] == ("deploymentId",) and patch.op != "copy":
                self._require_known(stage.api_id, patch.value, scope)
            stage = patched_stage(stage, patch)
        stage = self._checked(replace(stage, last_updated=self._clock.now().isoformat()))
        self._tables.stages.put(scope, stage)
        self._swap(stage, scope)
        return stage_result(stage)

    async def delete_stage(self, params: Params, scope: Scope) -> Result:
        stage = self._stage(params, scope)
        self._tables.stages.delete(scope, stage.api_id, stage.stage_name)
        self._data_plane.withdraw(stage.api_id, stage.stage_name)
        return {}

    async def test_invoke_method(self, params: Params, scope: Scope) -> Result:
        """Run one method of the API as it is now, deployed or not, and tell each step.

        AWS: API reference, TestInvokeMethod; nobody is asked who he is there.
        """
        api = self._tables.require_api(scope, params["restApiId"])
        resource = require_resource(api, params["resourceId"])
        method = require_method(resource, params["httpMethod"])
        now = self._clock.now().isoformat()
        stage = Stage(
            api_id=api.api_id,
            stage_name=TEST_STAGE,
            deployment_id="",
            variables=dict(params.get("stageVariables") or {}),
            created=now,
            last_updated=now,
        )
        path, _, query = (params.get("pathWithQueryString") or resource.path).partition("?")
        headers = Headers.of(params.get("headers") or {})
        for name, values in (params.get("multiValueHeaders") or {}).items():
            headers.fields += [(name, value) for value in values]
        ran = await self._data_plane.test_invoke(
            self._compile_stage(api=api, stage=stage, scope=scope, is_test=True),
            resource_id=resource.resource_id,
            http_method=method.http_method,
            path=path if path.startswith("/") else f"/{path}",
            query=query,
            headers=headers,
            body=(params.get("body") or "").encode(),
        )
        several: dict[str, list[str]] = {}
        for name, value in ran.response.headers:
            several.setdefault(name, []).append(value)
        return {
            "status": ran.response.status,
            "body": ran.response.body.decode("utf-8", "replace"),
            "headers": {name: values[-1] for name, values in several.items()},
            "multiValueHeaders": several,
            "log": ran.log,
            "latency": ran.latency_ms,
        }

    async def get_export(self, params: Params, scope: Scope) -> Result:
        """The definition of what a stage serves, as Swagger 2.0 or OpenAPI 3.0."""
        stage = self._stage(params, scope)
        kind = params["exportType"]
        if kind not in ("swagger", "oas30"):
            raise BadRequestException(f"Invalid export type: {kind}", hint="`swagger` or `oas30`")
        accepts = params.get("accepts") or "application/json"
        form = {"application/json": "json", "application/yaml": "yaml"}.get(accepts)
        if form is None:
            raise BadRequestException(f"Invalid accept type: {accepts}")
        asked = (params.get("parameters") or {}).get("extensions", "")
        extensions = {each.strip() for each in asked.split(",") if each.strip()}
        unknown = extensions.difference(EXTENSIONS)
        if unknown:
            raise BadRequestException(
                f"Invalid extensions: {', '.join(sorted(unknown))}", hint=", ".join(EXTENSIONS)
            )
        # Versions of the documentation are made after a deployment: they are the API's own.
        api = replace(
            self._served(stage, scope).api,
            documentation_versions=self._tables.require_api(
                scope, stage.api_id
            ).documentation_versions,
        )
        document = export_definition(api, stage, scope, form=kind, extensions=extensions)
        body = (
            msgspec.json.format(msgspec.json.encode(document), indent=2)
            if form == "json"
            else yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode()
        )
        name = f"{kind}_{version_of(api)}.{form}"
        return {
            "contentType": "application/octet-stream",
            "contentDisposition": f'attachment; filename="{name}"',
            "body": body,
        }

    # Finding, checking and putting into service

    def _deployment(self, params: Params, scope: Scope) -> Deployment:
        return self._tables.require_deployment(scope, params["restApiId"], params["deploymentId"])

    def _stage(self, params: Params, scope: Scope) -> Stage:
        return self._tables.require_stage(scope, params["restApiId"], params["stageName"])

    def _require_known(self, api_id: str, deployment_id: str, scope: Scope) -> None:
        if self._tables.deployments.get(scope, api_id, deployment_id) is None:
            raise BadRequestException("Deployment id does not exist")

    def _swap(self, stage: Stage, scope: Scope) -> None:
        """Compile a stage, and its canary where it has one, and put them into service."""
        program = self._compiled(stage, scope)
        settings = stage.canary_settings
        if settings:
            canary = replace(
                stage,
                deployment_id=settings.get("deploymentId") or stage.deployment_id,
                variables={**stage.variables, **settings.get("stageVariableOverrides", {})},
            )
            program = replace(
                program,
                is_canary="false",
                canary=Canary(
                    float(settings.get("percentTraffic", 0)),
                    replace(self._compiled(canary, scope), is_canary="true"),
                ),
            )
        self._data_plane.deploy(program)

    def _compiled(self, stage: Stage, scope: Scope) -> StageProgram:
        return self._compile_stage(api=self._served(stage, scope).api, stage=stage, scope=scope)

    def _served(self, stage: Stage, scope: Scope) -> Deployment:
        deployment = self._tables.deployments.get(scope, stage.api_id, stage.deployment_id)
        assert deployment is not None, "a deployment with a stage is never deleted"
        return deployment

    def _checked(self, stage: Stage) -> Stage:
        require_stage_name(stage.stage_name)
        require_access_log(stage.access_log)
        stage = _sized(stage)
        percent = float(stage.canary_settings.get("percentTraffic", 0))
        if not 0 <= percent <= 100:
            raise BadRequestException("Canary percentTraffic must be between 0.0 and 100.0")
        require_stage_variables(stage.variables)
        return stage


def deployment_result(deployment: Deployment, summary: bool = False) -> Result:
    """A deployment as AWS shows it; with `summary`, who may call each method of it."""
    result = shown(
        {
            "id": deployment.deployment_id,
            "description": deployment.description,
            "createdDate": parse_time(deployment.created),
        }
    )
    if summary:
        result["apiSummary"] = {
            resource.path: {
                verb: {
                    "authorizationType": method.authorization_type,
                    "apiKeyRequired": method.api_key_required,
                }
                for verb, method in resource.methods.items()
            }
            for resource in deployment.api.resources.values()
            if resource.methods
        }
    return result


def stage_result(stage: Stage) -> Result:
    """A stage as AWS shows it: `methodSettings` always, other members where they are set."""
    return {
        **shown(
            {
                "deploymentId": stage.deployment_id,
                "clientCertificateId": stage.client_certificate_id,
                "stageName": stage.stage_name,
                "description": stage.description,
                "cacheClusterEnabled": stage.cache_cluster_enabled,
                "cacheClusterSize": stage.cache_cluster_size,
                "cacheClusterStatus": "AVAILABLE"
                if stage.cache_cluster_enabled
                else "NOT_AVAILABLE",
                "variables": dict(stage.variables),
                "documentationVersion": stage.documentation_version,
                "accessLogSettings": dict(stage.access_log),
                "canarySettings": dict(stage.canary_settings),
                "tracingEnabled": stage.tracing_enabled,
                "tags": dict(stage.tags),
                "createdDate": parse_time(stage.created),
                "lastUpdatedDate": parse_time(stage.last_updated),
            }
        ),
        "methodSettings": method_settings_result(stage.method_settings),
    }


def _sized(stage: Stage) -> Stage:
    """The stage with the size that a cluster has unless one is named.

    Differs: the refusal of another size is a likely text; no record of it.
    """
    if stage.cache_cluster_size not in ("", *CLUSTER_SIZES):
        raise BadRequestException(
            f"Invalid cache cluster size: {stage.cache_cluster_size}",
            hint=f"one of {', '.join(CLUSTER_SIZES)}",
        )
    if stage.cache_cluster_enabled and not stage.cache_cluster_size:
        return replace(stage, cache_cluster_size=CLUSTER_SIZES[0])
    return stage


def _require_deployable(api: RestApi) -> None:
    methods = [it for resource in api.resources.values() for it in resource.methods.values()]
    if not methods:
        raise BadRequestException("The REST API doesn't contain any methods")
    if any(method.integration is None for method in methods):
        raise BadRequestException("No integration defined for method")
    if "PRIVATE" in api.endpoint_types and not api.policy:
        raise BadRequestException("Private REST API doesn't have a resource policy attached to it")
