"""What is told of requests to HTTP APIs, step by step."""

import json
from typing import Any

import pytest

from http_api_world import (
    SmallHttpApi,
    endpoint_integration,
    jwt_authorizer,
    lambda_authorizer,
    lambda_integration,
    service_integration,
)
from lamington.core.sigv4 import Signer
from lamington.gateway.explain import Document, Explained, explain
from lamington.gateway.http_client import HttpAnswer, NetworkError
from lamington.gateway.v2.entities import Cors, RouteSettings

TOKEN = "header.claims.signature"
DATE = "20260101T000000Z"
SIGNED = (
    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/eu-west-1/execute-api/aws4_request,"
    " SignedHeaders=host;x-amz-date, Signature=00"
)
CUSTOM = {"authorization_type": "CUSTOM"}
JWT = {"authorization_type": "JWT"}


async def told(api: SmallHttpApi, target: str, *, secrets: bool = False, **more: Any) -> Document:
    seen: list[Explained] = []
    await api.send(target, watch=seen.append, **more)
    document = explain(seen[0], show_secrets=secrets)
    assert json.loads(json.dumps(document)) == document
    return document


def step(document: Document, name: str) -> Document:
    (found,) = [each for each in document["steps"] if each["name"] == name]
    return dict(found)


def names(document: Document) -> list[str]:
    return [each["name"] for each in document["steps"]]


async def test_request_is_told_from_its_route_to_its_response() -> None:
    api = SmallHttpApi(
        "GET /pets/{id}",
        "$default",
        integration=lambda_integration(
            request_parameters={
                "append:header.X-Id": "$request.path.id",
                "remove:querystring.a": "",
                "overwrite:path": "/all",
            },
            response_parameters={"200": {"overwrite:header.X-Seen": "$request.path.id"}},
        ),
    )
    document = await told(api, "GET /pets/7?a=1")
    assert names(document) == [
        "match",
        "request_parameters",
        "integration_request",
        "integration_response",
        "response_selection",
        "response_parameters",
        "method_response",
    ]
    assert document["protocol"] == "HTTP"
    assert document["resource"] == {"method": "GET", "path": "/pets/{id}"}
    assert document["request"]["query"] == [["a", "1"]]
    parameters = step(document, "request_parameters")
    assert parameters["before"]["append:header.X-Id"] == "$request.path.id"
    assert parameters["after"] == {
        "header": {"x-id": "7"},
        "querystring": {"a": None},
        "path": "/all",
    }
    sent = step(document, "integration_request")
    assert json.loads(sent["body"])["rawPath"] == "/all"
    assert step(document, "integration_response")["body"] == '{"ok":true}'
    assert step(document, "response_parameters")["after"] == {"x-seen": "7"}
    assert document["response"]["status"] == 200


@pytest.mark.parametrize(
    ("target", "key", "why"),
    [
        ("GET /pets/7", "GET /pets/{id}", "it matches the whole path"),
        ("GET /pets/7/toys", "GET /{proxy+}", "no route matches the whole path"),
        ("PUT /pets/7", "$default", "no other route takes it"),
    ],
)
async def test_route_is_told_with_its_candidates(target: str, key: str, why: str) -> None:
    api = SmallHttpApi("GET /pets/{id}", "GET /{proxy+}", "$default")
    match = step(await told(api, target), "match")
    assert f"{match['method']} {match['resource']}".strip() == key
    assert match["why"].startswith(why)
    assert match["candidates"][0] == key
    assert match["candidates"][-1] == "$default"


async def test_request_that_no_route_takes_is_told_what_there_is() -> None:
    api = SmallHttpApi("GET /pets", "POST /pets")
    document = await told(api, "GET /nowhere")
    assert document["methods"] == ["GET /pets", "POST /pets"]
    assert document["refusal"]["message"] == "No route for GET /nowhere"
    assert step(document, "gateway_response")["status"] == 404


async def test_preflight_is_told_as_the_gateways_own_answer() -> None:
    cors = Cors(allow_origins=("https://a",), allow_methods=("GET",))
    api = SmallHttpApi("GET /pets", cors=cors)
    headers = {"Origin": "https://a", "Access-Control-Request-Method": "GET"}
    document = await told(api, "OPTIONS /pets", headers=headers)
    assert names(document) == ["match", "cors", "method_response"]
    found = step(document, "cors")
    assert found["decision"] == "preflight: allowed"
    assert found["headers"]["access-control-allow-methods"] == "GET"


async def test_headers_that_cors_takes_from_a_backend_are_told() -> None:
    api = SmallHttpApi(
        "GET /pets",
        cors=Cors(allow_origins=("https://a",)),
        handler=lambda event: {
            "statusCode": 200,
            "headers": {"Access-Control-Allow-Origin": "*"},
        },
    )
    document = await told(api, "GET /pets", headers={"Origin": "https://b"})
    found = step(document, "cors")
    assert found["decision"] == "not allowed"
    assert found["dropped"] == {"access-control-allow-origin": "*"}


async def test_token_is_told_by_its_claims_and_never_shown() -> None:
    api = SmallHttpApi(
        "GET /pets",
        route=JWT,
        authorizer=jwt_authorizer(identity_source=("$request.querystring.token",)),
    )
    api.tokens.claims[TOKEN] = {"sub": "ann"}
    first = await told(api, f"GET /pets?token={TOKEN}")
    second = await told(api, f"GET /pets?token={TOKEN}")
    shown = await told(api, f"GET /pets?token={TOKEN}", secrets=True)
    found = step(first, "authorizer")
    assert (found["kind"], found["authorizer_name"]) == ("JWT", "tokens")
    assert (found["decision"], found["principal"], found["cached"]) == ("allow", "ann", False)
    assert found["output"] == {"claims": {"sub": "ann"}}
    assert step(second, "authorizer")["cached"] is True
    assert TOKEN not in json.dumps(first)
    assert TOKEN in json.dumps(shown)


async def test_token_without_the_scope_of_the_route_is_denied() -> None:
    api = SmallHttpApi(
        "GET /pets",
        route={**JWT, "authorization_scopes": ("write",)},
        authorizer=jwt_authorizer(),
    )
    api.tokens.claims[TOKEN] = {"scope": "read"}
    document = await told(api, "GET /pets", headers={"Authorization": f"Bearer {TOKEN}"})
    found = step(document, "authorizer")
    assert (found["decision"], found["error"]) == ("deny", "insufficient_scope")
    assert document["response"]["status"] == 403


async def test_token_that_does_not_hold_is_told_why() -> None:
    api = SmallHttpApi("GET /pets", route=JWT, authorizer=jwt_authorizer())
    document = await told(api, "GET /pets", headers={"Authorization": f"Bearer {TOKEN}"})
    assert step(document, "authorizer")["decision"] == "deny"
    assert document["refusal"]["type"] == "UNAUTHORIZED"


async def test_lambda_authorizer_is_told_with_its_event_and_its_answer() -> None:
    api = SmallHttpApi("GET /pets", route=CUSTOM, authorizer=lambda_authorizer(result_ttl_s=60))
    headers = {"Authorization": "let me in, please"}
    first = await told(api, "GET /pets", headers=headers)
    found = step(first, "authorizer")
    assert json.loads(found["input"])["version"] == "2.0"
    assert json.loads(found["output"]) == {"isAuthorized": True}
    assert (found["authorizer_name"], found["decision"]) == ("asks", "allow")
    assert found["uri"].endswith(":function:authorizer/invocations")
    assert "let me in, please" not in json.dumps(first)
    second = step(await told(api, "GET /pets", headers=headers), "authorizer")
    assert (second["cached"], second["decision"]) == (True, "allow")
    assert "input" not in second


async def test_lambda_authorizer_that_fails_is_told_why() -> None:
    api = SmallHttpApi(
        "GET /pets",
        route=CUSTOM,
        authorizer=lambda_authorizer(),
        authorizer_handler=lambda event: {"isAuthorized": "yes"},
    )
    document = await told(api, "GET /pets", headers={"Authorization": "x"})
    found = step(document, "authorizer")
    assert found["decision"] == "error"
    assert "`isAuthorized` is not true or false" in found["error"]
    assert document["response"]["status"] == 500


async def test_caller_is_told_for_iam() -> None:
    api = SmallHttpApi("GET /pets", route={"authorization_type": "AWS_IAM"})
    unsigned = await told(api, "GET /pets")
    assert names(unsigned) == ["match", "gateway_response"]
    assert unsigned["refusal"]["message"] == "The request is not signed"
    api.signers.signer = Signer(access_key="")
    signed = await told(api, "GET /pets", headers={"Authorization": SIGNED, "X-Amz-Date": DATE})
    found = step(signed, "authorizer")
    assert (found["kind"], found["decision"]) == ("AWS_IAM", "allow")
    assert found["principal"].startswith("arn:aws:iam::")


async def test_limit_that_refuses_is_told() -> None:
    limits = RouteSettings(throttling_rate_limit=1.0, throttling_burst_limit=1)
    api = SmallHttpApi("GET /pets", throttle=limits)
    first, second = await told(api, "GET /pets"), await told(api, "GET /pets")
    assert step(first, "throttle")["decision"] == "admitted"
    found = step(second, "throttle")
    assert (found["level"], found["decision"], found["burst"]) == ("route", "throttled", 1)
    assert second["refusal"]["type"] == "THROTTLED"


async def test_endpoint_is_told_with_what_it_got_and_gave() -> None:
    api = SmallHttpApi("GET /pets", integration=endpoint_integration())
    api.endpoint.answer = HttpAnswer(203, [("X-A", "b")], b"all")
    document = await told(api, "GET /pets?x=1")
    sent = step(document, "integration_request")
    assert (sent["method"], sent["uri"]) == ("GET", "http://pets.example/all?x=1")
    answer = step(document, "integration_response")
    assert (answer["status"], answer["headers"], answer["body"]) == (203, {"X-A": "b"}, "all")


async def test_endpoint_that_is_not_reached_is_told_why() -> None:
    api = SmallHttpApi("GET /pets", integration=endpoint_integration())
    api.endpoint.failure = NetworkError("nobody listens")
    document = await told(api, "GET /pets")
    assert names(document)[-2:] == ["integration_request", "gateway_response"]
    assert document["refusal"]["hint"] == "nobody listens"


async def test_service_is_told_by_its_operation() -> None:
    integration = service_integration(
        "SQS-SendMessage", QueueUrl="http://q", MessageBody="$request.body"
    )
    api = SmallHttpApi("POST /pets", integration=integration)
    document = await told(api, "POST /pets", body=b"hello")
    sent = step(document, "integration_request")
    assert sent["uri"] == "sqs:SendMessage"
    assert json.loads(sent["body"])["MessageBody"] == "hello"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"statusCode": 201}, "the answer has a `statusCode`"),
        ({"a": 1}, "the answer has no `statusCode`"),
    ],
)
async def test_inference_is_told(answer: Any, why: str) -> None:
    api = SmallHttpApi("GET /pets", handler=lambda event: answer)
    found = step(await told(api, "GET /pets"), "response_selection")
    assert found["why"].startswith(why)


async def test_cookies_of_both_ways_are_masked() -> None:
    api = SmallHttpApi(
        "GET /pets", handler=lambda event: {"statusCode": 200, "cookies": ["sid=outgoing-cookie"]}
    )
    headers = {"Cookie": "first=incoming-cookie; b=2"}
    hidden = json.dumps(await told(api, "GET /pets", headers=headers))
    assert "incoming-co" not in hidden
    assert "outgoing-co" not in hidden


async def test_recording_changes_nothing_of_the_answer() -> None:
    api = SmallHttpApi("GET /pets", cors=Cors(allow_origins=("*",)))
    plain = await api.send("GET /pets", headers={"Origin": "https://a"})
    document = await told(api, "GET /pets", headers={"Origin": "https://a"})
    fixed = [list(pair) for pair in plain.headers if pair[0] != "apigw-requestid"]
    assert document["response"]["body"] == plain.body.decode()
    assert document["response"]["headers"][:-1] == fixed


async def test_nothing_is_recorded_while_nobody_watches() -> None:
    api = SmallHttpApi("GET /pets", access_log="$context.requestId")
    await api.send("GET /pets")
    (logged,) = [each for each in api.entries if hasattr(each, "request")]
    assert logged.request.recording is None


async def test_plane_that_is_watched_shows_every_request() -> None:
    api = SmallHttpApi("GET /pets")
    seen: list[Explained] = []
    api.plane.watch = seen.append
    await api.send("GET /pets")
    await api.send("GET /nowhere")
    api.plane.watch = None
    await api.send("GET /pets")
    assert [each.answer.status for each in seen] == [200, 404]
