import json
from pathlib import Path

import pytest

from lamington.cli.output import Output
from lamington.cli.render import RenderOptions, render_template
from lamington.core.errors import UsageError

TEMPLATE = """#set($n = $input.path('$.name'))
{
#foreach($t in $input.path('$.tags'))
"$t": "$n",
#end
"id": "$input.params('id')", "stage": "$stageVariables.v", "who": "$context.identity.user"
}
#set($context.requestOverride.header.X-Id = "7")"""
BODY = '{"name": "Ada", "tags": ["x", "y"]}'


@pytest.fixture
def template(tmp_path: Path) -> str:
    path = tmp_path / "request.vtl"
    path.write_text(TEMPLATE)
    return str(path)


def options(tmp_path: Path, *, lines: bool = False) -> RenderOptions:
    context = tmp_path / "context.json"
    context.write_text('{"identity": {"user": "ann"}}')
    return RenderOptions(
        body=BODY, path=["id=7"], stage_variable=["v=dev"], context=context, lines=lines
    )


def test_template_is_rendered_on_its_values(
    template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    render_template(template, options(tmp_path), Output())
    said = capsys.readouterr()
    assert said.out == ('{\n"x": "Ada",\n"y": "Ada",\n"id": "7", "stage": "dev", "who": "ann"\n}\n')
    assert said.err == "header.X-Id = 7\n"


def test_lines_stand_beside_what_they_printed(
    template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    render_template(template, options(tmp_path, lines=True), Output())
    rows = [row.split("│") for row in capsys.readouterr().out.splitlines()]
    assert [(left.split()[:1], right.strip()) for left, right in rows] == [
        (["2"], "{"),
        (["4"], '"x": "Ada",'),
        ([], '"y": "Ada",'),
        (["6"], '"id": "7", "stage": "dev", "who": "ann"'),
        (["7"], "}"),
    ]


def test_data_has_output_overrides_and_lines(
    template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    render_template(template, options(tmp_path), Output(as_json=True))
    found = json.loads(capsys.readouterr().out)
    assert found["overrides"] == {"header": {"X-Id": "7"}}
    assert "".join(text for _, text in found["lines"]) == found["output"]


def test_body_may_be_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.vtl").write_text("$input.path('$.name')")
    (tmp_path / "body.json").write_text(BODY)
    for given in (str(tmp_path / "body.json"), f"@{tmp_path / 'body.json'}"):
        render_template(str(tmp_path / "t.vtl"), RenderOptions(body=given), Output())
        assert capsys.readouterr().out == "Ada"


@pytest.mark.parametrize(
    ("text", "where"), [("a\n#if($x)", "2:"), ("ab\n  $input.body.substring(9)", "2:")]
)
def test_failure_names_the_file_the_line_and_the_column(
    tmp_path: Path, text: str, where: str
) -> None:
    path = tmp_path / "t.vtl"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        render_template(str(path), RenderOptions(), Output())
    assert str(refused.value).startswith(f"{path}:{where}")


def test_response_override_is_shown_of_a_response_template(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.vtl").write_text("#set($context.responseOverride.status = 201)x")
    render_template(str(tmp_path / "t.vtl"), RenderOptions(response=True), Output())
    said = capsys.readouterr()
    assert (said.out, said.err) == ("x", "status = 201\n")
