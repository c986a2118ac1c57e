"""The names that a value mentions, and what a function in a template looks like.

Pure. Left to others: whether the names lead anywhere (`checks`), what they stand for
(`intrinsics`).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

PSEUDO_PARAMETERS = frozenset(
    {
        "AWS::AccountId",
        "AWS::NoValue",
        "AWS::NotificationARNs",
        "AWS::Partition",
        "AWS::Region",
        "AWS::StackId",
        "AWS::StackName",
        "AWS::URLSuffix",
    }
)


VARIABLE = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One mention of a name in a value; `attribute` is "" for Ref."""

    name: str
    attribute: str
    path: tuple[str | int, ...]


def function_of(value: Any, *, conditions: bool = False) -> tuple[str, Any] | None:
    """The function that a value is, with its argument: a map of exactly one member."""
    if isinstance(value, dict) and len(value) == 1:
        ((name, argument),) = value.items()
        if name == "Ref" or name.startswith("Fn::") or (conditions and name == "Condition"):
            return name, argument
    return None


def sub_parts(argument: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(argument, str):
        return argument, {}
    return argument[0], argument[1] if len(argument) > 1 else {}


def sub_variables(text: str) -> list[str]:
    found = (match.group(1) for match in VARIABLE.finditer(text))
    return [name.strip() for name in found if not name.startswith("!")]


def attribute_parts(argument: Any) -> tuple[str, Any]:
    """`Fn::GetAtt` takes a list or text; text is split at its first dot."""
    if isinstance(argument, str):
        name, _, attribute = argument.partition(".")
        return name, attribute
    return argument[0], argument[1] if len(argument) == 2 else ".".join(argument[1:])


def references(
    value: Any, path: tuple[str | int, ...], *, conditions: Mapping[str, bool] | None
) -> Iterator[Reference]:
    """Each name that a value mentions, parameters included.

    Only the branch of `Fn::If` that is taken counts; without `conditions`, neither does.
    """
    function = function_of(value)
    if function is not None:
        yield from _function_references(*function, path, conditions)
    elif isinstance(value, dict):
        for key, member in value.items():
            yield from references(member, (*path, key), conditions=conditions)
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from references(member, (*path, index), conditions=conditions)


def _function_references(
    name: str,
    argument: Any,
    path: tuple[str | int, ...],
    conditions: Mapping[str, bool] | None,
) -> Iterator[Reference]:
    path = (*path, name)
    if name == "Ref":
        yield Reference(name=argument, attribute="", path=path)
    elif name == "Fn::GetAtt":
        logical_id, attribute = attribute_parts(argument)
        shown = attribute if isinstance(attribute, str) else "*"
        yield Reference(name=logical_id, attribute=shown, path=path)
        yield from references(attribute, path, conditions=conditions)
    elif name == "Fn::Sub":
        text, variables = sub_parts(argument)
        for variable in sub_variables(text):
            if variable not in variables:
                logical_id, _, attribute = variable.partition(".")
                yield Reference(name=logical_id, attribute=attribute, path=path)
        yield from references(variables, (*path, 1), conditions=conditions)
    elif name == "Fn::If":
        if conditions is not None:
            taken = 1 if conditions[argument[0]] else 2
            yield from references(argument[taken], (*path, taken), conditions=conditions)
    else:
        yield from references(argument, path, conditions=conditions)
