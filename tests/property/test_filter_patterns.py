"""Filter patterns of any text: read or refused, and then an answer for any message."""

import contextlib
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from lamington.functions.operations.filter_pattern import (
    InvalidParameterException,
    compile_pattern,
)

PIECES = st.sampled_from(
    [
        *("{", "}", "[", "]", "(", ")", "$.a", '$["b"]', "$.c[0]", "$.d[*]", "...", ","),
        *("=", "!=", ">", "<=", "&&", "||", "IS", "NULL", "NOT", "EXISTS", "TRUE"),
        *('"x"', '"', "%x%", "%", "*", "1", "-2.5", "word", "-word", "?word", " "),
    ]
)
PATTERNS = st.one_of(st.text(max_size=40), st.lists(PIECES, max_size=12).map(" ".join))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(pattern=PATTERNS, text=st.text(max_size=40), document=JSON)
def test_any_pattern_is_refused_or_answers(pattern: str, text: str, document: object) -> None:

    with contextlib.suppress(InvalidParameterException):
        matches = compile_pattern(pattern)
        assert matches(text) in (True, False)
        assert matches(json.dumps(document)) in (True, False)


@given(word=st.from_regex(r"[A-Za-z0-9_]{1,8}", fullmatch=True), text=st.text(max_size=40))
def test_a_term_and_its_exclusion_are_opposites(word: str, text: str) -> None:
    message = f"{text}{word}" if len(text) % 2 else text
    assert compile_pattern(word)(message) is not compile_pattern(f"-{word}")(message)
