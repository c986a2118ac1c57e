"""Requests that botocore signs, to a running engine: to an API's method, a URL and AWS itself."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.httpsession import URLLib3Session

from lamington.testing import RunningEngine, running_engine

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ACCOUNT = "000000000000"
NARROW = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "execute-api:Invoke",
            "Resource": "arn:aws:execute-api:us-east-1:000000000000:*/dev/GET/open",
        },
        {"Effect": "Allow", "Action": ["lambda:GetFunction"], "Resource": "*"},
        {"Effect": "Deny", "Action": "lambda:*", "Resource": "*:secret"},
    ],
}
CREDENTIALS = f"""
[root]
aws_access_key_id = AKIAROOTROOTROOTROOT
aws_secret_access_key = {SECRET}

[narrow]
aws_access_key_id = AKIANARROWNARROWNARR
aws_secret_access_key = {SECRET}
user_arn = arn:aws:iam::{ACCOUNT}:user/narrow
policy = narrow.json
"""
HANDLER = """def handler(event, context):
    return {"arn": event["requestContext"]["authorizer"]["iam"]["userArn"]}
"""
METHOD: dict[str, Any] = {
    "x-amazon-apigateway-auth": {"type": "AWS_IAM"},
    "responses": {"200": {"description": "it is told who calls"}},
    "x-amazon-apigateway-integration": {
        "type": "mock",
        "requestTemplates": {"application/json": '{"statusCode": 200}'},
        "responses": {
            "default": {
                "statusCode": "200",
                "responseTemplates": {
                    "application/json": '{"arn": "$context.identity.userArn",'
                    ' "key": "$context.identity.accessKey"}'
                },
            }
        },
    },
}
DEFINITION = {
    "swagger": "2.0",
    "info": {"title": "signed", "version": "1"},
    "paths": {"/open": {"get": METHOD}, "/closed": {"get": METHOD}},
}


def _credentials_file(directory: Path) -> str:
    (directory / "narrow.json").write_text(json.dumps(NARROW))
    (directory / "credentials").write_text(CREDENTIALS)
    return str(directory / "credentials")


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    credentials = _credentials_file(tmp_path_factory.mktemp("trusting"))
    with running_engine(credentials=credentials) as engine:
        yield engine


@pytest.fixture(scope="module")
def enforcing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    credentials = _credentials_file(tmp_path_factory.mktemp("enforcing"))
    with running_engine(credentials=credentials, auth="enforce") as engine:
        yield engine


def _client(
    engine: RunningEngine, service: str, key: str, secret: str = SECRET, token: str = ""
) -> Any:
    session: Any = boto3.Session(
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token or None,
    )
    return session.client(service, endpoint_url=engine.endpoint_url)


ROOT = "AKIAROOTROOTROOTROOT"
NARROW_KEY = "AKIANARROWNARROWNARR"


def _deployed(engine: RunningEngine) -> str:
    client = _client(engine, "apigateway", ROOT)
    api_id = client.import_rest_api(body=json.dumps(DEFINITION).encode())["id"]
    client.create_deployment(restApiId=api_id, stageName="dev")
    return str(api_id)


def _get(
    engine: RunningEngine,
    url: str,
    key: str = "",
    secret: str = SECRET,
    *,
    service: str = "execute-api",
    presigned: bool = False,
) -> tuple[int, Any, str]:
    """The status, the body and the error type of a request; without a key it is not signed."""
    request = AWSRequest("GET", engine.endpoint_url + url)
    if key:
        signer: Any = SigV4QueryAuth if presigned else SigV4Auth
        signer(Credentials(key, secret), service, "us-east-1").add_auth(request)
    answer = URLLib3Session().send(request.prepare())
    kind = str(answer.headers.get("x-amzn-ErrorType", ""))
    return answer.status_code, json.loads(answer.content), kind


def _path(api_id: str, path: str) -> str:
    return f"/execute-api/{api_id}/dev{path}"


# A method that asks for a signature.


@pytest.mark.parametrize("presigned", [False, True])
@pytest.mark.parametrize("query", ["", "?b=2&a=1&a=x%20y&empty"])
def test_verified_signer_is_named(trusting: RunningEngine, presigned: bool, query: str) -> None:
    url = _path(_deployed(trusting), "/open") + query
    status, body, _ = _get(trusting, url, NARROW_KEY, presigned=presigned)
    assert (status, body["arn"]) == (200, f"arn:aws:iam::{ACCOUNT}:user/narrow")


def test_unknown_key_is_believed_when_trusting(trusting: RunningEngine) -> None:
    url = _path(_deployed(trusting), "/closed")
    assert _get(trusting, url, "test", "test")[:2] == (
        200,
        {"arn": f"arn:aws:iam::{ACCOUNT}:root", "key": "test"},
    )


def test_policies_are_not_asked_when_trusting(trusting: RunningEngine) -> None:
    assert _get(trusting, _path(_deployed(trusting), "/closed"), NARROW_KEY)[0] == 200


def test_wrong_secret_is_refused_when_trusting(trusting: RunningEngine) -> None:
    url = _path(_deployed(trusting), "/open")
    assert _get(trusting, url, NARROW_KEY, "wrong")[::2] == (403, "InvalidSignatureException")


def test_unsigned_request_is_refused(trusting: RunningEngine) -> None:
    assert _get(trusting, _path(_deployed(trusting), "/open")) == (
        403,
        {"message": "Missing Authentication Token"},
        "MissingAuthenticationTokenException",
    )


def test_unknown_key_is_refused_when_enforcing(enforcing: RunningEngine) -> None:
    url = _path(_deployed(enforcing), "/open")
    assert _get(enforcing, url, "test", "test") == (
        403,
        {"message": "The security token included in the request is invalid."},
        "UnrecognizedClientException",
    )


def test_policies_are_asked_when_enforcing(enforcing: RunningEngine) -> None:
    api_id = _deployed(enforcing)
    assert _get(enforcing, _path(api_id, "/open"), NARROW_KEY)[0] == 200
    assert _get(enforcing, _path(api_id, "/closed"), NARROW_KEY) == (
        403,
        {
            "Message": f"User: arn:aws:iam::{ACCOUNT}:user/narrow is not authorized to perform:"
            " execute-api:Invoke on resource:"
            f" arn:aws:execute-api:us-east-1:********0000:{api_id}/dev/GET/closed"
        },
        "AccessDeniedException",
    )


def test_key_without_an_arn_may_do_everything(enforcing: RunningEngine) -> None:
    assert _get(enforcing, _path(_deployed(enforcing), "/closed"), ROOT)[0] == 200


# The control plane.


def _refusal(call: Any, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**params)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("lambda", "list_functions", "InvalidSignatureException"),
        ("logs", "describe_log_groups", "InvalidSignatureException"),
        ("iam", "list_roles", "SignatureDoesNotMatch"),
        ("apigateway", "get_rest_apis", "InvalidSignatureException"),
    ],
)
def test_wrong_secret_of_a_known_key(
    trusting: RunningEngine, service: str, operation: str, code: str
) -> None:
    client = _client(trusting, service, ROOT, "wrong")
    assert _refusal(getattr(client, operation))[0] == code


def test_unknown_keys_still_work_when_trusting(trusting: RunningEngine) -> None:
    assert _client(trusting, "lambda", "test", "test").list_functions()["Functions"] == []


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("lambda", "list_functions", "UnrecognizedClientException"),
        ("iam", "list_roles", "InvalidClientTokenId"),
    ],
)
def test_unknown_keys_are_refused_when_enforcing(
    enforcing: RunningEngine, service: str, operation: str, code: str
) -> None:
    client = _client(enforcing, service, "test", "test")
    assert _refusal(getattr(client, operation)) == (
        code,
        "The security token included in the request is invalid.",
    )


def test_action_that_no_policy_allows(enforcing: RunningEngine) -> None:
    client = _client(enforcing, "lambda", NARROW_KEY)
    who = f"arn:aws:iam::{ACCOUNT}:user/narrow"
    assert _refusal(client.delete_function, FunctionName="f") == (
        "AccessDeniedException",
        f"User: {who} is not authorized to perform: lambda:DeleteFunction on resource:"
        f" arn:aws:lambda:us-east-1:{ACCOUNT}:function:f because no identity-based policy allows"
        " the lambda:DeleteFunction action",
    )
    assert _refusal(client.get_function, FunctionName="f")[0] == "ResourceNotFoundException"
    assert _refusal(client.get_function, FunctionName="secret")[1].endswith(
        "with an explicit deny in an identity-based policy"
    )


def test_caller_is_told_who_it_is(enforcing: RunningEngine) -> None:
    found = _client(enforcing, "sts", NARROW_KEY).get_caller_identity()
    assert found["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/narrow"


def test_session_has_the_policies_of_its_role(enforcing: RunningEngine) -> None:
    iam = _client(enforcing, "iam", ROOT)
    role = iam.create_role(RoleName="reader", AssumeRolePolicyDocument='{"Statement": [{}]}')
    made = _client(enforcing, "sts", ROOT).assume_role(
        RoleArn=role["Role"]["Arn"], RoleSessionName="me"
    )["Credentials"]
    keys = (made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
    client = _client(enforcing, "lambda", *keys)
    assert _refusal(client.list_functions)[0] == "AccessDeniedException"
    statement = {"Effect": "Allow", "Action": "lambda:List*", "Resource": "*"}
    iam.put_role_policy(
        RoleName="reader",
        PolicyName="list",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    assert client.list_functions()["Functions"] == []


def test_session_without_its_token_is_refused(enforcing: RunningEngine) -> None:
    made = _client(enforcing, "sts", ROOT).assume_role(
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/r", RoleSessionName="me"
    )["Credentials"]
    client = _client(enforcing, "lambda", made["AccessKeyId"], made["SecretAccessKey"])
    assert _refusal(client.list_functions)[0] == "UnrecognizedClientException"


# Function URLs.


def _url_path(engine: RunningEngine, name: str) -> str:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        entry = zipfile.ZipInfo("app.py")
        entry.external_attr = 0o644 << 16
        file.writestr(entry, HANDLER)
    client = _client(engine, "lambda", ROOT)
    client.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="app.handler",
        Role=f"arn:aws:iam::{ACCOUNT}:role/r",
        Code={"ZipFile": packed.getvalue()},
    )
    made = client.create_function_url_config(FunctionName=name, AuthType="AWS_IAM")
    url_id = made["FunctionUrl"].partition("//")[2].partition(".")[0]
    if "/_aws/lambda-url/" in made["FunctionUrl"]:
        url_id = made["FunctionUrl"].rstrip("/").rpartition("/")[2]
    return f"/_aws/lambda-url/{url_id}/"


def test_function_url_verifies_signatures(enforcing: RunningEngine) -> None:
    path = _url_path(enforcing, "signed-url")
    status, body, _ = _get(enforcing, path, ROOT, service="lambda")
    assert (status, body) == (200, {"arn": f"arn:aws:iam::{ACCOUNT}:root"})
    assert _get(enforcing, path, ROOT, "wrong", service="lambda")[::2] == (
        403,
        "InvalidSignatureException",
    )
    assert _get(enforcing, path, NARROW_KEY, service="lambda")[::2] == (
        403,
        "AccessDeniedException",
    )
