"""What an operation of the mapped style declares of its event: parameters of path, query and
header, and the body.

Left to others: the template that makes the event of a request (`mapped`).
"""

from collections.abc import Mapping
from typing import Any

from lamington.core.documents import Document
from lamington.service.mapped import Parameter, read_parameter
from lamington.service.paths import Operation
from lamington.service.problems import Problems

Place = tuple[str | int, ...]
_Declared = dict[tuple[str, str], tuple[Mapping[str, Any], Place]]


def read_event(
    operation: Operation, definition: Mapping[str, Any], document: Document, problems: Problems
) -> tuple[list[Parameter], bool]:
    """The parameters in the order declared, and whether there is a body.

    A path parameter that is not declared is added to the operation, as text.
    """
    declared = _declared(operation, definition, document, problems)
    _match_path(operation, declared, document, problems, openapi="openapi" in definition)
    body = "requestBody" in operation.value or any(place == "body" for place, _ in declared)
    parameters: list[Parameter] = []
    taken = {"body": "the body"} if body else {}
    for (place_name, _), (value, here) in declared.items():
        if place_name == "body":
            continue
        where = document.position(here)
        parameter = read_parameter(value, where, problems)
        if parameter is None:
            continue
        if parameter.key in taken:
            problems.error(
                f"`{parameter.key}` would be in the event twice: {taken[parameter.key]} has the"
                " name too",
                where=where,
                hint="give one of them another name in the event by `x-lamington-name`",
            )
            continue
        taken[parameter.key] = f"the {place_name} parameter"
        parameters.append(parameter)
    return parameters, body


def _declared(
    operation: Operation, definition: Mapping[str, Any], document: Document, problems: Problems
) -> _Declared:
    """The operation's parameters over those of its path, by place and name."""
    declared: _Declared = {}
    for value, place in (
        (operation.item, operation.place[:2]),
        (operation.value, operation.place),
    ):
        given = value.get("parameters") or []
        if not isinstance(given, list):
            problems.error(
                "`parameters` is a list", where=document.position((*place, "parameters"))
            )
            continue
        for index, each in enumerate(given):
            here = (*place, "parameters", index)
            parameter = _resolved(each, here, definition, document, problems)
            if parameter is not None:
                key = (str(parameter.get("in")), str(parameter.get("name")))
                declared[key] = (parameter, here)
    return declared


def _match_path(
    operation: Operation,
    declared: _Declared,
    document: Document,
    problems: Problems,
    *,
    openapi: bool,
) -> None:
    in_path = operation.path_parameters
    for (place_name, name), (_, here) in declared.items():
        if place_name == "path" and name not in in_path:
            problems.error(
                f"`{operation.path}` has no `{{{name}}}`, which is declared as its parameter",
                where=document.position(here),
            )
    for name in in_path:
        if ("path", name) not in declared:
            text = {"type": "string"}
            form: dict[str, Any] = {"schema": text} if openapi else text
            added = {"name": name, "in": "path", "required": True, **form}
            given = operation.value.get("parameters") or []
            if isinstance(given, list):
                operation.value["parameters"] = [*given, added]
            declared["path", name] = (added, operation.place)


def _resolved(
    value: Any,
    place: Place,
    definition: Mapping[str, Any],
    document: Document,
    problems: Problems,
) -> Mapping[str, Any] | None:
    """A parameter, or the one that its `$ref` leads to within the file."""
    reference = value.get("$ref") if isinstance(value, dict) else None
    if reference is None:
        if isinstance(value, dict):
            return value
        problems.error("a parameter is a map", where=document.position(place))
        return None
    found: Any = definition
    for part in str(reference).removeprefix("#/").split("/"):
        found = found.get(part) if isinstance(found, dict) else None
    if isinstance(found, dict) and str(reference).startswith("#/"):
        return found
    problems.error(
        f"`{reference}` leads nowhere",
        where=document.position((*place, "$ref")),
        hint="a `$ref` stays in its file: `#/parameters/name`",
    )
    return None
