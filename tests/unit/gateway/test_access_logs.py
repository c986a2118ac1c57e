import json
from pathlib import Path

import pytest

from fakes_gateway import SCOPE
from lamington.gateway.access_logs import compile_access_log, group_of, require_access_log
from lamington.gateway.entities import BadRequestException
from observed_gateway import observed_gateway

GROUP_ARN = SCOPE.arn("logs", "log-group:access")
JSON_FORMAT = (
    '{"id":"$context.requestId","path":"$context.resourcePath","status":$context.status,'
    '"who":"$context.identity.user","length":$context.responseLength,'
    '"error":$context.error.messageString,"type":"$context.error.responseType",'
    '"backend":"$context.integration.status","lambda":"$context.integrationStatus",'
    '"waf":"$context.waf.status","deployment":"$context.deploymentId"}'
)


def log_settings(text: str) -> dict[str, dict[str, str]]:
    return {"access_log": {"destinationArn": GROUP_ARN, "format": text}}


def test_name_ends_where_no_name_goes_on() -> None:
    line = compile_access_log("$context.a.b-c-$context.d.[${context.e}x]$context.f['g:h']$other")
    assert line(lambda name: f"<{name}>") == "<a.b-c>-<d>.[<e>x]<f.g:h>$other"


def test_missing_value_is_a_dash() -> None:
    assert compile_access_log("$context.a $context.b\n")({"a": ""}.get) == "- -"


async def test_line_is_written_in_the_format_of_the_stage(tmp_path: Path) -> None:
    with observed_gateway(tmp_path, stage=log_settings(JSON_FORMAT)) as world:
        response = await world.gateway.send("GET /pets/7")
        (line,) = world.lines("access")
    assert json.loads(line.replace('"error":-', '"error":"-"')) == {
        "id": dict(response.headers)["x-amzn-RequestId"],
        "path": "/pets/{id}",
        "status": 201,
        "who": "-",
        "length": 4,
        "error": "-",
        "type": "-",
        "backend": "201",
        "lambda": "200",
        "waf": "-",
        "deployment": "dep123",
    }


async def test_refusal_is_told_in_the_line(tmp_path: Path) -> None:
    text = "$context.requestId $context.status $context.error.messageString"
    with observed_gateway(tmp_path, stage=log_settings(text)) as world:
        await world.gateway.send("GET /nowhere")
        (line,) = world.lines("access")
    assert line.partition(" ")[2] == '403 "Missing Authentication Token"'


async def test_stage_without_access_log_writes_no_line(tmp_path: Path) -> None:
    with observed_gateway(tmp_path) as world:
        await world.gateway.send("GET /pets/7")
        world.journal.flush()
        assert world.logs.groups(SCOPE) == []


@pytest.mark.parametrize(
    ("destination", "group"),
    [
        (GROUP_ARN, "access"),
        (f"{GROUP_ARN}:*", "access"),
        ("arn:aws:firehose:eu-west-1:1:deliverystream/amazon-apigateway-a", ""),
        ("access", ""),
    ],
)
def test_destination_is_a_log_group_or_none(destination: str, group: str) -> None:
    assert group_of(destination) == group


@pytest.mark.parametrize("text", ["$context.status", "$context.requestIdentity", "requestId"])
def test_format_without_request_id_is_refused(text: str) -> None:
    with pytest.raises(BadRequestException) as refused:
        require_access_log({"format": text})
    assert refused.value.message == (
        "Access Log format must include either $context.requestId or"
        f" $context.extendedRequestId : '{text}'"
    )


def test_format_of_several_lines_is_refused() -> None:
    require_access_log({"format": "$context.requestId\n"})
    with pytest.raises(BadRequestException, match="must be single line, new line character"):
        require_access_log({"format": "$context.requestId\n$context.status"})


def test_format_larger_than_three_kilobytes_is_refused() -> None:
    with pytest.raises(BadRequestException):
        require_access_log({"format": "$context.requestId" + "x" * 3072})


@pytest.mark.parametrize("arn", ["nothing", "arn:aws:s3:::bucket", "arn:aws:firehose:e:1:d/x"])
def test_destination_that_takes_no_lines_is_refused(arn: str) -> None:
    with pytest.raises(BadRequestException):
        require_access_log({"destinationArn": arn})
