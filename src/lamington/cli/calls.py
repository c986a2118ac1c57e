"""The commands that call an AWS endpoint: the engine that serves the directory, or AWS itself."""

import asyncio
import re
import sys
import tempfile
import time
import urllib.error
import urllib.request
from base64 import b64decode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from lamington.cli.output import Output
from lamington.cli.remote import Endpoint, find_endpoint, remote_error
from lamington.cli.up import EngineState, is_up, load_engine_state, state_path
from lamington.core.errors import UsageError
from lamington.core.settings import load_settings
from lamington.engine.engine import Engine
from lamington.service.deploy import DeployEvent, Destination, deploy, destroy
from lamington.service.functions import Function
from lamington.service.local import delete_stack, raise_stack
from lamington.service.package import Builder
from lamington.service.project import Project, load_project

TAIL_PAUSE_S = 0.5
STOP_LIMIT_S = 15.0
_SINCE = re.compile(r"(\d+)\s*([smhd]?)[a-z]*(?:\s+ago)?")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def invoke_function(
    name: str,
    root: Path,
    output: Output,
    *,
    event: str,
    qualifier: str,
    invocation_type: str,
    log: bool,
    endpoint_url: str,
    region: str,
    profile: str,
) -> int:
    """Invoke a function of the service and print what it answers; 1 where the function failed.

    Where no engine serves the directory and none is named, one is raised for this invocation.
    """
    payload = _load_event(event)
    project = load_project(root)
    function = require_function(project, name)
    request: dict[str, Any] = {"InvocationType": invocation_type, "Payload": payload}
    if qualifier:
        request["Qualifier"] = qualifier
    if log and invocation_type == "RequestResponse":
        request["LogType"] = "Tail"
    if not endpoint_url and not profile and not is_up(root):
        answer = asyncio.run(_invoke_alone(root, function, request))
    else:
        endpoint = _endpoint(project, root, endpoint_url, region, profile)
        answer = _invoke_at(endpoint, function, request)
    result = answer.get("Payload", b"")
    said = b64decode(answer.get("LogResult", "")).decode(errors="replace")
    failed = answer.get("FunctionError", "")
    if output.as_json:
        output.write_json(
            {
                "status": answer["StatusCode"],
                "function_error": failed,
                "executed_version": answer.get("ExecutedVersion", ""),
                "payload": msgspec.json.decode(result) if result else None,
                "log": said,
            }
        )
    else:
        if said:
            output.say(said.rstrip())
        if result:
            output.write(result.decode())
    return 1 if failed else 0


def _invoke_at(endpoint: Endpoint, function: Function, request: dict[str, Any]) -> dict[str, Any]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        physical_id = endpoint.physical_id(function.logical_id)
        answer = endpoint.client("lambda").invoke(FunctionName=physical_id, **request)
        return {**answer, "Payload": answer["Payload"].read()}
    except (ClientError, BotoCoreError) as error:
        raise remote_error(error) from None


async def _invoke_alone(root: Path, function: Function, request: dict[str, Any]) -> dict[str, Any]:
    built = Builder(root, root / ".lamington" / "build").build()
    with tempfile.TemporaryDirectory() as data:
        engine = Engine(load_settings(data=Path(data), aws_port=0))
        try:
            await engine.start()
            raised = await raise_stack(built, built.stack_name, engine, built.stage.parameters)
            name = raised.physical_ids[function.logical_id]
            return await engine.caller.call(
                "lambda:Invoke", {"FunctionName": name, **request}, engine.scope
            )
        finally:
            await engine.stop()


def print_logs(
    name: str,
    root: Path,
    output: Output,
    *,
    tail: bool,
    since: str,
    filter_pattern: str,
    endpoint_url: str,
    region: str,
    profile: str,
) -> None:
    """Print the events of a function's log group, or of all, oldest first."""
    from botocore.exceptions import BotoCoreError, ClientError

    project = load_project(root)
    functions = (require_function(project, name),) if name else project.functions
    endpoint = _endpoint(project, root, endpoint_url, region, profile)
    try:
        groups = {
            f"/aws/lambda/{endpoint.physical_id(function.logical_id)}": function.name
            for function in functions
        }
        client = endpoint.client("logs")
        seen: set[str] = set()
        start_ms = int((time.time() - parse_since(since)) * 1000)
        while True:
            events = [
                (event, function)
                for group, function in groups.items()
                for event in _events(client, group, start_ms, filter_pattern)
                if event["eventId"] not in seen
            ]
            events.sort(key=lambda pair: pair[0]["timestamp"])
            for event, function in events:
                seen.add(event["eventId"])
                _print_event(event, function if len(groups) > 1 else "", output)
            if not tail:
                return
            if events:
                start_ms = events[-1][0]["timestamp"]
            time.sleep(TAIL_PAUSE_S)
    except (ClientError, BotoCoreError) as error:
        raise remote_error(error) from None
    except KeyboardInterrupt:
        return


def _events(client: Any, group: str, start_ms: int, pattern: str) -> Iterator[dict[str, Any]]:
    request: dict[str, Any] = {"logGroupName": group, "startTime": start_ms}
    if pattern:
        request["filterPattern"] = pattern
    try:
        for page in client.get_paginator("filter_log_events").paginate(**request):
            yield from page["events"]
    except client.exceptions.ResourceNotFoundException:
        return


def _print_event(event: dict[str, Any], function: str, output: Output) -> None:
    if output.as_json:
        line = {
            "timestamp": event["timestamp"],
            "stream": event["logStreamName"],
            "message": event["message"],
        }
        output.write(msgspec.json.encode(line).decode())
    else:
        output.write((f"{function}: " if function else "") + event["message"].rstrip("\n"))


def parse_since(text: str) -> float:
    """Seconds of `30s`, `10m`, `2h`, `1d` or `10min ago`; raises UsageError for another form."""
    found = _SINCE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"`{text}` is not a span of time", hint="such as 30s, 10m, 2h, 1d")
    return int(found[1]) * _SECONDS[found[2]]


async def take_down(root: Path, output: Output) -> None:
    """Delete the stacks that `up` raised, of whichever stage, and end the engine that runs."""
    running = _stop_running(root, output)
    settings = load_settings(
        data=root / ".lamington",
        aws_port=0,
        region=running.region if running else None,
        account_id=running.account_id if running else None,
    )
    if not (settings.data / "state").is_dir():
        raise UsageError(f"`{root}` was never up", hint="`lamington up` raises it")
    names = [stage.stack_name for stage in load_project(root).stages]
    names += [running.stack_name] if running else []
    engine = Engine(settings)
    try:
        await engine.start()
        deleted = [name for name in dict.fromkeys(names) if await delete_stack(name, engine)]
    finally:
        await engine.stop()
    for name in deleted:
        output.say(f"the stack `{name}` is deleted")
    if not deleted:
        output.say(f"there was no stack `{names[0]}`")


def _stop_running(root: Path, output: Output) -> EngineState | None:
    """What the engine that serves the directory said of itself; None where none does."""
    try:
        state = load_engine_state(root)
    except UsageError:
        return None
    try:
        urllib.request.urlopen(
            urllib.request.Request(f"{state.aws_endpoint}/_lamington/stop", method="POST"),
            timeout=STOP_LIMIT_S,
        ).close()
    except urllib.error.URLError:
        return state
    deadline = time.monotonic() + STOP_LIMIT_S
    while state_path(root).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    output.say("the engine has stopped")
    return state


def deploy_service(
    root: Path,
    parameters: Mapping[str, str],
    output: Output,
    *,
    stage: str,
    stack_name: str,
    api_as_resources: bool,
    endpoint_url: str,
    region: str,
    profile: str,
) -> None:
    """Build and send to AWS; print the events as they come, then the outputs and the URL."""
    built = Builder(root, root / ".lamington" / "build").build(stage)
    for warning in built.warnings:
        output.warn(warning)
    deployed = deploy(
        built,
        Destination(region=region, profile=profile, endpoint_url=endpoint_url),
        stack_name=stack_name,
        parameters=parameters,
        api_as_resources=api_as_resources,
        tell=output.say,
        tell_event=lambda event: _say_event(event, output),
    )
    if output.as_json:
        output.write_json(deployed)
        return
    output.say(f"{deployed.stack_name}: {deployed.status if deployed.changed else 'no changes'}")
    if deployed.outputs:
        output.table(("Output", "Value"), sorted(deployed.outputs.items()))
    if deployed.url:
        output.write(deployed.url)


def destroy_service(
    root: Path,
    output: Output,
    *,
    stage: str,
    stack_name: str,
    endpoint_url: str,
    region: str,
    profile: str,
) -> None:
    """Delete the service's stack from AWS."""
    chosen = load_project(root).stage(stage)
    name = stack_name or chosen.stack_name
    destroyed = destroy(
        name,
        Destination(region=region or chosen.region, profile=profile, endpoint_url=endpoint_url),
        tell=output.say,
        tell_event=lambda event: _say_event(event, output),
    )
    output.say(f"the stack `{name}` is deleted" if destroyed else f"there was no stack `{name}`")


def _say_event(event: DeployEvent, output: Output) -> None:
    when = f"{event.timestamp:%H:%M:%S} " if event.timestamp else ""
    colour = "red" if "FAILED" in event.status or "ROLLBACK" in event.status else "green"
    reason = f"  {event.reason}" if event.reason else ""
    status = output.paint(event.status, colour if event.status.endswith(("E", "D")) else "dim")
    output.say(f"  {when}{status}  {event.logical_id}  {event.resource_type}{reason}")


def require_function(project: Project, name: str) -> Function:
    """The function of this name; raises UsageError with the names that there are."""
    for function in project.functions:
        if name in (function.name, function.logical_id):
            return function
    names = ", ".join(f"`{function.name}`" for function in project.functions) or "none"
    raise UsageError(f"there is no function `{name}`", hint=f"the service has {names}")


def _endpoint(
    project: Project, root: Path, endpoint_url: str, region: str, profile: str
) -> Endpoint:
    return find_endpoint(
        root,
        endpoint_url=endpoint_url,
        region=region or project.stages[0].region,
        profile=profile,
        stack_name=project.stages[0].stack_name,
    )


def _load_event(path: str) -> bytes:
    if not path:
        return b"{}"
    try:
        content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read `{path}`: {error.strerror}") from None
    try:
        msgspec.json.decode(content)
    except msgspec.DecodeError as error:
        raise UsageError(f"`{path}` is not JSON: {error}") from None
    return content
