"""What the parser refuses: where, and in which words."""

import pytest

from lamington.gateway.vtl.limits import TemplateLimits
from lamington.gateway.vtl.syntax import TemplateSyntaxError, parse_template
from lamington.gateway.vtl.tree import Interpolated, Place, Reference, Set, Text
from vtl_world import render

LIMITS = TemplateLimits()

REFUSED = [
    ("a\n  #if($x)b", 2, 10, "`#if` is not closed"),
    ("#end", 1, 1, "closes nothing"),
    ("#foreach($i in $l)#else#end", 1, 19, "`#else` closes `#foreach`"),
    ("#if($a = 1)x#end", 1, 8, "found `= 1)x#end`"),
    ("#if $a", 1, 5, "condition in parentheses"),
    ("#set($x = )", 1, 11, "A value is missing"),
    ("#set(x = 1)", 1, 6, "needs a reference"),
    ("#set($x == 1)", 1, 9, "needs `=`"),
    ("#set($x = 3 -1)", 1, 13, "found `-1)`"),
    ("#set($x = -$n)", 1, 11, "A value is missing"),
    ('#set($x = "a\\"b")', 1, 15, "needs `)`"),
    ("#set($x = $m.k ? 1 : 2)", 1, 16, "needs `)`"),
    ("#set($x = 'a)", 1, 11, "string is not closed"),
    ('#set($x = "\\u12")', 1, 11, "four hexadecimal digits"),
    ("#set($x = (1 + 2)", 1, 18, "needs `)`"),
    ("#set($x = (1 2))", 1, 14, "`)` is missing"),
    ("#set($x = [1 2])", 1, 14, "list needs"),
    ("#set($x = [1,])", 1, 14, "A value is missing"),
    ("#set($x = [ ])", 1, 13, "A value is missing"),
    ("#set($x = [1.5..2])", 1, 11, "integer to integer"),
    ("#set($x = [1..2)", 1, 16, "range needs `]`"),
    ("#set($x = {1})", 1, 13, "needs `:`"),
    ("#set($x = {1:2 3})", 1, 16, "needs `,` or `}`"),
    ("text $", 1, 6, "at the end of the template"),
    ("text $!", 1, 6, "at the end of the template"),
    ("text #", 1, 6, "at the end of the template"),
    ("#[[ open", 1, 1, "`#[[` is not closed"),
    ("${name", 1, 7, "found the end of the template"),
    ('${name|"d"}', 1, 7, "needs `}`"),
    ("$true", 1, 2, "cannot be a name"),
    ("$a.false", 1, 4, "cannot be a name"),
    ("$l[[1]]", 1, 3, "An index is"),
    ("$l[1.5]", 1, 3, "An index is"),
    ("$l[1", 1, 5, "needs `]`"),
    ("$s.a(1 + 2)", 1, 8, "needs `,` or `)`"),
    ("#foreach", 1, 9, "arguments in parentheses"),
    ("#foreach($i)#end", 1, 1, "`#foreach` needs a variable"),
    ("#define(1)", 1, 11, "`#define` is not closed"),
    ("#define(a b)#end", 1, 1, "needs a reference"),
    ("#macro(1)#end", 1, 1, "needs a name first"),
    ("#foo(+)", 1, 6, "A value is missing"),
    ('#set($s = "a\n#if(")', 2, 6, "A value is missing"),
]


@pytest.mark.parametrize(("template", "line", "column", "words"), REFUSED)
def test_refusal_names_place_and_reason(template: str, line: int, column: int, words: str) -> None:
    with pytest.raises(TemplateSyntaxError) as refusal:
        parse_template(template, LIMITS)
    assert (refusal.value.line, refusal.value.column) == (line, column)
    assert words in refusal.value.message
    assert str(refusal.value).startswith(f"line {line}, column {column}: ")


def test_hint_for_minus_asks_for_blanks() -> None:
    with pytest.raises(TemplateSyntaxError) as refusal:
        parse_template("#set($x = $n -1)", LIMITS)
    assert "blank on both sides" in refusal.value.hint


@pytest.mark.parametrize(
    "template",
    [
        "#if(true)" * 100 + "#end" * 100,
        "#set($x = " + "(" * 100 + "1" + ")" * 100 + ")",
        "#set($x = " + "[" * 100 + "]" * 100 + ")",
        "#set($x = " + "!" * 100 + "$y)",
        "#set($x = 1" + " + 1" * 200 + ")",
        "$a" + ".b" * 100,
        "$a" + ".b($a" * 80 + ")" * 80,
        "#foreach($i in $l)" * 17 + "#end" * 17,
    ],
    ids=["if", "parentheses", "lists", "not", "operators", "steps", "calls", "loops"],
)
def test_depth_is_refused_before_it_can_overflow(template: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        parse_template(template, LIMITS)


def test_template_longer_than_its_limit_is_refused() -> None:
    with pytest.raises(TemplateSyntaxError, match="are allowed"):
        parse_template("x" * 11, TemplateLimits(template_chars=10))


def test_nodes_carry_the_place_where_they_begin() -> None:
    nodes = parse_template("a\n  $b.c #set($d = 1)", LIMITS)
    assert nodes[0] == Text("a\n  ")
    assert isinstance(nodes[1], Reference)
    assert nodes[1].at == Place(2, 3)
    assert isinstance(nodes[2], Set)
    assert nodes[2].at == Place(2, 8)


def test_place_within_a_string_counts_from_the_template() -> None:
    (node,) = parse_template('\n #set($x = "a $b\nc $d")', LIMITS)[1:]
    assert isinstance(node, Set)
    assert isinstance(node.value, Interpolated)
    places = [part.at for part in node.value.body if isinstance(part, Reference)]
    assert places == [Place(2, 15), Place(3, 3)]


def test_many_lone_signs_are_parsed_in_linear_time() -> None:
    assert render("$ " * 20_000 + "# " * 20_000) == "$ " * 20_000 + "# " * 20_000


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("#literal()$a #if(true)#end#end.", "$a #if(true)#end."),
        ("#@block()x#end.", "#@block()x#end."),
        ("#define('$b')x#end$b", "x"),
        ("#define([1])x#end", None),
        ("$!{n}${ n}", "${ n}"),
        ("#set($x = 1e2)$x", "100.0"),
        ("\\$!{a} \\\\${a} \\\\\\$a", "$!{a} \\ \\$a"),
        ("\\\\#foo \\\\#{bar}", "\\\\#foo \\\\#{bar}"),
        ('#set($x = "##")[$x]', "[]"),
        ('#set($x = "$n#*")[$x]', "[]"),
        ('#set($x = "#")$x', "#"),
        ('#set($x = "$n")[$x]', "[]"),
        ("#set($x = '')[$x]", "[]"),
        ('#set($x = """")[$x]', '["]'),
        ('#set($x = ["a""", "b"])$x', '[a", b]'),
        ("$!#foo", "$!#foo"),
        ("$![x", "$![x"),
        ("$!{5", "$!{5"),
    ],
)
def test_corner_of_the_grammar(template: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(TemplateSyntaxError):
            render(template)
    else:
        assert render(template) == expected
