"""From a changed API to served stages: writes rows, freezes deployments, tells the data planes.

Every operation that changes an API or a stage goes through here, so that what is served is never
behind what was answered. Left to others: to serve (the data planes).
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from lamington.core.aws import Scope
from lamington.core.clock import Clock, Ids
from lamington.core.errors import AwsError
from lamington.gateway.service_quotas import DEFAULT_QUOTAS, ServiceQuotas
from lamington.gateway.v2.entities import Api, DataPlane, Deployment, ProtocolType, Stage
from lamington.gateway.v2.rules import require_deployable, require_room
from lamington.gateway.v2.tables import V2Tables

AUTO_DEPLOYED = "Automatic deployment triggered by changes to the Api configuration"


class Publication:
    """Keeps rows, deployments and the data planes of both protocols in step."""

    def __init__(
        self,
        *,
        tables: V2Tables,
        planes: Mapping[ProtocolType, DataPlane],
        clock: Clock,
        ids: Ids,
        quotas: ServiceQuotas = DEFAULT_QUOTAS,
    ) -> None:
        self._tables = tables
        self._quotas = quotas
        self._planes = planes
        self._clock = clock
        self._ids = ids
        # Which of the deployments in use this process made automatically: to read one is dear.
        self._automatic: set[str] = set()

    def restore(self) -> None:
        """Put every stage that is written down into service: what a start of the engine does."""
        for scope, stage in self._tables.stages.everywhere():
            self.serve(stage, scope)

    def now(self) -> str:
        return self._clock.now().isoformat()

    def put_api(self, api: Api, scope: Scope) -> None:
        """Write a changed API down, and deploy it to its stages that deploy by themselves.

        Raises TooManyRequestsException where it would have more of something than its quota.

        AWS: with `autoDeploy` each change is a deployment (developer guide, HTTP API stages).
        """
        self.require_room(api, scope)
        with self._tables.transaction():
            self._tables.apis.put(scope, api)
            stages = [
                stage for stage in self._tables.stages.all(scope, api.api_id) if stage.auto_deploy
            ]
            changed = [self.redeployed(api, stage, scope) for stage in stages]
            for stage in changed:
                self._tables.stages.put(scope, stage)
            self._forget(api.api_id, [stage.deployment_id for stage in stages], scope)
        for before, stage in zip(stages, changed, strict=True):
            if stage.deployment_id != before.deployment_id:
                self._deploy(api, stage, scope)

    def require_room(self, api: Api, scope: Scope) -> None:
        """Raise TooManyRequestsException where an API has grown past one of its quotas."""
        before = self._tables.apis.get(scope, api.api_id)
        quotas = self._quotas
        for things, quota, now, then in (
            ("Routes", quotas.routes_per_api, api.routes, before and before.routes),
            (
                "Integrations",
                quotas.integrations_per_api,
                api.integrations,
                before and before.integrations,
            ),
            (
                "Authorizers",
                quotas.authorizers_per_api,
                api.authorizers,
                before and before.authorizers,
            ),
        ):
            if len(now) > len(then or ()):
                require_room(len(now), quota, things)

    def redeployed(self, api: Api, stage: Stage, scope: Scope) -> Stage:
        """The stage on a new deployment of the API; as it was, and saying why, where that fails."""
        try:
            require_deployable(api)
        except AwsError as error:
            message = f"Deployment attempt failed: {error.message}"
            return replace(stage, last_deployment_status_message=message)
        deployment = self.freeze(api, scope, description=AUTO_DEPLOYED, auto_deployed=True)
        return replace(
            stage,
            deployment_id=deployment.deployment_id,
            last_updated=self.now(),
            last_deployment_status_message=(
                f"Successfully deployed stage with deployment ID '{deployment.deployment_id}'"
            ),
        )

    def freeze(
        self, api: Api, scope: Scope, *, description: str = "", auto_deployed: bool = False
    ) -> Deployment:
        """Write a snapshot of the API down; raises BadRequestException for one without routes."""
        require_deployable(api)
        deployment = Deployment(
            api_id=api.api_id,
            deployment_id=self._ids.token(6),
            created=self.now(),
            description=description,
            auto_deployed=auto_deployed,
            api=api,
        )
        self._tables.deployments.put(scope, deployment)
        if auto_deployed:
            self._automatic.add(deployment.deployment_id)
        return deployment

    def put_stage(self, stage: Stage, scope: Scope) -> None:
        """Write a stage down and serve it; what it no longer needs is forgotten."""
        before = self._tables.stages.get(scope, stage.api_id, stage.stage_name)
        if before is None:
            made = len(self._tables.stages.all(scope, stage.api_id))
            require_room(made + 1, self._quotas.stages_per_api, "Stages")
        with self._tables.transaction():
            self._tables.stages.put(scope, stage)
            if before is not None:
                self._forget(stage.api_id, [before.deployment_id], scope)
        self.serve(stage, scope)

    def delete_stage(self, stage: Stage, scope: Scope) -> None:
        api = self._tables.require_api(scope, stage.api_id)
        with self._tables.transaction():
            self._tables.stages.delete(scope, stage.api_id, stage.stage_name)
            self._forget(stage.api_id, [stage.deployment_id], scope)
        self._withdraw(api, stage)

    def delete_api(self, api: Api, scope: Scope) -> None:
        """Delete an API with all that belongs to it, and serve none of it any more."""
        stages = self._tables.stages.all(scope, api.api_id)
        with self._tables.transaction():
            for stage in stages:
                self._tables.stages.delete(scope, api.api_id, stage.stage_name)
            for deployment in self._tables.deployments.all(scope, api.api_id):
                self._tables.deployments.delete(scope, api.api_id, deployment.deployment_id)
            self._tables.apis.delete(scope, api.api_id)
        for stage in stages:
            self._withdraw(api, stage)

    def serve(self, stage: Stage, scope: Scope) -> None:
        """Hand a stage to its data plane; one without a deployment serves nothing."""
        deployment = self._tables.deployments.get(scope, stage.api_id, stage.deployment_id)
        if deployment is not None:
            self._deploy(deployment.api, stage, scope)

    def _deploy(self, api: Api, stage: Stage, scope: Scope) -> None:
        self._planes[api.protocol_type].deploy(api, stage, scope)

    def _withdraw(self, api: Api, stage: Stage) -> None:
        if stage.deployment_id:
            self._planes[api.protocol_type].withdraw(api.api_id, stage.stage_name)

    def _forget(self, api_id: str, deployment_ids: Iterable[str], scope: Scope) -> None:
        """Delete those of the deployments that were made automatically and no stage serves.

        Differs: AWS lists every automatic deployment; each is a copy of the API, and building an
        API of 300 routes makes 600 of them.
        """
        served = {stage.deployment_id for stage in self._tables.stages.all(scope, api_id)}
        for deployment_id in set(deployment_ids) - served:
            if self._is_automatic(api_id, deployment_id, scope):
                self._tables.deployments.delete(scope, api_id, deployment_id)
                self._automatic.discard(deployment_id)

    def _is_automatic(self, api_id: str, deployment_id: str, scope: Scope) -> bool:
        if deployment_id in self._automatic:
            return True
        deployment = self._tables.deployments.get(scope, api_id, deployment_id)
        return deployment is not None and deployment.auto_deployed
