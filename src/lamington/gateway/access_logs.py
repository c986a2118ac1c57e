"""Access logs: a line for each request, in the format that its stage gives.

The format is compiled once to a function that asks for each name of `$context`; what a name means
is the API's to say (`completed` for REST APIs). One line for all kinds of API.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lamington.core.aws import Arn, Scope
from lamington.core.errors import LamingtonError
from lamington.gateway.entities import BadRequestException

FORMAT_BYTES_MAX = 3 * 1024
MISSING = "-"

ContextLookup = Callable[[str], str | None]
"""Takes a name of `$context` without that prefix; None where it is not known or not set."""

AccessLine = Callable[[ContextLookup], str]

_NAME = r"[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)*"
_PATH = rf"{_NAME}(?:\.{_NAME}|\['[^'\]]+'\])*"
_VARIABLE = re.compile(rf"\$(?:\{{context\.({_PATH})\}}|context\.({_PATH}))")
_BRACKETED = re.compile(r"\['([^'\]]+)'\]")
_IDENTIFIERS = frozenset({"requestId", "extendedRequestId"})


@dataclass(frozen=True, slots=True)
class AccessLog:
    """Where the lines of a stage go, and what makes them."""

    scope: Scope
    group: str
    line: AccessLine


def compile_access_log(text: str) -> AccessLine:
    """Compile a format to what renders one line.

    AWS: API Gateway developer guide, access logging: only variables of `$context`, each as its
    plain text; what has no value is `-`.
    """
    literals: list[str] = []
    names: list[str] = []
    end = 0
    text = text.rstrip("\r\n")
    for found in _VARIABLE.finditer(text):
        literals.append(text[end : found.start()])
        names.append(_BRACKETED.sub(r".\1", found[1] or found[2]))
        end = found.end()
    rest = text[end:]
    pairs = tuple(zip(literals, names, strict=True))

    def line(lookup: ContextLookup) -> str:
        parts = []
        for literal, name in pairs:
            parts.append(literal)
            parts.append(lookup(name) or MISSING)
        parts.append(rest)
        return "".join(parts)

    return line


def compile_access_settings(settings: Mapping[str, str], scope: Scope) -> AccessLog | None:
    """Compile a stage's access log; None without one, and for a destination that gets none.

    `settings` are `destinationArn` and `format`.
    """
    group = group_of(settings.get("destinationArn", ""))
    text = settings.get("format", "")
    if not group or not text:
        return None
    arn = Arn.parse(settings["destinationArn"])
    owner = Scope(
        account_id=arn.account_id if arn.account_id.isdecimal() else scope.account_id,
        region=arn.region or scope.region,
    )
    return AccessLog(owner, group, compile_access_log(text))


def group_of(destination: str) -> str:
    """The log group that a destination names; "" for what is none, such as a Firehose stream."""
    try:
        arn = Arn.parse(destination)
    except LamingtonError:
        return ""
    name = arn.resource.removeprefix("log-group:")
    return name.removesuffix(":*") if arn.service == "logs" and name != arn.resource else ""


def require_access_log(settings: Mapping[str, str], *, rest: bool = True) -> None:
    """Check what a client gives for a stage's access log; raises BadRequestException.

    `settings` as in `compile_access_settings`. `rest` tells that the stage is one of a REST API.

    AWS: recorded refusals of formats; those of HTTP and WebSocket APIs open with a sentence of
    their own.
    Differs: that the log group exists, and that the account has a role for CloudWatch, is not
    asked; a group that is missing is made with its first line. The texts for a bad ARN and for a
    format that is too long are likely ones.
    """
    destination = settings.get("destinationArn", "")
    if destination:
        _require_destination(destination)
    text = settings.get("format", "")
    if not text:
        return
    opening = "" if rest else "The following errors are found in Access Log Format: "
    inner = text.removesuffix("\n").removesuffix("\r") if rest else text
    if "\n" in inner or "\r" in inner:
        where = ", new line character is allowed only at end of the format" if rest else ""
        raise BadRequestException(
            f"{opening}Access Log format must be single line{where}: '{text}'"
        )
    if not _IDENTIFIERS.intersection(found[1] or found[2] for found in _VARIABLE.finditer(text)):
        raise BadRequestException(
            f"{opening}Access Log format must include either $context.requestId or"
            f" $context.extendedRequestId : '{text}'"
        )
    if len(text.encode()) > FORMAT_BYTES_MAX:
        raise BadRequestException(
            f"{opening}Access Log format must not exceed {FORMAT_BYTES_MAX} bytes"
        )


def undelivered(settings: Mapping[str, str]) -> str:
    """What to tell a user of a destination that gets no lines here; "" where there is nothing."""
    destination = settings.get("destinationArn", "")
    if not destination or group_of(destination):
        return ""
    return f"Access logs do not go to `{destination}`: only to log groups."


def _require_destination(destination: str) -> None:
    if group_of(destination):
        return
    try:
        arn = Arn.parse(destination)
    except LamingtonError:
        raise BadRequestException(
            "Invalid ARN specified in the request. ARNs must start with 'arn:' and contain at"
            f" least 6 elements separated by colons (:): {destination}"
        ) from None
    name = arn.resource.removeprefix("deliverystream/")
    if arn.service != "firehose" or not name.startswith("amazon-apigateway-"):
        raise BadRequestException(
            f"Invalid access log destination: {destination}",
            hint="name a log group, or a Firehose stream whose name begins with"
            " `amazon-apigateway-`",
        )
