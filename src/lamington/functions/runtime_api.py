"""The HTTP Runtime API of one execution environment, and the link to a runtime that speaks it.

The same port serves the Extensions, Telemetry and Logs APIs. Nothing is kept by name of a
process: whoever reaches the port is the environment. Left to others: HTTP itself
(`api_connection`), what extensions may do (`extensions`), how events are delivered
(`telemetry_api`), and what the outcome of an invocation means (`environment`).
"""

import asyncio
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import msgspec

from lamington.functions.api_connection import (
    TEXT_FIELDS,
    ApiRequest,
    ApiServer,
    render_refusal,
)
from lamington.functions.entities import STREAMED_RESPONSE_MAX_BYTES
from lamington.functions.extensions import (
    ACCEPTED,
    NOT_ALLOWED,
    Extension,
    Extensions,
    ExtensionState,
    refuse,
    render_invoke,
)
from lamington.functions.launch import CREDENTIALS_PATH
from lamington.functions.link import (
    ERROR,
    RESULT,
    InitFailure,
    Request,
    posted_failure,
)
from lamington.functions.runtime_texts import (
    TRANSITIONS,
    RuntimeState,
    known_error_type,
    render_next_fields,
    render_too_large,
    render_too_large_refusal,
    render_truncated,
    trailer_payload,
)
from lamington.functions.telemetry_api import LOGS, TELEMETRY, Telemetry, TelemetryForm

TRUNCATED_GRACE_S = 0.05
DRAIN_LIMIT_S = 0.5
CREDENTIALS_LAST: Final = timedelta(hours=6)

RUNTIME: Final = "/2018-06-01/runtime/"
INVOCATION: Final = RUNTIME + "invocation/"
EXTENSION: Final = "/2020-01-01/extension/"
FUNCTION_ERROR_TYPE: Final = b"lambda-runtime-function-error-type"
FUNCTION_ERROR_BODY: Final = b"lambda-runtime-function-error-body"
RESPONSE_MODE: Final = b"lambda-runtime-function-response-mode"
OUTCOME = re.compile(re.escape(INVOCATION) + r"([^/]+)/(response|error)")


class ApiListener(Protocol):
    """Whom an environment's API tells what matters to its life."""

    def settled(self) -> None:
        """The invocation is over: the runtime, if it speaks the API, and all extensions are at
        their Next."""

    def extension_failed(self, error_type: str, text: str) -> None:
        """An extension has posted /exit/error, or its process has ended, after the init."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiFacts:
    """What the API knows of the function.

    With `snap_start` the runtime may wait for its restore at `restore/next`; `json_logs` is
    whether lines of its output that are JSON objects are telemetry's records as they are.
    """

    function_name: str
    function_version: str
    handler: str
    account_id: str
    response_max_bytes: int
    runtime_speaks_api: bool
    snap_start: bool = False
    credentials: tuple[str, str, str] = ("", "", "")
    credentials_token: str = ""
    json_logs: bool = False


class _Invocation:
    """The invocation that the runtime has, or is about to get."""

    __slots__ = ("body", "fields", "request_id")

    def __init__(self, request: Request, deadline_ms: int) -> None:
        self.request_id = request.request_id
        self.body = request.payload
        self.fields = render_next_fields(request, deadline_ms)


class ServedRuntime(Protocol):
    """Who is told what the runtime has asked for: its link."""

    def ready(self) -> None: ...

    def init_failed(self, error_type: str, posted: bytes) -> None: ...

    def stream_began(self, request: ApiRequest) -> None: ...

    def streamed(self, chunk: bytes) -> None: ...

    def received(self, kind: int, payload: bytes) -> None: ...


class EnvironmentApi:
    """The APIs served to one environment on a port of its own, for one init after the other."""

    def __init__(
        self,
        facts: ApiFacts,
        listener: ApiListener,
        loop: asyncio.AbstractEventLoop,
        note: Callable[[str, Mapping[str, object]], None] | None = None,
    ) -> None:
        """`note` gets the platform events that arise here (platform.extension,
        platform.telemetrySubscription, platform.logsSubscription), for the log."""
        self._facts = facts
        self._listener = listener
        self._loop = loop
        self._note = note or _ignore
        described = {
            "functionName": facts.function_name,
            "functionVersion": facts.function_version,
            "handler": facts.handler,
        }
        self._server = ApiServer(self, loop)
        self._extensions = Extensions(
            self,
            msgspec.json.encode(described) + b"\n",
            msgspec.json.encode({**described, "accountId": facts.account_id}) + b"\n",
            loop,
        )
        self._telemetry = Telemetry(loop, self._note, json_records=facts.json_logs)
        self._link: ServedRuntime | None = None
        self._state = RuntimeState.STARTED
        self._polls: list[ApiRequest] = []
        self._restore_poll: ApiRequest | None = None
        self._restored: asyncio.Future[InitFailure | None] | None = None
        self._invocation: _Invocation | None = None
        self._awaits_settling = False
        self._told_request_id = ""
        self.address = ""
        self.error_type = ""
        """What the runtime called the last error that it posted, for telemetry."""
        self._routes: Mapping[str, tuple[str, Callable[[ApiRequest], None]]] = {
            INVOCATION + "next": ("GET", self._next),
            RUNTIME + "init/error": ("POST", self._init_error),
            EXTENSION + "register": ("POST", self._extensions.register),
            EXTENSION + "event/next": ("GET", self._extensions.next),
            EXTENSION + "init/error": ("POST", self._extension_init_error),
            EXTENSION + "exit/error": ("POST", self._extension_exit_error),
            "/2022-07-01/telemetry": ("PUT", self._subscribe_telemetry),
            "/2020-08-15/logs": ("PUT", self._subscribe_logs),
            "/2018-06-01/ping": ("GET", _pong),
        }
        if facts.snap_start:
            self._routes = {
                **self._routes,
                RUNTIME + "restore/next": ("GET", self._restore_next),
                RUNTIME + "restore/error": ("POST", self._restore_error),
                CREDENTIALS_PATH: ("GET", self._credentials),
            }

    # What the environment does.

    async def open(self) -> None:
        self.address = await self._server.open()

    async def close(self) -> None:
        """Cut off every client; what telemetry has not delivered is lost."""
        await self._telemetry.close()
        self._extensions.abandon_init()
        self._settle_restore(None)
        await self._server.close()

    def begin_init(self, external: Collection[str]) -> "asyncio.Future[InitFailure | None]":
        """Start over, before the processes start: nobody is registered, registration is open.

        What is returned resolves after registration has ended (`end_registration`, or a runtime
        at its first Next) as soon as every extension is at its Next; earlier where one fails.
        """
        self._server.drop_connections()
        self._reset_runtime()
        self._telemetry.begin(expecting=bool(external))
        self._extensions.begin(external)
        return self._extensions.initialised

    @property
    def registered(self) -> "asyncio.Future[None]":
        """Resolves when all external extensions have registered: the runtime may start.

        AWS: extensions start before the runtime does.
        """
        return self._extensions.registered

    def end_registration(self) -> None:
        """Close registration and subscription: the runtime is ready."""
        self._telemetry.end_registration()
        self._extensions.end_registration()

    def extension_exited(self, name: str, exit_text: str) -> None:
        self._extensions.exited(name, exit_text)

    @property
    def has_extensions(self) -> bool:
        return self._extensions.present

    @property
    def is_settled(self) -> bool:
        """Whether everybody who speaks the API waits for an event."""
        if self._facts.runtime_speaks_api and (
            self._state is not RuntimeState.READY or self._invocation is not None
        ):
            return False
        return self._extensions.settled

    def tell_invocation(
        self, request_id: str, function_arn: str, trace_id: str, deadline_ms: int
    ) -> None:
        """Send INVOKE to the extensions that asked for it; once for a request id.

        `settled` follows when all are back, unless nobody asked and the runtime does not speak
        the API: `is_settled` then holds already.
        """
        if request_id == self._told_request_id:
            return
        self._told_request_id = request_id
        if self._extensions.present:
            event = render_invoke(request_id, function_arn, trace_id, deadline_ms)
            if self._extensions.tell("INVOKE", event):
                self._awaits_settling = True

    async def shut_down(self, reason: str, limit_s: float) -> None:
        """Send SHUTDOWN to those who asked for it, and wait until they are done.

        `reason` is SPINDOWN, TIMEOUT or FAILURE. What telemetry has gathered is delivered
        meanwhile. Returns when all have come back or exited, or when the limit is over.
        """
        self._awaits_settling = False
        self._telemetry.flush()
        await asyncio.gather(
            self._extensions.shut_down(reason, limit_s),
            self._telemetry.drain(min(limit_s, DRAIN_LIMIT_S)),
        )

    @property
    def subscribed(self) -> bool:
        """Whether somebody takes telemetry, or may yet subscribe to that of this init."""
        return self._telemetry.subscribed

    def publish(self, kind: str, record: Mapping[str, object]) -> None:
        self._telemetry.publish(kind, record)

    def publish_output(self, kind: str, text: bytes) -> None:
        self._telemetry.publish_output(kind, text)

    def begin_restore(self) -> "asyncio.Future[InitFailure | None]":
        """Let a runtime that waits at `restore/next` go on; resolves at its next Next.

        AWS: a runtime that never asks for `restore/next` takes no part in the restore.
        """
        restored: asyncio.Future[InitFailure | None] = self._loop.create_future()
        poll, self._restore_poll = self._restore_poll, None
        if poll is None:
            restored.set_result(None)
        else:
            self._restored = restored
            self._state = RuntimeState.RESTORING
            poll.answer(200, b"", "")
        return restored

    # The link's side.

    def attach(self, link: "ServedRuntime") -> None:
        self._link = link
        self._reset_runtime()

    def detach(self, link: "ServedRuntime") -> None:
        if self._link is link:
            self._link = None
            self._reset_runtime()

    def hand_over(self, request: Request, deadline_ms: int) -> None:
        """Give an invocation to the runtime that waits, or to the next one that asks."""
        self._invocation = _Invocation(request, deadline_ms)
        self._awaits_settling = True
        self.tell_invocation(
            request.request_id, request.function_arn, request.trace_id, deadline_ms
        )
        self._deliver()

    def _reset_runtime(self) -> None:
        self._state = RuntimeState.STARTED
        self._polls.clear()
        self._restore_poll = None
        self._settle_restore(None)
        self._invocation = None
        self._awaits_settling = False
        self._told_request_id = ""
        self.error_type = ""

    # The routes.

    def begin(self, request: ApiRequest) -> None:
        """Decide by the head: a response is checked before its body is read, as AWS does."""
        path = request.path
        route = self._routes.get(path) or self._routes.get(path.rstrip("/"))
        if route is None:
            outcome = OUTCOME.fullmatch(path)
            if outcome is None:
                request.answer(404, b"404 page not found\n", TEXT_FIELDS)
            elif request.method != "POST":
                request.answer(405, b"", "Allow: POST\r\n")
            else:
                self._begin_outcome(request, outcome[1], outcome[2])
        elif route[0] != request.method:
            request.answer(405, b"", f"Allow: {route[0]}\r\n")
        elif route[1] in (self._init_error, self._restore_error):
            request.body_bytes_max = self._facts.response_max_bytes

    def serve(self, request: ApiRequest) -> None:
        path = request.path
        route = self._routes.get(path) or self._routes.get(path.rstrip("/"))
        if route is not None:
            route[1](request)
        else:
            kind = RESULT if path.endswith("/response") else ERROR
            if kind == ERROR:
                self.error_type = known_error_type(request.field(FUNCTION_ERROR_TYPE))
            self._end_response(kind, request.body)
            request.answer(202, ACCEPTED)

    def refuse_size(self, request: ApiRequest) -> None:
        """Answer 413; the caller of the invocation gets an error, and the environment is kept.

        AWS: 6 MiB and 100 bytes.
        """
        limit = request.body_bytes_max
        if request.path.startswith(INVOCATION):
            self._end_response(ERROR, render_too_large(limit))
        request.answer(413, render_too_large_refusal(limit))

    def abandoned(self, request: ApiRequest) -> None:
        if request in self._polls:
            self._polls.remove(request)
        elif request is self._restore_poll:
            self._restore_poll = None
            self._state = RuntimeState.STARTED
        elif request.path.startswith(INVOCATION) and not request.complete:
            # The process may be gone: then it is its exit that the caller hears of.
            self._loop.call_later(TRUNCATED_GRACE_S, self._truncated, self._invocation)
        else:
            self._extensions.abandoned(request)

    def _truncated(self, invocation: _Invocation | None) -> None:
        answering = (RuntimeState.RESPONSE, RuntimeState.ERROR_RESPONSE)
        if invocation is not None and invocation is self._invocation and self._state in answering:
            self._end_response(ERROR, render_truncated(invocation.request_id))

    def _next(self, request: ApiRequest) -> None:
        """Hold the request until there is an invocation.

        AWS: while an invocation runs, asking again gives the same one again.
        """
        state = self._state
        if not self._move(request, RuntimeState.READY):
            return
        self._polls.append(request)
        if state is RuntimeState.RESPONSE_SENT:
            self._invocation = None
        elif state is RuntimeState.STARTED or state is RuntimeState.RESTORING:
            self._settle_restore(None)
            if self._link is not None:
                self._link.ready()
            self.end_registration()
        self._deliver()
        self._turned()

    def _deliver(self) -> None:
        invocation = self._invocation
        if invocation is not None and self._polls:
            self._state = RuntimeState.RUNNING
            # The newest: an older one may be a runtime's that has given up on it.
            self._polls.pop().answer(200, invocation.body, invocation.fields)

    def _begin_outcome(self, request: ApiRequest, request_id: str, kind: str) -> None:
        invocation = self._invocation
        if invocation is None or invocation.request_id != request_id:
            request.answer(400, render_refusal("InvalidRequestID", "Invalid request ID"))
            return
        is_response = kind == "response"
        state = RuntimeState.RESPONSE if is_response else RuntimeState.ERROR_RESPONSE
        if not self._move(request, state):
            return
        self.error_type = ""
        request.body_bytes_max = self._facts.response_max_bytes
        mode = request.field(RESPONSE_MODE) if is_response else ""
        if mode == "streaming":
            request.taker = _StreamedResponse(self, request, request_id)
            if self._link is not None:
                self._link.stream_began(request)
        elif mode:
            self.error_type = "Runtime.InvalidResponseModeHeader"
            self._end_response(ERROR, msgspec.json.encode({"errorType": self.error_type}))
            request.answer(
                400,
                render_refusal("InvalidFunctionResponseMode", "Invalid function response mode"),
            )

    def _end_response(self, kind: int, payload: bytes) -> None:
        self._state = RuntimeState.RESPONSE_SENT
        if self._link is not None:
            self._link.received(kind, payload)

    def end_stream(self, kind: int, payload: bytes, error_type: str = "") -> None:
        """Take the end of a streamed response, as its taker found it."""
        if self._state is RuntimeState.RESPONSE:
            self.error_type = error_type
            self._end_response(kind, payload)

    def streamed(self, chunk: bytes) -> None:
        if self._link is not None:
            self._link.streamed(chunk)

    def _init_error(self, request: ApiRequest) -> None:
        if self._state is RuntimeState.RESTORING:
            # AWS: what fails in a hook may be posted here as well.
            self._restore_error(request)
            return
        if not self._move(request, RuntimeState.INIT_ERROR):
            return
        self.error_type = known_error_type(request.field(FUNCTION_ERROR_TYPE))
        if self._link is not None:
            self._link.init_failed(self.error_type, request.body)
        request.answer(202, ACCEPTED)

    def _restore_next(self, request: ApiRequest) -> None:
        if not self._move(request, RuntimeState.RESTORE_READY):
            return
        self._restore_poll = request
        if self._link is not None:
            self._link.ready()
        self.end_registration()

    def _restore_error(self, request: ApiRequest) -> None:
        if not self._move(request, RuntimeState.RESTORE_ERROR):
            return
        self.error_type = known_error_type(request.field(FUNCTION_ERROR_TYPE))
        self._settle_restore(posted_failure(self.error_type, request.body))
        request.answer(202, ACCEPTED)

    def _credentials(self, request: ApiRequest) -> None:
        """The role's credentials, to those who have the token."""
        if request.field(b"authorization") != self._facts.credentials_token:
            request.answer(403, b"", "")
            return
        key, secret, token = self._facts.credentials
        expires = datetime.now(UTC) + CREDENTIALS_LAST
        shown = {
            "AccessKeyId": key,
            "SecretAccessKey": secret,
            "Token": token,
            "Expiration": f"{expires:%Y-%m-%dT%H:%M:%SZ}",
        }
        request.answer(200, msgspec.json.encode(shown))

    def _settle_restore(self, failure: InitFailure | None) -> None:
        restored, self._restored = self._restored, None
        if restored is not None and not restored.done():
            restored.set_result(failure)

    def _move(self, request: ApiRequest, state: RuntimeState) -> bool:
        if state in TRANSITIONS[self._state]:
            self._state = state
            return True
        refuse(
            request,
            "InvalidStateTransition",
            f"State transition from {self._state.value} to {state.value} failed for runtime."
            f" Error: {NOT_ALLOWED}",
        )
        return False

    def _extension_init_error(self, request: ApiRequest) -> None:
        self._extensions.report(request, ExtensionState.INIT_ERROR)

    def _extension_exit_error(self, request: ApiRequest) -> None:
        self._extensions.report(request, ExtensionState.EXIT_ERROR)

    def _subscribe_telemetry(self, request: ApiRequest) -> None:
        self._subscribe(request, TELEMETRY)

    def _subscribe_logs(self, request: ApiRequest) -> None:
        self._subscribe(request, LOGS)

    def _subscribe(self, request: ApiRequest, form: TelemetryForm) -> None:
        """AWS: extensions subscribe during the init, and not after it."""
        identifier = self._extensions.identify(request)
        if not identifier:
            return
        name = self._extensions.named(identifier)
        if not name:
            text = f"Unknown extension {identifier}"
            refuse(request, "Extension.UnknownExtensionIdentifier", text)
        elif self._extensions.initialised.done():
            text = f"{form.name} API subscription is closed already"
            refuse(request, f"{form.name}.SubscriptionClosed", text)
        else:
            problem = self._telemetry.subscribe(name, request.body, form)
            if problem:
                error_type = f"{form.error_prefix}ValidationError"
                request.answer(400, render_refusal(error_type, problem))
            else:
                request.answer(200, b'"OK"')

    # The extensions' side.

    def extension_turned(self) -> None:
        self._turned()

    def extension_failed(self, error_type: str, text: str) -> None:
        self._listener.extension_failed(error_type, text)

    def extension_settled_init(self, extension: Extension) -> None:
        record: dict[str, object] = {
            "name": extension.name,
            "state": extension.state.value,
            "events": list(extension.events),
        }
        if extension.error_type:
            record["errorType"] = extension.error_type
        self._telemetry.publish("platform.extension", record)
        self._note("platform.extension", record)

    def _turned(self) -> None:
        if self._awaits_settling and self.is_settled:
            self._awaits_settling = False
            # An invocation that is tried again keeps its request id.
            self._told_request_id = ""
            self._listener.settled()


class _StreamedResponse:
    """Hands on the body of one streamed response as it comes."""

    __slots__ = ("_api", "_bytes", "_request", "_request_id")

    def __init__(self, api: EnvironmentApi, request: ApiRequest, request_id: str) -> None:
        self._api = api
        self._request = request
        self._request_id = request_id
        self._bytes = 0

    def take(self, chunk: bytes) -> None:
        self._bytes += len(chunk)
        if self._bytes > STREAMED_RESPONSE_MAX_BYTES:
            limit = STREAMED_RESPONSE_MAX_BYTES
            self._api.end_stream(ERROR, render_too_large(limit), "Function.ResponseSizeTooLarge")
            self._request.answer(413, render_too_large_refusal(limit))
        else:
            self._api.streamed(chunk)

    def complete(self, trailers: Mapping[bytes, bytes]) -> None:
        """AWS: a trailer says that the function has failed in mid-stream; its body is base64."""
        error_type = trailers.get(FUNCTION_ERROR_TYPE)
        error_body = trailers.get(FUNCTION_ERROR_BODY)
        if error_type is None and error_body is None:
            self._api.end_stream(RESULT, b"")
        else:
            known = known_error_type((error_type or b"").decode("latin-1"))
            self._api.end_stream(ERROR, trailer_payload(error_body, known), known)
        self._request.answer(202, ACCEPTED)

    def broken(self) -> None:
        payload = render_truncated(self._request_id)
        self._api.end_stream(ERROR, payload, "Runtime.TruncatedResponse")


def _pong(request: ApiRequest) -> None:
    request.answer(200, b"pong", TEXT_FIELDS)


def _ignore(kind: str, record: Mapping[str, object]) -> None:
    pass
