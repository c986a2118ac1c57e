"""What a page in a real browser may do: cross-origin calls, preflights included, and WebSockets.

The page is served from an origin of its own; it runs each call and posts what came of it.
"""

import http.server
import io
import json
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest

from lamington.testing import RunningEngine

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
LIMIT_S = 60
ROLE = "arn:aws:iam::000000000000:role/any"

PAGE = """<!doctype html><title>calls</title><script>
async function call(url, options) {
  try {
    const response = await fetch(url, options);
    return {status: response.status, body: await response.text(),
            exposed: response.headers.get("x-exposed")};
  } catch (error) {
    return {refused: error.name};
  }
}
function talk(url, message) {
  return new Promise((resolve) => {
    const socket = new WebSocket(url);
    const received = [];
    socket.onopen = () => socket.send(message);
    socket.onmessage = (event) => { received.push(event.data); socket.close(1000); };
    socket.onclose = (event) => resolve({received, code: event.code});
    socket.onerror = () => received.push("error");
  });
}
(async () => {
  const steps = await (await fetch("/steps")).json();
  const results = {};
  for (const [name, step] of Object.entries(steps))
    results[name] = step.message === undefined
      ? await call(step.url, step.options) : await talk(step.url, step.message);
  await fetch("/results", {method: "POST", body: JSON.stringify(results)});
})();
</script>"""

FUNCTION = """
def handler(event, context):
    if "connectionId" in event["requestContext"]:
        return {"statusCode": 200, "body": "you said " + event.get("body", "nothing")}
    headers = {"X-Exposed": "seen", "Access-Control-Expose-Headers": "X-Exposed"}
    if (event.get("stageVariables") or {}).get("cors") == "on":
        headers["Access-Control-Allow-Origin"] = "*"
    return {"statusCode": 200, "headers": headers, "body": event["httpMethod"]}
"""

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine")


@contextmanager
def browser(steps: Mapping[str, Any], profile: Path) -> Iterator["Queue[dict[str, Any]]"]:
    """A headless browser on a page that takes the steps; what came of them is in the queue."""
    results: Queue[dict[str, Any]] = Queue()

    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(steps) if self.path == "/steps" else PAGE
            self.send_response(200)
            kind = "application/json" if self.path == "/steps" else "text/html"
            self.send_header("Content-Type", kind)
            self.end_headers()
            self.wfile.write(body.encode())

        def do_POST(self) -> None:
            results.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    process = subprocess.Popen(
        [
            CHROMIUM,
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-dev-shm-usage", "--disable-background-networking", "--mute-audio"),
            f"--user-data-dir={profile}",
            f"http://localhost:{server.server_port}/",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield results
    finally:
        process.terminate()
        process.wait(LIMIT_S)
        server.shutdown()
        server.server_close()
        thread.join()


class Deployed:
    """APIs on an engine, and the addresses that a page has for them."""

    def __init__(self, engine: RunningEngine) -> None:
        self._engine = engine
        self._port = engine.endpoint_url.rpartition(":")[2]
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            entry = zipfile.ZipInfo("handler.py")
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, FUNCTION)
        self._arn = engine.client("lambda").create_function(
            FunctionName="page",
            Runtime="python3.13",
            Role=ROLE,
            Handler="handler.handler",
            Code={"ZipFile": content.getvalue()},
        )["FunctionArn"]
        engine.client("lambda").add_permission(
            FunctionName="page",
            StatementId="apis",
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
        )

    def rest(self, *, cors: bool) -> str:
        """A REST API whose PUT needs a preflight, with an OPTIONS method or without one."""
        client = self._engine.client("apigateway")
        item: dict[str, Any] = {
            "put": {
                "responses": {},
                "x-amazon-apigateway-integration": {
                    "type": "aws_proxy",
                    "httpMethod": "POST",
                    "uri": "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/"
                    f"{self._arn}/invocations",
                },
            }
        }
        if cors:
            headers = {
                "Access-Control-Allow-Origin": "'*'",
                "Access-Control-Allow-Methods": "'PUT,OPTIONS'",
                "Access-Control-Allow-Headers": "'Content-Type,X-Custom'",
            }
            item["options"] = {
                "responses": {"200": {"headers": {name: {} for name in headers}}},
                "x-amazon-apigateway-integration": {
                    "type": "mock",
                    "requestTemplates": {"application/json": '{"statusCode": 200}'},
                    "responses": {
                        "default": {
                            "statusCode": "200",
                            "responseParameters": {
                                f"method.response.header.{name}": value
                                for name, value in headers.items()
                            },
                        }
                    },
                },
            }
        document = {
            "swagger": "2.0",
            "info": {"title": "t", "version": "1"},
            "paths": {"/cakes": item},
        }
        api_id = client.import_rest_api(body=json.dumps(document).encode())["id"]
        variables = {"cors": "on" if cors else "off"}
        client.create_deployment(restApiId=api_id, stageName="v1", variables=variables)
        return f"http://{api_id}.execute-api.localhost:{self._port}/v1/cakes"

    def http_api(self, **cors: Any) -> str:
        """An HTTP API with a CORS configuration, or without one."""
        client = self._engine.client("apigatewayv2")
        options = {"CorsConfiguration": cors} if cors else {}
        api_id = client.create_api(Name="t", ProtocolType="HTTP", Target=self._arn, **options)[
            "ApiId"
        ]
        for each in client.get_integrations(ApiId=api_id)["Items"]:
            client.update_integration(
                ApiId=api_id, IntegrationId=each["IntegrationId"], PayloadFormatVersion="1.0"
            )
        return f"http://{api_id}.execute-api.localhost:{self._port}/cakes"

    def web_socket(self) -> str:
        client = self._engine.client("apigatewayv2")
        api_id = client.create_api(
            Name="t", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action"
        )["ApiId"]
        integration = client.create_integration(
            ApiId=api_id,
            IntegrationType="AWS_PROXY",
            IntegrationMethod="POST",
            IntegrationUri="arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/"
            f"{self._arn}/invocations",
        )["IntegrationId"]
        route = client.create_route(
            ApiId=api_id,
            RouteKey="$default",
            Target=f"integrations/{integration}",
            RouteResponseSelectionExpression="$default",
        )["RouteId"]
        client.create_route_response(ApiId=api_id, RouteId=route, RouteResponseKey="$default")
        client.create_stage(ApiId=api_id, StageName="v1", AutoDeploy=True)
        return f"ws://{api_id}.execute-api.localhost:{self._port}/v1"


def put(url: str, **headers: str) -> dict[str, Any]:
    sent = {"Content-Type": "application/json", **headers}
    return {"url": url, "options": {"method": "PUT", "headers": sent, "body": "{}"}}


def test_a_page_calls_what_cors_lets_it_call_and_talks_to_a_web_socket(
    live_engine: RunningEngine, tmp_path: Path
) -> None:
    deployed = Deployed(live_engine)
    allowed = deployed.rest(cors=True)
    http_api = deployed.http_api(
        AllowOrigins=["*"],
        AllowMethods=["PUT"],
        AllowHeaders=["content-type", "x-custom"],
        ExposeHeaders=["x-exposed"],
    )
    functions = f"{live_engine.endpoint_url}/2015-03-31/functions"
    steps = {
        "rest with cors": put(allowed),
        "rest with cors, header allowed": put(allowed, **{"X-Custom": "1"}),
        "rest with cors, header not allowed": put(allowed, **{"X-Other": "1"}),
        "rest without cors": put(deployed.rest(cors=False)),
        "http api with cors": put(http_api, **{"X-Custom": "1"}),
        "http api with cors, header not allowed": put(http_api, **{"X-Other": "1"}),
        "http api without cors": put(deployed.http_api()),
        "control plane": {"url": functions, "options": {"method": "GET"}},
        "web socket": {"url": deployed.web_socket(), "message": "hello"},
    }
    with browser(steps, tmp_path / "profile") as results:
        try:
            found = results.get(timeout=LIMIT_S)
        except Empty:
            pytest.fail("the browser reported nothing")
    answered = {"status": 200, "body": "PUT", "exposed": "seen"}
    refused = {"refused": "TypeError"}
    assert found == {
        "rest with cors": answered,
        "rest with cors, header allowed": answered,
        "rest with cors, header not allowed": refused,
        "rest without cors": refused,
        "http api with cors": answered,
        "http api with cors, header not allowed": refused,
        "http api without cors": refused,
        "control plane": refused,
        "web socket": {"received": ["you said hello"], "code": 1000},
    }
