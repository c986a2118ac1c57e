"""The Lambda API of reserved concurrency, and of the account that it is reserved from."""

from collections.abc import Callable
from dataclasses import replace

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.functions.entities import (
    CODE_STORAGE_BYTES,
    CODE_UNZIPPED_MAX_BYTES,
    CODE_ZIPPED_MAX_BYTES,
    CONCURRENT_EXECUTIONS,
    UNRESERVED_CONCURRENT_EXECUTIONS_MIN,
    InvalidParameterValueException,
)
from lamington.functions.operations.constraints import require_valid
from lamington.functions.operations.names import parse_function
from lamington.functions.operations.registry import FunctionRegistry
from lamington.functions.operations.versions import Forget


class ConcurrencyOperations:
    """Reserves a share of the account's concurrency for a function."""

    def __init__(
        self, registry: FunctionRegistry, forget: Forget, unreserved: Callable[[Scope], int]
    ) -> None:
        """`unreserved` tells what neither a reservation nor provisioning takes of the account."""
        self._registry = registry
        self._forget = forget
        self._unreserved = unreserved

    def operations(self) -> dict[str, Operation]:
        return {
            "lambda:PutFunctionConcurrency": self.put_function_concurrency,
            "lambda:GetFunctionConcurrency": self.get_function_concurrency,
            "lambda:DeleteFunctionConcurrency": self.delete_function_concurrency,
            "lambda:GetAccountSettings": self.get_account_settings,
        }

    async def put_function_concurrency(self, params: Params, scope: Scope) -> Result:
        """Reserve; 0 turns the function off.

        AWS: 1,000 executions for an account and region, of which 100 stay unreserved.
        """
        reference = parse_function(params["FunctionName"], scope)
        require_valid(params, ["ReservedConcurrentExecutions"])
        function = self._registry.require(reference)
        wanted: int = params["ReservedConcurrentExecutions"]
        rows = self._registry.provisioned.all(scope, reference.function_name)
        provisioned = sum(row.requested for row in rows)
        own = function.reserved_concurrency
        # What the function has provisioned is its own: reserved, it is not counted twice.
        free = self._unreserved(scope) + (provisioned if own is None else own)
        if wanted > free:
            raise InvalidParameterValueException(
                "Specified ConcurrentExecutions for function is greater than account's unreserved"
                f" concurrency [{free}]."
            )
        if wanted and free - wanted < UNRESERVED_CONCURRENT_EXECUTIONS_MIN:
            raise InvalidParameterValueException(
                "Specified ReservedConcurrentExecutions for function decreases account's"
                " UnreservedConcurrentExecution below its minimum value of"
                f" [{UNRESERVED_CONCURRENT_EXECUTIONS_MIN}]."
            )
        if wanted < provisioned:
            # The spaces are AWS's.
            raise InvalidParameterValueException(
                f" ReservedConcurrentExecutions  {wanted} should not be lower than function's"
                f" total provisioned concurrency [{provisioned}]."
            )
        self._registry.functions.put(scope, replace(function, reserved_concurrency=wanted))
        self._forget(reference.function_name, scope)
        return {"ReservedConcurrentExecutions": wanted}

    async def get_function_concurrency(self, params: Params, scope: Scope) -> Result:
        function = self._registry.require(parse_function(params["FunctionName"], scope))
        reserved = function.reserved_concurrency
        return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}

    async def delete_function_concurrency(self, params: Params, scope: Scope) -> Result:
        function = self._registry.require(parse_function(params["FunctionName"], scope))
        self._registry.functions.put(scope, replace(function, reserved_concurrency=None))
        self._forget(function.function_name, scope)
        return {}

    async def get_account_settings(self, params: Params, scope: Scope) -> Result:
        """The account's quotas and how much of them is in use.

        Differs: the concurrency is AWS's quota, not what this machine can run at once.
        """
        return {
            "AccountLimit": {
                "TotalCodeSize": CODE_STORAGE_BYTES,
                "CodeSizeUnzipped": CODE_UNZIPPED_MAX_BYTES,
                "CodeSizeZipped": CODE_ZIPPED_MAX_BYTES,
                "ConcurrentExecutions": CONCURRENT_EXECUTIONS,
                "UnreservedConcurrentExecutions": self._unreserved(scope),
            },
            "AccountUsage": {
                "TotalCodeSize": self._registry.stored_bytes(scope),
                "FunctionCount": len(self._registry.functions.all(scope)),
            },
        }
