"""The Extensions API of one environment: who is registered, where each stands, what it is told.

External extensions are processes of their own, known by name before they start; internal ones
live in the runtime's process and appear by registering. Left to others: starting and ending the
processes (`environment`), HTTP (`api_connection`).
"""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Collection, Mapping
from enum import Enum
from typing import Final, Protocol

import msgspec

from lamington.functions.api_connection import ApiRequest, render_refusal
from lamington.functions.link import SANDBOX_FAILURE, InitFailure, failed_init

EXTENSIONS_MAX = 10
ACCEPTED: Final = b'{"status":"OK"}\n'
NOT_ALLOWED: Final = "State transition is not allowed"
IDENTIFIER: Final = b"lambda-extension-identifier"
ERROR_TYPE: Final = b"lambda-extension-function-error-type"


class ExtensionState(Enum):
    """Where an extension is; the values are AWS's names, which refusals show."""

    STARTED = "Started"
    REGISTERED = "Registered"
    READY = "Ready"
    RUNNING = "Running"
    INIT_ERROR = "InitError"
    EXIT_ERROR = "ExitError"
    EXITED = "Exited"


TRANSITIONS: Mapping[ExtensionState, frozenset[ExtensionState]] = {
    ExtensionState.STARTED: frozenset({ExtensionState.REGISTERED}),
    ExtensionState.REGISTERED: frozenset(
        {ExtensionState.READY, ExtensionState.INIT_ERROR, ExtensionState.EXIT_ERROR}
    ),
    ExtensionState.READY: frozenset({ExtensionState.EXIT_ERROR}),
    ExtensionState.RUNNING: frozenset({ExtensionState.READY, ExtensionState.EXIT_ERROR}),
    ExtensionState.INIT_ERROR: frozenset({ExtensionState.INIT_ERROR}),
    ExtensionState.EXIT_ERROR: frozenset({ExtensionState.EXIT_ERROR}),
    ExtensionState.EXITED: frozenset(),
}
"""What an extension may ask for; the rest is refused."""

FAILED = (ExtensionState.INIT_ERROR, ExtensionState.EXIT_ERROR, ExtensionState.EXITED)


class Extension:
    """One extension, external or internal."""

    __slots__ = (
        "error_type",
        "events",
        "external",
        "identifier",
        "name",
        "pending",
        "poll",
        "shutting",
        "state",
    )

    def __init__(self, name: str, *, external: bool) -> None:
        self.name = name
        self.external = external
        self.identifier = str(uuid.uuid4())
        self.events: tuple[str, ...] = ()
        self.state = ExtensionState.STARTED
        self.error_type = ""
        self.poll: ApiRequest | None = None
        self.pending: deque[bytes] = deque(maxlen=2)
        self.shutting = False
        """It has been told to shut down, and has not come back yet."""

    def deliver(self, event: bytes) -> None:
        """Answer its long poll, or keep the event until it asks."""
        poll = self.poll
        if poll is None:
            self.pending.append(event)
            return
        self.poll = None
        self.state = ExtensionState.RUNNING
        poll.answer(
            200,
            event,
            "Content-Type: application/json\r\n"
            f"Lambda-Extension-Event-Identifier: {uuid.uuid4()}\r\n",
        )


class ExtensionsListener(Protocol):
    """Is told what the extensions of an environment do."""

    def extension_turned(self) -> None:
        """One is at its Next, or will not be any more."""

    def extension_failed(self, error_type: str, text: str) -> None: ...

    def extension_settled_init(self, extension: Extension) -> None:
        """The init is over; this is how one came out of it."""


class Extensions:
    """All extensions of one environment, for one init after the other."""

    def __init__(
        self,
        listener: ExtensionsListener,
        described: bytes,
        described_with_account: bytes,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`described` is what those that register are told of the function."""
        self._listener = listener
        self._described = described
        self._described_with_account = described_with_account
        self._loop = loop
        self._by_name: dict[str, Extension] = {}
        self._by_identifier: dict[str, Extension] = {}
        self._open = False
        self._over = False
        self._shut_down: asyncio.Future[None] | None = None
        self.initialised: asyncio.Future[InitFailure | None] = loop.create_future()
        self.registered: asyncio.Future[None] = loop.create_future()

    # What the environment does.

    def begin(self, external: Collection[str]) -> None:
        """Start over: registration is open, and these are expected."""
        self.abandon_init()
        self._by_name = {name: Extension(name, external=True) for name in external}
        self._by_identifier = {}
        self._open = True
        self._over = False
        self.initialised = self._loop.create_future()
        self.registered = self._loop.create_future()
        self._check_init()

    def end_registration(self) -> None:
        self._open = False
        self._check_init()

    def abandon_init(self) -> None:
        """Let go of those who wait for the init: the environment ends or starts over."""
        if not self.initialised.done():
            self.initialised.set_result(SANDBOX_FAILURE)
        if not self.registered.done():
            self.registered.set_result(None)
        if self._shut_down is not None and not self._shut_down.done():
            self._shut_down.set_result(None)

    def exited(self, name: str, exit_text: str) -> None:
        """Take note that the process of an external extension has ended.

        AWS: one that ends by itself is a crash, whatever its exit status.
        """
        extension = self._by_name.get(name)
        if extension is None or extension.state is ExtensionState.EXITED:
            return
        reported = extension.state in (ExtensionState.INIT_ERROR, ExtensionState.EXIT_ERROR)
        extension.state = ExtensionState.EXITED
        extension.poll = None
        extension.shutting = False
        extension.pending.clear()
        if not reported and not self._over:
            extension.error_type = "Extension.Crash"
            self._fail("Extension.Crash", exit_text or "exit status 0")
        self._check_shut_down()
        self._listener.extension_turned()

    def tell(self, kind: str, event: bytes) -> bool:
        """Give an event to all who asked for its kind; says whether anybody did."""
        told = False
        for extension in self._by_name.values():
            if kind in extension.events and extension.state not in FAILED:
                told = True
                extension.deliver(event)
        return told

    async def shut_down(self, reason: str, limit_s: float) -> None:
        """Send SHUTDOWN, and wait until all who asked for it have come back or are gone.

        From now on an exit is no failure, of whomever.
        """
        self._over = True
        asked = [
            each
            for each in self._by_name.values()
            if "SHUTDOWN" in each.events and each.state not in FAILED
        ]
        if not asked:
            return
        self._shut_down = self._loop.create_future()
        event = render_shutdown(reason, int((time.time() + limit_s) * 1000))
        for extension in asked:
            extension.shutting = True
            extension.pending.clear()
            extension.deliver(event)
        await asyncio.wait([self._shut_down], timeout=limit_s)
        self._shut_down = None

    @property
    def present(self) -> bool:
        return bool(self._by_name)

    @property
    def settled(self) -> bool:
        """Whether all are at their Next, with nothing to be told."""
        for extension in self._by_name.values():
            if extension.state is not ExtensionState.READY and extension.state not in FAILED:
                return False
        return True

    def named(self, identifier: str) -> str:
        """The name behind an identifier, or nothing."""
        extension = self._by_identifier.get(identifier)
        return extension.name if extension is not None else ""

    # What extensions ask.

    def register(self, request: ApiRequest) -> None:
        name = request.field(b"lambda-extension-name")
        if not name:
            refuse(request, "Extension.InvalidExtensionName", "Empty extension name")
            return
        try:
            events = _parse_events(request.body)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            refuse(request, "InvalidRequestFormat", str(error))
            return
        extension = self._by_name.get(name)
        external = extension is not None and extension.external
        for each in events:
            problem = _event_problem(each, external=external)
            if problem:
                refuse(request, "Extension.InvalidEventType", f"{each}: {problem}")
                return
        if not external:
            extension = self._new_internal(request, name)
        if extension is None:
            return
        if not self._move(request, extension, ExtensionState.REGISTERED, extension.name):
            return
        extension.events = tuple(dict.fromkeys(events))
        self._by_identifier[extension.identifier] = extension
        features = request.field(b"lambda-extension-accept-feature").split(",")
        accepts_account = "accountId" in [each.strip() for each in features]
        request.answer(
            200,
            self._described_with_account if accepts_account else self._described,
            "Content-Type: application/json\r\n"
            f"Lambda-Extension-Identifier: {extension.identifier}\r\n",
        )
        self._check_init()

    def _new_internal(self, request: ApiRequest, name: str) -> Extension | None:
        if not self._open:
            refuse(request, "Extension.RegistrationClosed", "Extension registration closed already")
        elif name in self._by_name:
            refuse(
                request,
                "Extension.InvalidExtensionState",
                "Extension with this name already registered",
            )
        elif len(self._by_name) >= EXTENSIONS_MAX:
            refuse(
                request,
                "Extension.TooManyExtensions",
                f"Extension limit ({EXTENSIONS_MAX}) reached",
            )
        else:
            self._by_name[name] = Extension(name, external=False)
            return self._by_name[name]
        return None

    def next(self, request: ApiRequest) -> None:
        """Hold the request until there is an event.

        Differs: an extension whose connection broke while it waited may ask again.
        """
        identifier = self.identify(request)
        if not identifier:
            return
        extension = self._by_identifier.get(identifier)
        if extension is None:
            refuse(
                request, "Extension.UnknownExtensionIdentifier", f"Unknown extension {identifier}"
            )
            return
        if not self._move(request, extension, ExtensionState.READY, identifier):
            return
        extension.poll = request
        if extension.pending:
            extension.deliver(extension.pending.popleft())
            return
        if extension.shutting:
            extension.shutting = False
            self._check_shut_down()
        self._check_init()
        self._listener.extension_turned()

    def report(self, request: ApiRequest, state: ExtensionState) -> None:
        """Take what was posted to /init/error or /exit/error."""
        identifier = self.identify(request)
        if not identifier:
            return
        error_type = request.field(ERROR_TYPE)
        if not error_type:
            refuse(
                request,
                "Extension.MissingHeader",
                "Lambda-Extension-Function-Error-Type not found",
            )
            return
        extension = self._by_identifier.get(identifier)
        if extension is None:
            refuse(
                request,
                "Extension.UnknownExtensionIdentifier",
                "Unknown Lambda-Extension-Identifier",
            )
            return
        again = extension.state is state
        shown = "Exited" if state is ExtensionState.EXIT_ERROR else state.value
        if not self._move(request, extension, state, identifier, shown):
            return
        request.answer(202, ACCEPTED)
        if again:
            return
        extension.error_type = error_type
        if extension.poll is not None:
            extension.poll = None
        platform_type = (
            "Extension.InitError" if state is ExtensionState.INIT_ERROR else "Extension.ExitError"
        )
        if not self._over:
            self._fail(platform_type, error_type)
        extension.shutting = False
        self._check_shut_down()

    def abandoned(self, request: ApiRequest) -> None:
        """Take note that a client has left while it waited."""
        for extension in self._by_identifier.values():
            if extension.poll is request:
                extension.poll = None
                extension.state = ExtensionState.RUNNING

    def identify(self, request: ApiRequest) -> str:
        """The identifier in a request's header; refuses one that is missing or is no UUID."""
        given = request.field(IDENTIFIER)
        if not given:
            refuse(
                request,
                "Extension.MissingExtensionIdentifier",
                "Missing Lambda-Extension-Identifier header",
            )
            return ""
        try:
            return str(uuid.UUID(given))
        except ValueError:
            refuse(
                request,
                "Extension.InvalidExtensionIdentifier",
                "Invalid Lambda-Extension-Identifier",
            )
            return ""

    def _move(
        self,
        request: ApiRequest,
        extension: Extension,
        state: ExtensionState,
        shown_extension: str,
        shown_state: str = "",
    ) -> bool:
        if state in TRANSITIONS[extension.state]:
            extension.state = state
            return True
        refuse(
            request,
            "Extension.InvalidExtensionState",
            f"State transition from {extension.state.value} to {shown_state or state.value}"
            f" failed for extension {shown_extension}. Error: {NOT_ALLOWED}",
        )
        return False

    def _fail(self, error_type: str, text: str) -> None:
        if self.initialised.done():
            self._listener.extension_failed(error_type, text)
            return
        self._end_init(failed_init(error_type, text))

    def _check_init(self) -> None:
        extensions = self._by_name.values()
        if not self.registered.done() and not any(
            each.state is ExtensionState.STARTED for each in extensions
        ):
            self.registered.set_result(None)
        if not self._open and not self.initialised.done() and self.settled:
            self._end_init(None)

    def _end_init(self, failure: InitFailure | None) -> None:
        self._open = False
        self.initialised.set_result(failure)
        if not self.registered.done():
            self.registered.set_result(None)
        for extension in self._by_name.values():
            self._listener.extension_settled_init(extension)

    def _check_shut_down(self) -> None:
        waited = self._shut_down
        if waited is None or waited.done():
            return
        if not any(each.shutting for each in self._by_name.values()):
            waited.set_result(None)


def render_invoke(request_id: str, function_arn: str, trace_id: str, deadline_ms: int) -> bytes:
    """The INVOKE event; its members are in AWS's order."""
    event: dict[str, object] = {
        "eventType": "INVOKE",
        "deadlineMs": deadline_ms,
        "requestId": request_id,
        "invokedFunctionArn": function_arn,
    }
    if trace_id:
        event["tracing"] = {"type": "X-Amzn-Trace-Id", "value": trace_id}
    return msgspec.json.encode(event)


def render_shutdown(reason: str, deadline_ms: int) -> bytes:
    """The SHUTDOWN event; the reason is SPINDOWN, TIMEOUT or FAILURE."""
    return msgspec.json.encode(
        {"eventType": "SHUTDOWN", "deadlineMs": deadline_ms, "shutdownReason": reason}
    )


def refuse(request: ApiRequest, error_type: str, message: str) -> None:
    request.answer(403, render_refusal(error_type, message))


def _parse_events(body: bytes) -> list[str]:
    asked = msgspec.json.decode(body, type=dict[str, object])
    if asked.get("configurationKeys"):
        raise msgspec.ValidationError(
            "configurationKeys are deprecated; use environment variables instead"
        )
    return msgspec.convert(asked.get("events") or [], list[str])


def _event_problem(event: str, *, external: bool) -> str:
    if event not in ("INVOKE", "SHUTDOWN"):
        return "ErrorInvalidEventType"
    if event == "SHUTDOWN" and not external:
        return "ShutdownEventNotSupportedForInternalExtension"
    return ""
