"""What the Runtime API says: names of states, the header of an invocation, payloads and refusals.

Pure. Left to others: when it is said (`runtime_api`).
"""

import base64
import binascii
import re
from collections.abc import Mapping
from enum import Enum

import msgspec

from lamington.functions.api_connection import render_refusal
from lamington.functions.link import Request, error_payload

ERROR_TYPES = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")


class RuntimeState(Enum):
    """Where the runtime is; the values are AWS's names, which refusals show."""

    STARTED = "Started"
    INIT_ERROR = "InitError"
    READY = "Ready"
    RUNNING = "Running"
    RESTORE_READY = "RestoreReady"
    RESTORING = "Restoring"
    RESTORE_ERROR = "RuntimeRestoreErrorState"
    RESPONSE = "InvocationResponse"
    ERROR_RESPONSE = "InvocationErrorResponse"
    RESPONSE_SENT = "RuntimeResponseSentState"


TRANSITIONS: Mapping[RuntimeState, frozenset[RuntimeState]] = {
    RuntimeState.STARTED: frozenset(
        {RuntimeState.READY, RuntimeState.INIT_ERROR, RuntimeState.RESTORE_READY}
    ),
    RuntimeState.INIT_ERROR: frozenset(),
    RuntimeState.READY: frozenset({RuntimeState.READY}),
    RuntimeState.RUNNING: frozenset(
        {RuntimeState.READY, RuntimeState.RESPONSE, RuntimeState.ERROR_RESPONSE}
    ),
    RuntimeState.RESTORE_READY: frozenset(),
    RuntimeState.RESTORING: frozenset({RuntimeState.READY, RuntimeState.RESTORE_ERROR}),
    RuntimeState.RESTORE_ERROR: frozenset(),
    RuntimeState.RESPONSE: frozenset(),
    RuntimeState.ERROR_RESPONSE: frozenset(),
    RuntimeState.RESPONSE_SENT: frozenset({RuntimeState.READY}),
}
"""What the runtime may ask for; the rest is refused."""


def render_next_fields(request: Request, deadline_ms: int) -> str:
    """The header of an invocation: each field only where it has a value."""
    fields = (
        f"Content-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: {request.request_id}\r\n"
        f"Lambda-Runtime-Deadline-Ms: {deadline_ms}\r\n"
        f"Lambda-Runtime-Invoked-Function-Arn: {request.function_arn}\r\n"
    )
    if request.trace_id:
        fields += f"Lambda-Runtime-Trace-Id: {_one_line(request.trace_id)}\r\n"
    if request.client_context:
        fields += f"Lambda-Runtime-Client-Context: {_one_line(request.client_context)}\r\n"
    return fields


def known_error_type(given: str) -> str:
    """The error type as logs and telemetry show it.

    AWS: one that is not of the documented form is `Runtime.Unknown` or `Function.Unknown`.
    """
    if ERROR_TYPES.fullmatch(given):
        return given
    return "Function.Unknown" if given.startswith("Function.") else "Runtime.Unknown"


def render_too_large(limit_bytes: int) -> bytes:
    """What the caller gets for a response that is too long."""
    text = f"Response payload size exceeded maximum allowed payload size ({limit_bytes} bytes)."
    return msgspec.json.encode({"errorMessage": text, "errorType": "Function.ResponseSizeTooLarge"})


def render_too_large_refusal(limit_bytes: int) -> bytes:
    """What the runtime gets for a response that is too long."""
    text = f"Exceeded maximum allowed payload size ({limit_bytes} bytes)."
    return render_refusal("RequestEntityTooLarge", text)


def render_truncated(request_id: str) -> bytes:
    """What the caller gets of a response that broke off.

    AWS: the type is documented.
    Differs: the text is ours.
    """
    return error_payload("Runtime.TruncatedResponse", request_id, "the response broke off")


def trailer_payload(encoded: bytes | None, error_type: str) -> bytes:
    """The error of a stream that failed: base64 of what the caller gets."""
    if not encoded:
        return msgspec.json.encode({"errorType": error_type})
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return encoded


def _one_line(text: str) -> str:
    """A header's value; JSON may hold line breaks, which mean nothing there."""
    if "\r" in text or "\n" in text:
        return text.replace("\r", " ").replace("\n", " ")
    return text
