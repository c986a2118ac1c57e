"""The methods of Java's types, called as a template calls them."""

from typing import Any

import pytest

from lamington.gateway.vtl.library import TemplateError, call, get, index, member, set_index
from lamington.gateway.vtl.values import Entry, JavaList, text


@pytest.mark.parametrize(
    ("value", "method", "arguments", "expected"),
    [
        ("a😀b", "length", (), 4),
        ("a😀b", "substring", (1, 3), "😀"),
        ("a😀b", "charAt", (1,), "\ud83d"),
        ("a😀b", "codePointAt", (1,), 0x1F600),
        ("a😀b", "codePointAt", (2,), 0xDE00),
        ("a😀b", "indexOf", ("b",), 3),
        ("abcab", "indexOf", ("b", 2), 4),
        ("abcab", "indexOf", (98, -5), 1),
        ("abcab", "indexOf", (-1,), 0),
        ("abcab", "lastIndexOf", ("b",), 4),
        ("abcab", "lastIndexOf", ("b", 3), 1),
        ("abcab", "lastIndexOf", (98, -1), -1),
        ("abc", "startsWith", ("b", 1), True),
        ("abc", "startsWith", ("b", -1), False),
        ("abc", "contentEquals", ("abc",), True),
        ("ab", "compareTo", ("abc",), -1),
        ("B", "compareTo", ("a",), -31),
        ("B", "compareToIgnoreCase", ("a",), 1),
        ("hello", "hashCode", (), 99162322),
        ("\t a \x00", "trim", (), "a"),
        ("a", "toLowerCase", (), "a"),
        ("a", "intern", (), "a"),
        ("a", "valueOf", (1.0,), "1.0"),
        ("", "join", ("-", JavaList([1, "a"])), "1-a"),
        ("abc", "subSequence", (0, 2), "ab"),
        ("a,b,,c,,", "split", (",",), ["a", "b", "", "c"]),
        ("a,b,,c,,", "split", (",", -1), ["a", "b", "", "c", "", ""]),
        ("a,b,,c,,", "split", (",", 2), ["a", "b,,c,,"]),
        ("abc", "split", ("",), ["a", "b", "c"]),
        ("abc", "split", ("x",), ["abc"]),
        ("", "split", ("x",), [""]),
        (",", "split", (",",), []),
        ("é", "replaceFirst", ("\\W", "x"), "x"),
        ("a", "equalsIgnoreCase", ("A",), True),
        (
            "%s|%5d|%-5d|%05d|%+d|%,d",
            "format",
            ("%s|%5d|%-5d|%05d|%+d|%,d", "x", 1, 2, 3, 4, 5000),
            "x|    1|2    |00003|+4|5,000",
        ),
        ("", "format", ("%2$s %1$s %%%n", "a", "b"), "b a %\n"),
        (
            "",
            "format",
            (
                "%.2f %e %x %X %o %b %B %c %c %S %.1s",
                1.5,
                1.5,
                255,
                -1,
                8,
                True,
                1,
                "c",
                100,
                "s",
                "xyz",
            ),
            "1.50 1.500000e+00 ff FFFFFFFF 10 true TRUE c d S x",
        ),
        ([1, "a"], "contains", ("a",), True),
        ([1, "1"], "indexOf", ("1",), 1),
        ([1, 2, 1], "lastIndexOf", (1,), 2),
        ([1], "lastIndexOf", (5,), -1),
        ([1, 2], "containsAll", (JavaList([2]),), True),
        ([1], "remove", ("x",), False),
        (["x"], "remove", ("x",), True),
        ([1, 2], "toArray", (), [1, 2]),
        ([1], "equals", (JavaList([1]),), True),
        ([1], "toJSONString", (), "[1]"),
        (JavaList([1]), "equals", ([1],), True),
        (JavaList([1]), "toString", (), "[1]"),
        ([1], "addAll", ([],), False),
        ([1], "get", ("x",), ""),
        ([1], "nope", (), ""),
        ([1], "clear", (), ""),
        ({"a": 1}, "containsValue", (1,), True),
        ({"a": 1}, "getOrDefault", ("b", 2), 2),
        ({"a": 1}, "putIfAbsent", ("a", 2), 1),
        ({"a": 1}, "putIfAbsent", ("b", 2), ""),
        ({"a": 1}, "putAll", ({"b": 2},), ""),
        ({"a": 1}, "equals", ({"a": 1},), True),
        ({"a": 1}, "clear", (), ""),
        ({"a": 1}, "toJSONString", (), "{a=1}"),
        (Entry("k", 1), "getKey", (), "k"),
        (Entry("k", 1), "getValue", (), 1),
        (Entry("k", 1), "toString", (), "k=1"),
        (2**31, "intValue", (), -(2**31)),
        (1e20, "longValue", (), 2**63 - 1),
        (float("nan"), "intValue", (), 0),
        (300, "byteValue", (), 44),
        (70000, "shortValue", (), 4464),
        (2**5, "doubleValue", (), 32.0),
        (10**400, "doubleValue", (), float("inf")),
        (5, "floatValue", (), 5.0),
        (5, "equals", (5.0,), False),
        (5, "compareTo", (6.5,), -1),
        (5, "toString", (7,), "7"),
        (5, "hashCode", (), 5),
        (5, "parseInt", ("-7f", 16), -127),
        (5, "valueOf", ("12",), 12),
        (5, "valueOf", (3,), 3),
        (5, "toHexString", (255,), "ff"),
        (5, "toBinaryString", (5,), "101"),
        (5, "max", (1, 2), 2),
        (5, "min", (1, 2), 1),
        (5, "sum", (1, 2), 3),
        (1.5, "toString", (), "1.5"),
        (1.5, "parseDouble", (" 2.5e1d",), 25.0),
        (1.5, "valueOf", (3,), 3.0),
        (1.5, "isNaN", (), False),
        (1.5, "isInfinite", (), False),
        (1.5, "max", (1, 2.5), 2.5),
        (1.5, "min", (1, 2.5), 1.0),
        (1.5, "sum", (1, 2.5), 3.5),
        (True, "booleanValue", (), True),
        (True, "equals", (True,), True),
        (True, "compareTo", (False,), 1),
        (True, "toString", (), "true"),
        (True, "toString", (False,), "false"),
        (True, "parseBoolean", ("TRUE",), True),
        (True, "valueOf", ("no",), False),
        (True, "valueOf", (True,), True),
        ("a", "concat", (1,), ""),
        ("a", "format", (), ""),
        (None, "anything", (), ""),
    ],
)
def test_method(value: Any, method: str, arguments: tuple[Any, ...], expected: Any) -> None:
    result = call(value, method, arguments)
    assert (result.items if isinstance(result, JavaList) else result) == expected


@pytest.mark.parametrize(
    ("value", "method", "arguments"),
    [
        ("abc", "substring", (4,)),
        ("abc", "substring", (2, 1)),
        ("abc", "charAt", (3,)),
        ("abc", "codePointAt", (3,)),
        ("abc", "replaceAll", ("(", "")),
        ("abc", "replaceAll", ("b", "$1")),
        ("abc", "replaceAll", ("b", "$")),
        ("abc", "replaceAll", ("b", "\\")),
        ("abc", "replaceAll", ("b", "${x}")),
        ("", "format", ("%d", "x")),
        ("", "format", ("%s",)),
        ("", "format", ("%99999s", "x")),
        ("", "format", ("%!",)),
        ([1], "get", (1,)),
        ([1], "set", (1, 0)),
        ([1], "add", (5, 0)),
        ([1], "remove", (1,)),
        ([1], "subList", (0, 2)),
        ([1], "subList", (-1, 0)),
        (5, "parseInt", ("x",)),
        (5, "parseInt", ("9", 8)),
        (5, "parseInt", ("1", 99)),
        (1.5, "parseDouble", ("x",)),
        (5, "sum", (2**4096, 2**4096)),
    ],
)
def test_what_java_throws_is_an_error(value: Any, method: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TemplateError):
        call(value, method, arguments)


def test_list_inserts_and_grows() -> None:
    items = JavaList([1])
    assert call(items, "add", (0, "first")) == ""
    assert call(items, "addAll", ([2, 3],)) is True
    assert text(items) == "[first, 1, 2, 3]"


@pytest.mark.parametrize(
    ("value", "name", "expected"),
    [
        ("", "empty", True),
        ([], "empty", True),
        (JavaList([1]), "empty", False),
        (1.5, "infinite", False),
        (1.5, "naN", False),
        (Entry("k", "v"), "value", "v"),
        (5, "empty", ""),
        (None, "x", ""),
    ],
)
def test_getter_reads_as_a_property(value: Any, name: str, expected: Any) -> None:
    assert member(value, name) == expected


def test_index_of_null_items_and_strange_keys() -> None:
    assert index([None], 0) == ""
    assert index([1], "0") == ""
    assert index({"a": None}, "a") == ""
    assert get({"a": None}, "a") == ""
    assert get([7], 0) == 7
    items = [1]
    set_index(items, "x", 5)
    assert items == [1]
