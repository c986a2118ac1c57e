"""Documents: what is written is read, and every place that is told holds what it says."""

import json
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lamington.core.documents import load_document

KEYS = st.text(st.sampled_from("abcXYZ-_ :'\"{}[]é"), min_size=1, max_size=6)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.text(st.sampled_from("abc 012:-#'\"{}[],&*!éß"), max_size=10)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
MAPS = st.dictionaries(KEYS, VALUES, min_size=1, max_size=4)


def paths_of(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    members: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        members = list(value.items())
    elif isinstance(value, list):
        members = list(enumerate(value))
    found = [path] if path else []
    for key, member in members:
        found += paths_of(member, (*path, key))
    return found


@settings(max_examples=150, deadline=None)
@given(MAPS, st.sampled_from([None, 2]))
def test_json_positions_point_at_keys(value: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    document = load_document(text, "f")
    assert document.value == value
    lines = text.split("\n")
    for path in paths_of(value):
        position = document.position(path)
        rest = lines[position.line - 1][position.column - 1 :]
        if isinstance(path[-1], str):
            assert rest.startswith(json.dumps(path[-1], ensure_ascii=False))


@settings(max_examples=150, deadline=None)
@given(MAPS)
def test_yaml_round_trips_and_its_positions_point_at_keys(value: dict[str, Any]) -> None:
    text = "# yaml\n" + yaml.safe_dump(value, allow_unicode=True, width=10_000)
    document = load_document(text, "f", aliases=False)
    assert document.value == value
    lines = text.split("\n")
    for path in paths_of(value):
        position = document.position(path)
        rest = lines[position.line - 1][position.column - 1 :]
        if isinstance(path[-1], str) and path[-1].isascii() and path[-1].isalpha():
            assert path[-1] in rest.split(":")[0]
