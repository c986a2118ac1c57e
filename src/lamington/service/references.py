"""What a service's files refer to: every name must be there before anything is raised.

CloudFormation finds the same, but knows only the generated template: here the error names the
line that the developer wrote. Left to others: what the functions give (`stack`), and cycles.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lamington.core.documents import Document, Path
from lamington.service.problems import Problems
from lamington.service.project import Project
from lamington.service.sources import closest

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
