"""The AWS CLI, unchanged, against one live engine: each test is a session at a terminal.

A start of the CLI takes most of a second, so that the sessions are few and each says a lot.
"""

import json
import zipfile
from pathlib import Path

import pytest

from lamington.testing import RunningEngine
from processes import get
from terminal import Terminal

ROLE = "arn:aws:iam::000000000000:role/anything"

TEMPLATE = """\
Parameters:
  Days: {Type: Number, Default: 7}
Resources:
  Notes:
    Type: AWS::Logs::LogGroup
    Properties: {LogGroupName: !Sub "/${AWS::StackName}/notes", RetentionInDays: !Ref Days}
Outputs:
  Name: {Value: !Ref Notes}
"""

HANDLER = """\
def handler(event, context):
    print("seen", event["n"])
    return {"twice": event["n"] * 2}
"""


@pytest.fixture
def terminal(live_engine: RunningEngine, tmp_path: Path) -> Terminal:
    return Terminal(live_engine.endpoint_url, tmp_path)


def test_function_and_its_log(terminal: Terminal, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as package:
        entry = zipfile.ZipInfo("app.py")
        entry.external_attr = 0o644 << 16
        package.writestr(entry, HANDLER)
    created = terminal.aws(
        *("lambda", "create-function", "--function-name", "cli", "--runtime", "python3.11"),
        *("--handler", "app.handler", "--role", ROLE, "--zip-file", "fileb://code.zip"),
    )
    assert created["FunctionArn"] == "arn:aws:lambda:us-east-1:000000000000:function:cli"
    invoked = terminal.aws(
        *("lambda", "invoke", "--function-name", "cli", "--payload", '{"n": 21}', "out.json")
    )
    assert invoked == {"StatusCode": 200, "ExecutedVersion": "$LATEST"}
    assert (tmp_path / "out.json").read_text() == '{"twice": 42}'
    names = terminal.aws("lambda", "list-functions", "--query", "Functions[].FunctionName")
    assert names == ["cli"]

    (group,) = terminal.aws("logs", "describe-log-groups")["logGroups"]
    assert group["logGroupName"] == "/aws/lambda/cli"
    (stream,) = terminal.aws("logs", "describe-log-streams", "--log-group-name", "/aws/lambda/cli")[
        "logStreams"
    ]
    events = terminal.aws(
        *("logs", "get-log-events", "--log-group-name", "/aws/lambda/cli"),
        *("--log-stream-name", stream["logStreamName"]),
    )["events"]
    assert [each["message"].split(" ")[0].rstrip() for each in events] == [
        *("INIT_START", "START", "seen", "END", "REPORT")
    ]
    found = terminal.aws(
        *("logs", "filter-log-events", "--log-group-name", "/aws/lambda/cli"),
        *("--filter-pattern", "seen"),
    )["events"]
    assert [each["message"] for each in found] == ["seen 21\n"]

    updated = terminal.aws(
        *("lambda", "update-function-configuration", "--function-name", "cli"),
        *("--timeout", "9", "--environment", "Variables={WHO=Ada}"),
    )
    assert (updated["Timeout"], updated["Environment"]) == (9, {"Variables": {"WHO": "Ada"}})
    deleted = terminal.aws("lambda", "delete-function", "--function-name", "cli")
    assert deleted == {"StatusCode": 204}
    said = terminal.refused("lambda", "get-function", "--function-name", "cli")
    assert said == (
        "An error occurred (ResourceNotFoundException) when calling the GetFunction operation:"
        " Function not found: arn:aws:lambda:us-east-1:000000000000:function:cli"
    )


def test_stack_from_creation_to_deletion(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "stack.yaml").write_text(TEMPLATE)
    body = ("--template-body", "file://stack.yaml")
    named = ("--stack-name", "notes")
    validated = terminal.aws("cloudformation", "validate-template", *body)
    assert [each["ParameterKey"] for each in validated["Parameters"]] == ["Days"]
    created = terminal.aws("cloudformation", "create-stack", *named, *body)
    assert created["StackId"].startswith(
        "arn:aws:cloudformation:us-east-1:000000000000:stack/notes/"
    )
    terminal.aws("cloudformation", "wait", "stack-create-complete", *named)
    (stack,) = terminal.aws("cloudformation", "describe-stacks", *named)["Stacks"]
    assert stack["Outputs"] == [{"OutputKey": "Name", "OutputValue": "/notes/notes"}]
    statuses = terminal.aws(
        *("cloudformation", "describe-stack-events", *named),
        *("--query", "StackEvents[].[LogicalResourceId,ResourceStatus]"),
    )
    assert statuses[0] == ["notes", "CREATE_COMPLETE"]
    assert ["Notes", "CREATE_COMPLETE"] in statuses
    assert statuses[-1] == ["notes", "CREATE_IN_PROGRESS"]
    kept = terminal.aws("cloudformation", "get-template", *named)
    assert kept["TemplateBody"] == TEMPLATE

    deployed = terminal.aws(
        *("cloudformation", "deploy", *named, "--template-file", "stack.yaml"),
        *("--parameter-overrides", "Days=30"),
    )
    assert "Successfully created/updated stack - notes" in deployed
    groups = terminal.aws("logs", "describe-log-groups", "--log-group-name-prefix", "/notes/")
    assert [each["retentionInDays"] for each in groups["logGroups"]] == [30]
    refused = terminal.refused(
        *("cloudformation", "update-stack", *named, *body),
        *("--parameters", "ParameterKey=Days,ParameterValue=30"),
    )
    assert refused == (
        "An error occurred (ValidationError) when calling the UpdateStack operation:"
        " No updates are to be performed."
    )
    assert terminal.aws("cloudformation", "delete-stack", *named) == ""
    terminal.aws("cloudformation", "wait", "stack-delete-complete", *named)
    listed = terminal.aws(
        *("cloudformation", "list-stacks", "--query", "StackSummaries[].[StackName,StackStatus]")
    )
    assert listed == [["notes", "DELETE_COMPLETE"]]


def test_api_from_a_definition(
    terminal: Terminal, live_engine: RunningEngine, tmp_path: Path
) -> None:
    definition = {
        "swagger": "2.0",
        "info": {"title": "mock", "version": "1"},
        "paths": {
            "/ping": {
                "get": {
                    "responses": {"200": {"description": "pong"}},
                    "x-amazon-apigateway-integration": {
                        "type": "mock",
                        "requestTemplates": {"application/json": '{"statusCode": 200}'},
                        "responses": {
                            "default": {
                                "statusCode": "200",
                                "responseTemplates": {
                                    "application/json": '{"pong": "$input.params(\'who\')"}'
                                },
                            }
                        },
                    },
                }
            }
        },
    }
    (tmp_path / "api.json").write_text(json.dumps(definition))
    api = terminal.aws("apigateway", "import-rest-api", "--body", "file://api.json")
    assert api["name"] == "mock"
    this = ("--rest-api-id", api["id"])
    resources = terminal.aws("apigateway", "get-resources", *this)["items"]
    assert sorted(each["path"] for each in resources) == ["/", "/ping"]
    ping = next(each["id"] for each in resources if each["path"] == "/ping")
    tried = terminal.aws(
        *("apigateway", "test-invoke-method", *this, "--resource-id", ping),
        *("--http-method", "GET", "--path-with-query-string", "/ping?who=Ada"),
    )
    assert (tried["status"], json.loads(tried["body"])) == (200, {"pong": "Ada"})
    terminal.aws("apigateway", "create-deployment", *this, "--stage-name", "live")
    (stage,) = terminal.aws("apigateway", "get-stages", *this)["item"]
    assert stage["stageName"] == "live"
    url = f"{live_engine.endpoint_url}/restapis/{api['id']}/live/_user_request_/ping?who=Eve"
    assert json.loads(get(url)) == {"pong": "Eve"}
    ids = terminal.aws("apigateway", "get-rest-apis", "--query", "items[].id")
    assert ids == [api["id"]]


def test_caller_is_the_account_of_the_access_key(terminal: Terminal) -> None:
    identity = terminal.aws("sts", "get-caller-identity")
    assert identity["Account"] == "000000000000"
    assert identity["Arn"] == "arn:aws:iam::000000000000:root"


def test_operation_that_is_not_emulated_is_named(terminal: Terminal) -> None:
    said = terminal.refused("cloudformation", "detect-stack-drift", "--stack-name", "any")
    assert "(NotImplemented)" in said
    assert "`DetectStackDrift` of the service `cloudformation`" in said
