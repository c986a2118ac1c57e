"""The Lambda API's Invoke: from its members to an invocation and back.

Left to others: running it (`functions.invoke`), what a payload may be (`payloads`).
"""

import base64

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.functions.invoke import Invocation, InvocationType, Invoker
from lamington.functions.operations.constraints import require_valid
from lamington.functions.operations.names import parse_reference
from lamington.functions.operations.registry import FunctionRegistry
from lamington.functions.payloads import client_context_of, require_payload


class InvocationOperations:
    """Invokes functions for API clients."""

    def __init__(self, registry: FunctionRegistry, invoker: Invoker) -> None:
        self._registry = registry
        self._invoker = invoker

    def operations(self) -> dict[str, Operation]:
        return {"lambda:Invoke": self.invoke}

    async def invoke(self, params: Params, scope: Scope) -> Result:
        """Run a function and wait for it, hand it an event, or only check the request.

        AWS: Invoke; the function is looked up first, then the payload's size, then its JSON. A
        client context is delivered by synchronous invocations only. The id of the invocation is
        the answer's request id: it goes out as `ResponseMetadata`, which no model shows.
        """
        reference = parse_reference(params["FunctionName"], scope, params.get("Qualifier") or "")
        require_valid(params, ["InvocationType", "LogType"])
        self._registry.version(reference)
        kind: InvocationType = params.get("InvocationType") or "RequestResponse"
        payload = _bytes(params.get("Payload"))
        require_payload(payload, kind)
        context = client_context_of(params["ClientContext"]) if params.get("ClientContext") else ""
        synchronous = kind == "RequestResponse"
        if kind == "DryRun":
            return {"StatusCode": 204, "Payload": b""}
        result = await self._invoker.invoke(
            Invocation(
                function_arn=reference.arn,
                payload=payload,
                invocation_type=kind,
                client_context=context if synchronous else "",
                log_tail=synchronous and params.get("LogType") == "Tail",
                checked=True,
            )
        )
        answer: Result = {
            "StatusCode": result.status,
            "Payload": result.payload,
            "ResponseMetadata": {"RequestId": result.request_id},
        }
        if not synchronous:
            return answer
        answer["ExecutedVersion"] = result.executed_version
        if result.function_error:
            answer["FunctionError"] = result.function_error
        if params.get("LogType") == "Tail":
            answer["LogResult"] = base64.b64encode(result.log_tail).decode()
        return answer


def _bytes(payload: bytes | bytearray | str | None) -> bytes:
    """The payload's bytes; a caller in this process may give text, as boto3's callers do."""
    return payload.encode() if isinstance(payload, str) else bytes(payload or b"")
