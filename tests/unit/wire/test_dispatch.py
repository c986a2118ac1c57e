"""The dispatcher as HTTP clients meet it, without a socket."""

import json
import logging

import pytest

from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Ids
from lamington.core.errors import AwsError
from lamington.core.http import Headers, Request, Response
from lamington.wire.dispatch import Dispatcher

FUNCTIONS = "/2015-03-31/functions"


class ResourceNotFoundException(AwsError):
    status = 404
    default_members = {"Type": "User"}  # noqa: RUF012 -- as a layer's errors do


class Recorder:
    """Answers every operation with one result and keeps what it was asked."""

    def __init__(self, result: Result | None = None, error: Exception | None = None) -> None:
        self.result = result or {}
        self.error = error
        self.calls: list[tuple[Params, Scope]] = []
        self.metadata: Params = {}

    async def answer(self, params: Params, scope: Scope) -> Result:
        model_members = {name: each for name, each in params.items() if name != "RequestMetadata"}
        self.calls.append((model_members, scope))
        self.metadata = params.get("RequestMetadata", {})
        if self.error is not None:
            raise self.error
        return self.result


def dispatcher(recorder: Recorder, *names: str) -> Dispatcher:
    return Dispatcher(dict.fromkeys(names, recorder.answer), Ids())


def signed(
    service: str, *, key: str = "AKIAIOSFODNN7EXAMPLE", region: str = "eu-west-1"
) -> tuple[str, str]:
    return (
        "Authorization",
        f"AWS4-HMAC-SHA256 Credential={key}/20260101/{region}/{service}/aws4_request,"
        " SignedHeaders=host, Signature=0",
    )


def request_to(path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Request:
    path, _, query = path.partition("?")
    fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Request(method=method, path=path, query=query, headers=Headers(fields), body=body)


def query_call(text: str) -> Request:
    return request_to(
        "/", "POST", text.encode(), Content_Type="application/x-www-form-urlencoded; charset=utf-8"
    )


def header(response: Response, name: str) -> str:
    return Headers(response.headers).get(name)


async def test_an_access_key_of_twelve_digits_is_the_account_and_the_signature_has_the_region() -> (
    None
):
    recorder = Recorder()
    request = request_to(FUNCTIONS)
    request.headers.fields.append(signed("lambda", key="123456789012"))
    await dispatcher(recorder, "lambda:ListFunctions").handle(request)
    assert recorder.calls[0][1] == Scope(account_id="123456789012", region="eu-west-1")


async def test_any_other_access_key_means_the_default_account() -> None:
    recorder = Recorder()
    request = request_to(FUNCTIONS)
    request.headers.fields.append(signed("lambda"))
    await Dispatcher(
        {"lambda:ListFunctions": recorder.answer}, Ids(), default_scope=Scope(account_id="1" * 12)
    ).handle(request)
    assert recorder.calls[0][1].account_id == "1" * 12


async def test_a_presigned_query_names_service_and_scope_too() -> None:
    recorder = Recorder({"Account": "111122223333"})
    response = await dispatcher(recorder, "sts:GetCallerIdentity").handle(
        request_to(
            "/?Action=GetCallerIdentity&Version=2011-06-15"
            "&X-Amz-Credential=111122223333%2F20260101%2Fus-west-2%2Fsts%2Faws4_request"
        )
    )
    assert b"<Account>111122223333</Account>" in response.body
    assert recorder.calls[0][1] == Scope(account_id="111122223333", region="us-west-2")


@pytest.mark.parametrize(
    ("request_", "operation"),
    [
        (request_to(FUNCTIONS), "lambda:ListFunctions"),
        (request_to(FUNCTIONS + "/"), "lambda:ListFunctions"),
        (request_to("/restapis"), "apigateway:GetRestApis"),
        (request_to("/restapis?mode=import", "POST", b"{}"), "apigateway:ImportRestApi"),
        (request_to("/restapis", "POST", b'{"name":"a"}'), "apigateway:CreateRestApi"),
        (query_call("Action=ListStacks&Version=2010-05-15"), "cloudformation:ListStacks"),
        (request_to("/?Action=ListStacks&Version=2010-05-15"), "cloudformation:ListStacks"),
        (query_call("Action=ListRoles&Version=2010-05-08"), "iam:ListRoles"),
        (
            request_to("/", "POST", b"{}", X_Amz_Target="Logs_20140328.DescribeLogGroups"),
            "logs:DescribeLogGroups",
        ),
        (
            request_to("/x", "GET", Host="lambda.us-east-1.amazonaws.com"),
            "",
        ),
    ],
)
async def test_an_unsigned_request_is_known_by_what_it_looks_like(
    request_: Request, operation: str
) -> None:
    recorder = Recorder()
    response = await dispatcher(recorder, operation).handle(request_)
    assert (response.status, len(recorder.calls)) == ((200, 1) if operation else (404, 0)) or (
        response.status == 201 and recorder.calls
    )


async def test_the_host_tells_the_region_of_an_unsigned_request() -> None:
    recorder = Recorder()
    await dispatcher(recorder, "lambda:ListFunctions").handle(
        request_to(FUNCTIONS, Host="lambda.ap-southeast-2.amazonaws.com")
    )
    assert recorder.calls[0][1].region == "ap-southeast-2"


async def test_a_function_named_by_its_arn_in_the_path_is_decoded() -> None:
    recorder = Recorder({"StatusCode": 200, "Payload": b'"hi"', "FunctionError": "Unhandled"})
    response = await dispatcher(recorder, "lambda:Invoke").handle(
        request_to(
            FUNCTIONS + "/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af/invocations"
            "?Qualifier=%24LATEST",
            "POST",
            b'{"a": 1}',
            X_Amz_Invocation_Type="RequestResponse",
        )
    )
    assert recorder.calls[0][0] == {
        "FunctionName": "arn:aws:lambda:us-east-1:000000000000:function:f",
        "Qualifier": "$LATEST",
        "InvocationType": "RequestResponse",
        "Payload": b'{"a": 1}',
    }
    assert response.body == b'"hi"'
    assert header(response, "X-Amz-Function-Error") == "Unhandled"


@pytest.mark.parametrize("status", [202, 204])
async def test_the_status_member_is_the_status_of_the_response(status: int) -> None:
    recorder = Recorder({"StatusCode": status})
    response = await dispatcher(recorder, "lambda:Invoke").handle(
        request_to(FUNCTIONS + "/f/invocations", "POST")
    )
    assert (response.status, response.body) == (status, b"")


async def test_a_result_may_tell_its_own_request_id() -> None:
    recorder = Recorder({"ResponseMetadata": {"RequestId": "r-1", "HTTPHeaders": {"X-A": "b"}}})
    response = await dispatcher(recorder, "lambda:ListFunctions").handle(request_to(FUNCTIONS))
    assert (header(response, "x-amzn-RequestId"), header(response, "X-A")) == ("r-1", "b")
    assert json.loads(response.body) == {}


async def test_an_operation_that_is_not_there_is_refused_by_name_in_each_form() -> None:
    ours = dispatcher(Recorder())
    rest = await ours.handle(request_to(FUNCTIONS))
    form = await ours.handle(query_call("Action=CreateUser&Version=2010-05-08"))
    target = await ours.handle(request_to("/", "POST", X_Amz_Target="Logs_20140328.StartQuery"))
    assert (rest.status, form.status, target.status) == (501, 501, 501)
    assert header(rest, "x-amzn-ErrorType") == "NotImplemented"
    assert b"`ListFunctions` of the service `lambda`" in rest.body
    assert b"<Code>NotImplemented</Code>" in form.body
    assert b"CreateUser" in form.body
    assert json.loads(target.body)["__type"] == "NotImplemented"


@pytest.mark.parametrize(
    "request_",
    [
        request_to("/", "POST", X_Amz_Target="DynamoDB_20120810.ListTables"),
        request_to("/bucket", Host="s3.us-east-1.amazonaws.com"),
        request_to("/?Action=ListQueues", Authorization=signed("sqs")[1]),
    ],
)
async def test_a_service_that_is_not_there_is_refused_by_name(request_: Request) -> None:
    response = await dispatcher(Recorder()).handle(request_)
    assert response.status == 501
    assert b"does not emulate the service `" in response.body


async def test_a_request_that_names_no_service_is_refused() -> None:
    response = await dispatcher(Recorder()).handle(request_to("/favicon.ico"))
    assert response.status == 403
    assert b"names no AWS service" in response.body


async def test_a_modelled_error_has_its_members_under_the_model_s_names() -> None:
    recorder = Recorder(error=ResourceNotFoundException("Function not found: f"))
    response = await dispatcher(recorder, "lambda:GetFunction").handle(request_to(FUNCTIONS + "/f"))
    assert response.status == 404
    assert header(response, "x-amzn-ErrorType") == "ResourceNotFoundException"
    assert response.body == b'{"Type":"User","Message":"Function not found: f"}'


async def test_a_failure_of_ours_is_a_500_with_its_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder = Recorder(error=ZeroDivisionError("inside"))
    with caplog.at_level(logging.ERROR):
        response = await dispatcher(recorder, "lambda:ListFunctions").handle(request_to(FUNCTIONS))
    assert response.status == 500
    assert header(response, "x-amzn-ErrorType") == "InternalFailure"
    assert b"inside" not in response.body
    assert "ZeroDivisionError: inside" in caplog.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost:4566", "Origin": "https://evil.example"},
        {"Host": "localhost:4566", "Origin": "http://localhost:3000"},
        {"Host": "localhost:4566", "Origin": "null"},
        {"Host": "localhost:4566", "Sec_Fetch_Site": "cross-site"},
        {"Host": "localhost:4566", "Sec_Fetch_Site": "same-site"},
        {"Host": "evil.example:4566"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "evilamazonaws.com"},
        {"Host": "192.0.2.1:4566"},
    ],
)
async def test_a_web_page_cannot_reach_the_control_plane(headers: dict[str, str]) -> None:
    recorder = Recorder()
    ours = dispatcher(recorder, "lambda:ListFunctions")
    response = await ours.handle(request_to(FUNCTIONS, "GET", b"", **headers))
    assert (response.status, recorder.calls) == (403, [])
    assert header(response, "x-amzn-ErrorType") == "AccessDeniedException"


async def test_a_preflight_gets_no_permission() -> None:
    response = await dispatcher(Recorder()).handle(
        request_to(
            FUNCTIONS,
            "OPTIONS",
            Host="localhost:4566",
            Origin="https://evil.example",
            Access_Control_Request_Method="POST",
        )
    )
    assert response.status == 403
    assert not [name for name, _ in response.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    "host",
    [
        "localhost:4566",
        "127.0.0.1:4566",
        "127.0.0.2",
        "[::1]:4566",
        "api.localhost",
        "LOCALHOST",
        "lambda.us-east-1.amazonaws.com",
        "localhost.localstack.cloud:4566",
        "s3.localhost.localstack.cloud:4566",
        "lamington.internal:4566",
        "",
    ],
)
async def test_names_of_this_machine_and_of_aws_are_trusted(host: str) -> None:
    recorder = Recorder()
    ours = Dispatcher(
        {"lambda:ListFunctions": recorder.answer}, Ids(), hosts=["lamington.internal"]
    )
    request = request_to(FUNCTIONS, Host=host)
    request.headers.fields.append(signed("lambda"))
    assert (await ours.handle(request)).status == 200


async def test_a_page_of_the_engine_itself_may_call() -> None:
    ours = dispatcher(Recorder(), "lambda:ListFunctions")
    request = request_to(
        FUNCTIONS,
        Host="localhost:4566",
        Origin="http://localhost:4566",
        Sec_Fetch_Site="same-origin",
    )
    assert (await ours.handle(request)).status == 200


async def test_a_call_in_process_goes_to_the_same_method() -> None:
    recorder = Recorder({"Functions": []})
    scope = Scope(region="eu-north-1")
    result = await dispatcher(recorder, "lambda:ListFunctions").call(
        "lambda:ListFunctions", {"MaxItems": 1}, scope
    )
    assert result == {"Functions": []}
    assert recorder.calls == [({"MaxItems": 1}, scope)]


async def test_a_call_in_process_of_what_is_not_there_is_refused() -> None:
    with pytest.raises(AwsError) as refused:
        await dispatcher(Recorder()).call("sqs:SendMessage", {}, Scope())
    assert (refused.value.code, refused.value.status) == ("NotImplemented", 501)


async def test_operations_may_be_added_to_the_table_afterwards() -> None:
    recorder = Recorder()
    operations = {"lambda:ListFunctions": recorder.answer}
    ours = Dispatcher(operations, Ids())
    operations["cloudformation:ListStacks"] = recorder.answer
    await ours.call("cloudformation:ListStacks", {}, Scope())
    assert len(recorder.calls) == 1


async def test_operation_finds_the_headers_beside_its_members() -> None:
    recorder = Recorder({"Account": "1"})
    request = request_to("/", "POST", b"Action=GetCallerIdentity&Version=2011-06-15", X_Mine="1")
    request.headers.set("Content-Type", "application/x-www-form-urlencoded")
    await dispatcher(recorder, "sts:GetCallerIdentity").handle(request)
    assert recorder.metadata["HTTPHeaders"].get("x-mine") == "1"
    assert recorder.metadata["SourceIp"] == "127.0.0.1"
