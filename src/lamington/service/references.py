"""What a service's files refer to: every name must be there before anything is raised.

CloudFormation finds the same, but knows only the generated template: here the error names the
line that the developer wrote. Left to others: what the functions give (`stack`).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lamington.core.documents import Document, Path
from lamington.core.errors import Position
from lamington.service.problems import Problems
from lamington.service.project import Project
from lamington.service.sources import closest
from lamington.stack.entities import TemplateError
from lamington.stack.graph import CycleError, order_of
from lamington.stack.template import parse_template

Found = tuple[str, str, tuple[str | int, ...]]
"""What is referred to (`resource`, `value` or `condition`), its name, and where."""

_VARIABLE = re.compile(r"\$\{\s*([^!{}\s]+)\s*\}")
_PSEUDO = "AWS::"


def check_references(project: Project, template: Mapping[str, Any], problems: Problems) -> None:
    """Report each name that neither the developer nor the build has given."""
    resources = template.get("Resources", {})
    values = {**resources, **template.get("Parameters", {})}
    known = {
        "resource": resources,
        "value": values,
        "condition": template.get("Conditions", {}),
        "mapping": template.get("Mappings", {}),
    }
    documents = [project.stack, project.api]
    documents += [function.settings for function in project.functions]
    for document in documents:
        for kind, name, place in dict.fromkeys(_references(document)) if document else ():
            if name in known[kind] or name.startswith(_PSEUDO) or not document:
                continue
            noun = {"value": "resource or parameter"}.get(kind, kind)
            problems.error(
                f"there is no {noun} `{name}`",
                where=document.position(place),
                hint=closest(name, list(known[kind])),
            )


def check_stack_file(stack: Document, problems: Problems) -> None:
    """Report what CloudFormation would refuse of the shape of the developer's own stack file."""
    if not stack.value.get("Resources") or "Transform" in stack.value:
        return
    try:
        parse_template(stack.text, stack.file)
    except TemplateError as error:
        problems.error(error.message, where=error.where, hint=error.hint)


def check_cycles(project: Project, template: Mapping[str, Any], problems: Problems) -> None:
    """Report resources that wait for each other, where the developer wrote the first of them."""
    resources: Mapping[str, Any] = template.get("Resources", {})
    edges = {name: _needed(resource) for name, resource in resources.items()}
    try:
        order_of(edges)
    except CycleError as error:
        places = [_written(project, name) for name in error.nodes]
        problems.error(
            f"circular dependency between resources: {', '.join(f'`{n}`' for n in error.nodes)}",
            where=next((place for place in places if place), None),
            hint="each waits for another: take out one of the references or `DependsOn`",
        )


def _needed(resource: Mapping[str, Any]) -> set[str]:
    given = resource.get("DependsOn", [])
    needed = {str(each) for each in (given if isinstance(given, list) else [given])}
    properties = _without_branches(resource.get("Properties", {}))
    return needed | {name for _, name, _ in _walk(properties, ())}


def _without_branches(value: Any) -> Any:
    """Which branch of an `Fn::If` is taken is not known yet; those not taken need nothing."""
    if isinstance(value, dict):
        return {key: _without_branches(each) for key, each in value.items() if key != "Fn::If"}
    return [_without_branches(each) for each in value] if isinstance(value, list) else value


def _written(project: Project, logical_id: str) -> Position | None:
    """Where the developer wrote what became a resource."""
    stack = project.stack
    if stack is not None and logical_id in (stack.value.get("Resources") or {}):
        return stack.position(("Resources", logical_id))
    for function in project.functions:
        if function.logical_id == logical_id and function.settings is not None:
            return function.settings.position(())
    return None


def _references(document: Document) -> Iterator[Found]:
    value = document.value
    if not isinstance(value, dict):
        return
    for section in ("Resources", "Outputs"):
        members = value.get(section)
        for name, member in members.items() if isinstance(members, dict) else ():
            if isinstance(member, dict):
                yield from _attributes(member, (section, name))
    yield from _walk(value, ())


def _attributes(member: Mapping[str, Any], place: tuple[str | int, ...]) -> Iterator[Found]:
    needed = member.get("DependsOn", [])
    for name in needed if isinstance(needed, list) else [needed]:
        yield "resource", str(name), (*place, "DependsOn")
    if isinstance(member.get("Condition"), str):
        yield "condition", member["Condition"], (*place, "Condition")


def _walk(value: Any, place: tuple[str | int, ...]) -> Iterator[Found]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, (*place, index))
        return
    if not isinstance(value, dict):
        return
    if len(value) == 1:
        name, argument = next(iter(value.items()))
        reader = _READERS.get(name)
        if reader is not None:
            yield from reader(argument, (*place, name))
    for key, item in value.items():
        yield from _walk(item, (*place, key))


def _ref(argument: Any, place: Path) -> Iterator[Found]:
    if isinstance(argument, str):
        yield "value", argument, tuple(place)


def _get_att(argument: Any, place: Path) -> Iterator[Found]:
    name = argument[0] if isinstance(argument, list) and argument else argument
    if isinstance(name, str):
        yield "resource", name.partition(".")[0], tuple(place)


def _sub(argument: Any, place: Path) -> Iterator[Found]:
    own: Mapping[str, Any] = {}
    if isinstance(argument, list) and len(argument) == 2 and isinstance(argument[1], dict):
        argument, own = argument
    if isinstance(argument, str):
        for name in _VARIABLE.findall(argument):
            resource, dot, _ = name.partition(".")
            if name not in own and not name.startswith("stageVariables."):
                yield "resource" if dot else "value", resource, tuple(place)


def _if(argument: Any, place: Path) -> Iterator[Found]:
    if isinstance(argument, list) and argument and isinstance(argument[0], str):
        yield "condition", argument[0], (*place, 0)


def _condition(argument: Any, place: Path) -> Iterator[Found]:
    if isinstance(argument, str):
        yield "condition", argument, tuple(place)


def _find_in_map(argument: Any, place: Path) -> Iterator[Found]:
    if isinstance(argument, list) and argument and isinstance(argument[0], str):
        yield "mapping", argument[0], (*place, 0)


_READERS: Mapping[str, Callable[[Any, Path], Iterator[Found]]] = {
    "Ref": _ref,
    "Fn::GetAtt": _get_att,
    "Fn::Sub": _sub,
    "Fn::If": _if,
    "Condition": _condition,
    "Fn::FindInMap": _find_in_map,
}
