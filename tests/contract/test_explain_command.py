"""`lamington explain` against an engine, and on a service that is not up."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lamington.cli.explain import ExplainOptions, explain_live, explain_request
from lamington.cli.output import Output
from lamington.core.errors import UsageError
from lamington.testing import RunningEngine, running_engine
from service_world import swagger, write_service

API = swagger(
    "  /echo/{id}:",
    "    get:",
    "      operationId: echo",
    "      parameters:",
    "        - {name: id, in: path, required: true, type: string}",
    "      responses: {200: {description: ok}}",
)


@pytest.fixture(scope="module")
def raised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningEngine, Path]]:
    """An engine in which the service stands."""
    root = write_service(tmp_path_factory.mktemp("service"), {"api.yaml": API})
    with running_engine() as engine:
        engine.raise_service(root)
        yield engine, root


def options(engine: RunningEngine, path: str, **more: Any) -> ExplainOptions:
    return ExplainOptions(method="GET", path=path, endpoint_url=engine.endpoint_url, **more)


def asked(engine: RunningEngine, path: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        engine.endpoint_url + path, data=None if body is None else json.dumps(body).encode()
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_request_is_explained_to_people(
    raised: tuple[RunningEngine, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    engine, root = raised
    code = explain_request(root, options(engine, "/echo/7", header=["X-A: b"]), Output())
    shown = capsys.readouterr().out
    assert code == 0
    assert shown.startswith("GET /live/echo/7 → 200  ")
    assert "    X-A: b\n" in shown
    assert "  match  GET /echo/{id}  +" in shown
    assert "template line │ what it printed" in shown
    assert "  integration request  POST https://lambda." in shown


def test_refused_request_is_exit_status_1(
    raised: tuple[RunningEngine, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    engine, root = raised
    assert explain_request(root, options(engine, "/nowhere"), Output()) == 1
    assert "refused  MISSING_AUTHENTICATION_TOKEN" in capsys.readouterr().out


def test_document_is_data(
    raised: tuple[RunningEngine, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    engine, root = raised
    explain_request(root, options(engine, "/echo/7", api="bakery"), Output(as_json=True))
    document = json.loads(capsys.readouterr().out)
    assert document["resource"] == {"method": "GET", "path": "/echo/{id}"}
    assert document["steps"][0]["name"] == "match"


def test_api_that_is_not_there_is_said(raised: tuple[RunningEngine, Path]) -> None:
    engine, root = raised
    with pytest.raises(UsageError, match="no deployed stage") as refused:
        explain_request(root, options(engine, "/", api="other"), Output())
    assert "bakery" in refused.value.hint


def test_live_traffic_is_recorded_only_while_it_is_on(
    raised: tuple[RunningEngine, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    engine, root = raised
    live = "/_lamington/explain/live"
    api = asked(engine, "/_lamington/explain", {"method": "GET", "path": "/echo/1"})
    address = f"/_aws/execute-api/{api['api']}/{api['stage']}/echo/2"

    def show(*, off: bool = False) -> str:
        explain_live(
            root,
            Output(as_json=True),
            endpoint_url=engine.endpoint_url,
            follow=False,
            off=off,
            show_secrets=False,
        )
        return capsys.readouterr().out

    asked(engine, address)
    assert show() == ""
    asked(engine, address)
    assert json.loads(show())["request"]["path"] == f"/{api['stage']}/echo/2"
    show(off=True)
    asked(engine, address)
    assert asked(engine, live) == {"on": False, "requests": []}


def test_web_page_gets_no_explanation(raised: tuple[RunningEngine, Path]) -> None:
    engine, _ = raised
    request = urllib.request.Request(
        f"{engine.endpoint_url}/_lamington/explain",
        data=b'{"method": "GET", "path": "/"}',
        headers={"Origin": "https://example.com"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    with refused.value as answer:
        assert answer.code == 403


def test_service_that_is_not_up_is_raised_for_one_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_service(tmp_path, {"api.yaml": API})
    code = explain_request(root, ExplainOptions(method="GET", path="/echo/7"), Output(as_json=True))
    assert code == 0
    assert json.loads(capsys.readouterr().out)["response"]["status"] == 200
