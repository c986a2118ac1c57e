"""Whatever stands in an API definition, it is built or refused with reasons; nothing crashes."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lamington.core.documents import load_document
from lamington.core.errors import UsageError
from lamington.service.definition import build_definition
from lamington.service.project import Project, load_project

EXAMPLES = Path(__file__).parents[2] / "examples"
SERVICES = {
    name: load_project(EXAMPLES / name, check_javascript=False) for name in ("bakery", "hello")
}
JUNK: tuple[Any, ...] = (
    None, True, 5, "", "x", "${x}", [], [None], {}, {"a": 1}, {"Ref": "x"}, {"$ref": "#/x"},
    {"Fn::Sub": 5}, {"Fn::GetAtt": []},
)  # fmt: skip


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if path:
        yield path
    members = value.items() if isinstance(value, dict) else ()
    for key, member in members or (enumerate(value) if isinstance(value, list) else ()):
        yield from places(member, (*path, key))


def with_junk(project: Project, path: tuple[str | int, ...], junk: Any) -> Project:
    assert project.api is not None
    value = json.loads(json.dumps(project.api.value))
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = junk
    return replace(project, api=load_document(json.dumps(value), "api.json", intrinsics=True))


@given(data=st.data(), name=st.sampled_from(sorted(SERVICES)), junk=st.sampled_from(JUNK))
@settings(max_examples=200, deadline=None)
def test_no_definition_crashes_the_build(data: st.DataObject, name: str, junk: Any) -> None:
    project = SERVICES[name]
    assert project.api is not None
    path = data.draw(st.sampled_from(list(places(project.api.value))))
    try:
        built = build_definition(with_junk(project, path, junk))
    except UsageError:
        return
    json.dumps(built.template)
