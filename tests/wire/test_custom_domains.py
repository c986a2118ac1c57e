"""Custom domain names with real boto3: a Host header leads to the API that it is mapped to."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lamington.testing import RunningEngine

DOMAIN = "cakes.example.com"


def definition(title: str, template: str) -> bytes:
    """A mock API that says which it is and what `$context.path` is."""
    operation = {
        "responses": {"200": {"description": ""}},
        "x-amazon-apigateway-integration": {
            "type": "mock",
            "requestTemplates": {"application/json": '{"statusCode": 200}'},
            "responses": {
                "default": {
                    "statusCode": "200",
                    "responseTemplates": {"application/json": template},
                }
            },
        },
    }
    paths = {"/{proxy+}": {"x-amazon-apigateway-any-method": operation}, "/": {"get": operation}}
    document = {"swagger": "2.0", "info": {"title": title, "version": "1"}, "paths": paths}
    return json.dumps(document).encode()


class Domain:
    """A domain name with a REST API at its root and another below `/orders/v2`."""

    def __init__(self, engine: RunningEngine) -> None:
        self._engine = engine
        self.v1 = engine.client("apigateway")
        self.v2 = engine.client("apigatewayv2")
        self.api_ids = {}
        for name in ("root", "orders"):
            api_id = self.v1.import_rest_api(
                body=definition(name, f"{name} $context.path $context.domainName")
            )["id"]
            self.v1.create_deployment(restApiId=api_id, stageName="v1")
            self.api_ids[name] = api_id
        self.v1.create_domain_name(domainName=DOMAIN, endpointConfiguration={"types": ["REGIONAL"]})
        self.v1.create_base_path_mapping(
            domainName=DOMAIN, restApiId=self.api_ids["root"], stage="v1"
        )
        self.v2.create_api_mapping(
            DomainName=DOMAIN, ApiId=self.api_ids["orders"], Stage="v1", ApiMappingKey="orders/v2"
        )

    def get(self, path: str, host: str = DOMAIN) -> tuple[int, str]:
        address = self._engine.endpoint_url.removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=10)
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return response.status, body


@pytest.fixture(scope="module")
def domain(live_engine: RunningEngine) -> Iterator[Domain]:
    made = Domain(live_engine)
    yield made
    made.v1.delete_domain_name(domainName=DOMAIN)
    assert made.get("/a")[0] in (403, 404)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/cakes", f"root /cakes {DOMAIN}"),
        ("/", f"root / {DOMAIN}"),
        ("/orders/v2/7", f"orders /orders/v2/7 {DOMAIN}"),
        ("/orders/v2", f"orders /orders/v2 {DOMAIN}"),
        ("/orders/v20", f"root /orders/v20 {DOMAIN}"),
    ],
)
def test_the_mapping_of_the_path_serves_and_the_path_is_as_called(
    domain: Domain, path: str, body: str
) -> None:
    assert domain.get(path) == (200, body)


def test_a_disabled_default_endpoint_leaves_the_domain_name(domain: Domain) -> None:
    api_id = domain.api_ids["root"]
    default = f"{api_id}.execute-api.us-east-1.localhost"
    assert domain.get("/v1/a", default)[0] == 200
    patch = {"op": "replace", "path": "/disableExecuteApiEndpoint", "value": "true"}
    domain.v1.update_rest_api(restApiId=api_id, patchOperations=[patch])
    domain.v1.create_deployment(restApiId=api_id, stageName="v1")
    assert domain.get("/v1/a", default) == (403, '{"message":"Forbidden"}')
    assert domain.get("/a")[0] == 200


def test_health_checks_are_answered_on_custom_domain_names(domain: Domain) -> None:
    assert domain.get("/ping")[0] == 200


def test_an_http_api_is_mapped_too(domain: Domain, live_engine: RunningEngine) -> None:
    api_id = domain.v2.create_api(Name="http", ProtocolType="HTTP")["ApiId"]
    integration = domain.v2.create_integration(
        ApiId=api_id,
        IntegrationType="HTTP_PROXY",
        IntegrationMethod="GET",
        IntegrationUri=f"{live_engine.endpoint_url}/_lamington/health",
        PayloadFormatVersion="1.0",
    )["IntegrationId"]
    target = f"integrations/{integration}"
    domain.v2.create_route(ApiId=api_id, RouteKey="GET /known", Target=target)
    domain.v2.create_stage(ApiId=api_id, StageName="$default", AutoDeploy=True)
    mapping = domain.v2.create_api_mapping(
        DomainName=DOMAIN, ApiId=api_id, Stage="$default", ApiMappingKey="http"
    )
    assert domain.get("/http/known")[0] == 200
    assert domain.get("/http/none") == (404, '{"message":"Not Found"}')
    domain.v2.delete_api_mapping(DomainName=DOMAIN, ApiMappingId=mapping["ApiMappingId"])
    assert domain.get("/http/none")[0] == 200


def test_mappings_are_paged(domain: Domain) -> None:
    paginator = domain.v1.get_paginator("get_base_path_mappings")
    pages = paginator.paginate(domainName=DOMAIN, PaginationConfig={"PageSize": 1})
    found: list[Any] = [item["basePath"] for page in pages for item in page["items"]]
    assert found == ["(none)", "orders/v2"]


def test_what_is_not_there_is_refused(domain: Domain) -> None:
    with pytest.raises(ClientError) as refused:
        domain.v1.get_domain_name(domainName="other.example.com")
    assert refused.value.response["Error"]["Code"] == "NotFoundException"
    assert domain.get("/a", "other.example.com")[0] == 403
