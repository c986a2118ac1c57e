"""boto3, unchanged, on the authorizers of REST APIs, and requests that meet one."""

import io
import json
import urllib.error
import urllib.request
import zipfile
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lamington.testing import RunningEngine

HANDLER = """
def handler(event, context):
    if event["authorizationToken"] == "broken":
        raise Exception("Unauthorized")
    effect = "Allow" if event["authorizationToken"] == "allow" else "Deny"
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": "*"}
    return {
        "principalId": "somebody",
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": {"number": 7},
    }
"""


@pytest.fixture(scope="module")
def function_arn(live_engine: RunningEngine) -> str:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        entry = zipfile.ZipInfo("app.py")
        entry.external_attr = 0o644 << 16
        file.writestr(entry, HANDLER)
    client = live_engine.client("lambda")
    made = client.create_function(
        FunctionName="gatekeeper",
        Runtime="python3.11",
        Handler="app.handler",
        Role="arn:aws:iam::000000000000:role/r",
        Code={"ZipFile": packed.getvalue()},
    )
    client.add_permission(
        FunctionName="gatekeeper",
        StatementId="api",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )
    return str(made["FunctionArn"])


def _uri(function_arn: str) -> str:
    return (
        f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{function_arn}/invocations"
    )


@pytest.fixture
def api_id(live_engine: RunningEngine) -> str:
    return str(live_engine.client("apigateway").create_rest_api(name="guarded")["id"])


def _refusal(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**params)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def test_authorizer_lives_from_creation_to_deletion(
    live_engine: RunningEngine, api_id: str, function_arn: str
) -> None:
    client = live_engine.client("apigateway")
    made = client.create_authorizer(
        restApiId=api_id,
        name="gate",
        type="TOKEN",
        authorizerUri=_uri(function_arn),
        identitySource="method.request.header.Authorization",
    )
    made.pop("ResponseMetadata")
    assert made == {
        "id": made["id"],
        "name": "gate",
        "type": "TOKEN",
        "authType": "custom",
        "authorizerUri": _uri(function_arn),
        "identitySource": "method.request.header.Authorization",
        "authorizerResultTtlInSeconds": 300,
    }
    named = {"restApiId": api_id, "authorizerId": made["id"]}
    assert client.get_authorizers(restApiId=api_id)["items"] == [made]
    changed = client.update_authorizer(
        **named,
        patchOperations=[
            {"op": "replace", "path": "/authorizerResultTtlInSeconds", "value": "0"},
            {"op": "replace", "path": "/name", "value": "door"},
            {"op": "replace", "path": "/identityValidationExpression", "value": "[a-z]+"},
        ],
    )
    assert (changed["name"], changed["authorizerResultTtlInSeconds"]) == ("door", 0)
    assert client.get_authorizer(**named)["identityValidationExpression"] == "[a-z]+"
    client.delete_authorizer(**named)
    assert _refusal(client.get_authorizer, **named) == (
        "NotFoundException",
        "Invalid Authorizer identifier specified",
    )


def test_user_pool_as_authorizer(live_engine: RunningEngine, api_id: str) -> None:
    client = live_engine.client("apigateway")
    arn = "arn:aws:cognito-idp:us-east-1:000000000000:userpool/us-east-1_abc"
    made = client.create_authorizer(
        restApiId=api_id,
        name="pool",
        type="COGNITO_USER_POOLS",
        providerARNs=[arn],
        identitySource="method.request.header.Authorization",
    )
    assert (made["authType"], made["providerARNs"]) == ("cognito_user_pools", [arn])
    patch = [{"op": "add", "path": "/providerARNs", "value": f"{arn}2"}]
    changed = client.update_authorizer(
        restApiId=api_id, authorizerId=made["id"], patchOperations=patch
    )
    assert changed["providerARNs"] == [arn, f"{arn}2"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            {"authorizerUri": "arn:aws:s3:::x"},
            "Invalid Authorizer URI: arn:aws:s3:::x. Authorizer URI should be a valid API Gateway"
            " ARN that represents a Lambda function invocation.",
        ),
        (
            {"authorizerResultTtlInSeconds": 3601},
            "Authorizer result TTL must be between 0 and 3600 seconds",
        ),
        (
            {"identitySource": "method.request.body.x"},
            "Invalid mapping expression specified: Validation Result: warnings : [], errors :"
            " [Invalid mapping expression parameter specified: method.request.body.x]",
        ),
    ],
)
def test_what_is_no_authorizer(
    live_engine: RunningEngine,
    api_id: str,
    function_arn: str,
    members: dict[str, Any],
    message: str,
) -> None:
    client = live_engine.client("apigateway")
    params = {"name": "gate", "type": "TOKEN", "authorizerUri": _uri(function_arn), **members}
    code, said = _refusal(client.create_authorizer, restApiId=api_id, **params)
    assert (code, said) == ("BadRequestException", message)


def test_names_are_unique_and_paths_known(
    live_engine: RunningEngine, api_id: str, function_arn: str
) -> None:
    client = live_engine.client("apigateway")
    params = {"restApiId": api_id, "name": "gate", "type": "TOKEN"}
    made = client.create_authorizer(**params, authorizerUri=_uri(function_arn))
    assert _refusal(client.create_authorizer, **params, authorizerUri=_uri(function_arn)) == (
        "ConflictException",
        "Authorizer name must be unique. Authorizer gate already exists in this RestApi.",
    )
    code, said = _refusal(
        client.update_authorizer,
        restApiId=api_id,
        authorizerId=made["id"],
        patchOperations=[{"op": "replace", "path": "/colour", "value": "red"}],
    )
    assert code == "BadRequestException"
    assert said.startswith("Invalid patch path  '/colour' specified for op 'replace'. Must be one")


def test_authorizer_is_tested(live_engine: RunningEngine, api_id: str, function_arn: str) -> None:
    client = live_engine.client("apigateway")
    client_id = client.create_authorizer(
        restApiId=api_id, name="gate", type="TOKEN", authorizerUri=_uri(function_arn)
    )["id"]
    named = {"restApiId": api_id, "authorizerId": client_id}
    said = client.test_invoke_authorizer(**named, headers={"Authorization": "allow"})
    assert (said["clientStatus"], said["principalId"]) == (0, "somebody")
    assert json.loads(said["policy"])["Statement"][0]["Effect"] == "Allow"
    assert "/test-invoke-stage/GET/" in said["log"]
    assert client.test_invoke_authorizer(**named)["clientStatus"] == 401
    broken = client.test_invoke_authorizer(**named, headers={"Authorization": "broken"})
    assert broken["clientStatus"] == 401


def _get(url: str, token: str) -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"Authorization": token} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_created_authorizer_guards_a_method(
    live_engine: RunningEngine, api_id: str, function_arn: str
) -> None:
    client = live_engine.client("apigateway")
    authorizer_id = client.create_authorizer(
        restApiId=api_id, name="gate", type="TOKEN", authorizerUri=_uri(function_arn)
    )["id"]
    root = client.get_resources(restApiId=api_id)["items"][0]["id"]
    method = {"restApiId": api_id, "resourceId": root, "httpMethod": "GET"}
    client.put_method(**method, authorizationType="CUSTOM", authorizerId=authorizer_id)
    client.put_method_response(**method, statusCode="200")
    client.put_integration(
        **method, type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'}
    )
    template = "$context.authorizer.principalId has $context.authorizer.number"
    client.put_integration_response(
        **method, statusCode="200", responseTemplates={"application/json": template}
    )
    client.create_deployment(restApiId=api_id, stageName="dev")
    url = f"{live_engine.endpoint_url}/execute-api/{api_id}/dev/"
    assert _get(url, "allow") == (200, "somebody has 7")
    assert _get(url, "deny") == (
        403,
        '{"Message":"User is not authorized to access this resource with an explicit deny"}',
    )
    assert _get(url, "") == (401, '{"message":"Unauthorized"}')
    assert _get(url, "broken") == (401, '{"message":"Unauthorized"}')
    assert _refusal(client.delete_authorizer, restApiId=api_id, authorizerId=authorizer_id)[0] == (
        "ConflictException"
    )
