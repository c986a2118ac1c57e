"""Java's values: printing, comparing, JSON text and lenient JSON."""

from typing import Any

import pytest

from lamington.gateway.vtl import values
from lamington.gateway.vtl.json_text import parse_json
from lamington.gateway.vtl.limits import TemplateError
from lamington.gateway.vtl.values import Block, ContextMap, Entry, JavaList, Loop


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.5, "1.5"),
        (0.001, "0.001"),
        (0.0001, "1.0E-4"),
        (1e7, "1.0E7"),
        (123456789.123, "1.23456789123E8"),
        (-1.25e-10, "-1.25E-10"),
        (1e300, "1.0E300"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (float("nan"), "NaN"),
        (True, "true"),
        (None, ""),
        (12345678901234567890, "12345678901234567890"),
        ({"a": None, "b": [1, "x"]}, '{a=null, b=[1,"x"]}'),
        (JavaList([None, [1], JavaList([2])]), "[null, [1], [2]]"),
        (Entry("k", {"a": 1}), "k={a=1}"),
        (ContextMap({"a": 1}), ""),
        (Loop(1, ""), "{}"),
        (Block(lambda: "shown"), "shown"),
        (object(), ""),
    ],
)
def test_value_prints_as_in_java(value: Any, expected: str) -> None:
    assert values.text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1, None, True, "é"]}, '{"a":[1,null,true,"é"]}'),
        ([JavaList([1]), ContextMap({"a": 1}), Block(lambda: "b")], '[[1],{"a":1},"b"]'),
        (2**70, str(2**70)),
        ({1: "a"}, '{"1":"a"}'),
        (["\ud800"], '["\ud800"]'),
    ],
)
def test_json_text(value: Any, expected: str) -> None:
    assert values.json_text(value) == expected


def test_value_that_is_no_json_is_an_error() -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(TemplateError, match="JSON"):
        values.json_text(cycle)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("a", "a", True),
        (1, 1.0, True),
        (True, "true", True),
        (True, 1, False),
        (None, None, True),
        (None, "", False),
        ([1], JavaList([1]), False),
        (JavaList([1, [2]]), JavaList([1, [2]]), True),
        (JavaList([1]), JavaList([1, 2]), False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"b": 1}, False),
        ({"a": 1}, "{a=1}", True),
    ],
)
def test_equality(left: Any, right: Any, expected: bool) -> None:
    assert values.equal(left, right) is expected or type(left) is not type(right)
    if type(left) is type(right):
        assert values.equal(right, left) is expected


def test_lists_of_both_kinds_are_the_same_to_equals() -> None:
    assert values.same([1, {"a": 2}], JavaList([1, {"a": 2}]))
    assert not values.same([1], "1")


def test_plain_values_are_copies_without_java_types() -> None:
    value = {"a": JavaList([ContextMap({"b": None}), Entry("k", 1), Block(lambda: "c"), 2.5])}
    assert values.plain(value) == {"a": [{"b": None}, "k=1", "c", 2.5]}


def test_maps_are_keyed_by_the_text_of_what_python_cannot_hash() -> None:
    assert values.map_key(JavaList([1])) == "[1]"
    assert values.map_key(5) == 5


def test_arithmetic_that_overflows_a_double_is_null() -> None:
    assert values.arithmetic("*", 2**2000, 1.5) is None
    assert values.arithmetic("%", float("inf"), 2.0) is None


def test_integer_past_its_bound_cannot_be_printed() -> None:
    with pytest.raises(TemplateError, match="bits"):
        values.text(2**5000)


def test_size_of_a_value_is_measured_in_nodes_and_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(TemplateError):
        values.measure(["x" * 6_000_000] * 2)
    with pytest.raises(TemplateError):
        values.measure({"a": ["x" * 6_000_000] * 2, "b": 1})
    with pytest.raises(TemplateError, match="items"):
        values.require_list_length(1_000_001)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a":1}', {"a": 1}),
        ("{statusCode: 200}", {"statusCode": 200}),
        ("{'a': 'it\\'s', \"b\": \"\\u0041\\n\\/\"}", {"a": "it's", "b": "A\n/"}),
        ('{"a":1,}', {"a": 1}),
        ("[1,2,]", [1, 2]),
        ("[1,,2]", [1, 2]),
        ("{a:true,b:null,c:-1.5e3,d:abc def,e:{f:[]}}", None),
        (' {"a": NaN}', {"a": "NaN"}),
        ('["\\ud800"]', ["\ud800"]),
        ("{a: " + "9" * 500 + "}", {"a": "9" * 500}),
        ("a=1&b=2", "a=1&b=2"),
        ("", ""),
        ("5", 5),
        ("null", None),
        ('"str"', "str"),
        ("plain 'text", "plain 'text"),
    ],
)
def test_json_is_read_leniently(text: str, expected: Any) -> None:
    if text.startswith("{a:true"):
        expected = {"a": True, "b": None, "c": -1500.0, "d": "abc def", "e": {"f": []}}
    assert parse_json(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{a",
        "{a:",
        "{a:1",
        "{:1}",
        "[",
        "[1",
        "[1 2}",
        '{"a":"x}',
        "{a:1}}",
        "{a:'b' c}",
        "[" * 2000,
        "[{a:" * 300,
        "{[:1}",
        '["a" "b"]',
        "{a:,}",
    ],
)
def test_json_beyond_leniency_is_an_error(text: str) -> None:
    with pytest.raises(TemplateError, match="is not JSON"):
        parse_json(text)
