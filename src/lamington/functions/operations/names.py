"""A function's name in every form that the API takes, and what it stands for.

Left to others: whether there is such a function (`registry`).
"""

import re
from dataclasses import dataclass

from lamington.core.aws import Scope
from lamington.functions.entities import (
    AccessDeniedException,
    InvalidParameterValueException,
    ResourceNotFoundException,
    ValidationException,
)

FUNCTION_NAME_PATTERN = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?"
    r"(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?"
)
"""As AWS prints it where a name does not match."""

QUALIFIER_PATTERN = r"\$(LATEST(\.PUBLISHED)?)|[a-zA-Z0-9-_$]+"

NAME_LENGTH_MAX = 64
NAME_AS_ARN_LENGTH_MAX = 140

_FORM = re.compile(
    r"(?:arn:(?P<partition>aws[a-zA-Z-]*)?:lambda:)?"
    r"(?:(?P<region>(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d):)?"
    r"(?:(?P<account>\d{12}):)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9-_]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?"
)
_QUALIFIER = re.compile(QUALIFIER_PATTERN)

FUNCTION_ONLY = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support"
    " this operation. Please specify either a function name or an unqualified function ARN."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionReference:
    """What a request names: a function, and with a qualifier one version or alias of it."""

    function_name: str
    qualifier: str
    scope: Scope

    @property
    def function_arn(self) -> str:
        """The unqualified ARN."""
        return self.scope.arn("lambda", f"function:{self.function_name}")

    @property
    def arn(self) -> str:
        """The ARN as the request names it."""
        return f"{self.function_arn}:{self.qualifier}" if self.qualifier else self.function_arn

    def not_found(self) -> ResourceNotFoundException:
        return ResourceNotFoundException(f"Function not found: {self.arn}")


def parse_reference(text: str, scope: Scope, qualifier: str = "") -> FunctionReference:
    """Read a name, partial ARN or ARN, and the request's own qualifier beside it.

    Raises ValidationException, InvalidParameterValueException where two qualifiers differ,
    ResourceNotFoundException for another region and AccessDeniedException for another account.

    AWS: FunctionName of the Lambda API; the texts are the service's.
    Differs: no function answers to another account.
    """
    form = _require_form(text)
    if qualifier and (not _QUALIFIER.fullmatch(qualifier) or len(qualifier) > 128):
        raise ValidationException(_unmatched("qualifier", qualifier, QUALIFIER_PATTERN))
    name, named = form["name"], form["qualifier"] or ""
    if named and qualifier and named != qualifier:
        raise InvalidParameterValueException(
            "The derived qualifier from the function name does not match the specified qualifier."
        )
    if form["region"] and form["region"] != scope.region:
        raise ResourceNotFoundException(
            f"Functions from '{form['region']}' are not reachable in this region ('{scope.region}')"
        )
    if form["account"] and form["account"] != scope.account_id:
        raise AccessDeniedException(
            f"User: arn:{scope.partition}:iam::{scope.account_id}:root is not authorized to access"
            f" resource: {text} because no resource-based policy allows it"
        )
    if len(name) > NAME_LENGTH_MAX:
        raise InvalidParameterValueException(_too_long(name, NAME_LENGTH_MAX))
    return FunctionReference(function_name=name, qualifier=named or qualifier, scope=scope)


def parse_function(text: str, scope: Scope) -> FunctionReference:
    """Read the name of a function as a whole: a qualifier is refused."""
    reference = parse_reference(text, scope)
    if reference.qualifier:
        raise InvalidParameterValueException(FUNCTION_ONLY)
    return reference


def parse_new_name(text: str, scope: Scope) -> FunctionReference:
    """Read the name of a function to create: a name of 64 characters or an unqualified ARN."""
    reference = parse_reference(text, scope)
    if reference.qualifier:
        raise InvalidParameterValueException(
            f"1 validation error detected: Value '{text}' at 'functionName' failed to satisfy"
            " constraint: The function name must not have a qualifier"
        )
    return reference


def reference_of(function_arn: str) -> FunctionReference:
    """What a full function ARN names, in the account and region that it names.

    Raises ResourceNotFoundException for a text that is no function's ARN.
    """
    parts = function_arn.split(":")
    if len(parts) not in (7, 8) or parts[2] != "lambda" or parts[5] != "function":
        raise ResourceNotFoundException(f"Function not found: {function_arn}")
    return FunctionReference(
        function_name=parts[6],
        qualifier=parts[7] if len(parts) == 8 else "",
        scope=Scope(account_id=parts[4], region=parts[3]),
    )


def _require_form(text: str) -> dict[str, str]:
    if len(text) > NAME_AS_ARN_LENGTH_MAX:
        limit = NAME_AS_ARN_LENGTH_MAX if ":" in text else NAME_LENGTH_MAX
        raise InvalidParameterValueException(_too_long(text, limit))
    form = _FORM.fullmatch(text)
    if form is None:
        raise ValidationException(_unmatched("functionName", text, FUNCTION_NAME_PATTERN))
    return form.groupdict()


def _too_long(name: str, limit: int) -> str:
    return (
        f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy"
        f" constraint: Member must have length less than or equal to {limit}"
    )


def _unmatched(member: str, value: str, pattern: str) -> str:
    return (
        f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy"
        f" constraint: Member must satisfy regular expression pattern: {pattern}"
    )
