"""Validation beside the rows of fidelity: what is told of a model, and what a body may not do."""

from dataclasses import replace

import pytest

from fakes_gateway import SmallGateway, lambda_method, small_api
from lamington.gateway import schemas
from lamington.gateway.entities import GatewayResponseDefinition, Model, RequestValidator
from lamington.gateway.schemas import compile_model

VALIDATOR = RequestValidator(validator_id="v", name="v", validate_body=True)
ERRORS = GatewayResponseDefinition(
    response_type="BAD_REQUEST_BODY",
    response_templates={"application/json": "$context.error.validationErrorString"},
)


def judging(schema: str, **gateway_responses: GatewayResponseDefinition) -> SmallGateway:
    method = replace(
        lambda_method("POST"),
        request_models={"application/json": "Cake"},
        request_validator_id="v",
    )
    return SmallGateway(
        {"POST /": method},
        lambda event: {},
        models={"Cake": Model(model_id="m", name="Cake", schema=schema)},
        request_validators={"v": VALIDATOR},
        gateway_responses=gateway_responses,
    )


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ("{", "POST /: Model `Cake` is not JSON"),
        ("[]", "POST /: Model `Cake` is no schema"),
        ('{"type": "cake"}', "POST /: Model `Cake` does not compile: "),
        ('{"$ref": "#/definitions/None"}', "POST /: Model `Cake` does not compile: "),
        ('{"$ref": "https://example.com/cake"}', "POST /: Model `Cake` does not compile: "),
        ("[" * 2_000, "POST /: Model `Cake` is not JSON"),
    ],
)
async def test_a_model_that_does_not_compile_is_told_and_fails_each_request(
    schema: str, problem: str
) -> None:
    gateway = judging(schema)
    [told] = gateway.program.problems
    assert str(told).startswith(problem)
    assert (await gateway.send("POST /", body=b"{}")).status == 500


async def test_a_method_that_names_no_model_of_the_api_is_told() -> None:
    method = replace(
        lambda_method("POST"), request_models={"text/plain": "None"}, request_validator_id="v"
    )
    gateway = SmallGateway({"POST /": method}, request_validators={"v": VALIDATOR})
    assert [str(each) for each in gateway.program.problems] == [
        "POST /: Model `None` does not exist"
    ]


@pytest.mark.parametrize("body", [b"[" * 100_000, b"1e999", b"\xff", b"nan", b'{"a":1} x'])
async def test_a_body_that_cannot_be_read_is_refused(body: bytes) -> None:
    gateway = judging("{}", BAD_REQUEST_BODY=ERRORS)
    response = await gateway.send("POST /", body=body)
    assert (response.status, response.body) == (400, b"[Unknown error parsing request body]")


async def test_a_fault_far_down_a_large_body_is_found_though_not_in_awss_words() -> None:
    gateway = judging('{"items": {"type": "integer"}}', BAD_REQUEST_BODY=ERRORS)
    body = b"[" + b"1," * (2 * schemas.VALUES_EXPLAINED_MAX) + b'"x"]'
    response = await gateway.send("POST /", body=body)
    assert (response.status, response.body) == (400, b'["x" is not of type "integer"]')


async def test_the_text_of_a_fault_is_no_template() -> None:
    gateway = judging('{"enum": [1]}', BAD_REQUEST_BODY=ERRORS)
    response = await gateway.send("POST /", body=b'"$context.apiId {} %s"')
    assert response.body.startswith(b'[instance value ("$context.apiId {} %s") not found in enum')


def test_references_in_a_circle_ask_for_nothing() -> None:
    place = "https://apigateway.amazonaws.com/restapis/abc123/models/"
    models = {
        name: Model(model_id=name, name=name, schema=f'{{"$ref": "{place}{other}"}}')
        for name, other in (("A", "B"), ("B", "A"))
    }
    assert compile_model(small_api({}, models=models), "A").accepts({})


@pytest.mark.parametrize("depth", [100, 500, 900])
async def test_a_deep_body_is_judged_or_refused(depth: int) -> None:
    gateway = judging('{"type": "array", "items": {"$ref": "#"}}', BAD_REQUEST_BODY=ERRORS)
    response = await gateway.send("POST /", body=b"[" * depth + b"1" + b"]" * depth)
    assert response.status == 400
    assert response.body
