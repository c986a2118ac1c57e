"""The Lambda API of recursive loops: whether a function may be in one.

Left to others: how a loop is seen and stopped (`functions.recursion`).
"""

from dataclasses import replace

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.functions.entities import ResourceNotFoundException
from lamington.functions.operations.constraints import Constraint, constraint_failures, refuse
from lamington.functions.operations.names import parse_function, reference_of
from lamington.functions.operations.registry import FunctionRegistry

_RECURSIVE_LOOP = Constraint(options=("Allow", "Terminate"))


class RecursionOperations:
    """Says of each function whether its recursive loops are stopped; they are unless allowed."""

    def __init__(self, registry: FunctionRegistry) -> None:
        self._registry = registry

    def operations(self) -> dict[str, Operation]:
        return {
            "lambda:PutFunctionRecursionConfig": self.put_function_recursion_config,
            "lambda:GetFunctionRecursionConfig": self.get_function_recursion_config,
        }

    def allows(self, function_arn: str) -> bool:
        """Whether the function may go on in a loop; for `RecursionGuard`."""
        try:
            function = self._registry.require(reference_of(function_arn))
        except ResourceNotFoundException:
            return False
        return function.recursive_loop == "Allow"

    async def put_function_recursion_config(self, params: Params, scope: Scope) -> Result:
        reference = parse_function(params["FunctionName"], scope)
        wanted = params["RecursiveLoop"]
        refuse(list(constraint_failures("RecursiveLoop", wanted, _RECURSIVE_LOOP)))
        function = self._registry.require(reference)
        self._registry.functions.put(scope, replace(function, recursive_loop=wanted))
        return {"RecursiveLoop": wanted}

    async def get_function_recursion_config(self, params: Params, scope: Scope) -> Result:
        function = self._registry.require(parse_function(params["FunctionName"], scope))
        return {"RecursiveLoop": function.recursive_loop}
