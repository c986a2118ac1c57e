"""The bakery under requests that its own exported definition describes, valid and not.

schemathesis makes them; no answer may be a 500 that the definition does not explain, and none may
be missing.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from example_copies import ExampleCopies
from lamington.testing import RunningService, running_service

EXAMPLES = 60
GATEWAYS_OWN = ("400", "403", "415")
"""What the gateway answers of itself: a parameter missing, no such route, a media type."""


@pytest.fixture(scope="module")
def bakery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    root = ExampleCopies(tmp_path_factory.mktemp("copies"))("bakery")
    with running_service(root) as service:
        yield service


def exported(service: RunningService) -> dict[str, Any]:
    """The bakery's definition, as GetExport gives it."""
    client = service.client("apigateway")
    [api] = client.get_rest_apis()["items"]
    [stage] = client.get_stages(restApiId=api["id"])["item"]
    export = client.get_export(
        restApiId=api["id"],
        stageName=stage["stageName"],
        exportType="oas30",
        accepts="application/json",
    )
    document: dict[str, Any] = msgspec.json.decode(export["body"].read())
    return document


def test_every_operation_answers_whatever_it_is_asked(bakery: RunningService) -> None:
    schema = schemathesis.openapi.from_dict(exported(bakery))
    schema.config.update(base_url=bakery.url)
    asked = []
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr] # an error says so when called
        asked.append(operation.label)
        ask(operation)
    assert "POST /cakes/{id}/quote" in asked


def ask(operation: Any) -> None:
    """Send what the operation describes, valid and not."""
    declared = {*operation.definition.raw["responses"], *GATEWAYS_OWN}

    @given(case=operation.as_strategy())
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    def check(case: Any) -> None:
        response = case.call()
        told = (case.method, response.request.url, response.request.body, response.text)
        is_gateways_own = "x-amzn-errortype" in response.headers
        assert response.status_code < 500 or not is_gateways_own, told
        assert str(response.status_code) in declared, told
        assert response.headers["x-amzn-requestid"]

    check()
