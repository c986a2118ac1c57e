"""`$input`, `$util` and `$context`, and the walls around them."""

from typing import Any

import pytest

from lamington.gateway.vtl.compiler import compile_template
from lamington.gateway.vtl.library import (
    Bindings,
    Input,
    JsonPaths,
    TemplateError,
    make_context,
    request_override,
    response_override,
)
from vtl_world import bind, render


def test_body_is_parsed_once_and_only_when_asked_for() -> None:
    request = Input("{not json", path={}, querystring={}, header={})
    assert request.params("x") == ""
    assert request.body == "{not json"
    with pytest.raises(TemplateError):
        request.json("$")
    good = Input('{"a":[1]}', path={}, querystring={}, header={})
    assert good.path("$.a") is good.path("$.a")


def test_input_methods_stand_alone() -> None:
    request = Input('{"a":{"b":1}}', path={"p": "1"}, querystring={"q": "2"}, header={"h": "3"})
    assert request.json("$.a") == '{"b":1}'
    assert request.path("$.a.b") == 1
    assert request.path("$.zz") == ""
    assert request.params("h") == "3"
    assert request.params() == {
        "path": {"p": "1"},
        "querystring": {"q": "2"},
        "header": {"h": "3"},
    }


def test_templates_cannot_change_the_mappings_they_are_given() -> None:
    header = {"a": "1"}
    request = Input("", path={}, querystring={}, header=header)
    template = compile_template('#set($input.params().header.a = "2")$input.params().header.a')
    assert template(Bindings(input=request, context=make_context({}))) == "2"
    assert header == {"a": "1"}
    stage = {"k": "v"}
    bindings = bind(stage_variables=stage)
    template = compile_template('#set($stageVariables.k = "w")$stageVariables.k')
    assert template(bindings) == "w"
    assert stage == {"k": "v"}


def test_json_sees_what_a_template_changed() -> None:
    assert render("#set($r = $input.path('$'))#set($r.id = [8])$input.json('$.id')") == "[8]"


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("#set($p = '$.name')$input.path($p) $input.json($p)", 'Ada "Ada"'),
        ("#set($n = 'q')$input.params($n)", "a b"),
        ("[$input.path(1)][$input.json(1)][$input.params(1)]", "[][][]"),
        ("#set($i = $input)$i.body.length() $i.path('$.id') $i.json('$.id') $i.params('q')", ""),
        ("#set($i = $input)$i.params().path.id [$i][$i.nope]", "42 [][]"),
        ("[$input][$util][$context][$input.nope()][$util.nope()][$input.body.x]", "[][][][][][]"),
        ("#set($u = $util)$u.urlEncode('a b') $u.parseJson('[1]') $u.base64Decode('YQ')", ""),
        ("#set($u = $util)$u.escapeJavaScript('/') $u.urlDecode('a+b') $u.base64Encode('a')", ""),
        ("[$input.path('$[')]", None),
        ("#if(false)$input.path('$[')#end.", "."),
        ("#set($input = 'mine')$input", "mine"),
        ("#set($context = {'a': 1})$context.a", "1"),
        ("#foreach($util in ['z'])$util#end", "z"),
        ("#set($stageVariables = 'z')$stageVariables", "z"),
        ("#set($y = $input)#set($input = 'mine')$y.params('q')", "a b"),
        ("$context.path.zz|$context.get('path')|$context['path'].zz|$context[1]", "|/p||"),
    ],
)
def test_access_in_unusual_ways(template: str, expected: str | None) -> None:
    bindings: dict[str, Any] = {"context": {"path": "/p"}}
    if expected is None:
        with pytest.raises(TemplateError, match="JSONPath"):
            render(template, **bindings)
    elif expected:
        assert render(template, **bindings) == expected
    else:
        assert render(template, **bindings) == render(
            template.replace("#set($i = $input)", "")
            .replace("$i.", "$input.")
            .replace("#set($u = $util)", "")
            .replace("$u.", "$util."),
            **bindings,
        )


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("$util.escapeJavaScript('a\\b')", "a\\\\b"),
        ("$util.escapeJavaScript('\"')", '\\"'),
        ('$util.escapeJavaScript("a\'/b")', "a\\'\\/b"),
        ("$util.escapeJavaScript('\t\r\n')", "\\t\\r\\n"),
        ("$util.escapeJavaScript('\x01\x7f')", "\\u0001\x7f"),
        ("$util.escapeJavaScript('é😀')", "\\u00E9\\uD83D\\uDE00"),
        ("[$util.escapeJavaScript($missing)][$util.escapeJavaScript(5)]", "[][]"),
        ("$util.urlEncode('a b~*é')", "a+b%7E*%C3%A9"),
        ("$util.urlDecode('a+b%C3%A9')", "a bé"),
        ("$util.base64Encode('é')", "w6k="),
        ("$util.base64Decode('w6k')", "é"),
        ("$util.base64Decode('_-8=')$util.base64Decode('a')", "\ufffd\ufffd"),
        ("[$util.urlEncode(1)$util.urlDecode(1)$util.base64Encode(1)$util.base64Decode(1)]", "[]"),
        ("[$util.parseJson('null')][$util.parseJson(5)][$util.parseJson('{a:1}').a]", "[][][1]"),
        ("$util.toJson($m)$util.error('x')", ""),
    ],
)
def test_utility(template: str, expected: str) -> None:
    assert render(template) == expected


def test_broken_percent_is_an_error() -> None:
    with pytest.raises(TemplateError, match="hexadecimal"):
        render("$util.urlDecode('%zz')")


def test_overrides_are_read_back_as_plain_values() -> None:
    context = make_context({"stage": "dev"})
    bindings = bind()
    bindings.context = context
    compile_template(
        '#set($context.requestOverride.header.X-A = "1")'
        '#set($context.requestOverride.querystring["q"] = ["a", 2])'
        "#set($d = $context.requestOverride.path.put('p', $input.path('$.tags')))"
        "#set($context.responseOverride.status = 404)"
        "#set($context.responseOverride.header = {'Y': 'z'})"
    )(bindings)
    assert request_override(context) == {
        "header": {"X-A": "1"},
        "querystring": {"q": ["a", 2]},
        "path": {"p": ["x", "y"]},
    }
    assert response_override(context) == {"header": {"Y": "z"}, "status": 404}


def test_untouched_overrides_are_empty() -> None:
    context = make_context({"requestOverride": {"header": {}}})
    assert request_override(context) == {"header": {}, "querystring": {}, "path": {}}
    assert response_override(context) == {"header": {}, "status": None}


def test_request_override_stays_readable_in_the_response_template() -> None:
    context = make_context({})
    first, second = bind(), bind()
    first.context = second.context = context
    compile_template("#set($context.requestOverride.path.carried = 'x')")(first)
    assert compile_template("$context.requestOverride.path.carried")(second) == "x"


def test_writing_to_the_context_does_not_reach_shared_maps() -> None:
    cached = {"principalId": "me", "claims": {"sub": "1"}}
    values = {"authorizer": cached}
    template = (
        "#set($context.authorizer.principalId = 'you')"
        "#set($context.authorizer.claims.sub = '2')"
        "#foreach($c in $context.authorizer.values())#if($c != 'you')$c.put('n', 1)#end#end"
        "$context.authorizer.principalId $context.authorizer.claims.sub"
    )
    assert render(template, context=values) == "you 2"
    assert cached == {"principalId": "me", "claims": {"sub": "1"}}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("[$context.identity]", "[]"),
        ("$context.identity.sourceIp $context.identity.n", "1.2.3.4 5"),
        ("$context.epoch $context.none $context.none.x", "1000  "),
        ("#foreach($k in $context.keySet())$k=$context.get($k);#end", None),
        ("#foreach($k in $context.identity.keySet())$k #end", "sourceIp n "),
        ("#foreach($v in $context.identity)$v #end", "1.2.3.4 5 "),
        ("$context.identity.size() $context.identity.containsKey('n')", "2 true"),
        ("#set($c = $context)$c.stage $c.identity.get('n') $c.size()", "dev 5 4"),
        ("#set($context.mine = [1])$context.mine $context.mine.size()", "[1] 1"),
        ("$context.put('a', 'b')$context.a", "b"),
        ("$context.identity.put('n', 6)$context.identity.n", "56"),
        ("$context.identity.putAll({'z': 1})$context.identity.z", "1"),
        (
            "[$context.identity.toString()$context.toString()$context.clear()]$context.stage",
            "[]dev",
        ),
        ("#set($context.stage.x = 1)$context.stage", "dev"),
        ("$context.authorizer.claims['custom:role']", ""),
        ('#set($k = "stage")$context[$k]$context.get($k)', "devdev"),
        ("[$context.requestOverride.header][$context.requestOverride.nope]", "[][]"),
    ],
)
def test_context(template: str, expected: str | None) -> None:
    values = {
        "stage": "dev",
        "identity": {"sourceIp": "1.2.3.4", "n": 5},
        "epoch": 1000,
        "none": None,
    }
    expected = "stage=dev;identity=;epoch=1000;none=;" if expected is None else expected
    assert render(template, context=values) == expected


@pytest.mark.parametrize(
    "path",
    ["__class__", "__class__.__mro__", "__init__.__globals__", "__dict__", "f_globals", "gi_frame"],
)
@pytest.mark.parametrize(
    "root",
    ["input", "util", "context", "stageVariables", "l", "m", "s", "n", "e", "b", "foreach"],
)
def test_python_cannot_be_reached(root: str, path: str) -> None:
    template = (
        "#set($e = {'a': 1})#define($b)x#end#foreach($i in [1])#set($x = $foreach)"
        f"[${root}.get('{path}')][${root}['{path}']]"
        # A name cannot begin by an underscore: there the reference ends and text begins.
        + ("" if path.startswith("_") else f"[${root}.{path}][${root}.{path}()]")
        + "#end"
    )
    rendered = render(
        template,
        variables={"l": [1], "m": {"k": "v"}, "s": "text", "n": 5},
        stage_variables={"a": "b"},
    )
    assert set(rendered) <= set("[]")


def test_remembered_paths_are_bounded() -> None:
    paths = JsonPaths()
    first = paths.compiled("$.a")
    assert paths.compiled("$.a") is first
    for number in range(paths.SIZE_MAX):
        paths.compiled(f"$.a{number}")
    assert paths.compiled("$.a") is not first


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("$stageVariables.a $stageVariables.get('a') $stageVariables['a'] $stageVariables.zz", ""),
        ("#foreach($k in $stageVariables.keySet())$k=$stageVariables.get($k)#end", "a=b"),
        ("$stageVariables", "{a=b}"),
        ("${stageVariables['a']}.x $stageVariables.a.length()", "b.x 1"),
    ],
)
def test_stage_variables(template: str, expected: str) -> None:
    assert render(template, stage_variables={"a": "b"}) == (expected or "b b b ")
