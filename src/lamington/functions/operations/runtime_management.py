"""The Lambda API of runtime management: when a function's runtime is updated; kept and shown.

Nothing acts on it here: functions run on the interpreters of this machine.
"""

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.functions.entities import (
    LATEST,
    InvalidParameterValueException,
    RuntimeManagement,
)
from lamington.functions.operations.constraints import require_valid
from lamington.functions.operations.names import FunctionReference, parse_reference
from lamington.functions.operations.registry import FunctionRegistry


class RuntimeManagementOperations:
    """Each version has its own setting; `Auto` where none was made."""

    def __init__(self, registry: FunctionRegistry) -> None:
        self._registry = registry

    def operations(self) -> dict[str, Operation]:
        return {
            "lambda:PutRuntimeManagementConfig": self.put_runtime_management_config,
            "lambda:GetRuntimeManagementConfig": self.get_runtime_management_config,
        }

    async def put_runtime_management_config(self, params: Params, scope: Scope) -> Result:
        """Keep the setting.

        AWS: PutRuntimeManagementConfig; `Manual` names a runtime version, the others none. The
        texts are ours.
        Differs: no runtime is ever updated or rolled back.
        """
        reference = self._reference(params, scope)
        require_valid(params, ["UpdateRuntimeOn"])
        update_on, arn = params["UpdateRuntimeOn"], params.get("RuntimeVersionArn")
        if update_on == "Manual" and not arn:
            raise InvalidParameterValueException(
                "RuntimeVersionArn is required when UpdateRuntimeOn is Manual."
            )
        if update_on != "Manual" and arn:
            raise InvalidParameterValueException(
                "RuntimeVersionArn is allowed only when UpdateRuntimeOn is Manual."
            )
        row = RuntimeManagement(
            function_name=reference.function_name,
            qualifier=reference.qualifier,
            update_on=update_on,
            runtime_version_arn=arn,
        )
        self._registry.runtime_management.put(scope, row)
        return _render(row, reference)

    async def get_runtime_management_config(self, params: Params, scope: Scope) -> Result:
        reference = self._reference(params, scope)
        row = self._registry.runtime_management.get(
            scope, reference.function_name, reference.qualifier
        )
        return _render(row, reference)

    def _reference(self, params: Params, scope: Scope) -> FunctionReference:
        """AWS: `$LATEST` or a version's number."""
        qualifier = params.get("Qualifier") or ""
        reference = parse_reference(params["FunctionName"], scope, qualifier)
        self._registry.version(reference)
        if self._registry.alias(reference) is not None:
            raise InvalidParameterValueException(
                "Runtime management applies to $LATEST and to published versions, not to aliases."
            )
        named = reference.qualifier or LATEST
        return FunctionReference(
            function_name=reference.function_name, qualifier=named, scope=scope
        )


def _render(row: RuntimeManagement | None, reference: FunctionReference) -> Result:
    shown: Result = {
        "UpdateRuntimeOn": row.update_on if row else "Auto",
        "FunctionArn": reference.arn,
    }
    if row is not None and row.runtime_version_arn is not None:
        shown["RuntimeVersionArn"] = row.runtime_version_arn
    return shown
