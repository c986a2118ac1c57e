"""`lamington up` as a user meets it: start, requests, saves, broken saves, Ctrl-C, kill -9."""

import json
import signal
import subprocess
import time
import urllib.error
from pathlib import Path

import pytest

from example_copies import ExampleCopies
from processes import (
    LAMINGTON,
    descendants,
    free_port,
    run_lamington,
    start_up,
    stop,
    up,
    wait_until,
)


def _lives(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_up_serves_and_tells_what_it_serves(example: ExampleCopies) -> None:
    with up(example("hello")) as running:
        assert running.get("/hello") == b'"Hello, World!"'
        said = running.said()
    assert "GET     /hello  hello" in said
    assert "Different from AWS:" in said


def test_aws_cli_shows_the_same_service(example: ExampleCopies) -> None:
    with up(example("hello")) as running:
        running.get("/hello")
        functions = running.aws("lambda", "list-functions")["Functions"]
        assert isinstance(functions, list)
        name = functions[0]["FunctionName"]
        out = running.output.with_suffix(".json")
        invoked = running.aws("lambda", "invoke", "--function-name", name, str(out))
        assert (invoked["StatusCode"], out.read_text()) == (200, '"Hello, World!"')
        events = running.aws("cloudformation", "describe-stack-events", "--stack-name", "hello")
        assert events["StackEvents"][0]["ResourceStatus"] == "CREATE_COMPLETE"  # type: ignore[index]
        apis = running.aws("apigateway", "get-rest-apis")["items"]
        assert isinstance(apis, list)
        assert [api["name"] for api in apis] == ["hello"]

        def is_logged() -> bool:
            found = running.aws(
                *("logs", "filter-log-events", "--log-group-name", f"/aws/lambda/{name}"),
                *("--filter-pattern", "REPORT"),
            )
            return len(found["events"]) == 2  # type: ignore[arg-type]

        wait_until(is_logged, "the invocations were not logged")


def test_saved_handler_answers_without_a_failed_request(example: ExampleCopies) -> None:
    root = example("hello")
    handler = next((root / "functions").rglob("*.js"))
    with up(root) as running:
        running.get("/hello")
        handler.write_text("exports.handler = async () => 'saved';\n")
        wait_until(lambda: running.get("/hello") == b'"saved"', "the new code never answered")


def test_saved_api_updates_the_stack(example: ExampleCopies) -> None:
    root = example("hello")
    definition = root / "api.json"
    with up(root) as running:
        changed = json.loads(definition.read_text())
        changed["paths"]["/again"] = changed["paths"]["/hello"]
        definition.write_text(json.dumps(changed))

        def answers() -> bool:
            try:
                return running.get("/again") == b'"Hello, World!"'
            except urllib.error.HTTPError as refused:
                refused.close()
                return False

        wait_until(answers, "the new path never answered")


def test_broken_save_leaves_the_last_good_version(example: ExampleCopies) -> None:
    root = example("hello")
    definition = root / "api.json"
    good = definition.read_text()
    with up(root) as running:
        definition.write_text(good[:-30])
        wait_until(lambda: "the last good version" in running.said(), "nothing was said")
        assert "api.json:" in running.said()
        assert running.get("/hello") == b'"Hello, World!"'
        definition.write_text(good)
        handler = next((root / "functions").rglob("*.js"))
        handler.write_text("exports.handler = async () => 'mended';\n")
        wait_until(lambda: running.get("/hello") == b'"mended"', "the mended code never answered")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_process_behind(example: ExampleCopies, number: signal.Signals) -> None:
    running = start_up(example("hello"))
    running.get("/hello")
    started = descendants(running.process.pid)
    assert started, "the function runs in a process of its own"
    running.process.send_signal(number)
    assert running.process.wait(20) == 0
    assert [each for each in started if _lives(each)] == []


def test_kill_loses_nothing_that_was_answered(example: ExampleCopies) -> None:
    root = example("hello")
    running = start_up(root)
    assert running.get("/hello") == b'"Hello, World!"'
    before = running.aws("lambda", "list-functions")["Functions"]
    started = descendants(running.process.pid)
    running.process.kill()
    running.process.wait(10)
    with up(root) as again:
        assert again.get("/hello") == b'"Hello, World!"'
        assert again.aws("lambda", "list-functions")["Functions"] == before
        assert [each for each in started if _lives(each)] == []


def test_down_deletes_the_stack_and_stops_the_engine(example: ExampleCopies) -> None:
    root = example("hello")
    running = start_up(root)
    finished = run_lamington("down", ".", cwd=root)
    assert finished.returncode == 0, finished.stderr
    assert running.process.wait(20) == 0
    assert "the stack `hello` is deleted" in finished.stderr
    with up(root) as again:
        events = again.aws("cloudformation", "list-stacks")["StackSummaries"]
        assert isinstance(events, list)
        assert sorted(each["StackStatus"] for each in events) == [
            "CREATE_COMPLETE",
            "DELETE_COMPLETE",
        ]


def test_invoke_and_logs_use_the_running_engine(example: ExampleCopies) -> None:
    root = example("bakery")
    with up(root):
        event = root / "event.json"
        event.write_text(json.dumps({"id": "lamington"}))
        invoked = run_lamington("invoke", "get", "-e", str(event), cwd=root)
        failed = run_lamington("invoke", "get", "--json", cwd=root)
        time.sleep(0.5)
        logged = run_lamington("logs", "get", "--json", cwd=root)
    assert invoked.returncode == 0, invoked.stderr
    assert json.loads(invoked.stdout)["id"] == "lamington"
    assert "REPORT RequestId" in invoked.stderr
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["function_error"] == "Unhandled"
    messages = [json.loads(line)["message"] for line in logged.stdout.splitlines()]
    assert sum(message.startswith("REPORT") for message in messages) == 2


def test_invoke_needs_no_running_engine(example: ExampleCopies) -> None:
    root = example("bakery")
    (root / "event.json").write_text(json.dumps({"id": "lamington"}))
    invoked = run_lamington("invoke", "get", "-e", "event.json", cwd=root)
    assert invoked.returncode == 0, invoked.stderr
    assert json.loads(invoked.stdout)["id"] == "lamington"
    assert "REPORT RequestId" in invoked.stderr
    assert not (root / ".lamington" / "state").exists(), "it leaves no engine's state behind"


def test_port_in_use_is_told(example: ExampleCopies) -> None:
    with up(example("hello")) as running:
        finished = subprocess.run(
            [LAMINGTON, "up", ".", "--port", str(running.port), "--aws-port", "0"],
            cwd=example("bakery"),
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert finished.returncode == 2
    assert f"{running.port}" in finished.stderr
    assert "hint:" in finished.stderr


def test_one_data_directory_has_one_engine(example: ExampleCopies) -> None:
    root = example("hello")
    running = start_up(root)
    try:
        finished = run_lamington("up", ".", "--port", "0", "--aws-port", str(free_port()), cwd=root)
    finally:
        stop(running)
    assert finished.returncode == 2
    assert "another engine" in finished.stderr
