"""What a payload must be before a function gets it: JSON of a size, in the service's words.

Pure. Left to others: what happens with it (`invoke`).
"""

import base64
import binascii
import json

import msgspec

from lamington.functions.entities import (
    CLIENT_CONTEXT_MAX_BYTES,
    EVENT_PAYLOAD_MAX_BYTES,
    REQUEST_PAYLOAD_MAX_BYTES,
    InvalidParameterValueException,
    InvalidRequestContentException,
    RequestTooLargeException,
)

_DECODER = msgspec.json.Decoder()
_EXPECTED = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
_WANTED = {
    "Expecting property name enclosed in double quotes": (
        "was expecting double-quote to start field name"
    ),
    "Expecting ':' delimiter": "was expecting a colon to separate field name and value",
}
"""What the service's JSON reader says where Python's says this."""
_SOURCE = "REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled)"


def require_payload(payload: bytes, invocation_type: str) -> None:
    """Raise where the payload is too large for the invocation type, or is not JSON.

    AWS: Invoke; an empty payload is allowed.
    """
    limit = EVENT_PAYLOAD_MAX_BYTES if invocation_type == "Event" else REQUEST_PAYLOAD_MAX_BYTES
    if len(payload) > limit:
        raise RequestTooLargeException(
            f"{len(payload)} byte payload is too large for the {invocation_type} invocation type"
            f" (limit {limit} bytes)"
        )
    if not payload:
        return
    try:
        _DECODER.decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError):
        if _is_json(payload):
            return
        raise InvalidRequestContentException(
            "Could not parse request body into json: Could not parse payload into json: "
            + _complaint(payload)
        ) from None


def _is_json(payload: bytes) -> bool:
    """Whether it is JSON after all, with numbers or surrogates that the decoder cannot hold."""
    try:
        # `NaN` and its like are given to parse_constant, which refuses them.
        json.loads(payload.decode(), parse_constant=int)
    except (ValueError, RecursionError):
        return False
    return True


def _complaint(payload: bytes) -> str:
    """What the service's JSON reader says, for the commonest mistakes to the letter."""
    text = payload.decode("utf-8", "replace")
    reason = ""
    try:
        json.loads(text)
        offset = 0
    except json.JSONDecodeError as error:
        offset, reason = error.pos, error.msg
    except RecursionError:
        offset = len(text) - 1
    before = text[:offset]
    line = before.count("\n") + 1
    column = offset - before.rfind("\n")
    if offset >= len(text.rstrip()):
        what = "Unexpected end-of-input"
        column += 1
    elif reason in _WANTED:
        character = text[offset]
        what = f"Unexpected character ('{character}' (code {ord(character)})): {_WANTED[reason]}"
    elif text[offset].isalpha():
        token = ""
        for character in text[offset:]:
            if not (character.isalnum() or character in "_$"):
                break
            token += character
        what = f"Unrecognized token '{token}': was expecting {_EXPECTED}"
        column += len(token)
    else:
        character = text[offset]
        what = (
            f"Unexpected character ('{character}' (code {ord(character)})): expected a valid value"
            f" {_EXPECTED}"
        )
    return f"{what}\n at [Source: {_SOURCE}; line: {line}, column: {column}]"


def client_context_of(encoded: str) -> str:
    """The JSON text of a client context; raises where it is too long or is not base64 of JSON.

    AWS: at most 3,583 bytes of base64 text.
    """
    if len(encoded) > CLIENT_CONTEXT_MAX_BYTES:
        raise InvalidRequestContentException(
            f"Client context must be no more than {CLIENT_CONTEXT_MAX_BYTES} bytes."
        )
    try:
        text = base64.b64decode(encoded, validate=True).decode()
        _DECODER.decode(text)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        raise InvalidParameterValueException(
            "Client context must be a valid Base64-encoded JSON object."
        ) from None
    return text
