"""What a client gets for what a function behind a proxy integration answers."""

from typing import Any

import pytest

from fakes_gateway import HandlerFailed, SmallGateway, header, lambda_method
from lamington.core.http import Response


async def answer(returned: Any, *, accept: str = "*/*", **members: Any) -> Response:
    gateway = SmallGateway({"GET /": lambda_method()}, lambda event: returned, **members)
    return await gateway.send("GET /", headers={"Accept": accept})


async def test_an_answer_becomes_a_response() -> None:
    response = await answer(
        {"statusCode": 201, "headers": {"Content-Type": "text/plain", "X-A": "b"}, "body": "é"}
    )
    assert (response.status, response.body) == (201, "é".encode())
    assert [name for name, _ in response.headers] == [
        "Content-Type",
        "X-A",
        "x-amzn-RequestId",
        "x-amz-apigw-id",
        "X-Amzn-Trace-Id",
    ]


@pytest.mark.parametrize(
    "returned",
    [
        {"headers": {"X-A": "b"}},
        {"statusCode": 200},
        {},
        {"headers": None, "multiValueHeaders": None, "body": None, "statusCode": None},
    ],
)
async def test_missing_members_have_defaults(returned: Any) -> None:
    response = await answer(returned)
    assert (response.status, response.body) == (200, b"")
    assert header(response, "Content-Type") == "application/json"


@pytest.mark.parametrize(
    "returned",
    [
        "text",
        b"not json",
        [1],
        1,
        None,
        b"",
        {"statusCode": "two hundred"},
        {"statusCode": 99},
        {"statusCode": 600},
        {"statusCode": 200, "message": "unknown member"},
        {"statusCode": 200, "body": {"an": "object"}},
        {"statusCode": 200, "headers": ["no", "map"]},
        {"statusCode": 200, "headers": {"X-A": ["no", "text"]}},
        {"statusCode": 200, "multiValueHeaders": {"X-A": "no list"}},
    ],
)
async def test_a_malformed_answer_is_502(returned: Any) -> None:
    response = await answer(returned)
    assert (response.status, response.body) == (502, b'{"message":"Internal server error"}')
    assert header(response, "x-amzn-ErrorType") == "InternalServerErrorException"
    assert header(response, "X-Amzn-Trace-Id") == ""


async def test_the_reason_of_a_502_is_reported() -> None:
    gateway = SmallGateway({"GET /": lambda_method()}, lambda event: {"message": "hi"})
    await gateway.send("GET /")
    [(method, path, reason)] = gateway.reports
    assert (method, path) == ("GET", "/dev/")
    assert reason.startswith(
        "Execution failed due to configuration error: Malformed Lambda proxy response: Object"
        " contains unknown field `message`"
    )
    assert gateway.plane.failures[-1].reason == reason


async def test_a_function_error_is_502_and_says_why_in_the_log_only() -> None:
    def fail(event: Any) -> Any:
        raise HandlerFailed({"errorMessage": "boom", "errorType": "ValueError"})

    gateway = SmallGateway({"GET /": lambda_method()}, fail)
    response = await gateway.send("GET /")
    assert (response.status, response.body) == (502, b'{"message":"Internal server error"}')
    assert "customer function error: boom" in gateway.reports[0][2]


async def test_status_may_be_numeric_text() -> None:
    assert (await answer({"statusCode": "201"})).status == 201


async def test_header_values_that_are_no_text_are_written_as_text() -> None:
    response = await answer({"headers": {"A": True, "B": 5, "C": 1.5, "D": None}})
    assert [header(response, name) for name in "ABC"] == ["true", "5", "1.5"]
    assert "D" not in dict(response.headers)


async def test_several_values_come_first_and_are_not_repeated() -> None:
    response = await answer(
        {
            "headers": {"set-cookie": "c=3", "X-A": "1"},
            "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"], "x-a": ["1"]},
        }
    )
    assert [pair for pair in response.headers if pair[0].lower() in ("set-cookie", "x-a")] == [
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("Set-Cookie", "c=3"),
        ("x-a", "1"),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Date", "x-amzn-Remapped-Date"),
        ("Server", "x-amzn-Remapped-Server"),
        ("WWW-Authenticate", "x-amzn-Remapped-WWW-Authenticate"),
        ("content-length", "x-amzn-Remapped-content-length"),
        ("Authorization", "x-amzn-Remapped-Authorization"),
        ("Transfer-Encoding", None),
        ("Content-Encoding", "Content-Encoding"),
    ],
)
async def test_some_headers_are_renamed(name: str, expected: str | None) -> None:
    for key in ("headers", "multiValueHeaders"):
        response = await answer({key: {name: "v" if key == "headers" else ["v"]}})
        assert [pair[0] for pair in response.headers if pair[1] == "v"] == (
            [expected] if expected else []
        )


@pytest.mark.parametrize(
    ("types", "accept", "body"),
    [
        (("image/png",), "image/png", b"\x00\x01"),
        (("image/*",), "image/png,text/html", b"\x00\x01"),
        (("*/*",), "text/html", b"\x00\x01"),
        (("image/png",), "text/html,image/png", b"AAE="),
        ((), "image/png", b"AAE="),
    ],
)
async def test_base64_is_decoded_where_the_client_accepts_it(
    types: tuple[str, ...], accept: str, body: bytes
) -> None:
    response = await answer(
        {"isBase64Encoded": True, "body": "AAE="}, accept=accept, binary_media_types=types
    )
    assert response.body == body


async def test_invalid_base64_is_500() -> None:
    response = await answer({"isBase64Encoded": True, "body": "%%"}, binary_media_types=("*/*",))
    assert response.status == 500
