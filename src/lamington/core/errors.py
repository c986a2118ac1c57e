"""The error hierarchy: one base, five families, each with one meaning.

A layer's own errors are subclasses of these in its `entities.py`. Inheritance is for errors only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place in a user's file; line and column count from 1, and 0 means the file as a whole."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.file
        line = f"{self.file}:{self.line}"
        return f"{line}:{self.column}" if self.column else line


class LamingtonError(Exception):
    """Anything Lamington says no to; `hint` tells what to do next and never repeats the message."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class AwsError(LamingtonError):
    """The answer to an AWS API call that is refused; the class name is the wire code.

    `members` are the further members of the modelled exception, such as Lambda's `Type`.
    """

    status: ClassVar[int] = 400
    fault: ClassVar[str] = "Sender"
    default_members: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, message: str, hint: str = "", **members: Any) -> None:
        super().__init__(message, hint)
        self.members: dict[str, Any] = {**self.default_members, **members}

    @property
    def code(self) -> str:
        return type(self).__name__


class FunctionError(LamingtonError):
    """The function failed, not the service: `error_type` is AWS's, such as `Sandbox.Timedout`."""

    def __init__(self, message: str, *, error_type: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.error_type = error_type


class GatewayError(LamingtonError):
    """Ends a request in the gateway; `response_type` names the gateway response to send."""

    def __init__(self, message: str, *, response_type: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.response_type = response_type


class ResourceError(LamingtonError):
    """A provider could not create, update or delete; `handler_code` is CloudFormation's."""

    def __init__(self, message: str, *, handler_code: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.handler_code = handler_code


class UsageError(LamingtonError):
    """The user's files or flags are wrong; `where` points at them. Exit status 2."""

    def __init__(self, message: str, *, where: Position | None = None, hint: str = "") -> None:
        super().__init__(message, hint)
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message
