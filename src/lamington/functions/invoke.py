"""The life of one invocation: where the gateway, queues, sources and tests all meet functions."""

from dataclasses import dataclass
from typing import Literal, Protocol

InvocationType = Literal["RequestResponse", "Event", "DryRun"]


@dataclass(slots=True, kw_only=True)
class Invocation:
    """One request to run a function.

    `function_arn` is the full ARN as called, with or without a qualifier: the function's
    context shows it unchanged. `payload` is JSON text, empty for none. `client_context` is JSON
    text, decoded from base64. An empty `request_id` has one made.
    """

    function_arn: str
    payload: bytes = b""
    invocation_type: InvocationType = "RequestResponse"
    client_context: str = ""
    trace_id: str = ""
    request_id: str = ""
    log_tail: bool = False


@dataclass(slots=True, kw_only=True)
class InvocationResult:
    """What came of it. `status` is 200, 202 or 204; `function_error` is "" or AWS's word for it."""

    status: int
    payload: bytes = b""
    function_error: str = ""
    executed_version: str = ""
    request_id: str = ""
    log_tail: bytes = b""


class Invoker(Protocol):
    """Runs functions; raises the AwsErrors of the Invoke API where Lambda would refuse."""

    async def invoke(self, invocation: Invocation) -> InvocationResult: ...
