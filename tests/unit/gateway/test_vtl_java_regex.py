"""Java's regular expressions, translated."""

import pytest

from lamington.gateway.vtl.java_regex import compile_java_regex
from lamington.gateway.vtl.library import TemplateError, call


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("\\p{Alpha}+", "abc", "a1"),
        ("\\P{Alpha}", "1", "a"),
        ("[\\p{Upper}\\d]+", "A1", "a"),
        ("\\pL+", "é", "1"),
        ("\\p{IsAlphabetic}", "é", "1"),
        ("\\p{Punct}", "!", "a"),
        ("\\w+", "a_1", "é"),
        ("\\d", "1", "٣"),
        ("a.c", "abc", "a\u2028c"),
        ("(?s)a.c", "a\nc", "ac"),
        ("(?i)abc", "ABC", "abd"),
        ("(?i)ab|cd", "CD", "ce"),
        ("a(?i)b", "aB", "AB"),
        ("a(?i:b)c", "aBc", "aBC"),
        ("((?s).)a", "\na", "a"),
        ("(?i-s)a", "A", "b"),
        ("(?-i:a)", "a", "A"),
        ("(?<year>\\d+)-\\k<year>", "12-12", "12-13"),
        ("(a)\\1", "aa", "ab"),
        ("(?:a|b)(?=c)c", "bc", "b"),
        ("(?<!x)(?<=)a(?!b)", "a", "ab"),
        ("(?>a*)b", "aab", "aa"),
        ("a*+b", "aab", "aa"),
        ("a++a", "", "aa"),
        ("a{2,3}?b{1}", "aab", "ab"),
        ("\\Qa.b\\E+", "a.b", "axb"),
        ("\\Q.", ".", "a"),
        ("[a-c&&[^b]]+", "ac", "b"),
        ("[a-c&&b-d]", "b", "a"),
        ("[a[xy]z]+", "axyz", "b"),
        ("[^\\s&&x]", "", ""),
        ("[]a]", "]", "b"),
        ("[^]a]", "b", "]"),
        ("\\u0041\\x42\\x{43}\\0104\\cA\\e", "ABCD\x01\x1b", ""),
        ("\\h\\H\\R\\v", " a\r\n\x0b", "aa"),
        ("[\\h\\e]+", " \x1b", "a"),
        ("a\\z", "a", "b"),
        ("a\\Z", "a", "b"),
        ("^a$", "a", "b"),
        ("\\ba\\b", "a", "b"),
        ("{", "{", "a"),
        ("\\-\\.\\/", "-./", "a"),
    ],
)
def test_pattern_matches_as_in_java(pattern: str, matching: str, other: str) -> None:
    if not matching and not other:
        with pytest.raises(TemplateError):
            compile_java_regex(pattern)
        return
    compiled = compile_java_regex(pattern).pattern
    assert not matching or compiled.fullmatch(matching)
    assert not other or not compiled.fullmatch(other)


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "[",
        "[a",
        "[]",
        "a\\",
        "\\p{Klingon}",
        "[\\P{Alpha}]",
        "\\y",
        "(?x)a",
        "(?q",
        "(?<a",
        "[\\R]",
        "[\\H]",
        "\\u12",
        "\\x{110000}",
        "a(?i)b|c",
        "[a[^b]]",
        "[^a&&b]",
        "[&&a]",
        "*",
        "x" * 3000,
    ],
)
def test_unsupported_pattern_is_an_error(pattern: str) -> None:
    with pytest.raises(TemplateError):
        compile_java_regex(pattern)


@pytest.mark.parametrize("pattern", ["(a+)+", "(?:a*b?)*", "((a|b)*c)+", "(a{2,})*"])
def test_nested_repetition_sees_short_text_only(pattern: str) -> None:
    with pytest.raises(TemplateError, match="2000"):
        compile_java_regex(pattern).admit("b" * 2001)


def test_plain_repetition_sees_long_text() -> None:
    assert compile_java_regex("(ab)+c*").admit("b" * 100_000)


@pytest.mark.parametrize(
    ("replacement", "expected"),
    [
        ("$1", "b"),
        ("$0$0", "abab"),
        ("$10", "b0"),
        ("\\$1", "$1"),
        ("${n}!", "b!"),
        ("$2", ""),
        ("x", "x"),
    ],
)
def test_replacement(replacement: str, expected: str) -> None:
    assert call("ab", "replaceAll", ("a(?<n>b)(c)?", replacement)) == expected


def test_two_digit_group_is_taken_when_it_exists() -> None:
    pattern = "(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)"
    assert call("abcdefghij", "replaceAll", (pattern, "$10$1")) == "ja"
