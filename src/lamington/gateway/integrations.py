"""What stands behind a method: Lambda, Lambda proxy, mock, and the refusal of what cannot be.

An integration takes an `IntegrationRequest` and gives an `IntegrationResponse`; how either comes
from the client's request or goes to the client is compiled in `deployment`. HTTP endpoints are
`http_integrations`' part, AWS services other than Lambda `service_integrations`', and functions
that stream `lambda_streaming`'s.
"""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec

from lamington.core.coroutines import finish
from lamington.core.errors import AwsError, LamingtonError
from lamington.functions.entities import (
    REQUEST_PAYLOAD_MAX_BYTES,
    InvalidRequestContentException,
    RequestEntityTooLargeException,
    RequestTooLargeException,
    ResourceNotFoundException,
)
from lamington.functions.invoke import Invocation, InvocationResult, InvocationType, Invoker
from lamington.gateway.responses import Refusal, configuration_error
from lamington.gateway.vtl.json_text import parse_json
from lamington.gateway.vtl.limits import TemplateError


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationParameters:
    """What parameter mappings and overrides set for the backend."""

    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)


NO_PARAMETERS = IntegrationParameters()


@dataclass(slots=True)
class IntegrationRequest:
    """What goes to the backend; `checked` tells that the body is JSON of our own making.

    Requests that are sent as HTTP are whole: `method`, `uri` and `headers` are what the backend
    gets. `access_key` is the caller's own, where the integration acts with it.
    """

    body: bytes
    trace_id: str = ""
    parameters: IntegrationParameters = NO_PARAMETERS
    checked: bool = False
    method: str = ""
    uri: str = ""
    headers: Sequence[tuple[str, str]] = ()
    access_key: str = ""


@dataclass(slots=True)
class IntegrationResponse:
    """What the backend answered; `status` is the backend service's own.

    `function_error` is Lambda's word for how the function failed, "" where it did not. What is
    answered piece by piece has a `stream` and no body.
    """

    status: int
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = ()
    function_error: str = ""
    request_id: str = ""
    stream: AsyncIterator[bytes] | None = None


class Integration(Protocol):
    """What stands behind a method; raises Refusal where there is no answer to map.

    `uri` is the address that execution logs name, "" where each request has its own.
    """

    @property
    def uri(self) -> str: ...

    async def send(self, request: IntegrationRequest) -> IntegrationResponse: ...


Value = TypeVar("Value")


class Bounded(Generic[Value]):
    """Awaits a coroutine for so long and then goes on without it; the coroutine is never cancelled.

    It runs within the awaiting task until its time is up or that task is cancelled, and gets a
    task of its own only then: one for every request would cost 2 µs more. To the task this
    object is the future that it waits for, so that it can be woken in the future's stead.

    Raises TimeoutError.
    """

    __slots__ = (
        "_abandoned",
        "_asyncio_future_blocking",
        "_blocked",
        "_cancelled",
        "_context",
        "_coroutine",
        "_ended",
        "_loop",
        "_seconds",
        "_up",
        "_wake",
    )

    def __init__(
        self,
        coroutine: Coroutine[Any, Any, Value],
        seconds: float,
        abandoned: set[asyncio.Task[None]],
    ) -> None:
        self._coroutine = coroutine
        self._seconds = seconds
        self._abandoned = abandoned
        self._up = False
        self._cancelled = False
        self._ended = False

    def __await__(self) -> Generator[Any, None, Value]:
        coroutine = self._coroutine
        try:
            blocked = coroutine.send(None)
        except StopIteration as end:
            return cast(Value, end.value)
        self._loop = asyncio.get_running_loop()
        timer = self._loop.call_later(self._seconds, self._time_is_up)
        try:
            while True:
                self._blocked = blocked
                self._asyncio_future_blocking = True
                try:
                    yield self if blocked is not None else None
                except BaseException as error:
                    if isinstance(error, asyncio.CancelledError) and not _is_cancelled(blocked):
                        self._abandon(coroutine, blocked)
                        raise
                    blocked = coroutine.throw(error)
                    continue
                if self._up:
                    self._abandon(coroutine, blocked)
                    raise TimeoutError
                blocked = coroutine.send(None)
        except StopIteration as end:
            return cast(Value, end.value)
        finally:
            self._ended = True
            timer.cancel()

    def _abandon(self, coroutine: Coroutine[Any, Any, Value], blocked: Any) -> None:
        task = self._loop.create_task(_finish(coroutine, blocked))
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)

    # What a task asks of a future that it waits for.

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(
        self, wake: Callable[[Any], object], *, context: Context | None = None
    ) -> None:
        self._wake = wake
        self._context = context
        self._blocked._asyncio_future_blocking = False
        self._blocked.add_done_callback(wake, context=context)

    def cancel(self, msg: object = None) -> bool:
        if self._blocked.done():
            return False
        self._cancelled = True
        self._wake_task()
        return True

    def result(self) -> None:
        """The task was woken in the future's stead: there is nothing to fetch."""
        if self._cancelled:
            raise asyncio.CancelledError

    def _time_is_up(self) -> None:
        if self._ended:
            return
        if self._blocked is None or self._blocked.done():  # the task is about to run anyway
            self._loop.call_soon(self._time_is_up)
            return
        self._up = True
        self._wake_task()

    def _wake_task(self) -> None:
        self._blocked.remove_done_callback(self._wake)
        self._loop.call_soon(self._wake, self, context=self._context)


def _is_cancelled(blocked: Any) -> bool:
    return blocked is not None and bool(blocked.cancelled())


async def _finish(coroutine: Coroutine[Any, Any, Any], blocked: Any) -> None:
    """See an invocation to its end that nobody waits for any more."""
    try:
        await finish(coroutine, blocked)
    except AwsError:
        return


class Misconfigured(LamingtonError):
    """An integration that can answer no request; `message` is the execution log's reason."""


FUNCTION_URI = re.compile(
    r"arn:[^:]+:apigateway:(?P<region>[^:]*):lambda:path/+"
    r"(?:2015-03-31/functions/(?P<arn>.+)/invocations"
    r"|2021-11-15/functions/(?P<streaming_arn>.+)/response-streaming-invocations)"
)
"""The URI of an integration that invokes a function.

AWS: the second form is for functions whose answer is streamed.
"""


def invocation_uri(function_arn: str) -> str:
    """The address of an invocation, as execution logs name it."""
    region = function_arn.split(":")[3] if function_arn.count(":") > 3 else ""
    return f"https://lambda.{region}.amazonaws.com/2015-03-31/functions/{function_arn}/invocations"


class LambdaIntegration:
    """Invokes a function with the body as its event: types `AWS` with Lambda, and `AWS_PROXY`.

    `permit` tells whether the function's policy lets this method call it.
    """

    __slots__ = ("_abandoned", "_function_arn", "_invoker", "_permit", "_timeout_s", "uri")

    def __init__(
        self,
        *,
        function_arn: str,
        invoker: Invoker,
        timeout_ms: int,
        permit: Callable[[], bool],
    ) -> None:
        self.uri = invocation_uri(function_arn)
        self._function_arn = function_arn
        self._invoker = invoker
        self._timeout_s = timeout_ms / 1000
        self._permit = permit
        self._abandoned: set[asyncio.Task[None]] = set()

    async def send(self, request: IntegrationRequest) -> IntegrationResponse:
        """Invoke the function.

        AWS: an integration that takes longer than its time is answered 504; the function runs on.
        """
        if not self._permit():
            raise not_permitted(self._function_arn)
        invocation = Invocation(
            function_arn=self._function_arn,
            payload=request.body,
            trace_id=request.trace_id,
            checked=request.checked and len(request.body) <= REQUEST_PAYLOAD_MAX_BYTES,
        )
        if request.parameters.headers:
            invocation.invocation_type = _invocation_type(request.parameters.headers)
        try:
            result = await Bounded(
                self._invoker.invoke(invocation), self._timeout_s, self._abandoned
            )
        except AwsError as error:
            return lambda_refusal(error)
        except TimeoutError:
            raise timed_out(
                f"the function ran longer than {self._timeout_s:g} s; it was not stopped"
            ) from None
        return IntegrationResponse(
            result.status,
            result.payload,
            _LAMBDA_HEADERS if not result.function_error else _error_headers(result),
            result.function_error,
            result.request_id,
        )


def not_permitted(function_arn: str) -> Refusal:
    """The refusal to invoke a function whose policy does not let this method."""
    return configuration_error(
        "Invalid permissions on Lambda function",
        hint=f"`{function_arn}` needs a permission for apigateway.amazonaws.com",
    )


def timed_out(hint: str) -> Refusal:
    """The refusal of a request whose integration took longer than it may."""
    return Refusal(
        "Execution failed due to a timeout error", response_type="INTEGRATION_TIMEOUT", hint=hint
    )


_LAMBDA_HEADERS = (("Content-Type", "application/json"),)
_INVOCATION_TYPES: Mapping[str, InvocationType] = {
    "requestresponse": "RequestResponse",
    "event": "Event",
    "dryrun": "DryRun",
}


def _error_headers(result: InvocationResult) -> tuple[tuple[str, str], ...]:
    return (*_LAMBDA_HEADERS, ("X-Amz-Function-Error", result.function_error))


def _invocation_type(headers: Mapping[str, str]) -> InvocationType:
    for name, value in headers.items():
        if name.lower() == "x-amz-invocation-type":
            return _INVOCATION_TYPES.get(value.lower(), "RequestResponse")
    return "RequestResponse"


def lambda_refusal(error: AwsError) -> IntegrationResponse:
    """Turn a refusal of Lambda's into an answer to map, or end the request.

    AWS: an event that is no JSON is Lambda's 400 and goes through the mappings; access denied
    and throttling are a 500; an event over Lambda's limit is a 413.
    """
    match error:
        case InvalidRequestContentException():
            body = msgspec.json.encode(
                {"Type": error.members.get("Type", "User"), "message": error.message}
            )
            return IntegrationResponse(error.status, body, _LAMBDA_HEADERS)
        case RequestTooLargeException() | RequestEntityTooLargeException():
            raise Refusal(error.message, response_type="REQUEST_TOO_LARGE") from error
        case ResourceNotFoundException():
            raise configuration_error(
                f"Invalid permissions on Lambda function: {error.message}", hint=error.hint
            ) from error
        case _:
            raise configuration_error(
                f"Lambda invocation failed with status: {error.status}. {error.message}",
                hint=error.hint,
            ) from error


class MockIntegration:
    """Answers with the status that the request template names: type `MOCK`.

    AWS: API Gateway developer guide, mock integrations; the object may be loose JSON.
    """

    __slots__ = ()
    uri = ""

    async def send(self, request: IntegrationRequest) -> IntegrationResponse:
        return IntegrationResponse(_mock_status(request.body))


def _mock_status(body: bytes) -> int:
    try:
        answer = parse_json(body.decode("utf-8", "replace"))
    except TemplateError:
        answer = None
    status = answer.get("statusCode") if isinstance(answer, dict) else None
    if isinstance(status, str) and status.isdecimal():
        status = int(status)
    if not isinstance(status, int) or isinstance(status, bool):
        raise configuration_error(
            "Unable to parse statusCode. It should be an integer that is defined in the request"
            " template.",
            hint='the request template of a mock is an object such as {"statusCode": 200}',
        )
    return status


class RefusedIntegration:
    """Stands where a method needs what is not emulated: it refuses, it never lets pass."""

    __slots__ = ("_hint", "_reason", "_response_type")
    uri = ""

    def __init__(self, reason: str, *, response_type: str, hint: str = "") -> None:
        self._reason = reason
        self._response_type = response_type
        self._hint = hint

    async def send(self, request: IntegrationRequest) -> IntegrationResponse:
        raise Refusal(self._reason, response_type=self._response_type, hint=self._hint)


_REMAPPED = frozenset(
    {
        "authorization",
        "connection",
        "content-length",
        "content-md5",
        "date",
        "expect",
        "host",
        "max-forwards",
        "proxy-authenticate",
        "server",
        "trailer",
        "upgrade",
        "user-agent",
        "www-authenticate",
    }
)
_RESPONSE_DROPPED = frozenset({"te", "transfer-encoding", "via"})
RESPONSE_HEADERS_SPECIAL = _REMAPPED | _RESPONSE_DROPPED


def response_header_name(name: str) -> str:
    """The name under which a client gets a header that a backend or a mapping set; "" for none.

    AWS: API Gateway developer guide, known issues: some come as `x-amzn-Remapped-...`.
    """
    lower = name.lower()
    if lower in _REMAPPED:
        return f"x-amzn-Remapped-{name}"
    return "" if lower in _RESPONSE_DROPPED else name


def error_message(body: bytes) -> str:
    """The `errorMessage` of a function's answer, "" where it is none of an error.

    AWS: this is what the selection patterns of an integration with Lambda are matched against.
    """
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return ""
    message = answer.get("errorMessage") if isinstance(answer, dict) else None
    return message if isinstance(message, str) else ""


def decode_base64(text: bytes) -> bytes:
    """Decode a body; the quotes of a JSON string around it are no part of it."""
    try:
        return base64.b64decode(text.strip().strip(b'"'), validate=True)
    except ValueError:
        raise configuration_error(
            "Unable to base64 decode the body", hint="the body was to be sent as binary"
        ) from None
