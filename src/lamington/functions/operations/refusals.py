"""The operations of the Lambda API that are refused, each with its reason: a table first.

They are features of 2025 and 2026 that need services which no local machine has.
"""

from collections.abc import Mapping

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.functions.entities import (
    InvalidParameterValueException,
    LambdaError,
    ResourceNotFoundException,
)

_CAPACITY = (
    "Capacity providers are not emulated by Lamington: functions run on this machine. Leave"
    " CapacityProviderConfig out."
)
_SCALING = (
    "Function scaling configurations are not emulated by Lamington: they are of functions on"
    " capacity providers. Use PutFunctionConcurrency or PutProvisionedConcurrencyConfig."
)
_DURABLE = (
    "Durable executions are not emulated by Lamington: functions run as ordinary invocations."
    " Invoke the function without DurableConfig."
)
_POLICY = (
    "Resource policies as whole documents are not emulated by Lamington: use AddPermission,"
    " GetPolicy and RemovePermission."
)

REFUSED: Mapping[str, tuple[type[LambdaError], str]] = {
    "CreateCapacityProvider": (InvalidParameterValueException, _CAPACITY),
    "GetCapacityProvider": (ResourceNotFoundException, _CAPACITY),
    "UpdateCapacityProvider": (ResourceNotFoundException, _CAPACITY),
    "DeleteCapacityProvider": (ResourceNotFoundException, _CAPACITY),
    "ListCapacityProviders": (InvalidParameterValueException, _CAPACITY),
    "ListFunctionVersionsByCapacityProvider": (ResourceNotFoundException, _CAPACITY),
    "GetFunctionScalingConfig": (InvalidParameterValueException, _SCALING),
    "PutFunctionScalingConfig": (InvalidParameterValueException, _SCALING),
    "CheckpointDurableExecution": (InvalidParameterValueException, _DURABLE),
    "DeleteDurableExecution": (ResourceNotFoundException, _DURABLE),
    "GetDurableExecution": (ResourceNotFoundException, _DURABLE),
    "GetDurableExecutionHistory": (ResourceNotFoundException, _DURABLE),
    "GetDurableExecutionState": (InvalidParameterValueException, _DURABLE),
    "ListDurableExecutionsByFunction": (InvalidParameterValueException, _DURABLE),
    "PauseDurableExecution": (ResourceNotFoundException, _DURABLE),
    "ResumeDurableExecution": (ResourceNotFoundException, _DURABLE),
    "StopDurableExecution": (ResourceNotFoundException, _DURABLE),
    "SendDurableExecutionCallbackFailure": (ResourceNotFoundException, _DURABLE),
    "SendDurableExecutionCallbackHeartbeat": (ResourceNotFoundException, _DURABLE),
    "SendDurableExecutionCallbackSuccess": (ResourceNotFoundException, _DURABLE),
    "GetResourcePolicy": (InvalidParameterValueException, _POLICY),
    "PutResourcePolicy": (InvalidParameterValueException, _POLICY),
    "DeleteResourcePolicy": (InvalidParameterValueException, _POLICY),
}
"""By operation: the modelled error that it answers with, and why."""


def refused_operations() -> dict[str, Operation]:
    """An operation for each row of the table."""
    return {f"lambda:{name}": _refusal(*row) for name, row in REFUSED.items()}


def _refusal(error: type[LambdaError], reason: str) -> Operation:
    async def refuse(params: Params, scope: Scope) -> Result:
        raise error(reason)

    return refuse
