"""Models, validators, caches and changes of an API by boto3, and what clients of the API meet."""

import gzip
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from typing import Any

import pytest

from lamington.testing import RunningEngine

COUNTING = "#set($x = $context.requestTimeEpoch)$context.requestId"


class MadeApi:
    """An API of `/cakes`, whose GET answers its request id and whose POST takes cakes."""

    def __init__(self, engine: RunningEngine) -> None:
        self.client: Any = engine.client("apigateway")
        self.engine = engine
        made = self.client.create_rest_api(name="cakes")
        self.api_id: str = made["id"]
        self.resource_id: str = self.client.create_resource(
            restApiId=self.api_id, parentId=made["rootResourceId"], pathPart="cakes"
        )["id"]
        for verb in ("GET", "POST"):
            self._mock(verb)

    def _mock(self, verb: str) -> None:
        where: dict[str, Any] = {
            "restApiId": self.api_id,
            "resourceId": self.resource_id,
            "httpMethod": verb,
        }
        self.client.put_method(**where, authorizationType="NONE")
        self.client.put_method_response(**where, statusCode="200")
        self.client.put_integration(
            **where, type="MOCK", requestTemplates={"application/json": '{"statusCode": 200}'}
        )
        self.client.put_integration_response(
            **where, statusCode="200", responseTemplates={"application/json": COUNTING}
        )

    def deploy(self) -> None:
        self.client.create_deployment(restApiId=self.api_id, stageName="dev")

    def change(self, operation: str, *patches: tuple[str, ...], **where: Any) -> Any:
        operations = [dict(zip(("op", "path", "value"), patch, strict=False)) for patch in patches]
        call = getattr(self.client, operation)
        return call(restApiId=self.api_id, patchOperations=operations, **where)

    def send(
        self, method: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Message, bytes]:
        address = f"{self.engine.endpoint_url}/_aws/execute-api/{self.api_id}/dev/cakes"
        request = urllib.request.Request(
            address,
            data=body,
            method=method,
            headers={"Content-Type": "application/json", **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.headers, refused.read()


@pytest.fixture
def made(live_engine: RunningEngine) -> MadeApi:
    return MadeApi(live_engine)


def test_a_validator_refuses_what_its_model_does_not_take(made: MadeApi) -> None:
    client, api_id = made.client, made.api_id
    schema = {"type": "object", "required": ["name"]}
    client.create_model(
        restApiId=api_id,
        name="Cake",
        contentType="application/json",
        schema=json.dumps(schema),
    )
    validator = client.create_request_validator(
        restApiId=api_id, name="all", validateRequestBody=True, validateRequestParameters=True
    )
    made.change(
        "update_method",
        ("replace", "/requestValidatorId", validator["id"]),
        ("add", "/requestModels/application~1json", "Cake"),
        resourceId=made.resource_id,
        httpMethod="POST",
    )
    template = '{"why": "$context.error.validationErrorString"}'
    made.change(
        "update_gateway_response",
        ("add", "/responseTemplates/text~1plain", template),
        ("remove", "/responseTemplates/application~1json"),
        responseType="BAD_REQUEST_BODY",
    )
    made.deploy()

    assert made.send("POST", b'{"name": "Lamington"}')[0] == 200
    status, headers, body = made.send("POST", b"{}")
    assert (status, headers["x-amzn-ErrorType"]) == (400, "BadRequestException")
    assert body == b'{"why": "[object has missing required properties (["name"])]"}'
    assert client.get_request_validators(restApiId=api_id)["items"][0]["name"] == "all"
    with pytest.raises(client.exceptions.ConflictException):
        client.delete_model(restApiId=api_id, modelName="Cake")


def test_a_model_is_shown_flat_and_as_a_template(made: MadeApi) -> None:
    place = f"https://apigateway.amazonaws.com/restapis/{made.api_id}/models/Layer"
    for name, schema in (
        ("Layer", {"type": "object", "properties": {"mm": {"type": "integer"}}}),
        ("Tower", {"type": "array", "items": {"$ref": place}}),
    ):
        made.client.create_model(
            restApiId=made.api_id,
            name=name,
            contentType="application/json",
            schema=json.dumps(schema),
        )
    flat = made.client.get_model(restApiId=made.api_id, modelName="Tower", flatten=True)
    assert json.loads(flat["schema"])["items"] == {"$ref": "#/definitions/Layer"}
    template = made.client.get_model_template(restApiId=made.api_id, modelName="Layer")
    assert template["value"] == "#set($inputRoot = $input.path('$'))\n{\n  \"mm\" : 42\n}"


def test_a_cache_answers_until_it_is_flushed(made: MadeApi) -> None:
    made.deploy()
    assert made.send("GET")[2] != made.send("GET")[2]
    stage = made.change(
        "update_stage",
        ("replace", "/cacheClusterEnabled", "true"),
        ("replace", "/cacheClusterSize", "0.5"),
        ("replace", "/*/*/caching/enabled", "true"),
        stageName="dev",
    )
    assert stage["cacheClusterStatus"] == "AVAILABLE"
    first = made.send("GET")[2]
    assert made.send("GET")[2] == first
    status, headers, body = made.send("GET", headers={"Cache-Control": "max-age=0"})
    assert (status, body) == (200, first)
    assert headers["Warning"].startswith("199 Cache-control headers were ignored")
    flushed = made.client.flush_stage_cache(restApiId=made.api_id, stageName="dev")
    assert flushed["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert made.send("GET")[2] != first


def test_a_stage_made_again_has_nothing_of_the_old_ones_cache(made: MadeApi) -> None:
    made.deploy()
    patches = [
        ("replace", "/cacheClusterEnabled", "true"),
        ("replace", "/*/*/caching/enabled", "true"),
    ]
    made.change("update_stage", *patches, stageName="dev")
    first = made.send("GET")[2]
    made.client.delete_stage(restApiId=made.api_id, stageName="dev")
    made.deploy()
    made.change("update_stage", *patches, stageName="dev")
    assert made.send("GET")[2] != first


def test_answers_are_compressed_for_who_takes_that(made: MadeApi) -> None:
    made.change("update_rest_api", ("replace", "/minimumCompressionSize", "10"))
    made.deploy()
    _, headers, body = made.send("GET", headers={"Accept-Encoding": "gzip, deflate, br"})
    assert headers["Content-Encoding"] == "gzip"
    assert len(gzip.decompress(body)) == 36
    assert made.send("GET")[1]["Content-Encoding"] is None


def test_changes_of_methods_are_told_as_aws_tells_them(made: MadeApi) -> None:
    where = {"resourceId": made.resource_id, "httpMethod": "POST"}
    changed = made.change("update_integration", ("replace", "/timeoutInMillis", "500"), **where)
    assert changed["timeoutInMillis"] == 500
    answered = made.change(
        "update_method_response",
        ("add", "/responseParameters/method.response.header.X", "true"),
        **where,
        statusCode="200",
    )
    assert answered["ResponseMetadata"]["HTTPStatusCode"] == 201
    mapped = made.change(
        "update_integration_response",
        ("add", "/responseParameters/method.response.header.X", "'1'"),
        **where,
        statusCode="200",
    )
    assert mapped["responseParameters"] == {"method.response.header.X": "'1'"}
    moved = made.change(
        "update_resource", ("replace", "/pathPart", "pies"), resourceId=made.resource_id
    )
    assert moved["path"] == "/pies"
    with pytest.raises(made.client.exceptions.BadRequestException) as refused:
        made.change("update_resource", ("add", "/pathPart", "x"), resourceId=made.resource_id)
    assert refused.value.response["Error"]["Message"] == (
        "Invalid patch path  '/pathPart' specified for op 'add'. Please choose supported operations"
    )
