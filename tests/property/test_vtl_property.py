"""The VTL compiler never crashes, and a rendering stays within its bounds."""

import contextlib
import re
import string
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lamington.gateway.vtl.compiler import compile_template, compile_traced_template
from lamington.gateway.vtl.java_regex import compile_java_regex
from lamington.gateway.vtl.json_text import parse_json
from lamington.gateway.vtl.jsonpath import compile_json_path
from lamington.gateway.vtl.library import TemplateError
from lamington.gateway.vtl.limits import TemplateLimits
from lamington.gateway.vtl.syntax import TemplateSyntaxError
from lamington.gateway.vtl.values import well_formed
from vtl_world import bind

LIMITS = TemplateLimits(steps=20_000, output_chars=100_000)
FAST = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
VARIABLES: dict[str, Any] = {
    "n": 5,
    "d": 2.5,
    "s": "hello",
    "t": True,
    "l": [1, "b", None],
    "m": {"a": 1, "b": {"c": "d"}},
}
# What would show that a Python object got out.
PYTHON = re.compile(r"<[\w. ]+(?: object)? at 0x|<class|<function|<built-in|__\w+__\b|mappingproxy")

signs = st.sampled_from(
    [
        "$",
        "${",
        "$!",
        "#",
        "##",
        "#*",
        "*#",
        "#[[",
        "]]#",
        "#if(",
        "#end",
        "#else",
        "#elseif(",
        "#foreach($i in ",
        "#set($x=",
        "#define($b)",
        "#stop",
        "#break",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        '"',
        "'",
        "\\",
        ".",
        "..",
        ",",
        ":",
        "=",
        "==",
        "!",
        "&&",
        "+",
        "-",
        "1",
        "2.5",
        "a",
        "b.c",
        "$x",
        "$l[0]",
        "$m.b",
        "$input.path('$",
        "$context.",
        "true",
        "in",
        " ",
        "\n",
        "\r\n",
        "\\u00",
        "é",
        "😀",
        "\x00",
        "__class__",
        "$i",
        "$foreach.",
        ".get(",
        "|",
    ]
)
soup = st.lists(st.one_of(signs, st.text(max_size=4)), max_size=25).map("".join)

names = st.sampled_from(["n", "d", "s", "t", "l", "m", "x", "y", "i", "missing", "foreach", "b"])
roots = st.one_of(
    names, st.sampled_from(["input", "util", "context", "stageVariables", "velocityCount"])
)
member_names = st.sampled_from(
    ["a", "b", "c", "count", "hasNext", "parent", "body", "identity", "size", "class", "f_globals"]
)
literals = st.one_of(
    st.integers(-3, 30).map(str),
    st.sampled_from(["true", "false", "1.5", "'x'", '"$n$x"', "[]", "{}", "[1..3]", "'$.name'"]),
    st.sampled_from(
        [
            '"#if($t)$s#end"',
            "{'a': $x}",
            "[$l, $x]",
            "'__class__'",
            "'(a+)+b'",
            '"$s#stop"',
            '"#foreach($i in $l)$i#break#end"',
            "'$..*'",
        ]
    ),
)
method_names = st.sampled_from(
    [
        "get",
        "put",
        "add",
        "size",
        "length",
        "substring",
        "replaceAll",
        "split",
        "keySet",
        "params",
        "path",
        "json",
        "escapeJavaScript",
        "parseJson",
        "toString",
        "concat",
        "equals",
        "addAll",
        "entrySet",
        "values",
        "matches",
        "format",
        "remove",
        "getClass",
        "indexOf",
        "set",
        "compareTo",
    ]
)


def _reference(root: str, steps: list[str]) -> str:
    return f"${root}{''.join(steps)}"


def _extended(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    step = st.one_of(
        member_names.map(lambda name: f".{name}"),
        st.tuples(method_names, st.lists(values, max_size=2)).map(
            lambda call: f".{call[0]}({','.join(call[1])})"
        ),
        st.one_of(st.integers(-2, 2).map(str), st.just("$n")).map(lambda key: f"[{key}]"),
    )
    return st.builds(_reference, roots, st.lists(step, max_size=3))


references = st.recursive(roots.map(lambda root: f"${root}"), _extended, max_leaves=4)
operands = st.one_of(references, literals)
expressions = st.recursive(
    operands,
    lambda inner: st.one_of(
        st.tuples(
            inner,
            st.sampled_from(
                [" + ", " - ", " * ", " / ", " % ", " == ", " != ", " < ", " && ", " || "]
            ),
            inner,
        ).map("".join),
        inner.map(lambda value: f"!{value}"),
        inner.map(lambda value: f"({value})"),
    ),
    max_leaves=4,
)
targets = st.sampled_from(
    ["$x", "$y", "$m.k", "$l[0]", "$m['q']", "$context.requestOverride.path.p"]
)
leaves = st.one_of(
    references,
    st.sampled_from(["text ", "\n", " "]),
    st.tuples(targets, expressions).map(lambda parts: f"#set({parts[0]} = {parts[1]})"),
)


def _directives(body: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.lists(body, max_size=4).map("".join),
        st.tuples(expressions, body, body).map(lambda p: f"#if({p[0]}){p[1]}#{{else}}{p[2]}#end"),
        st.tuples(operands, body).map(lambda p: f"#foreach($i in {p[0]}){p[1]}#end"),
        body.map(lambda inner: f"#foreach($y in [1..1000]){inner}#end"),
        body.map(lambda inner: f"#define($b){inner}#end$b"),
    )


templates = st.recursive(leaves, _directives, max_leaves=8)


def _render(template: str) -> str:
    bindings = bind(
        variables=VARIABLES,
        context={"identity": {"a": "1"}, "requestId": "r"},
        stage_variables={"a": "b"},
    )
    return compile_template(template, limits=LIMITS)(bindings)


@FAST
@given(soup)
def test_text_never_crashes_the_compiler(template: str) -> None:
    refused: TemplateSyntaxError | None = None
    rendered = ""
    try:
        rendered = _render(template)
    except TemplateSyntaxError as refusal:
        refused = refusal
    except TemplateError:
        pass
    assert refused is None or (refused.line >= 1 and refused.column >= 1)
    assert len(rendered) <= LIMITS.output_chars


@FAST
@given(templates)
def test_template_renders_or_fails_within_bounds(template: str) -> None:
    try:
        rendered = _render(template)
    except (TemplateError, TemplateSyntaxError):
        return
    assert len(rendered) <= LIMITS.output_chars
    assert not PYTHON.search(rendered.replace("__class__", ""))


def _render_traced(template: str) -> str:
    pieces: list[tuple[int, str]] = []
    bindings = bind(
        variables=VARIABLES,
        context={"identity": {"a": "1"}, "requestId": "r"},
        stage_variables={"a": "b"},
    )
    output = compile_traced_template(template, limits=LIMITS)(bindings, pieces.append)
    assert well_formed("".join(text for _, text in pieces)) == output
    last = 1 + len(re.findall(r"\r\n|\r|\n", template))
    assert all(0 <= line <= last for line, _ in pieces)
    return output


@FAST
@given(st.one_of(templates, soup))
def test_form_that_tells_lines_prints_the_same(template: str) -> None:
    try:
        rendered = _render(template)
    except (TemplateError, TemplateSyntaxError) as failure:
        # Where a bound is found to be passed may differ by some columns.
        with pytest.raises(type(failure), match=re.escape(failure.message)):
            _render_traced(template)
    else:
        assert _render_traced(template) == rendered


@FAST
@given(st.text(alphabet=string.printable + "é😀", max_size=60))
def test_text_without_signs_is_printed_as_it_is(text: str) -> None:
    text = re.sub(r"[$#\\]", "", text)
    assert _render(text) == text


@FAST
@given(st.text(alphabet="(){}[]*+?.|^$\\&-,:=!<>abdpQEsiu0123éA", max_size=12))
def test_patterns_compile_or_are_refused(pattern: str) -> None:
    with contextlib.suppress(TemplateError):
        compile_java_regex(pattern).admit("abc").search("abc")


@FAST
@given(st.text(alphabet="$@.*[]()?'\"ab012:,<>=!&|~/ ", max_size=15))
def test_paths_compile_or_are_refused(path: str) -> None:
    with contextlib.suppress(TemplateError):
        compile_json_path(path)({"a": [1, {"b": "a"}], "b": {"a": None}})


@FAST
@given(st.text(alphabet="{}[]:,'\"\\ab1.-e \nunltrf", max_size=20))
def test_json_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(TemplateError):
        parse_json(text)
