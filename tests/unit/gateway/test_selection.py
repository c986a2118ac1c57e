"""Which integration response, and which template, an answer takes."""

from typing import Any

import pytest

from fakes_gateway import HandlerFailed, SmallGateway, header, lambda_method
from lamington.gateway.entities import IntegrationResponse as Outcome
from lamington.gateway.entities import Method


def mapped(*responses: Outcome, **integration: Any) -> Method:
    statuses = tuple(each.status_code for each in responses)
    return lambda_method(kind="AWS", statuses=statuses, responses=responses, **integration)


def failing(message: Any) -> Any:
    def handler(event: Any) -> Any:
        raise HandlerFailed({"errorMessage": message, "errorType": "E"})

    return handler


DEFAULT = Outcome(status_code="200")
NOT_FOUND = Outcome(status_code="404", selection_pattern=".*not found.*")
ANYTHING = Outcome(status_code="500", selection_pattern=r"(.|\n)+")


@pytest.mark.parametrize(
    ("responses", "message", "status"),
    [
        ((DEFAULT, NOT_FOUND), "cake not found", 404),
        ((DEFAULT, NOT_FOUND), "cake not found\nat line 1", 200),
        ((DEFAULT, NOT_FOUND, ANYTHING), "cake not found\nat line 1", 500),
        ((DEFAULT, NOT_FOUND, ANYTHING), "a cake not found here", 404),
        ((DEFAULT, Outcome(status_code="404", selection_pattern="not")), "not found", 200),
        ((DEFAULT, Outcome(status_code="400", selection_pattern=r"^\[Bad\].*")), "[Bad] x", 400),
        ((DEFAULT, Outcome(status_code="400", selection_pattern=r"\Q[Bad]\E.*")), "[Bad] x", 400),
        ((NOT_FOUND,), "other", 500),
        ((DEFAULT, ANYTHING), {"no": "text"}, 200),
    ],
)
async def test_a_function_error_is_matched_whole_against_its_message(
    responses: tuple[Outcome, ...], message: Any, status: int
) -> None:
    gateway = SmallGateway({"GET /": mapped(*responses)}, failing(message))
    assert (await gateway.send("GET /")).status == status


async def test_an_answer_without_error_takes_the_default() -> None:
    gateway = SmallGateway({"GET /": mapped(NOT_FOUND, ANYTHING, DEFAULT)}, lambda event: "hi")
    response = await gateway.send("GET /")
    assert (response.status, response.body) == (200, b'"hi"')


async def test_a_pattern_that_matches_nothing_at_all_beats_the_default() -> None:
    greedy = Outcome(status_code="418", selection_pattern=".*")
    gateway = SmallGateway({"GET /": mapped(DEFAULT, greedy)}, lambda event: "hi")
    assert (await gateway.send("GET /")).status == 418


async def test_a_returned_object_with_an_error_message_counts_as_an_error() -> None:
    gateway = SmallGateway(
        {"GET /": mapped(DEFAULT, NOT_FOUND)}, lambda event: {"errorMessage": "not found"}
    )
    assert (await gateway.send("GET /")).status == 404


async def test_no_match_and_no_default_is_500_and_reported() -> None:
    gateway = SmallGateway({"GET /": mapped(NOT_FOUND)}, lambda event: "hi")
    response = await gateway.send("GET /")
    assert (response.status, response.body) == (500, b'{"message":"Internal server error"}')
    assert "No match for output mapping and no default output mapping" in gateway.reports[0][2]


async def test_a_status_the_method_does_not_declare_is_500() -> None:
    method = lambda_method(kind="AWS", statuses=("201",), responses=(DEFAULT,))
    gateway = SmallGateway({"GET /": method}, lambda event: "hi")
    assert (await gateway.send("GET /")).status == 500
    assert "invalid method response: 200" in gateway.reports[0][2]


async def test_an_unmapped_error_is_200() -> None:
    gateway = SmallGateway({"GET /": mapped(DEFAULT)}, failing("boom"))
    response = await gateway.send("GET /")
    assert response.status == 200
    assert response.body == b'{"errorMessage":"boom","errorType":"E"}'


TEMPLATES = {"application/json": "json", "text/plain": "plain"}


@pytest.mark.parametrize(
    ("templates", "accept", "body"),
    [
        (TEMPLATES, None, b"json"),
        (TEMPLATES, "*/*", b"json"),
        (TEMPLATES, "text/plain", b"plain"),
        (TEMPLATES, "Text/Plain;q=0.5, application/json", b"plain"),
        (TEMPLATES, "image/png", b"json"),
        ({"text/xml": "xml", "text/plain": "plain"}, "image/png", b"xml"),
        ({"application/json": ""}, None, b'"hi"'),
        ({}, None, b'"hi"'),
    ],
)
async def test_response_template_is_chosen_by_accept(
    templates: dict[str, str], accept: str | None, body: bytes
) -> None:
    outcome = Outcome(status_code="200", response_templates=templates)
    gateway = SmallGateway({"GET /": mapped(outcome)}, lambda event: "hi")
    response = await gateway.send("GET /", headers={"Accept": accept} if accept else None)
    assert response.body == body
    assert header(response, "Content-Type") == "application/json"


REQUEST_TEMPLATES = {"application/json": '{"t": 1}'}


@pytest.mark.parametrize(
    ("behavior", "templates", "content_type", "expected"),
    [
        ("WHEN_NO_MATCH", REQUEST_TEMPLATES, "application/json", {"t": 1}),
        ("WHEN_NO_MATCH", REQUEST_TEMPLATES, "Application/JSON; charset=utf-8", {"t": 1}),
        ("WHEN_NO_MATCH", REQUEST_TEMPLATES, None, {"t": 1}),
        ("WHEN_NO_MATCH", REQUEST_TEMPLATES, "text/plain", {"sent": 1}),
        ("WHEN_NO_MATCH", {}, "text/plain", {"sent": 1}),
        ("WHEN_NO_TEMPLATES", REQUEST_TEMPLATES, "text/plain", 415),
        ("WHEN_NO_TEMPLATES", {}, "text/plain", {"sent": 1}),
        ("NEVER", REQUEST_TEMPLATES, "application/json", {"t": 1}),
        ("NEVER", REQUEST_TEMPLATES, "text/plain", 415),
        ("NEVER", {}, "application/json", 415),
        ("NEVER", {"application/json": ""}, "application/json", {"sent": 1}),
    ],
)
async def test_passthrough_behaviour(
    behavior: str, templates: dict[str, str], content_type: str | None, expected: Any
) -> None:
    method = mapped(DEFAULT, passthrough_behavior=behavior, request_templates=templates)
    gateway = SmallGateway({"GET /": method})
    response = await gateway.send(
        "GET /",
        body=b'{"sent": 1}',
        headers={"Content-Type": content_type} if content_type else None,
    )
    if expected == 415:
        assert (response.status, response.body) == (415, b'{"message":"Unsupported Media Type"}')
        assert header(response, "x-amzn-ErrorType") == "BadRequestException"
    else:
        assert gateway.event == expected


@pytest.mark.parametrize(
    ("template", "status"),
    [
        ('{"statusCode": 200}', 200),
        ("{statusCode: 404}", 404),
        ("{'statusCode': '404',}", 404),
        ('{"statusCode": 299}', 200),
        ('{"status": 200}', 500),
        ("200", 500),
        ('{"statusCode": true}', 500),
    ],
)
async def test_a_mock_takes_its_status_from_its_template(template: str, status: int) -> None:
    method = lambda_method(
        kind="MOCK",
        statuses=("200", "404"),
        responses=(
            Outcome(status_code="404", selection_pattern="4\\d{2}"),
            Outcome(status_code="200", selection_pattern="2\\d{2}"),
        ),
        request_templates={"application/json": template},
    )
    gateway = SmallGateway({"GET /": method})
    response = await gateway.send("GET /")
    assert response.status == status
    assert header(response, "X-Amzn-Trace-Id") == ""


async def test_a_mock_without_template_reads_the_body_and_answers_nothing() -> None:
    method = lambda_method("POST", kind="MOCK")
    gateway = SmallGateway({"POST /": method})
    response = await gateway.send("POST /", body=b'{"statusCode": 200}')
    assert (response.status, response.body) == (200, b"")
