"""HTTP messages as values."""

import pytest

from lamington.core.http import Headers, parse_query


def test_header_names_match_in_any_case_and_keep_their_own() -> None:
    headers = Headers([("Content-Type", "a")])
    assert headers.get("content-type") == "a"
    assert "CONTENT-TYPE" in headers
    assert list(headers) == [("Content-Type", "a")]


def test_the_last_of_several_values_is_the_value() -> None:
    headers = Headers([("X-A", "1"), ("x-a", "2")])
    assert headers.get("X-A") == "2"
    assert headers.all("X-A") == ["1", "2"]


def test_setting_replaces_every_value() -> None:
    headers = Headers([("X-A", "1"), ("B", "b"), ("x-a", "2")])
    headers.set("X-A", "3")
    assert headers == Headers([("B", "b"), ("X-A", "3")])


def test_a_header_that_is_not_there_is_the_default() -> None:
    assert Headers().get("x") == ""
    assert Headers().get("x", "y") == "y"


@pytest.mark.parametrize(
    ("query", "pairs"),
    [
        ("", []),
        ("a=1&b=2", [("a", "1"), ("b", "2")]),
        ("a=1&a=2", [("a", "1"), ("a", "2")]),
        ("a", [("a", "")]),
        ("a=", [("a", "")]),
        ("&&a=1&", [("a", "1")]),
        ("a=b=c", [("a", "b=c")]),
        ("a%20b=c+d", [("a b", "c d")]),
        ("%C3%A9=%E2%82%AC", [("é", "€")]),
        ("a=%", [("a", "%")]),
        ("a=%ff", [("a", "\ufffd")]),
        ("a=1;b=2", [("a", "1;b=2")]),
    ],
)
def test_a_query_is_decoded_to_its_pairs(query: str, pairs: list[tuple[str, str]]) -> None:
    assert parse_query(query) == pairs
