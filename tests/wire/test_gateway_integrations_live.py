"""Integrations of a live engine, built by boto3 and asked over HTTP, with real services behind."""

import http.client
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from moto.server import ThreadedMotoServer

from lamington.testing import RunningEngine, running_engine
from tls_world import Authority, server_context, write_all
from url_world import make_function

ACCOUNT = "000000000000"
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "apigateway.amazonaws.com"},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
ROLE = f"arn:aws:iam::{ACCOUNT}:role/integrations"


@pytest.fixture(scope="module")
def moto_endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def engine(moto_endpoint: str) -> Iterator[RunningEngine]:
    endpoints = f"dynamodb={moto_endpoint},sqs={moto_endpoint},sns={moto_endpoint}"
    with running_engine(
        endpoints=endpoints, vpc_links="inner=127.0.0.1:1", integration_timeout_max_ms=60_000
    ) as running:
        running.client("iam").create_role(RoleName="integrations", AssumeRolePolicyDocument=TRUST)
        running.client("iam").create_role(
            RoleName="strangers",
            AssumeRolePolicyDocument=TRUST.replace("apigateway", "ec2"),
        )
        yield running


def create_function(engine: RunningEngine, name: str, text: str, runtime: str = "") -> str:
    """A function of one file; its ARN."""
    if runtime:
        make_function(engine, name, {"app.js": text}, Runtime=runtime)
    else:
        make_function(engine, name, {"app.py": text})
    return engine.scope.arn("lambda", f"function:{name}")


@dataclass
class Served:
    """One method at `/x`, served on the service port."""

    engine: RunningEngine
    api_id: str
    resource_id: str
    port: int

    def ask(
        self, method: str = "POST", path: str = "/x", body: str = "", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body or None, fields)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), content

    @property
    def reason(self) -> str:
        return self.engine.engine.gateway.rest.failures[-1].reason


def serve(
    engine: RunningEngine,
    *,
    uri: str,
    kind: str = "AWS",
    parameters: dict[str, str] | None = None,
    responses: dict[str, str] | None = None,
    certificate: str = "",
    **integration: Any,
) -> Served:
    """Deploy `ANY /x`; `responses` are selection patterns by status."""
    gateway = engine.client("apigateway")
    api = gateway.create_rest_api(name="integrations")
    made = gateway.create_resource(
        restApiId=api["id"], parentId=api["rootResourceId"], pathPart="x"
    )
    at = {"restApiId": api["id"], "resourceId": made["id"], "httpMethod": "POST"}
    sources = [each for each in (parameters or {}).values() if each.startswith("method.request")]
    gateway.put_method(
        **at, authorizationType="NONE", requestParameters=dict.fromkeys(sources, False)
    )
    if kind == "AWS":
        integration.setdefault("credentials", ROLE)
    gateway.put_integration(
        **at,
        type=kind,
        uri=uri,
        integrationHttpMethod=integration.pop("http_method", "POST"),
        requestParameters=parameters or {},
        **integration,
    )
    for status, pattern in (responses or {"200": ""}).items():
        gateway.put_method_response(**at, statusCode=status)
        gateway.put_integration_response(**at, statusCode=status, selectionPattern=pattern)
    gateway.create_deployment(restApiId=api["id"], stageName="dev")
    if certificate:
        gateway.update_stage(
            restApiId=api["id"],
            stageName="dev",
            patchOperations=[
                {"op": "replace", "path": "/clientCertificateId", "value": certificate}
            ],
        )
    port = engine.run(engine.engine.serve(api["id"], "dev"))
    return Served(engine, api["id"], made["id"], port)


def action(service: str, name: str) -> str:
    return f"arn:aws:apigateway:us-east-1:{service}:action/{name}"


# The engine's own services


def test_query_service_by_action_answers_json(engine: RunningEngine) -> None:
    status, _, body = serve(engine, uri=action("sts", "GetCallerIdentity")).ask()
    answer = json.loads(body)["GetCallerIdentityResponse"]
    assert status == 200
    assert answer["GetCallerIdentityResult"]["Account"] == ACCOUNT
    assert ":assumed-role/integrations/" in answer["GetCallerIdentityResult"]["Arn"]
    assert answer["ResponseMetadata"]["RequestId"]


def test_json_service_by_action_is_told_its_target(engine: RunningEngine) -> None:
    served = serve(engine, uri=action("logs", "CreateLogGroup"))
    status, _, _ = served.ask(body='{"logGroupName": "/made/by/api"}')
    groups = engine.client("logs").describe_log_groups(logGroupNamePrefix="/made/by/api")
    assert status == 200
    assert [each["logGroupName"] for each in groups["logGroups"]] == ["/made/by/api"]


def test_refusal_of_a_service_is_selected_by_its_status(engine: RunningEngine) -> None:
    served = serve(
        engine, uri=action("logs", "DeleteLogGroup"), responses={"200": "", "404": "4\\d{2}"}
    )
    status, _, body = served.ask(body='{"logGroupName": "/never/made"}')
    assert status == 404
    assert json.loads(body)["__type"] == "ResourceNotFoundException"


def test_mapped_query_parameters_reach_a_query_service(engine: RunningEngine) -> None:
    served = serve(
        engine,
        uri=action("monitoring", "PutMetricData"),
        parameters={
            "integration.request.querystring.Namespace": "'Cakes'",
            "integration.request.querystring.MetricData.member.1.MetricName": "'Baked'",
            "integration.request.querystring.MetricData.member.1.Value": (
                "method.request.querystring.n"
            ),
        },
    )
    status, _, _ = served.ask(path="/x?n=3")
    metrics = engine.client("cloudwatch").list_metrics(Namespace="Cakes")["Metrics"]
    assert status == 200
    assert [each["MetricName"] for each in metrics] == ["Baked"]


def test_rest_service_by_action_and_by_path(engine: RunningEngine) -> None:
    create_function(engine, "listed", "def handler(e, c): return 1")
    by_action = serve(engine, uri=action("lambda", "GetFunctionConfiguration&FunctionName=listed"))
    assert json.loads(by_action.ask()[2])["FunctionName"] == "listed"
    by_path = serve(
        engine,
        uri="arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/listed/configuration",
        http_method="GET",
    )
    assert json.loads(by_path.ask()[2])["FunctionName"] == "listed"


def test_role_that_is_not_there_is_500(engine: RunningEngine) -> None:
    nobody = f"arn:aws:iam::{ACCOUNT}:role/nobody"
    served = serve(engine, uri=action("sts", "GetCallerIdentity"), credentials=nobody)
    status, _, body = served.ask()
    assert (status, body) == (500, b'{"message":"Internal server error"}')
    assert f"does not have permission to assume the provided role {nobody}" in served.reason


def test_role_that_trusts_others_is_500(engine: RunningEngine) -> None:
    served = serve(
        engine,
        uri=action("sts", "GetCallerIdentity"),
        credentials=f"arn:aws:iam::{ACCOUNT}:role/strangers",
    )
    assert served.ask()[0] == 500
    assert "does not name apigateway.amazonaws.com" in served.reason


def test_integration_may_act_as_its_caller(engine: RunningEngine) -> None:
    served = serve(
        engine,
        uri=action("sts", "GetCallerIdentity"),
        credentials="arn:aws:iam::*:user/*",
    )
    signed = "AWS4-HMAC-SHA256 Credential=123456789012/20260101/us-east-1/execute-api/aws4_request"
    status, _, body = served.ask(Authorization=f"{signed}, SignedHeaders=host, Signature=00")
    answer = json.loads(body)
    assert status == 200
    assert answer["GetCallerIdentityResponse"]["GetCallerIdentityResult"]["Account"] == (
        "123456789012"
    )
    assert served.ask()[0] == 500


def test_service_that_nobody_has_is_announced_and_500(engine: RunningEngine) -> None:
    served = serve(engine, uri=action("kinesis", "PutRecord"))
    differences = engine.run(_differences(served))
    assert any("LAMINGTON_ENDPOINTS=kinesis=" in each for each in differences)
    assert served.ask()[0] == 500


def test_function_error_is_selected_by_its_message(engine: RunningEngine) -> None:
    arn = create_function(engine, "raising", "def handler(e, c): raise ValueError('no cake')")
    engine.client("lambda").add_permission(
        FunctionName="raising",
        StatementId="all",
        Action="lambda:InvokeFunction",
        Principal="apigateway.amazonaws.com",
    )
    served = serve(
        engine,
        uri=f"arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/{arn}/invocations",
        responses={"200": "", "404": "no cake"},
    )
    assert served.ask(body="{}")[0] == 404


# Other endpoints


def test_dynamodb_of_another_endpoint(engine: RunningEngine, moto_endpoint: str) -> None:
    dynamodb = boto3.client(
        "dynamodb",
        endpoint_url=moto_endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key="x",
    )
    dynamodb.create_table(
        TableName="cakes",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    put = serve(
        engine,
        uri=action("dynamodb", "PutItem"),
        requestTemplates={
            "application/json": (
                '{"TableName": "cakes", "Item": {"id": {"S": "$input.path(\'$.id\')"}}}'
            )
        },
    )
    assert put.ask(body='{"id": "7"}', Content_Type="application/json")[0] == 200
    get = serve(engine, uri=action("dynamodb", "Scan"))
    status, headers, body = get.ask(body='{"TableName": "cakes"}')
    answer = json.loads(body)
    assert (status, answer["Count"], answer["Items"]) == (200, 1, [{"id": {"S": "7"}}])
    assert headers["X-Amzn-Trace-Id"].startswith("Root=1-")


def test_query_service_of_another_endpoint_answers_json(
    engine: RunningEngine, moto_endpoint: str
) -> None:
    served = serve(
        engine,
        uri=action("sns", "CreateTopic"),
        parameters={"integration.request.querystring.Name": "method.request.querystring.name"},
    )
    status, _, body = served.ask(path="/x?name=cakes")
    answer = json.loads(body)["CreateTopicResponse"]["CreateTopicResult"]
    assert (status, answer["TopicArn"].rpartition(":")[2]) == (200, "cakes")


def test_queue_by_the_usual_recipe(engine: RunningEngine, moto_endpoint: str) -> None:
    queues = boto3.client(
        "sqs",
        endpoint_url=moto_endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCOUNT,
        aws_secret_access_key="x",
    )
    url = queues.create_queue(QueueName="orders")["QueueUrl"]
    served = serve(
        engine,
        uri=f"arn:aws:apigateway:us-east-1:sqs:path/{url.split('/')[3]}/orders",
        parameters={
            "integration.request.header.Content-Type": "'application/x-www-form-urlencoded'"
        },
        requestTemplates={
            "application/json": "Action=SendMessage&MessageBody=$util.urlEncode($input.body)"
        },
    )
    status, headers, body = served.ask(body='{"cake": 1}', Content_Type="application/json")
    answer = json.loads(body)["SendMessageResponse"]
    [message] = queues.receive_message(QueueUrl=url)["Messages"]
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert answer["SendMessageResult"]["MessageId"] == message["MessageId"]
    assert message["Body"] == '{"cake": 1}'


# HTTP, with certificates


class Recorder(BaseHTTPRequestHandler):
    """Answers with the subject of the certificate that it was shown."""

    def do_POST(self) -> None:
        assert isinstance(self.connection, ssl.SSLSocket)
        encoded = self.connection.getpeercert(binary_form=True)
        subject = x509.load_der_x509_certificate(encoded).subject if encoded else None
        body = json.dumps({"subject": subject and subject.rfc4514_string()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


def test_client_certificate_is_real_and_shown_to_the_backend(
    engine: RunningEngine, tmp_path: Path
) -> None:
    gateway = engine.client("apigateway")
    made = gateway.generate_client_certificate(description="for backends")
    certificate = x509.load_pem_x509_certificate(made["pemEncodedCertificate"].encode())
    assert certificate.not_valid_after_utc.replace(microsecond=0) == made["expirationDate"]
    trusted = write_all(tmp_path / "clients.pem", [made["pemEncodedCertificate"]])
    shown = Authority().issue("127.0.0.1").write(tmp_path / "server.pem")
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Recorder)
    server.daemon_threads = True
    server.socket = server_context(shown, trusted).wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        served = serve(
            engine,
            uri=f"https://127.0.0.1:{server.server_address[1]}/",
            kind="HTTP_PROXY",
            certificate=made["clientCertificateId"],
            tlsConfig={"insecureSkipVerification": True},
        )
        status, _, body = served.ask()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert (status, json.loads(body)["subject"]) == (200, certificate.subject.rfc4514_string())
    with pytest.raises(ClientError, match="is used by stages"):
        gateway.delete_client_certificate(clientCertificateId=made["clientCertificateId"])


async def _differences(served: Served) -> list[str]:
    return served.engine.engine.differences(served.engine.scope, served.api_id, "dev")


def test_client_certificates_live_by_their_operations(engine: RunningEngine) -> None:
    gateway = engine.client("apigateway")
    made = gateway.generate_client_certificate(description="one", tags={"a": "1"})
    identifier = made["clientCertificateId"]
    changed = gateway.update_client_certificate(
        clientCertificateId=identifier,
        patchOperations=[{"op": "replace", "path": "/description", "value": "two"}],
    )
    listed = gateway.get_client_certificates()["items"]
    arn = f"arn:aws:apigateway:us-east-1::/clientcertificates/{identifier}"
    gateway.tag_resource(resourceArn=arn, tags={"b": "2"})
    shown = gateway.get_client_certificate(clientCertificateId=identifier)
    gateway.delete_client_certificate(clientCertificateId=identifier)
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert changed["description"] == "two"
    assert identifier in {each["clientCertificateId"] for each in listed}
    assert shown["tags"] == {"a": "1", "b": "2"}
    with pytest.raises(gateway.exceptions.NotFoundException):
        gateway.get_client_certificate(clientCertificateId=identifier)


def test_vpc_links_live_by_their_operations(engine: RunningEngine) -> None:
    gateway = engine.client("apigateway")
    target = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/net/n/1"
    made = gateway.create_vpc_link(name="inner", targetArns=[target], description="first")
    shown = gateway.get_vpc_link(vpcLinkId=made["id"])
    changed = gateway.update_vpc_link(
        vpcLinkId=made["id"],
        patchOperations=[{"op": "replace", "path": "/description", "value": "second"}],
    )
    assert (made["status"], shown["status"]) == ("PENDING", "AVAILABLE")
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert changed["description"] == "second"
    with pytest.raises(gateway.exceptions.BadRequestException, match="Must be one of"):
        gateway.update_vpc_link(
            vpcLinkId=made["id"],
            patchOperations=[{"op": "replace", "path": "/targetArns", "value": "x"}],
        )
    served = serve(
        engine,
        uri="http://inside/",
        kind="HTTP_PROXY",
        connectionType="VPC_LINK",
        connectionId=made["id"],
    )
    # The address of the link's name in the settings, where nobody listens.
    assert served.ask()[0] == 504
    with pytest.raises(ClientError, match=f"POST:{served.resource_id}:dev"):
        gateway.delete_vpc_link(vpcLinkId=made["id"])
    gateway.delete_rest_api(restApiId=served.api_id)
    gateway.delete_vpc_link(vpcLinkId=made["id"])
    assert made["id"] not in {each["id"] for each in gateway.get_vpc_links()["items"]}


# Streaming and time

STREAMING = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
  stream = awslambda.HttpResponseStream.from(stream, {
    statusCode: 202, headers: {"Content-Type": "text/event-stream"}, cookies: ["c=1"],
  });
  for (let i = 0; i < 3; i++) stream.write("piece " + i + " " + event.httpMethod + "\\n");
  stream.end();
});
"""


def streaming_uri(arn: str) -> str:
    return (
        "arn:aws:apigateway:us-east-1:lambda:path/2021-11-15/functions/"
        f"{arn}/response-streaming-invocations"
    )


def test_function_streams_through_a_proxy(engine: RunningEngine) -> None:
    arn = create_function(engine, "streams", STREAMING, runtime="nodejs22.x")
    served = serve(
        engine,
        uri=streaming_uri(arn),
        kind="AWS_PROXY",
        credentials=ROLE,
        responseTransferMode="STREAM",
        timeoutInMillis=600_000,
    )
    status, headers, body = served.ask()
    assert (status, headers["Content-Type"], headers["Set-Cookie"]) == (
        202,
        "text/event-stream",
        "c=1",
    )
    assert body == b"piece 0 POST\npiece 1 POST\npiece 2 POST\n"


def test_function_without_a_head_is_502(engine: RunningEngine) -> None:
    arn = create_function(engine, "headless", "def handler(e, c): return {'statusCode': 200}")
    served = serve(engine, uri=streaming_uri(arn), kind="AWS_PROXY", credentials=ROLE)
    assert served.ask()[0] == 502
    assert "eight NUL bytes" in served.reason


def test_timeout_may_be_as_long_as_the_quota(engine: RunningEngine) -> None:
    serve(engine, uri="http://127.0.0.1:1/", kind="HTTP_PROXY", timeoutInMillis=60_000)
    with pytest.raises(ClientError, match="between 50 ms and 60000 ms"):
        serve(engine, uri="http://127.0.0.1:1/", kind="HTTP_PROXY", timeoutInMillis=60_001)


def test_what_a_role_may_is_asked_where_policies_are_enforced(tmp_path: Path) -> None:
    keys = tmp_path / "credentials"
    keys.write_text(f"[default]\naws_access_key_id = {ACCOUNT}\naws_secret_access_key = test\n")
    with running_engine(auth="enforce", credentials=str(keys)) as engine:
        iam = engine.client("iam")
        iam.create_role(RoleName="integrations", AssumeRolePolicyDocument=TRUST)
        served = serve(engine, uri=action("iam", "ListRoles"), responses={"200": "", "403": "403"})
        refused = served.ask()
        statement = {"Effect": "Allow", "Action": "iam:ListRoles", "Resource": "*"}
        iam.put_role_policy(
            RoleName="integrations",
            PolicyName="lists",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
        )
        allowed = served.ask()
    assert (refused[0], allowed[0]) == (403, 200)
    assert json.loads(refused[2])["Error"]["Code"] == "AccessDenied"
