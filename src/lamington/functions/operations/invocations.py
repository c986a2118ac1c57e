"""The Lambda API's Invoke and InvokeWithResponseStream: from members to an invocation and back.

Left to others: running it (`functions.invoke`), what a payload may be (`payloads`).
"""

import base64
from collections.abc import AsyncIterator, Callable
from typing import Any

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.core.http import Headers
from lamington.functions.entities import (
    InvalidParameterValueException,
    UnsupportedMediaTypeException,
)
from lamington.functions.invoke import Invocation, InvocationType
from lamington.functions.operations.constraints import (
    Constraint,
    constraint_failures,
    refuse,
    require_valid,
)
from lamington.functions.operations.names import FunctionReference, parse_reference
from lamington.functions.operations.registry import FunctionRegistry
from lamington.functions.payloads import client_context_of, require_payload
from lamington.functions.tracing import TRACE_HEADER
from lamington.functions.url_responses import StreamedAnswer, StreamingInvoker

EVENT_STREAM = "application/vnd.amazon.eventstream"

_STREAMED_INVOCATION_TYPE = Constraint(options=("RequestResponse", "DryRun"))
_MEDIA_TYPES = frozenset(
    {"", "application/json", "application/octet-stream", "application/x-www-form-urlencoded"}
)


def no_trace() -> str:
    """For requests that are traced by nobody but the invoker."""
    return ""


class InvocationOperations:
    """Invokes functions for API clients."""

    def __init__(
        self,
        registry: FunctionRegistry,
        invoker: StreamingInvoker,
        new_trace: Callable[[], str] = no_trace,
    ) -> None:
        """`new_trace` makes the X-Amzn-Trace-Id of a request that came without one."""
        self._registry = registry
        self._invoker = invoker
        self._new_trace = new_trace

    def operations(self) -> dict[str, Operation]:
        return {
            "lambda:Invoke": self.invoke,
            "lambda:InvokeWithResponseStream": self.invoke_with_response_stream,
        }

    async def invoke(self, params: Params, scope: Scope) -> Result:
        """Run a function and wait for it, hand it an event, or only check the request.

        AWS: Invoke; the function is looked up first, then the payload's size, then its JSON, and
        the invoker looks at the function's state and its concurrency. A client context and the
        log are delivered by synchronous invocations only. The id of the invocation is the
        answer's request id: it goes out as `ResponseMetadata`, which no model shows.
        """
        require_valid(params, ["InvocationType", "LogType"])
        kind: InvocationType = params.get("InvocationType") or "RequestResponse"
        invocation = self._invocation(params, scope, kind)
        if kind == "DryRun":
            return {"StatusCode": 204, "Payload": b""}
        result = await self._invoker.invoke(invocation)
        answer: Result = {
            "StatusCode": result.status,
            "Payload": result.payload,
            "ResponseMetadata": _metadata(result.request_id, invocation.trace_id),
        }
        if kind == "Event":
            return answer
        answer["ExecutedVersion"] = result.executed_version
        if result.function_error:
            answer["FunctionError"] = result.function_error
        if invocation.log_tail:
            answer["LogResult"] = base64.b64encode(result.log_tail).decode()
        return answer

    async def invoke_with_response_stream(self, params: Params, scope: Scope) -> Result:
        """Run a function and pass on what it answers piece by piece.

        AWS: InvokeWithResponseStream; any number of PayloadChunk and then one InvokeComplete,
        which tells of an error. A function that does not stream answers in one chunk.
        """
        given = params.get("InvocationType")
        if given:
            refuse(list(constraint_failures("InvocationType", given, _STREAMED_INVOCATION_TYPE)))
        require_valid(params, ["LogType"])
        kind: InvocationType = given or "RequestResponse"
        invocation = self._invocation(params, scope, kind)
        if kind == "DryRun":
            return {"StatusCode": 204}
        result = await self._invoker.invoke_streamed(invocation)
        return {
            "StatusCode": 200,
            "ExecutedVersion": result.executed_version,
            "ResponseStreamContentType": EVENT_STREAM,
            "EventStream": _events(result, invocation.log_tail),
            "ResponseMetadata": _metadata(result.request_id, invocation.trace_id),
        }

    def _invocation(self, params: Params, scope: Scope, kind: InvocationType) -> Invocation:
        """What a request asks to be run; raises in the order in which the service checks."""
        reference = parse_reference(params["FunctionName"], scope, params.get("Qualifier") or "")
        if not self._invoker.knows(reference.arn):
            self._registry.version(reference)
        headers: Headers = (params.get("RequestMetadata") or {}).get("HTTPHeaders") or Headers()
        payload = _bytes(params.get("Payload"))
        if payload:
            _require_json_type(headers.get("content-type"))
        require_payload(payload, kind)
        context = client_context_of(params["ClientContext"]) if params.get("ClientContext") else ""
        _require_plain(params, reference)
        synchronous = kind == "RequestResponse"
        return Invocation(
            function_arn=reference.arn,
            payload=payload,
            invocation_type=kind,
            client_context=context if synchronous else "",
            trace_id=headers.get(TRACE_HEADER) or self._new_trace(),
            log_tail=synchronous and params.get("LogType") == "Tail",
            checked=True,
        )


async def _events(result: StreamedAnswer, tails: bool) -> AsyncIterator[dict[str, Any]]:
    async for chunk in result.chunks():
        yield {"PayloadChunk": {"Payload": chunk}}
    complete: dict[str, str] = {}
    if result.function_error:
        complete["ErrorCode"] = result.function_error
        complete["ErrorDetails"] = result.error_payload.decode("utf-8", "replace")
    if tails:
        complete["LogResult"] = base64.b64encode(result.log_tail).decode()
    yield {"InvokeComplete": complete}


def _metadata(request_id: str, trace_id: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"RequestId": request_id}
    if trace_id:
        metadata["HTTPHeaders"] = {TRACE_HEADER: trace_id}
    return metadata


def _require_json_type(content_type: str) -> None:
    """Raise UnsupportedMediaTypeException for a body that says it is not JSON.

    AWS: Invoke; SDKs send no type, or `application/octet-stream`.
    Differs: `application/x-www-form-urlencoded` is taken, which is what curl says of any body.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind in _MEDIA_TYPES or kind.endswith("+json") or kind.startswith("application/x-amz-json"):
        return
    raise UnsupportedMediaTypeException(f"Unsupported content type: {content_type}")


def _require_plain(params: Params, reference: FunctionReference) -> None:
    """Raise for what only functions of kinds that there are not here take.

    Differs: tenant isolation and durable executions are not emulated, so no function has them.
    """
    if params.get("TenantId"):
        raise InvalidParameterValueException(
            "The invoked function is not enabled with tenancy configuration. Remove the TenantId"
            " from your request and try again."
        )
    if params.get("DurableExecutionName"):
        raise InvalidParameterValueException(
            f"The function {reference.arn} is not configured for durable execution. Remove the"
            " DurableExecutionName from your request and try again."
        )


def _bytes(payload: bytes | bytearray | str | None) -> bytes:
    """The payload's bytes; a caller in this process may give text, as boto3's callers do."""
    return payload.encode() if isinstance(payload, str) else bytes(payload or b"")
