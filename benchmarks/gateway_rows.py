"""What API Gateway's conditions cost a request: authorizers, keys, throttles, caches, many routes.

Every API stands on the AWS port and calls the same functions, so that only what is asked of the
gateway differs; FastAPI does the same work without any of it, in the same run.
"""

import argparse
import contextlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config

from benchmarks import servers
from benchmarks.http_rows import compare
from benchmarks.load import Target

KILOBYTE = json.dumps({"text": "x" * 1000})
MEGABYTE = json.dumps({"text": "x" * 1_000_000})
ROUTES = 500
UNLIMITED = "1000000"
ROLE = "arn:aws:iam::000000000000:role/benchmark"
AUTHORIZER = """
def handler(event, context):
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    return {"principalId": "somebody", "policyDocument": policy, "context": {"name": "value"}}
"""


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(servers.service_copy())
        ours = stack.enter_context(servers.lamington(root))
        fastapi = stack.enter_context(servers.fastapi())
        floor = stack.enter_context(servers.floor())
        apis = Apis(ours)
        hello = [
            *apis.hello_targets(),
            Target(name="fastapi", url=fastapi.url("/hello"), process_id=fastapi.process_id),
            Target(name="floor", url=floor.url("/hello"), process_id=floor.process_id),
        ]
        results = {"hello": compare("GET hello", hello, arguments, clients=(1, 64))}
        for size, body in (("1_kb", KILOBYTE), ("1_mb", MEGABYTE)):
            echo = [
                Target(name=name, url=url, process_id=process_id, method="POST", body=body)
                for name, url, process_id in (
                    ("proxy", apis.plain.url("/echo"), ours.process_id),
                    ("all", apis.all.url("/echo"), ours.process_id),
                    ("http api", apis.http_api.url("/echo"), ours.process_id),
                    ("fastapi", fastapi.url("/echo"), fastapi.process_id),
                    ("floor", floor.url("/echo"), floor.process_id),
                )
            ]
            echo = [apis.with_headers(each) for each in echo]
            title = f"POST echo, {size.replace('_', ' ').upper()}"
            results[f"echo_{size}"] = compare(title, echo, arguments, clients=(1, 64))
        return results


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A deployed API; the path form of an address, since wrk sends no Host of our choice."""

    port: int
    api_id: str
    stage: str

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/_aws/execute-api/{self.api_id}/{self.stage}{path}"


class Apis:
    """The APIs under load, deployed to one engine by boto3."""

    def __init__(self, server: servers.Server) -> None:
        self._server = server
        self._gateway = self._client("apigateway")
        self._lambda = self._client("lambda")
        names = [each["FunctionName"] for each in self._lambda.list_functions()["Functions"]]
        self._hello = next(name for name in names if "hello_proxy" in name or "hello-proxy" in name)
        self._echo = next(name for name in names if "echo_proxy" in name or "echo-proxy" in name)
        self._lambda.create_function(
            FunctionName="authorizer",
            Runtime="python3.13",
            Role=ROLE,
            Handler="handler.handler",
            Code={"ZipFile": _archive(AUTHORIZER)},
        )
        self.key = ""
        self.plain = self._deploy("plain")
        self.authorized = self._deploy("authorized", authorizer=True)
        self.throttled = self._deploy("throttled", settings=_THROTTLED)
        self.keyed = self._deploy("keyed", key=True)
        self._make_key()
        self.cached = self._deploy("cached", settings=_CACHED)
        self.validated = self._deploy("validated", validated=True)
        self.many = self._deploy("many", routes=ROUTES)
        self.all = self._deploy(
            "all", authorizer=True, validated=True, routes=ROUTES, settings=_ALL, access_log=True
        )
        self.http_api = self._deploy_http_api()

    def hello_targets(self) -> list[Target]:
        rows = (
            ("proxy", self.plain, "/hello"),
            ("authorizer, cached", self.authorized, "/hello"),
            ("throttled", self.throttled, "/hello"),
            ("API key and plan", self.keyed, "/hello"),
            ("validated", self.validated, "/hello?wanted=1"),
            ("cache hit", self.cached, "/hello"),
            (f"{ROUTES} routes, literal", self.many, "/hello"),
            (f"{ROUTES} routes, parameters", self.many, "/route/250/of/7"),
            ("all of it", self.all, "/hello?wanted=1"),
            ("HTTP API, payload 2.0", self.http_api, "/hello"),
        )
        return [
            self.with_headers(
                Target(name=name, url=address.url(path), process_id=self._server.process_id)
            )
            for name, address, path in rows
        ]

    def with_headers(self, target: Target) -> Target:
        """The target with what an authorizer and a usage plan ask for; others do not look."""
        headers = {"Authorization": "token", "x-api-key": self.key}
        return Target(
            name=target.name,
            url=target.url,
            process_id=target.process_id,
            method=target.method,
            body=target.body,
            headers=headers,
        )

    def _client(self, service: str) -> Any:
        make_client: Any = boto3.client
        return make_client(
            service,
            endpoint_url=f"http://127.0.0.1:{self._server.aws_port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 0}),
        )

    def _deploy(
        self,
        name: str,
        *,
        authorizer: bool = False,
        key: bool = False,
        validated: bool = False,
        routes: int = 0,
        settings: Mapping[str, str] | None = None,
        access_log: bool = False,
    ) -> Address:
        document = _definition(
            name,
            hello=_uri(self._hello),
            echo=_uri(self._echo),
            authorizer=_uri("authorizer") if authorizer else "",
            key=key,
            validated=validated,
            routes=routes,
        )
        api_id = self._gateway.import_rest_api(body=json.dumps(document).encode())["id"]
        for function in (self._hello, self._echo, "authorizer"):
            self._lambda.add_permission(
                FunctionName=function,
                StatementId=f"{name}-{api_id}",
                Action="lambda:InvokeFunction",
                Principal="apigateway.amazonaws.com",
                SourceArn=f"arn:aws:execute-api:us-east-1:000000000000:{api_id}/*",
            )
        self._gateway.create_deployment(restApiId=api_id, stageName="v1")
        patches = [
            {"op": "replace", "path": path, "value": value}
            for path, value in (settings or {}).items()
        ]
        if access_log:
            self._client("logs").create_log_group(logGroupName=f"access-{name}")
            arn = f"arn:aws:logs:us-east-1:000000000000:log-group:access-{name}"
            patches += [
                {"op": "replace", "path": "/accessLogSettings/destinationArn", "value": arn},
                {"op": "replace", "path": "/accessLogSettings/format", "value": _COMMON_LOG},
            ]
        if patches:
            self._gateway.update_stage(restApiId=api_id, stageName="v1", patchOperations=patches)
        return Address(port=self._server.aws_port, api_id=api_id, stage="v1")

    def _make_key(self) -> None:
        """A key whose plan has a throttle and a quota that no run comes near."""
        key = self._gateway.create_api_key(name="benchmark", enabled=True)
        plan = self._gateway.create_usage_plan(
            name="benchmark",
            apiStages=[{"apiId": self.keyed.api_id, "stage": "v1"}],
            throttle={"rateLimit": float(UNLIMITED), "burstLimit": int(UNLIMITED)},
            quota={"limit": 2_000_000_000, "period": "DAY"},
        )
        self._gateway.create_usage_plan_key(
            usagePlanId=plan["id"], keyId=key["id"], keyType="API_KEY"
        )
        self.key = key["value"]

    def _deploy_http_api(self) -> Address:
        client = self._client("apigatewayv2")
        api_id = client.create_api(Name="http", ProtocolType="HTTP")["ApiId"]
        for route, function in (("GET /hello", self._hello), ("POST /echo", self._echo)):
            integration = client.create_integration(
                ApiId=api_id,
                IntegrationType="AWS_PROXY",
                IntegrationUri=_function_arn(function),
                PayloadFormatVersion="2.0",
            )
            target = f"integrations/{integration['IntegrationId']}"
            client.create_route(ApiId=api_id, RouteKey=route, Target=target)
            self._lambda.add_permission(
                FunctionName=function,
                StatementId=f"http-{api_id}",
                Action="lambda:InvokeFunction",
                Principal="apigateway.amazonaws.com",
                SourceArn=f"arn:aws:execute-api:us-east-1:000000000000:{api_id}/*",
            )
        client.create_stage(ApiId=api_id, StageName="v1", AutoDeploy=True)
        return Address(port=self._server.aws_port, api_id=api_id, stage="v1")


_THROTTLED = {
    "/*/*/throttling/rateLimit": UNLIMITED,
    "/*/*/throttling/burstLimit": UNLIMITED,
    "/~1hello/GET/throttling/rateLimit": UNLIMITED,
    "/~1hello/GET/throttling/burstLimit": UNLIMITED,
}
_CACHED = {
    "/cacheClusterEnabled": "true",
    "/cacheClusterSize": "0.5",
    "/*/*/caching/enabled": "true",
}
_ALL = {**_THROTTLED, "/*/*/metrics/enabled": "true"}
_COMMON_LOG = (
    "$context.identity.sourceIp $context.identity.caller $context.identity.user"
    ' [$context.requestTime] "$context.httpMethod $context.resourcePath $context.protocol"'
    " $context.status $context.responseLength $context.requestId $context.extendedRequestId"
)


def _definition(
    name: str,
    *,
    hello: str,
    echo: str,
    authorizer: str,
    key: bool,
    validated: bool,
    routes: int,
) -> dict[str, Any]:
    def operation(uri: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
        described: dict[str, Any] = {
            "parameters": parameters,
            "responses": {"200": {"description": "answered"}},
            "x-amazon-apigateway-integration": {
                "type": "aws_proxy",
                "httpMethod": "POST",
                "uri": uri,
            },
        }
        if authorizer or key:
            described["security"] = [{"caller": []}]
        if validated:
            described["x-amazon-apigateway-request-validator"] = "all"
        return described

    wanted = {"in": "query", "name": "wanted", "required": True, "type": "string"}
    item = {"in": "body", "name": "item", "schema": {"$ref": "#/definitions/Item"}}
    document: dict[str, Any] = {
        "swagger": "2.0",
        "info": {"title": name, "version": "1"},
        "definitions": {
            "Item": {
                "type": "object",
                "required": ["text"],
                "properties": {"text": {"type": "string"}},
            }
        },
        "paths": {
            "/hello": {"get": operation(hello, [wanted] if validated else [])},
            "/echo": {"post": operation(echo, [item] if validated else [])},
        },
    }
    if validated:
        document["x-amazon-apigateway-request-validators"] = {
            "all": {"validateRequestBody": True, "validateRequestParameters": True}
        }
    for number in range(routes):
        parameter = {"in": "path", "name": "id", "required": True, "type": "string"}
        document["paths"][f"/route/{number}/of/{{id}}"] = {"get": operation(hello, [parameter])}
    if authorizer:
        document["securityDefinitions"] = {
            "caller": {
                "type": "apiKey",
                "name": "Authorization",
                "in": "header",
                "x-amazon-apigateway-authtype": "custom",
                "x-amazon-apigateway-authorizer": {
                    "type": "token",
                    "authorizerUri": authorizer,
                    "authorizerResultTtlInSeconds": 3600,
                },
            }
        }
    elif key:
        document["securityDefinitions"] = {
            "caller": {"type": "apiKey", "name": "x-api-key", "in": "header"}
        }
    return document


def _function_arn(name: str) -> str:
    return f"arn:aws:lambda:us-east-1:000000000000:function:{name}"


def _uri(name: str) -> str:
    return (
        "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/"
        f"{_function_arn(name)}/invocations"
    )


def _archive(source: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        entry = zipfile.ZipInfo("handler.py")
        entry.external_attr = 0o644 << 16
        archive.writestr(entry, source)
    return content.getvalue()
