"""Recursive loops: stops a function that a chain of requests invokes again and again.

Left to others: how the chain is counted (`tracing`), and which functions allow it (the registry).
"""

from collections.abc import Callable

from lamington.functions.entities import RecursiveInvocationException
from lamington.functions.notices import RECURSIVE_INVOCATIONS_DROPPED, Notice
from lamington.functions.tracing import invocations_in

INVOCATIONS_OF_CHAIN_MAX = 16


class RecursionGuard:
    """Refuses the invocations that would go on with a loop."""

    def __init__(self, allows: Callable[[str], bool], notice: Notice) -> None:
        """`allows` tells of a function's ARN whether its RecursiveLoop is `Allow`."""
        self._allows = allows
        self._notice = notice

    def require_no_loop(self, trace_id: str, function_arn: str) -> None:
        """Raise where the chain in the trace header has invoked the function 16 times already.

        A request without a lineage costs next to nothing.

        AWS: Lambda developer guide, recursive loop detection: about 16 invocations of a chain.
        Differs: every service that carries the trace header on is watched, not SQS, SNS and S3
        alone.
        """
        if "ineage=" not in trace_id:
            return
        if invocations_in(trace_id, function_arn) < INVOCATIONS_OF_CHAIN_MAX:
            return
        if self._allows(function_arn):
            return
        self._notice(
            function_arn,
            RECURSIVE_INVOCATIONS_DROPPED,
            1,
            "the function is invoked in a recursive loop: the invocation is stopped",
        )
        raise RecursiveInvocationException(
            "Lambda has detected your function being invoked in a recursive loop with other Amazon"
            " Web Services resources and stopped your function's invocation."
        )
