"""The Lambda API of code signing configurations, and which function has which.

Differs: signatures are not verified here; what a function asks for is announced at start-up.
"""

from dataclasses import replace
from typing import Any

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.functions.entities import (
    CodeSigningConfig,
    CodeSigningConfigNotFoundException,
    Function,
    ResourceConflictException,
    ResourceNotFoundException,
)
from lamington.functions.operations.constraints import require_valid
from lamington.functions.operations.names import FunctionReference, parse_function
from lamington.functions.operations.paging import limit_of, marker_of, next_marker
from lamington.functions.operations.registry import FunctionRegistry
from lamington.functions.operations.tagging import require_tags

_ID_LENGTH = 17
_PREFIX = "code-signing-config:"


class CodeSigningOperations:
    """Code signing configurations and the functions that have them."""

    def __init__(self, registry: FunctionRegistry) -> None:
        self._registry = registry

    def operations(self) -> dict[str, Operation]:
        return {
            "lambda:CreateCodeSigningConfig": self.create_code_signing_config,
            "lambda:GetCodeSigningConfig": self.get_code_signing_config,
            "lambda:UpdateCodeSigningConfig": self.update_code_signing_config,
            "lambda:DeleteCodeSigningConfig": self.delete_code_signing_config,
            "lambda:ListCodeSigningConfigs": self.list_code_signing_configs,
            "lambda:ListFunctionsByCodeSigningConfig": self.list_functions_by_code_signing_config,
            "lambda:PutFunctionCodeSigningConfig": self.put_function_code_signing_config,
            "lambda:GetFunctionCodeSigningConfig": self.get_function_code_signing_config,
            "lambda:DeleteFunctionCodeSigningConfig": self.delete_function_code_signing_config,
        }

    async def create_code_signing_config(self, params: Params, scope: Scope) -> Result:
        """AWS: CreateCodeSigningConfig; unsigned code is warned of where nothing else is said."""
        require_valid(params, ["Description"])
        tags = dict(params.get("Tags") or {})
        require_tags(tags)
        row = CodeSigningConfig(
            config_id=f"csc-{self._registry.token(_ID_LENGTH)}",
            description=params.get("Description") or "",
            publishers=_publishers(params["AllowedPublishers"]),
            policy=_policy(params) or "Warn",
            last_modified=self._registry.timestamp(),
            tags=tags,
        )
        self._registry.code_signing_configs.put(scope, row)
        return {"CodeSigningConfig": _render(row, scope)}

    async def get_code_signing_config(self, params: Params, scope: Scope) -> Result:
        row = self._require(params["CodeSigningConfigArn"], scope)
        return {"CodeSigningConfig": _render(row, scope)}

    async def update_code_signing_config(self, params: Params, scope: Scope) -> Result:
        """Change what is given."""
        require_valid(params, ["Description"])
        row = self._require(params["CodeSigningConfigArn"], scope)
        description, publishers = params.get("Description"), params.get("AllowedPublishers")
        changed = replace(
            row,
            description=row.description if description is None else description,
            publishers=_publishers(publishers) if publishers else row.publishers,
            policy=_policy(params) or row.policy,
            last_modified=self._registry.timestamp(),
        )
        self._registry.code_signing_configs.put(scope, changed)
        return {"CodeSigningConfig": _render(changed, scope)}

    async def delete_code_signing_config(self, params: Params, scope: Scope) -> Result:
        """Delete a configuration that no function has.

        AWS: DeleteCodeSigningConfig; the text of the refusal is ours.
        """
        arn = params["CodeSigningConfigArn"]
        row = self._require(arn, scope)
        if self._functions_with(arn, scope):
            raise ResourceConflictException(
                f"The code signing configuration {arn} is in use by functions and cannot be"
                " deleted."
            )
        self._registry.code_signing_configs.delete(scope, row.config_id)
        return {}

    async def list_code_signing_configs(self, params: Params, scope: Scope) -> Result:
        page = self._registry.code_signing_configs.page(
            scope, marker=marker_of(params), limit=limit_of(params)
        )
        shown = [_render(row, scope) for row in page.rows]
        return {"CodeSigningConfigs": shown, **next_marker(page.marker)}

    async def list_functions_by_code_signing_config(self, params: Params, scope: Scope) -> Result:
        arn = params["CodeSigningConfigArn"]
        self._require(arn, scope)
        marker, limit = marker_of(params) or "", limit_of(params)
        names = [
            each.function_name
            for each in self._functions_with(arn, scope)
            if each.function_name > marker
        ]
        page, rest = names[:limit], names[limit:]
        return {
            "FunctionArns": [scope.arn("lambda", f"function:{name}") for name in page],
            **next_marker(page[-1] if rest else None),
        }

    async def put_function_code_signing_config(self, params: Params, scope: Scope) -> Result:
        arn = params["CodeSigningConfigArn"]
        self.require_usable(arn, scope)
        function = self._registry.require(parse_function(params["FunctionName"], scope))
        self._registry.functions.put(scope, replace(function, code_signing_config_arn=arn))
        return {"CodeSigningConfigArn": arn, "FunctionName": function.function_name}

    async def get_function_code_signing_config(self, params: Params, scope: Scope) -> Result:
        """The function's configuration; nothing where it has none."""
        function = self._registry.require(parse_function(params["FunctionName"], scope))
        arn = function.code_signing_config_arn
        return {"CodeSigningConfigArn": arn, "FunctionName": function.function_name} if arn else {}

    async def delete_function_code_signing_config(self, params: Params, scope: Scope) -> Result:
        reference: FunctionReference = parse_function(params["FunctionName"], scope)
        function = self._registry.require(reference)
        self._registry.functions.put(scope, replace(function, code_signing_config_arn=""))
        return {}

    def require_usable(self, arn: str, scope: Scope) -> None:
        """Raise CodeSigningConfigNotFoundException where a function cannot have it."""
        if self.find(arn, scope) is None:
            raise CodeSigningConfigNotFoundException(
                "The code signing configuration cannot be found. Check that the provided"
                f" configuration is not deleted: {arn}."
            )

    def find(self, arn: str, scope: Scope) -> CodeSigningConfig | None:
        config_id = arn.rpartition(":")[2]
        if arn != scope.arn("lambda", _PREFIX + config_id):
            return None
        return self._registry.code_signing_configs.get(scope, config_id)

    def _require(self, arn: str, scope: Scope) -> CodeSigningConfig:
        row = self.find(arn, scope)
        if row is None:
            raise ResourceNotFoundException(
                f"The Lambda code signing configuration {arn} can not be found."
            )
        return row

    def _functions_with(self, arn: str, scope: Scope) -> list[Function]:
        functions = self._registry.functions.all(scope)
        return [each for each in functions if each.code_signing_config_arn == arn]


def _publishers(given: dict[str, Any]) -> tuple[str, ...]:
    return tuple(given["SigningProfileVersionArns"])


def _policy(params: Params) -> str:
    policies = params.get("CodeSigningPolicies") or {}
    return policies.get("UntrustedArtifactOnDeployment") or ""


def _render(row: CodeSigningConfig, scope: Scope) -> Result:
    shown: Result = {
        "CodeSigningConfigId": row.config_id,
        "CodeSigningConfigArn": scope.arn("lambda", _PREFIX + row.config_id),
        "AllowedPublishers": {"SigningProfileVersionArns": list(row.publishers)},
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": row.policy},
        "LastModified": row.last_modified,
    }
    if row.description:
        shown["Description"] = row.description
    return shown
