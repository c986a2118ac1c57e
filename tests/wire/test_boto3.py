"""boto3, unchanged, against one live engine: it is understood, and it understands."""

import io
import json
import urllib.error
import urllib.request
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lamington.testing import RunningEngine
from processes import wait_until

ROLE = "arn:aws:iam::000000000000:role/anything"
AT_ONCE = {"Delay": 0.02, "MaxAttempts": 500}
"""A waiter's own delay is a second."""


def archive(**files: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name.replace("_py", ".py").replace("_js", ".js"))
            entry.external_attr = 0o644 << 16
            file.writestr(entry, text)
    return packed.getvalue()


def create_function(engine: RunningEngine, name: str, text: str, **more: Any) -> Any:
    """Create a function and wait, as every client has to, until it is active."""
    client = engine.client("lambda")
    created = client.create_function(
        **{
            "FunctionName": name,
            "Runtime": "python3.11",
            "Handler": "app.handler",
            "Role": ROLE,
            "Code": {"ZipFile": archive(app_py=text)},
            **more,
        }
    )
    client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=AT_ONCE)
    return created


def wait_for_update(engine: RunningEngine, name: str) -> None:
    waiter = engine.client("lambda").get_waiter("function_updated_v2")
    waiter.wait(FunctionName=name, WaiterConfig=AT_ONCE)


def test_function_lives_from_creation_to_deletion(live_engine: RunningEngine) -> None:
    client = live_engine.client("lambda")
    created = create_function(live_engine, "life", "def handler(e, c): return {'got': e}")
    answer = client.invoke(FunctionName="life", Payload=b'{"a": 1}', LogType="Tail")
    client.delete_function(FunctionName="life")

    assert created["FunctionArn"] == "arn:aws:lambda:us-east-1:000000000000:function:life"
    assert created["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert json.loads(answer["Payload"].read()) == {"got": {"a": 1}}
    assert answer["ExecutedVersion"] == "$LATEST"
    with pytest.raises(client.exceptions.ResourceNotFoundException) as refused:
        client.get_function(FunctionName="life")
    assert refused.value.response["Error"]["Message"] == (
        "Function not found: arn:aws:lambda:us-east-1:000000000000:function:life"
    )


def test_new_code_answers_after_an_update(live_engine: RunningEngine) -> None:
    client = live_engine.client("lambda")
    create_function(live_engine, "changing", "def handler(e, c): return 1")
    before = client.invoke(FunctionName="changing")["Payload"].read()
    client.update_function_code(
        FunctionName="changing", ZipFile=archive(app_py="def handler(e, c): return 2")
    )
    wait_for_update(live_engine, "changing")
    after = client.invoke(FunctionName="changing")["Payload"].read()
    assert (before, after) == (b"1", b"2")


def test_configuration_reaches_the_function(live_engine: RunningEngine) -> None:
    client = live_engine.client("lambda")
    create_function(
        live_engine,
        "configured",
        "import os\ndef handler(e, c): return [os.environ['WHO'], c.memory_limit_in_mb]",
        Environment={"Variables": {"WHO": "Ada"}},
    )
    client.update_function_configuration(
        FunctionName="configured", MemorySize=256, Environment={"Variables": {"WHO": "Eve"}}
    )
    wait_for_update(live_engine, "configured")
    assert json.loads(client.invoke(FunctionName="configured")["Payload"].read()) == ["Eve", "256"]


def test_function_error_is_marked_unhandled(live_engine: RunningEngine) -> None:
    create_function(live_engine, "failing", "def handler(e, c): raise ValueError('no')")
    answer = live_engine.client("lambda").invoke(FunctionName="failing")
    error = json.loads(answer["Payload"].read())
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    assert (error["errorMessage"], error["errorType"]) == ("no", "ValueError")


def test_event_invocation_is_accepted_and_run(live_engine: RunningEngine) -> None:
    create_function(live_engine, "later", "def handler(e, c): print('ran', e['n'])")
    answer = live_engine.client("lambda").invoke(
        FunctionName="later", InvocationType="Event", Payload=b'{"n": 7}'
    )
    logs = live_engine.client("logs")

    def has_run() -> bool:
        try:
            found = logs.filter_log_events(
                logGroupName="/aws/lambda/later", filterPattern='"ran 7"'
            )
        except logs.exceptions.ResourceNotFoundException:
            return False
        return bool(found["events"])

    assert answer["StatusCode"] == 202
    wait_until(has_run, "the event was never run")


@pytest.mark.parametrize(
    "waiter",
    [
        *("function_exists", "function_active", "function_active_v2"),
        *("function_updated", "function_updated_v2", "published_version_active"),
    ],
)
def test_every_waiter_comes_to_its_end(live_engine: RunningEngine, waiter: str) -> None:
    client, name = live_engine.client("lambda"), f"waited-{waiter}"
    create_function(live_engine, name, "def handler(e, c): return 1", Publish=True)
    client.update_function_configuration(FunctionName=name, Timeout=9)
    named = {"FunctionName": name}
    if waiter == "published_version_active":
        named["Qualifier"] = "1"
    client.get_waiter(waiter).wait(**named, WaiterConfig=AT_ONCE)


def test_dry_run_runs_nothing(live_engine: RunningEngine) -> None:
    create_function(live_engine, "dry", "raise SystemExit(1)")
    answer = live_engine.client("lambda").invoke(FunctionName="dry", InvocationType="DryRun")
    assert answer["StatusCode"] == 204


def test_alias_and_version_are_invoked_by_qualifier(live_engine: RunningEngine) -> None:
    client = live_engine.client("lambda")
    create_function(live_engine, "versioned", "def handler(e, c): return 'first'")
    version = client.publish_version(FunctionName="versioned")["Version"]
    client.create_alias(FunctionName="versioned", Name="live", FunctionVersion=version)
    client.update_function_code(
        FunctionName="versioned", ZipFile=archive(app_py="def handler(e, c): return 'second'")
    )
    wait_for_update(live_engine, "versioned")
    by_alias = client.invoke(FunctionName="versioned", Qualifier="live")
    latest = client.invoke(FunctionName="versioned")
    assert (by_alias["Payload"].read(), by_alias["ExecutedVersion"]) == (b'"first"', "1")
    assert latest["Payload"].read() == b'"second"'


def test_functions_are_listed_page_by_page(live_engine: RunningEngine) -> None:
    client = live_engine.client("lambda", account_id="111111111111")
    for number in range(5):
        client.create_function(
            FunctionName=f"page{number}",
            Runtime="python3.11",
            Handler="a.h",
            Role=ROLE,
            Code={"ZipFile": archive(a_py="h = 1")},
        )
    pages = list(client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2}))
    names = [each["FunctionName"] for page in pages for each in page["Functions"]]
    assert [len(page["Functions"]) for page in pages] == [2, 2, 1]
    assert sorted(names) == [f"page{number}" for number in range(5)]


def test_accounts_and_regions_are_apart(live_engine: RunningEngine) -> None:
    create_function(live_engine, "apart", "h = 1")
    other_account = live_engine.client("lambda", account_id="222222222222")
    other_region = live_engine.client("lambda", region="eu-west-1")
    for client in (other_account, other_region):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.get_function(FunctionName="apart")
    assert (
        live_engine.client("sts", account_id="222222222222").get_caller_identity()["Account"]
        == "222222222222"
    )


SWAGGER = {
    "swagger": "2.0",
    "info": {"title": "mocked", "version": "1"},
    "paths": {
        "/hello/{name}": {
            "get": {
                "responses": {"200": {"description": "ok"}},
                "x-amazon-apigateway-integration": {
                    "type": "mock",
                    "requestTemplates": {"application/json": '{"statusCode": 200}'},
                    "responses": {
                        "default": {
                            "statusCode": "200",
                            "responseTemplates": {
                                "application/json": '{"hello": "$input.params(\'name\')"}'
                            },
                        }
                    },
                },
            }
        }
    },
}


def import_api(engine: RunningEngine, title: str) -> tuple[Any, str]:
    client = engine.client("apigateway")
    body = {**SWAGGER, "info": {"title": title, "version": "1"}}
    api_id: str = client.import_rest_api(body=json.dumps(body).encode())["id"]
    return client, api_id


def test_imported_api_is_deployed_and_answers(live_engine: RunningEngine) -> None:
    client, api_id = import_api(live_engine, "answers")
    client.create_deployment(restApiId=api_id, stageName="dev")
    base = live_engine.endpoint_url
    for form in (
        f"{base}/_aws/execute-api/{api_id}/dev/hello/Ada",
        f"{base}/restapis/{api_id}/dev/_user_request_/hello/Ada",
        f"{base}/execute-api/{api_id}/dev/hello/Ada",
    ):
        with urllib.request.urlopen(form, timeout=10) as answer:
            assert json.load(answer) == {"hello": "Ada"}


def test_api_answers_under_its_own_host(live_engine: RunningEngine) -> None:
    client, api_id = import_api(live_engine, "hosted")
    client.create_deployment(restApiId=api_id, stageName="dev")
    for host in (
        f"{api_id}.execute-api.us-east-1.amazonaws.com",
        f"{api_id}.execute-api.localhost:4566",
    ):
        request = urllib.request.Request(
            f"{live_engine.endpoint_url}/dev/hello/Eve", headers={"Host": host}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert json.load(answer) == {"hello": "Eve"}


def test_api_is_described(live_engine: RunningEngine) -> None:
    client, api_id = import_api(live_engine, "described")
    client.create_deployment(restApiId=api_id, stageName="dev", description="first")
    paths = {item["path"] for item in client.get_resources(restApiId=api_id)["items"]}
    assert paths == {"/", "/hello", "/hello/{name}"}
    assert client.get_rest_api(restApiId=api_id)["name"] == "described"
    assert api_id in {item["id"] for item in client.get_rest_apis(limit=500)["items"]}
    assert [item["stageName"] for item in client.get_stages(restApiId=api_id)["item"]] == ["dev"]
    deployments = client.get_deployments(restApiId=api_id)["items"]
    assert [item["description"] for item in deployments] == ["first"]


def test_method_is_tested_without_a_deployment(live_engine: RunningEngine) -> None:
    client, api_id = import_api(live_engine, "tested")
    resources = client.get_resources(restApiId=api_id)["items"]
    resource_id = next(each["id"] for each in resources if each["path"] == "/hello/{name}")
    answer = client.test_invoke_method(
        restApiId=api_id,
        resourceId=resource_id,
        httpMethod="GET",
        pathWithQueryString="/hello/Bo",
    )
    assert answer["status"] == 200
    assert json.loads(answer["body"]) == {"hello": "Bo"}
    assert "Method request" in answer["log"] or "Endpoint" in answer["log"]


def test_stack_is_created_updated_and_deleted(live_engine: RunningEngine) -> None:
    client = live_engine.client("cloudformation")
    template = {
        "Parameters": {"Days": {"Type": "Number", "Default": "7"}},
        "Resources": {
            "Group": {
                "Type": "AWS::Logs::LogGroup",
                "Properties": {"RetentionInDays": {"Ref": "Days"}},
            }
        },
        "Outputs": {"Name": {"Value": {"Ref": "Group"}}},
    }
    client.create_stack(StackName="group", TemplateBody=json.dumps(template))
    client.get_waiter("stack_create_complete").wait(
        StackName="group", WaiterConfig={"Delay": 1, "MaxAttempts": 20}
    )
    stack = client.describe_stacks(StackName="group")["Stacks"][0]
    name = stack["Outputs"][0]["OutputValue"]
    logs = live_engine.client("logs")
    groups = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert [group["retentionInDays"] for group in groups] == [7]

    client.update_stack(
        StackName="group",
        UsePreviousTemplate=True,
        Parameters=[{"ParameterKey": "Days", "ParameterValue": "30"}],
    )
    client.get_waiter("stack_update_complete").wait(
        StackName="group", WaiterConfig={"Delay": 1, "MaxAttempts": 20}
    )
    groups = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert [group["retentionInDays"] for group in groups] == [30]

    client.delete_stack(StackName="group")
    client.get_waiter("stack_delete_complete").wait(
        StackName="group", WaiterConfig={"Delay": 1, "MaxAttempts": 20}
    )
    assert logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"] == []
    events = client.describe_stack_events(StackName=stack["StackId"])["StackEvents"]
    assert events[0]["ResourceStatus"] == "DELETE_COMPLETE"
    assert events[-1]["ResourceStatus"] == "CREATE_IN_PROGRESS"


def test_failed_create_rolls_back(live_engine: RunningEngine) -> None:
    client = live_engine.client("cloudformation")
    template = {
        "Resources": {
            "Group": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "kept-not"}},
            "Function": {
                "Type": "AWS::Lambda::Function",
                "DependsOn": "Group",
                "Properties": {
                    "Runtime": "python3.11",
                    "Handler": "index.handler",
                    "Role": "not an arn",
                    "Code": {"ZipFile": "x = 1"},
                },
            },
        }
    }
    client.create_stack(StackName="fails", TemplateBody=json.dumps(template))

    def is_over() -> bool:
        status = client.describe_stacks(StackName="fails")["Stacks"][0]["StackStatus"]
        return bool(status == "ROLLBACK_COMPLETE")

    wait_until(is_over, "the stack was not rolled back")
    groups = live_engine.client("logs").describe_log_groups(logGroupNamePrefix="kept-not")
    assert groups["logGroups"] == []


def test_template_is_refused_before_anything_is_created(live_engine: RunningEngine) -> None:
    client = live_engine.client("cloudformation")
    template = {
        "Resources": {
            "Queue": {"Type": "AWS::SQS::Queue"},
            "Rocket": {"Type": "AWS::Space::Rocket"},
            "Group": {"Type": "AWS::Logs::LogGroup"},
        }
    }
    with pytest.raises(ClientError) as refused:
        client.create_stack(StackName="refused", TemplateBody=json.dumps(template))
    error = refused.value.response["Error"]
    assert error["Code"] == "ValidationError"
    assert "AWS::SQS::Queue" in error["Message"]
    assert "AWS::Space::Rocket" in error["Message"]
    with pytest.raises(ClientError, match="does not exist"):
        client.describe_stacks(StackName="refused")


def test_unknown_operation_and_service_are_refused_by_name(live_engine: RunningEngine) -> None:
    with pytest.raises(ClientError) as refused:
        live_engine.client("cloudformation").detect_stack_drift(StackName="any")
    assert "DetectStackDrift" in refused.value.response["Error"]["Message"]
    with pytest.raises(ClientError) as refused:
        live_engine.client("sqs").list_queues()
    assert "sqs" in refused.value.response["Error"]["Message"]


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Host": "evil.example"}],
    ids=["another origin", "a foreign host"],
)
def test_web_page_cannot_reach_the_control_plane(
    live_engine: RunningEngine, headers: dict[str, str]
) -> None:
    request = urllib.request.Request(
        f"{live_engine.endpoint_url}/2015-03-31/functions", headers=headers
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    refused.value.close()
    assert refused.value.code == 403
