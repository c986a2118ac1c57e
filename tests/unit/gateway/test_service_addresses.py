"""Where the requests of integrations with AWS services go, by action and by path."""

import pytest

from lamington.gateway.entities import MethodIntegration
from lamington.gateway.integrations import (
    IntegrationParameters,
    IntegrationRequest,
    Misconfigured,
)
from lamington.gateway.responses import Refusal
from lamington.gateway.service_addresses import (
    Address,
    compile_action,
    compile_path,
    service_of,
)

POST = MethodIntegration(type="AWS", http_method="POST")
GET = MethodIntegration(type="AWS", http_method="GET")


def request(
    query: dict[str, str] | None = None, path: dict[str, str] | None = None
) -> IntegrationRequest:
    return IntegrationRequest(
        b"", parameters=IntegrationParameters(query=query or {}, path=path or {})
    )


def by_action(service: str, rest: str, made: IntegrationRequest | None = None) -> Address:
    return compile_action(service_of(service, "eu-west-1"), rest, POST)(made or request())


def by_path(service: str, rest: str, made: IntegrationRequest | None = None) -> Address:
    return compile_path(service_of(service, "eu-west-1"), rest, GET)(made or request())


@pytest.mark.parametrize(
    ("service", "action", "target"),
    [
        ("dynamodb", "Query", "DynamoDB_20120810.Query"),
        ("kinesis", "PutRecord", "Kinesis_20131202.PutRecord"),
        ("states", "StartExecution", "AWSStepFunctions.StartExecution"),
    ],
)
def test_json_service_gets_its_target(service: str, action: str, target: str) -> None:
    address = by_action(service, action)
    assert (address.method, address.path) == ("POST", "/")
    assert dict(address.headers)["X-Amz-Target"] == target
    assert dict(address.headers)["Content-Type"].startswith("application/x-amz-json-1.")


def test_eventbridge_gets_no_target() -> None:
    assert "X-Amz-Target" not in dict(by_action("events", "PutEvents").headers)


@pytest.mark.parametrize("service", ["sqs", "ssm", "sns"])
def test_query_service_gets_its_action(service: str) -> None:
    action = {"sqs": "SendMessage", "ssm": "GetParameter", "sns": "Publish"}[service]
    address = by_action(service, f"{action}&A=1", request(query={"B": "x y"}))
    assert address.query.startswith(f"Action={action}&Version=")
    assert address.query.endswith("&A=1&B=x%20y")


def test_object_store_by_action_becomes_its_path() -> None:
    address = by_action(
        "s3",
        "GetObject&Bucket={bucket}&Key={key}",
        request(path={"bucket": "cakes", "key": "a/b c"}),
    )
    assert (address.method, address.path) == ("GET", "/cakes/a/b%20c")


def test_object_store_by_path_and_by_subdomain() -> None:
    made = request(path={"bucket": "cakes", "key": "a/b"})
    assert by_path("s3", "{bucket}/{key}", made).path == "/cakes/a/b"
    assert by_path("cakes.s3", "{key}", made).path == "/cakes/a/b"


def test_queue_by_path_keeps_its_query() -> None:
    address = by_path("sqs", "123456789012/orders?A=1", request(query={"B": "2"}))
    assert (address.path, address.query) == ("/123456789012/orders", "A=1&B=2")


def test_label_that_nothing_fills_is_refused() -> None:
    with pytest.raises(Refusal, match="Invalid endpoint address"):
        by_path("s3", "{bucket}/key")
    with pytest.raises(Refusal, match="Invalid endpoint address"):
        by_action("lambda", "GetFunction")


def test_action_that_a_service_does_not_have_is_misconfigured() -> None:
    with pytest.raises(Misconfigured, match="no action `Bake`"):
        by_action("dynamodb", "Bake")


def test_service_without_a_model_has_paths_only() -> None:
    assert by_path("cakeshop", "a").path == "/a"
    with pytest.raises(Misconfigured, match="by action"):
        by_action("cakeshop", "Bake")


def test_host_is_the_services_own() -> None:
    assert service_of("dynamodb", "eu-west-1").host == "dynamodb.eu-west-1.amazonaws.com"
    assert service_of("dynamodb", "cn-north-1").host == "dynamodb.cn-north-1.amazonaws.com.cn"
    assert service_of("monitoring", "us-east-1").signing_name == "monitoring"
