"""JSONPath as Jayway reads it."""

from typing import Any

import pytest

from lamington.gateway.vtl.jsonpath import MISSING, compile_json_path
from lamington.gateway.vtl.limits import TemplateError

DOCUMENT: dict[str, Any] = {
    "name": "Ada",
    "null": None,
    "a b": 1,
    "list": [1, 2, 3, 4],
    "books": [
        {"title": "A", "price": 5, "tags": ["x"], "isbn": "1"},
        {"title": "B", "price": 15.5, "tags": []},
        {"title": "C", "price": "7"},
    ],
    "deep": {"books": {"title": "D"}},
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", DOCUMENT),
        ("name", "Ada"),
        ("$.name", "Ada"),
        (".name", "Ada"),
        ("['name']", "Ada"),
        ("$.null", None),
        ("$.zz", MISSING),
        ("$.name.x", MISSING),
        ("$.name[0]", MISSING),
        ("$.books[0].title", "A"),
        ("$.books[-1].title", "C"),
        ("$.books[9]", MISSING),
        ("$['a b']", 1),
        ('$["a b"]', 1),
        ("$.['name']", "Ada"),
        ("$.books[*].title", ["A", "B", "C"]),
        ("$.zz[*].title", MISSING),
        ("$.name[*]", []),
        ("$.deep.*", [{"title": "D"}]),
        ("$.list[0:2]", [1, 2]),
        ("$.list[-2:]", [3, 4]),
        ("$.list[:1]", [1]),
        ("$.name[0:1]", []),
        ("$.list[0, 2,9]", [1, 3]),
        ("$.books[0]['title','price']", [{"title": "A", "price": 5}]),
        ("$.list['a','b']", []),
        ("$..title", ["A", "B", "C", "D"]),
        ("$..['isbn']", ["1"]),
        ("$.deep..*", [{"title": "D"}, "D"]),
        ("$.books[?(@.isbn)].title", ["A"]),
        ("$.books[?(!@.isbn)].title", ["B", "C"]),
        ("$.books[?(@.price > 5)].title", ["B"]),
        ("$.books[?(@.price >= 5 && @.price <= 5)].title", ["A"]),
        ("$.books[?(@.price < 6 || @.title == 'C')].title", ["A", "C"]),
        ("$.books[?((@.title != \"A\") && !(@.title == 'B'))].title", ["C"]),
        ("$.books[?(@.title >= 'B')].title", ["B", "C"]),
        ("$.books[?(@.title < 'B')].title", ["A"]),
        ("$.books[?(@.title =~ /[ab]/i)].title", ["A", "B"]),
        ("$.books[?(@.title =~ /a\\/b|C/)].title", ["C"]),
        ("$.books[?(@.title in ['A', 'C'])].title", ["A", "C"]),
        ("$.books[?(@.title nin ['A'])].title", ["B", "C"]),
        ("$.books[?(@.tags contains 'x')].title", ["A"]),
        ("$.books[?(@.title contains 'A')].title", ["A"]),
        ("$.books[?(@.tags empty true)].title", ["B"]),
        ("$.books[?(@.tags size 1)].title", ["A"]),
        ("$.books[?(@.tags.length() == 1)].title", ["A"]),
        ("$.books[?(@['price'] == 15.5)].title", ["B"]),
        ("$.list[?(@ > 2)]", [3, 4]),
        ("$.list[?(@ == -1 || @ == 1e0)]", [1]),
        ("$.deep[?(@.books.title == 'D')]", [{"books": {"title": "D"}}]),
        ("$.deep[?(@.zz)]", []),
        ("$.name[?(@.x)]", []),
        ("$.books[?(@.null == null || true == true)].title", ["A", "B", "C"]),
        ("$.list.length()", 4),
        ("$.name.length()", 3),
        ("$.zz.length()", MISSING),
        ("$.null.size()", None),
        ("$.list.sum()", 10.0),
        ("$.list.min()", 1.0),
        ("$.list.max()", 4.0),
        ("$.list.avg()", 2.5),
        ("$.list.first()", 1),
        ("$.list.last()", 4),
        ("$.name.first()", None),
        ("$.name.last()", None),
        ("$.deep.keys()", ["books"]),
        ("$.list.keys()", None),
        ("$.books[?([] == [])].title", ["A", "B", "C"]),
    ],
)
def test_path(path: str, expected: Any) -> None:
    assert compile_json_path(path)(DOCUMENT) == expected


@pytest.mark.parametrize(
    "path",
    [
        "",
        "$.",
        "$[",
        "$.a[",
        "$.a[x]",
        "$['a'",
        "$['a' 'b']",
        "$.a[?(@.x > )]",
        "$.a[?(@.x]",
        "$.a[?((@.x)]",
        "$.a[?((@.x]",
        "$..",
        "$.a b",
        "$.a[?(@.x =~ 5)]",
        "$.a[?(@.x in [1 2])]",
        "x" * 3000,
        "$[?(" + "(" * 30 + "@.a" + ")" * 30 + ")]",
        "$[?(" + "!" * 30 + "@.a)]",
        "$.a()",
        "$[?(@.a in " + "[" * 30 + "]" * 30 + ")]",
        "$[?(@.a =~ /(/)]",
    ],
)
def test_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(TemplateError):
        compile_json_path(path)


def test_function_without_numbers_is_an_error() -> None:
    with pytest.raises(TemplateError, match="numbers"):
        compile_json_path("$.name.sum()")(DOCUMENT)


def test_selection_is_bounded() -> None:
    wide: Any = [0] * 1500
    for _ in range(3):
        wide = [wide, wide] * 20
    with pytest.raises(TemplateError, match="JSONPath"):
        compile_json_path("$[*][*][*][*]")(wide)
    with pytest.raises(TemplateError, match="JSONPath"):
        compile_json_path("$..x")(wide)
