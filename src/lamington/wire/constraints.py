"""Whether parameters are complete and within the bounds that the service model states.

Pure. The texts are those of AWS's common validation. Some bounds are left to the operations,
where the service's own words differ from its model's.
"""

import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from lamington.core.errors import AwsError
from lamington.wire.services import Service


class ValidationException(AwsError):
    status = 400


class ValidationError(AwsError):
    status = 400


class InvalidParameterException(AwsError):
    status = 400


class BadRequestException(AwsError):
    status = 400


REFUSALS: Mapping[str, type[AwsError]] = {
    "lambda": ValidationException,
    "apigatewayv2": BadRequestException,
    "logs": InvalidParameterException,
    "cloudformation": ValidationError,
    "sts": ValidationError,
    "iam": ValidationError,
}
"""Services that validate before they act; API Gateway has words of its own for each member
of REST APIs."""

LEFT_TO_OPERATIONS = frozenset(
    {
        ("lambda", "Runtime"),
        ("lambda", "FunctionName"),
        ("lambda", "NamespacedFunctionName"),
        ("lambda", "UnqualifiedFunctionName"),
        ("lambda", "Qualifier"),
        ("lambda", "NumericLatestPublishedOrAliasQualifier"),
        ("lambda", "EnvironmentVariables"),
        ("lambda", "EnvironmentVariableName"),
        ("cloudformation", "StackName"),
        ("cloudformation", "StackNameOrId"),
    }
)
"""Shapes whose bounds the operation checks in the service's own words."""


def require_valid(service: Service, operation: str, params: Mapping[str, Any]) -> None:
    """Raise the service's validation error, which tells of every member that is out of bounds.

    AWS: Lambda, Logs, CloudFormation, STS and IAM share the text; the code differs.
    """
    refusal = REFUSALS.get(service.name)
    shape = service.operation(operation).input_shape
    if refusal is None or shape is None:
        return
    failures = list(_structure_failures(service.name, shape, params, ""))
    if failures:
        noun = "error" if len(failures) == 1 else "errors"
        raise refusal(f"{len(failures)} validation {noun} detected: {'; '.join(failures)}")


def _structure_failures(
    service: str, shape: Any, params: Mapping[str, Any], path: str
) -> Iterator[str]:
    for name, member in shape.members.items():
        member_path = f"{path}{name[:1].lower()}{name[1:]}"
        value = params.get(name)
        if value is not None:
            yield from _failures(service, member, value, member_path)
        elif name in shape.required_members:
            yield (
                f"Value null at '{member_path}' failed to satisfy constraint:"
                " Member must not be null"
            )


def _failures(service: str, shape: Any, value: Any, path: str) -> Iterator[str]:
    if (service, shape.name) in LEFT_TO_OPERATIONS:
        return
    shown = "" if shape.metadata.get("sensitive") else f" '{_shown(value)}'"
    for text in _broken_bounds(shape, value):
        yield f"Value{shown} at '{path}' failed to satisfy constraint: {text}"
    kind = shape.type_name
    if kind == "structure" and isinstance(value, Mapping):
        yield from _structure_failures(service, shape, value, f"{path}.")
    elif kind == "list" and _is_nested(shape.member):
        for number, item in enumerate(value, 1):
            if item is not None:
                yield from _failures(service, shape.member, item, f"{path}.{number}.member")
    elif kind == "list":
        broken = {text for item in value for text in _broken_bounds(shape.member, item)}
        if broken:
            bounds = ", ".join(_all_bounds(shape.member))
            yield (
                f"Value{shown} at '{path}' failed to satisfy constraint:"
                f" Member must satisfy constraint: [{bounds}]"
            )
    elif kind == "map":
        yield from _map_failures(service, shape, value, path, shown)


def _map_failures(
    service: str, shape: Any, value: Mapping[str, Any], path: str, shown: str
) -> Iterator[str]:
    start = f"Value{shown} at '{path}' failed to satisfy constraint: "
    if (service, shape.key.name) not in LEFT_TO_OPERATIONS and any(
        True for key in value for _ in _broken_bounds(shape.key, key)
    ):
        bounds = ", ".join(_all_bounds(shape.key))
        yield f"{start}Map keys must satisfy constraint: [{bounds}]"
    if _is_nested(shape.value):
        for key, item in value.items():
            if item is not None:
                yield from _failures(service, shape.value, item, f"{path}.{key}.member")
    elif any(True for item in value.values() for _ in _broken_bounds(shape.value, item)):
        bounds = ", ".join(_all_bounds(shape.value))
        yield f"{start}Map value must satisfy constraint: [{bounds}]"


def _is_nested(shape: Any) -> bool:
    return shape.type_name in ("structure", "list", "map")


def _broken_bounds(shape: Any, value: Any) -> Iterator[str]:
    """Each bound of the shape that the value breaks, in AWS's words."""
    bounds = shape.metadata
    if value is None or not bounds:
        return
    if pattern := bounds.get("pattern"):
        compiled = _compile_pattern(pattern)
        if compiled is not None and isinstance(value, str) and not compiled.fullmatch(value):
            yield f"Member must satisfy regular expression pattern: {pattern}"
    if "enum" in bounds and value not in bounds["enum"]:
        yield _enum_text(bounds["enum"])
    noun, measured = _measure(value)
    if measured is None:
        return
    if "min" in bounds and measured < bounds["min"]:
        yield f"Member must have {noun} greater than or equal to {bounds['min']}"
    if "max" in bounds and measured > bounds["max"]:
        yield f"Member must have {noun} less than or equal to {bounds['max']}"


def _all_bounds(shape: Any) -> Iterator[str]:
    """Every bound of the shape: an item's failure is told by all that an item must be."""
    bounds = shape.metadata
    noun = "value" if shape.type_name in ("integer", "long", "float", "double") else "length"
    if "max" in bounds:
        yield f"Member must have {noun} less than or equal to {bounds['max']}"
    if "min" in bounds:
        yield f"Member must have {noun} greater than or equal to {bounds['min']}"
    if "pattern" in bounds:
        yield f"Member must satisfy regular expression pattern: {bounds['pattern']}"
    if "enum" in bounds:
        yield _enum_text(bounds["enum"])


def _enum_text(options: list[str]) -> str:
    return f"Member must satisfy enum value set: [{', '.join(options)}]"


def _measure(value: Any) -> tuple[str, float | None]:
    match value:
        case bool():
            return "value", None
        case int() | float():
            return "value", value
        case str() | bytes() | list() | dict():
            return "length", len(value)
        case _:
            return "value", None


def _compile_pattern(pattern: str) -> re.Pattern[str] | None:
    """None for a pattern in Java's own dialect, whose bound is then not checked."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile(pattern)
    except re.error:
        return None


def _shown(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case list():
            return f"[{', '.join(map(_shown, value))}]"
        case dict():
            return "{" + ", ".join(f"{key}={_shown(item)}" for key, item in value.items()) + "}"
        case bytes():
            return f"java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]"
        case _:
            return str(value)
