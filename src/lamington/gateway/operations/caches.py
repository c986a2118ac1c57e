"""The API Gateway operations that empty the caches of a stage.

Left to others: what is cached (`cache`, and the results of authorizers).
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from lamington.core.aws import Params, Result, Scope
from lamington.gateway.operations.tables import GatewayTables


class StageCaches(Protocol):
    """Something cached for stages, such as responses or results of authorizers."""

    def flush(self, api_id: str, stage_name: str) -> None: ...


class CacheOperations:
    """What AWS's API says of the caches of a stage."""

    def __init__(
        self, *, tables: GatewayTables, responses: StageCaches, authorizers: StageCaches
    ) -> None:
        self._tables = tables
        self._responses = responses
        self._authorizers = authorizers

    def operations(self) -> dict[str, Callable[[Params, Scope], Awaitable[Result]]]:
        return {
            "apigateway:FlushStageCache": self.flush_stage_cache,
            "apigateway:FlushStageAuthorizersCache": self.flush_stage_authorizers_cache,
        }

    async def flush_stage_cache(self, params: Params, scope: Scope) -> Result:
        """Empty the cache of responses.

        Differs: at once; on AWS the cluster is FLUSH_IN_PROGRESS for a while.
        """
        stage = self._tables.require_stage(scope, params["restApiId"], params["stageName"])
        self._responses.flush(stage.api_id, stage.stage_name)
        return {}

    async def flush_stage_authorizers_cache(self, params: Params, scope: Scope) -> Result:
        stage = self._tables.require_stage(scope, params["restApiId"], params["stageName"])
        self._authorizers.flush(stage.api_id, stage.stage_name)
        return {}
