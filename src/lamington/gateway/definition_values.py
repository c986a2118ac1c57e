"""The values of an API definition, read leniently: absent, null and numbers written as text.

Left to others: what they mean (`openapi`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lamington.core.aws import Scope

Object = Mapping[str, Any]

PASSTHROUGH_TEMPLATE = "__passthrough__"


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What is wrong with a definition, in the order in which it is found."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def members_of(value: Any) -> Iterator[tuple[str, Any]]:
    """The members of an object that may be absent; those that are null or no object are not."""
    if isinstance(value, Mapping):
        for name, member in value.items():
            if isinstance(member, Mapping):
                yield str(name), member


def object_of(value: Any) -> Object:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def objects_of(value: Any) -> list[Object]:
    """The objects of a list that may be absent."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def texts_of(value: Any) -> dict[str, str]:
    """The members of an object as texts, without those that are null."""
    if not isinstance(value, Mapping):
        return {}
    return {str(name): text_of(each) for name, each in value.items() if each is not None}


def text_of(value: Any) -> str:
    """A scalar as the text that it would be in JSON; null is empty."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def at_pointer(document: Object, pointer: str) -> Any:
    """What a `$ref` of the form `#/a/b` names within its document, None where there is nothing."""
    found: Any = document
    for part in pointer.removeprefix("#/").split("/"):
        part = part.replace("~1", "/").replace("~0", "~")
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def templates_of(value: Any) -> dict[str, str]:
    """AWS exports a template that passes through as a word of its own."""
    return {
        media_type: "" if template == PASSTHROUGH_TEMPLATE else template
        for media_type, template in texts_of(value).items()
    }


def strings_of(value: Any) -> tuple[str, ...]:
    """The items of a list that may be absent, as texts."""
    return tuple(map(str, value)) if isinstance(value, list) else ()


def substitute_variables(text: str, scope: Scope) -> str:
    """Replace `${AWS::Region}`, `${AWS::AccountId}` and `${AWS::Partition}`.

    AWS: import variables (developer guide, AWS variables for OpenAPI import).
    """
    for name, value in (
        ("Region", scope.region),
        ("AccountId", scope.account_id),
        ("Partition", scope.partition),
    ):
        text = text.replace(f"${{AWS::{name}}}", value)
    return text


def whole_of(value: Any, default: int) -> int:
    """A whole number that may be written as text; one that is none is outside every limit."""
    if value is None:
        return default
    try:
        return int(value)
    except (TypeError, ValueError):
        return -1
