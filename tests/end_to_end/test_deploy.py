"""The examples go live on stand-ins for AWS: moto's server and MiniStack.

What they cannot, found with moto 5.2.5 and MiniStack 1.4.21:
- moto's CloudFormation ignores the `Body` of a RestApi and knows no `AWS::ApiGateway::Stage`; the
  API is there when it is deployed as single resources. It tells no events of single resources.
- MiniStack runs functions and answers through its gateway, but has no mapping templates and
  no response selection: events of mapped operations arrive as the bare body, errors as 200.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from lamington.core.errors import UsageError
from lamington.service.definition import BuiltService
from lamington.service.deploy import (
    Deployed,
    DeployError,
    DeployEvent,
    Destination,
    deploy,
    destroy,
)
from lamington.service.expanded import expand_api
from lamington.service.package import build
from lamington.service.problems import ServiceInvalid
from lamington.service.project import load_project
from service_world import swagger, write_service

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = Path(sys.executable).parent
START_MAX_S = 60.0
REGION = "eu-west-1"

PROXY_HANDLER = """\
def handler(event, context):
    return {"statusCode": 203, "body": event["path"]}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    url: str

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name=REGION, endpoint_url=self.url)  # type: ignore[call-overload]

    def deploy(self, built: BuiltService, **more: Any) -> Deployed:
        return deploy(built, Destination(region=REGION, endpoint_url=self.url), **more)

    def get(self, api_id: str, path: str) -> tuple[int, str]:
        url = f"{self.url}/restapis/{api_id}/live/_user_request_{path}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.status, answer.read().decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run_server(command: list[str], port: int, **environment: str) -> Iterator[StandIn]:
    """A server of ours, on loopback, ended by its own process id."""
    variables = {**os.environ, **environment}
    process = subprocess.Popen(
        command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + START_MAX_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, f"{command[0]} ended"
                assert time.monotonic() < deadline, f"{command[0]} did not start"
                time.sleep(0.05)
        yield StandIn(url=f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def moto() -> Iterator[StandIn]:
    port = free_port()
    yield from run_server([str(SCRIPTS / "moto_server"), "-H", "127.0.0.1", "-p", str(port)], port)


@pytest.fixture(scope="module")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    port = free_port()
    home = str(tmp_path_factory.mktemp("ministack"))
    yield from run_server(
        [str(SCRIPTS / "ministack")],
        port,
        GATEWAY_PORT=str(port),
        BIND_HOST="127.0.0.1",
        HOME=home,
        TMPDIR=home,
    )


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


def build_example(name: str, out: Path) -> BuiltService:
    return build(load_project(EXAMPLES / name), out)


def lint(*templates: Path) -> tuple[int, str]:
    """The status of cfn-lint and what it says."""
    command = [str(SCRIPTS / "cfn-lint"), "--regions", "us-east-1", "--"]
    files = [str(each) for each in templates]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", ["hello", "event", "bakery"])
def test_template_passes_cfn_lint(name: str, tmp_path: Path) -> None:
    built = build_example(name, tmp_path)
    (tmp_path / "expanded.json").write_text(json.dumps(expand_api(built)))
    assert lint(tmp_path / "template.json", tmp_path / "expanded.json") == (0, "")


def test_template_with_an_authorizer_passes_cfn_lint(tmp_path: Path) -> None:
    build_example("stall", tmp_path)
    assert lint(tmp_path / "template.json") == (0, "")


def test_syntax_error_in_javascript_has_its_place(tmp_path: Path) -> None:
    write_service(tmp_path, {"functions/f/index.js": "exports.handler = 1;\nlet x = ;\n"})
    with pytest.raises(ServiceInvalid) as raised:
        load_project(tmp_path)
    assert str(raised.value) == "functions/f/index.js:2:9: JavaScript Error: Unexpected token ';'"


def test_hello_lives_answers_and_goes(ministack: StandIn, tmp_path: Path) -> None:
    events: list[DeployEvent] = []
    deployed = ministack.deploy(build_example("hello", tmp_path), tell_event=events.append)
    assert (deployed.status, deployed.uploaded) == ("CREATE_COMPLETE", ("hello",))
    assert deployed.url == (
        f"https://{deployed.outputs['ApiId']}.execute-api.{REGION}.amazonaws.com/live"
    )
    complete = {event.logical_id for event in events if event.status == "CREATE_COMPLETE"}
    assert {"HelloFunction", "HelloFunctionRole", "Api", "ApiStage", "hello"} <= complete
    assert ministack.get(deployed.outputs["ApiId"], "/hello") == (200, '"Hello, World!"')
    destination = Destination(region=REGION, endpoint_url=ministack.url)
    said: list[str] = []
    assert destroy("hello", destination, tell=said.append)
    assert said == [f"the bucket `lamington-artifacts-000000000000-{REGION}` stays, with the"
                    " packages in it"]  # fmt: skip
    assert not destroy("hello", destination)


def test_bakery_is_there_whole(ministack: StandIn, tmp_path: Path) -> None:
    deployed = ministack.deploy(build_example("bakery", tmp_path))
    assert deployed.status == "CREATE_COMPLETE"
    names = {
        each["FunctionName"] for each in ministack.client("lambda").list_functions()["Functions"]
    }
    assert {"bakery-list", "bakery-get", "bakery-quote"} <= names
    resources = ministack.client("apigateway").get_resources(restApiId=deployed.outputs["ApiId"])
    assert {"/cakes", "/cakes/{id}", "/cakes/{id}/quote", "/prices"} <= {
        each["path"] for each in resources["items"]
    }
    stack = ministack.client("cloudformation").describe_stacks(StackName="bakery")["Stacks"][0]
    given = {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}
    assert given["Currency"] == "EUR"


def test_bakerys_functions_run_there(ministack: StandIn, tmp_path: Path) -> None:
    ministack.deploy(build_example("bakery", tmp_path))
    event = {"id": "lamington", "currency": None, "body": {"quantity": 12}}
    answer = ministack.client("lambda").invoke(
        FunctionName="bakery-quote", Payload=json.dumps(event)
    )
    assert json.loads(answer["Payload"].read()) == {
        "id": "lamington",
        "quantity": 12,
        "total": 37.8,
        "currency": "EUR",
        "note": None,
    }


def test_proxy_service_answers_and_a_change_uploads_only_what_changed(
    ministack: StandIn, tmp_path: Path
) -> None:
    write_service(
        tmp_path,
        {
            "lamington.toml": 'name = "proxied"\n',
            "functions/a.py": PROXY_HANDLER,
            "functions/b.py": PROXY_HANDLER,
            "api.yaml": swagger("  /a:", "    get: {operationId: a}")
            + "x-lamington-style: proxy\n",
        },
    )
    out = tmp_path / ".lamington" / "build"
    deployed = ministack.deploy(build(load_project(tmp_path), out))
    assert ministack.get(deployed.outputs["ApiId"], "/a") == (203, "/a")
    (tmp_path / "functions/a.py").write_text(PROXY_HANDLER.replace("203", "202"))
    changed = ministack.deploy(build(load_project(tmp_path), out))
    assert (changed.status, changed.uploaded) == ("UPDATE_COMPLETE", ("a",))
    assert ministack.get(changed.outputs["ApiId"], "/a") == (202, "/a")


def test_large_template_goes_by_way_of_the_bucket(ministack: StandIn, tmp_path: Path) -> None:
    outputs = "".join(f"  Output{number}: {{Value: '{'x' * 400}'}}\n" for number in range(150))
    write_service(
        tmp_path, {"lamington.toml": 'name = "large"\n', "stack.yaml": "Outputs:\n" + outputs}
    )
    deployed = ministack.deploy(build(load_project(tmp_path), tmp_path / "out"))
    assert deployed.outputs["Output149"] == "x" * 400


def test_reason_of_the_first_failure_is_told(ministack: StandIn, tmp_path: Path) -> None:
    stack = "Resources:\n  Thing:\n    Type: AWS::Nothing::Thing\n"
    write_service(tmp_path, {"lamington.toml": 'name = "failing"\n', "stack.yaml": stack})
    built = build(load_project(tmp_path), tmp_path / "out")
    with pytest.raises(DeployError, match="AWS::Nothing::Thing"):
        ministack.deploy(built)


def test_unknown_parameter_is_refused_before_anything_is_made(
    ministack: StandIn, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="`Colour` is not a parameter of the stack"):
        ministack.deploy(build_example("hello", tmp_path), parameters={"Colour": "red"})


def test_endpoint_that_is_not_there_is_told(tmp_path: Path) -> None:
    nobody = StandIn(url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(DeployError) as raised:
        nobody.deploy(build_example("hello", tmp_path))
    assert "is the endpoint there?" in raised.value.hint


@pytest.mark.parametrize(("name", "methods"), [("hello", 1), ("bakery", 4)])
def test_moto_has_the_stack_when_the_api_comes_as_resources(
    moto: StandIn, tmp_path: Path, name: str, methods: int
) -> None:
    built = build_example(name, tmp_path)
    deployed = moto.deploy(built, api_as_resources=True)
    assert deployed.status == "CREATE_COMPLETE"
    names = {each["FunctionName"] for each in moto.client("lambda").list_functions()["Functions"]}
    assert {f"{name}-{function}" for function in built.artifacts} <= names
    resources = moto.client("apigateway").get_resources(restApiId=deployed.outputs["ApiId"])
    assert sum(len(each.get("resourceMethods", ())) for each in resources["items"]) == methods


def test_moto_cannot_import_a_definition_and_it_is_said(moto: StandIn, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="contain any methods"):
        moto.deploy(build_example("hello", tmp_path), stack_name="imported")


def write_wheel(path: Path) -> Path:
    """A wheel with one module, so that pip needs no index."""
    wheel = path / "crumb-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("crumb.py", "SIZE = 1\n")
        metadata = "crumb-1.0.dist-info"
        archive.writestr(
            f"{metadata}/METADATA", "Metadata-Version: 2.1\nName: crumb\nVersion: 1.0\n"
        )
        archive.writestr(f"{metadata}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{metadata}/RECORD", "")
    return wheel


def test_requirements_are_installed_into_the_package(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path)
    root = write_service(
        tmp_path / "service",
        {
            "functions/f/handler.py": "import crumb\n\ndef handler(event, context): ...\n",
            "functions/f/requirements.txt": f"{wheel}\n",
        },
    )
    built = build(load_project(root), tmp_path / "out")
    with zipfile.ZipFile(built.artifacts["f"].path) as archive:
        assert {"crumb.py", "handler.py"} <= set(archive.namelist())
    wheel.unlink()
    again = build(load_project(root), tmp_path / "other")
    assert again.artifacts["f"].sha256 == built.artifacts["f"].sha256


def test_requirement_that_cannot_be_installed_is_told_with_its_file(tmp_path: Path) -> None:
    files = {
        "functions/f/handler.py": "def handler(event, context): ...\n",
        "functions/f/requirements.txt": "./nowhere-1.0-py3-none-any.whl\n",
    }
    project = load_project(write_service(tmp_path, files))
    with pytest.raises(ServiceInvalid) as raised:
        build(project, tmp_path / "out")
    assert str(raised.value).startswith(
        "functions/f/requirements.txt: the requirements cannot be installed: "
    )
