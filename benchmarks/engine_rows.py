"""Starts, cold starts, reloads, stacks and memory: what happens around the requests."""

import argparse
import contextlib
import json
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks import servers, table
from benchmarks.load import Target, cpu_s, measure, memory_mb

COLD_FUNCTIONS = 30
STACK_SIZES = (200, 500)
IDLE_S = 5.0

PYTHON_HANDLER = "def handler(event, context):\n    return {'answer': 1}\n"
NODE_HANDLER = "exports.handler = async (event) => ({answer: 1});\n"


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    results: dict[str, Any] = {
        "up_to_first_answer_s": _up(arguments.rounds),
        "cold_start_ms": _cold_starts(),
        "save_to_new_answer_ms": _reload(),
        "stack_s": _stacks(),
        "idle": _idle(),
        "growth": _growth(),
    }
    rows = [(name, json.dumps(value)) for name, value in results.items()]
    table.show("Around the requests (medians)", ("what", "figures"), rows)
    return results


def _up(rounds: int) -> float:
    started = []
    for _ in range(rounds):
        with servers.service_copy() as root, servers.lamington(root) as server:
            started.append(server.started_s)
    return round(statistics.median(started), 3)


def _cold_starts() -> dict[str, Any]:
    with _generated_service("cold", COLD_FUNCTIONS) as root, servers.lamington(root, "/") as server:
        results = {}
        for runtime in ("python", "node"):
            times = []
            for number in range(COLD_FUNCTIONS):
                started = time.perf_counter()
                servers.get(server.url(f"/{runtime}{number}"))
                times.append((time.perf_counter() - started) * 1000)
            results[runtime] = {
                "median": round(statistics.median(times), 1),
                "max": round(max(times), 1),
            }
    return results


def _reload() -> dict[str, float]:
    """From the write of a handler to the first answer of the new code, asking all the while."""
    times = []
    failed = 0
    with servers.service_copy() as root, servers.lamington(root) as server:
        handler = root / "functions" / "hello_mapped" / "handler.py"
        for number in range(10):
            expected = f'"{number}"'.encode()
            handler.write_text(f"def handler(event, context):\n    return '{number}'\n")
            started = time.perf_counter()
            while True:
                try:
                    answer = servers.get(server.url("/mapped/hello"))
                except OSError:
                    failed += 1
                    continue
                if answer == expected:
                    break
                if time.perf_counter() - started > servers.START_LIMIT_S:
                    raise SystemExit(f"the new code never answered: {answer!r}")
            times.append((time.perf_counter() - started) * 1000)
            time.sleep(0.3)
    return {
        "median": round(statistics.median(times), 1),
        "max": round(max(times), 1),
        "failed_requests": failed,
    }


def _stacks() -> dict[str, float]:
    """CreateStack by the wire until CREATE_COMPLETE, by the events' own times, warm engine."""
    import boto3

    results = {}
    with servers.service_copy() as root, servers.lamington(root) as server:
        client = boto3.client(
            "cloudformation",
            endpoint_url=f"http://127.0.0.1:{server.aws_port}",
            region_name="us-east-1",
            aws_access_key_id="000000000000",
            aws_secret_access_key="test",
        )
        for size in (10, *STACK_SIZES):
            name = f"size{size}"
            started = time.perf_counter()
            client.create_stack(
                StackName=name,
                TemplateBody=_stack_template(size),
                Capabilities=["CAPABILITY_NAMED_IAM"],
            )
            while True:
                status = client.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
                if status != "CREATE_IN_PROGRESS":
                    break
                time.sleep(0.005)
            results[str(size)] = round(time.perf_counter() - started, 3)
            assert status == "CREATE_COMPLETE", status
    return results


def _stack_template(size: int) -> str:
    """Functions, their log groups and a role each fourth: short, for 51,200 bytes hold 500."""
    resources: dict[str, Any] = {
        "R": {
            "Type": "AWS::IAM::Role",
            "Properties": {
                "AssumeRolePolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": {
                        "Effect": "Allow",
                        "Principal": {"Service": "lambda.amazonaws.com"},
                        "Action": "sts:AssumeRole",
                    },
                }
            },
        }
    }
    for number in range((size - 1) // 2):
        resources[f"F{number}"] = {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Runtime": "python3.11",
                "Handler": "index.h",
                "Role": {"Fn::GetAtt": "R.Arn"},
                "Code": {"ZipFile": "h=1"},
            },
        }
    while len(resources) < size:
        resources[f"L{len(resources)}"] = {"Type": "AWS::Logs::LogGroup"}
    text = json.dumps({"Resources": resources}, separators=(",", ":"))
    return text.replace('{"Fn::GetAtt":"R.Arn"}', '{"Fn::GetAtt":["R","Arn"]}')


def _idle() -> dict[str, Any]:
    with servers.service_copy() as root, servers.lamington(root) as server:
        servers.get(server.url("/proxy/hello"))
        time.sleep(1)
        before = cpu_s(server.process_id)
        time.sleep(IDLE_S)
        spent = cpu_s(server.process_id) - before
        return {
            "cpu_percent": round(spent / IDLE_S * 100, 2),
            "pss_mb": {name: round(size, 1) for name, size in memory_mb(server.process_id).items()},
        }


def _growth() -> dict[str, float]:
    """The engine's memory after 10,000 requests and after 100,000."""
    with servers.service_copy() as root, servers.lamington(root) as server:
        target = Target(
            name="growth", url=server.url("/mapped/hello"), process_id=server.process_id
        )
        sizes = {}
        sent = 0.0
        for wanted in (10_000, 100_000):
            while sent < wanted:
                sent += measure(target, 16, 1).requests_per_s
            time.sleep(1)
            own = memory_mb(server.process_id)
            sizes[f"after_{wanted}"] = round(
                sum(size for name, size in own.items() if name.startswith(f"{server.process_id}:")),
                1,
            )
        return sizes


@contextlib.contextmanager
def _generated_service(name: str, functions: int) -> Any:
    with servers.service_copy() as copy:
        root: Path = copy.parent / name
        paths = ["  /:", *_operation("python_root")]
        _function(root, "python_root", "handler.py", PYTHON_HANDLER)
        for number in range(functions):
            for runtime, file, text in (
                ("python", "handler.py", PYTHON_HANDLER),
                ("node", "index.js", NODE_HANDLER),
            ):
                _function(root, f"{runtime}{number}", file, text)
                paths += [f"  /{runtime}{number}:", *_operation(f"{runtime}{number}")]
        (root / "lamington.toml").write_text(f'name = "{name}"\n')
        head = ['swagger: "2.0"', "info: {title: cold, version: '1'}", "paths:"]
        (root / "api.yaml").write_text("\n".join((*head, *paths)) + "\n")
        yield root


def _operation(function: str) -> list[str]:
    return [
        "    get:",
        f"      operationId: {function}",
        "      responses: {'200': {description: ok}}",
    ]


def _function(root: Path, name: str, file: str, text: str) -> None:
    directory = root / "functions" / name
    directory.mkdir(parents=True)
    (directory / file).write_text(text)
