"""Runs a row of the checklist on a live engine: its function, its steps, and what differs.

A row's `given` says what function there is (`files`, or `java` sources, with `runtime`, `handler`
and `members` of CreateFunction), what `layers`, and whether it has a `url`. Its `steps` are run in
order, each of one kind, and each with what it is expected to come to:

- `invoke` an event (or `raw` text, or `size` bytes of it) by HTTP, with `target`, `qualifier`,
  `type`, `tail`, `headers`, `repeat` or `at_once`; `stream`: by InvokeWithResponseStream;
- `call` an operation by boto3 with `params`; `row`: several in process without a pause;
- `url`: a request to the function's URL; `request`: one to the AWS endpoint; `until` it answers so;
- `log`: events that the function's log `has`, in this order, and `has_not`;
- `wait` for a waiter; `pause_s`.

Expected tables need not name every member, lists name every item, a text that begins with `~` is a
regular expression, and `absent` stands for a member that is not there. `{name}`, `{function}` (its
ARN), `{id}` (the request id of the last invocation) and what a step put into `keep` are filled in.
"""

import base64
import http.client
import io
import json
import re
import subprocess
import time
import zipfile
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from botocore.exceptions import ClientError

from java_world import SOURCES
from lamington.core.aws import Result
from lamington.core.errors import AwsError
from lamington.testing import RunningEngine

ROLE = "arn:aws:iam::000000000000:role/r"
AT_ONCE = {"Delay": 0.02, "MaxAttempts": 500}
LIMIT_S = 5.0
SDK_METHODS = re.compile(r"(?<!^)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])")
EXECUTABLE = re.compile(r"(^|/)(bootstrap|extensions/[^/]+)$")

Outcome = dict[str, Any]


def archive(files: Mapping[str, str | bytes]) -> bytes:
    """A package of these files; bootstraps and extensions can be executed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as opened:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o755 if EXECUTABLE.search(name) else 0o644) << 16
            opened.writestr(entry, content)
    return packed.getvalue()


class ChecklistWorld:
    """One engine for all rows; their functions have the rows' names."""

    def __init__(self, engine: RunningEngine, directory: Path) -> None:
        self.engine = engine
        self.directory = directory
        self.address = urlsplit(engine.endpoint_url).netloc
        self.client = cache(engine.client)

    def failures(self, row: Mapping[str, Any]) -> list[str]:
        """What a row expects and does not come, as texts."""
        run = RowRun(self, row["id"], row.get("account", ""))
        run.prepare(row.get("given", {}))
        found = []
        for number, step in enumerate(row["steps"], 1):
            outcome = run.take(run.filled({**step, "expect": {}}))
            run.keep(step.get("keep", {}), outcome)
            expected = {**default_expectation(step), **step.get("expect", {})}
            found += [f"step {number}{each}" for each in differences(run.filled(expected), outcome)]
        return found

    def compiled(self, sources: Mapping[str, str]) -> dict[str, bytes]:
        """The classes of these Java sources, and the interfaces of AWS's that they name."""
        directory = self.directory / "java"
        for name, text in sources.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text)
        core = sorted((SOURCES / "core").rglob("*.java"))
        files = [*map(str, core), *(str(directory / name) for name in sources)]
        classes = directory / "classes"
        command = ["javac", "-J-XX:TieredStopAtLevel=1", "-nowarn", "-d", str(classes), *files]
        subprocess.run(command, check=True, capture_output=True)
        return {
            str(each.relative_to(classes)): each.read_bytes() for each in classes.rglob("*.class")
        }


class RowRun:
    """A row's function and what has been learned about it."""

    def __init__(self, world: ChecklistWorld, name: str, account: str = "") -> None:
        self.world = world
        self.account = account
        scope = replace(world.engine.scope, account_id=account or world.engine.scope.account_id)
        arn = scope.arn("lambda", f"function:{name}")
        self.kept = {"name": name, "id": "", "function": arn}

    def client(self, service: str = "lambda") -> Any:
        return self.world.client(service, self.account)

    def prepare(self, given: Mapping[str, Any]) -> None:
        """Make the layers, the function and the URL."""
        name, client = self.kept["name"], self.client()
        layers = []
        for number, files in enumerate(given.get("layers", []), 1):
            published = client.publish_layer_version(
                LayerName=f"{name}-{number}", Content={"ZipFile": archive(files)}
            )
            layers.append(published["LayerVersionArn"])
            self.kept[f"layer{number}"] = published["LayerVersionArn"]
        if not {"files", "java"} & given.keys():
            return
        client.create_function(
            **{
                "FunctionName": name,
                "Role": ROLE,
                "Runtime": given["runtime"],
                "Handler": given.get("handler", "app.handler"),
                "Code": {"ZipFile": self._package(given)},
                "Layers": layers,
                **self.filled(given.get("members", {})),
            }
        )
        client.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig=AT_ONCE)
        if given.get("url"):
            self.open_url(given["url"])

    def _package(self, given: Mapping[str, Any]) -> bytes:
        files: dict[str, str | bytes] = dict(given.get("files", {}))
        if "java" in given:
            classes = self.world.compiled(given["java"])
            if "jar" in given:
                return archive({**files, given["jar"]: archive(classes)})
            files |= classes
        return archive(files)

    def open_url(self, members: Mapping[str, Any]) -> None:
        """Give the function a URL; everybody may ask it unless `permitted` names other actions."""
        client, name = self.client(), self.kept["name"]
        url = client.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
        self.kept["url"] = url.rstrip("/")
        conditions: dict[str, dict[str, Any]] = {
            "InvokeFunctionUrl": {"FunctionUrlAuthType": "NONE"},
            "InvokeFunction": {"InvokedViaFunctionUrl": True},
        }
        for action in members["permitted"]:
            client.add_permission(
                FunctionName=name,
                StatementId=action,
                Action=f"lambda:{action}",
                Principal="*",
                **conditions[action],
            )

    def filled(self, value: Any) -> Any:
        """The value with what is known put into its texts."""
        if isinstance(value, str):
            for key, known in self.kept.items():
                value = value.replace(f"{{{key}}}", known)
            return value
        if isinstance(value, dict):
            return {self.filled(key): self.filled(each) for key, each in value.items()}
        return [self.filled(each) for each in value] if isinstance(value, list) else value

    def keep(self, paths: Mapping[str, str], outcome: Outcome) -> None:
        """Remember members of an outcome; a path is made of their names, with dots."""
        for key, path in paths.items():
            value: Any = outcome
            for name in path.split("."):
                value = value[name]
            self.kept[key] = str(value)

    def take(self, step: Mapping[str, Any]) -> Outcome:
        """Take one step."""
        if step.keys() & {"invoke", "raw", "size"}:
            return self._invoke(step)
        if "call" in step:
            return self._call(step["call"], step.get("params", {}))
        if "row" in step:
            return self.world.engine.run(self._in_a_row(step["row"]))
        if "url" in step or "request" in step:
            text = step.get("request", "")
            if "url" in step:
                method, _, path = step["url"].partition(" ")
                text = f"{method} {urlsplit(self.kept['url']).path}{path}"
            until = time.monotonic() + LIMIT_S
            while True:
                outcome = self._send(text, step.get("body", "").encode(), step.get("headers", {}))
                if not differences(step.get("until", {}), outcome) or time.monotonic() > until:
                    return outcome
                time.sleep(0.02)
        if "log" in step:
            return self._log(step["log"])
        if "stream" in step:
            return self._stream(step["stream"])
        if "pause_s" in step:
            time.sleep(step["pause_s"])
            return {}
        client = self.client(step.get("service", "lambda"))
        member = "StackName" if "stack" in step["wait"] else "FunctionName"
        name = step.get("target", self.kept["name"])
        client.get_waiter(step["wait"]).wait(**{member: name}, WaiterConfig=AT_ONCE)
        return {}

    def _invoke(self, step: Mapping[str, Any]) -> Outcome:
        payload = json.dumps(step["invoke"]) if "invoke" in step else step.get("raw", "")
        body = payload.encode() or b'"' + b"x" * (step.get("size", 2) - 2) + b'"'
        if step.get("raw") == "":
            body = b""
        headers = dict(step.get("headers", {}))
        headers |= {"X-Amz-Invocation-Type": step["type"]} if "type" in step else {}
        headers |= {"X-Amz-Log-Type": "Tail"} if step.get("tail") else {}
        target = quote(step.get("target", self.kept["name"]), safe="")
        query = f"?Qualifier={quote(step['qualifier'])}" if "qualifier" in step else ""
        text = f"POST /2015-03-31/functions/{target}/invocations{query}"
        if "at_once" in step:
            with ThreadPoolExecutor(step["at_once"]) as pool:
                sent = [
                    pool.submit(self._send, text, body, headers) for _ in range(step["at_once"])
                ]
                outcomes = [each.result() for each in sent]
        else:
            outcomes = [self._send(text, body, headers) for _ in range(step.get("repeat", 1))]
        last = outcomes[-1]
        self.kept["id"] = last["headers"].get("x-amzn-requestid", "")
        last["versions"] = sorted({each["version"] for each in outcomes})
        last["statuses"] = sorted({each["status"] for each in outcomes})
        return last

    def _send(self, text: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        method, _, path = text.partition(" ")
        connection = http.client.HTTPConnection(self.world.address, timeout=20)
        try:
            connection.request(method, path, body or None, dict(headers))
            answer = connection.getresponse()
            payload = answer.read()
        finally:
            connection.close()
        found = {name.lower(): value for name, value in answer.getheaders()}
        tail = base64.b64decode(found.get("x-amz-log-result", ""))
        outcome = {
            "status": answer.status,
            "headers": found,
            "error": found.get("x-amz-function-error", ""),
            "version": found.get("x-amz-executed-version", ""),
            "payload": payload.decode(errors="replace"),
            "cookies": [value for name, value in answer.getheaders() if name == "Set-Cookie"],
            "tail": tail.decode(),
            "tail_bytes": len(tail),
        }
        try:
            outcome["json"] = json.loads(payload)
        except ValueError:
            outcome["json"] = None
        return outcome

    def _stream(self, event: Any) -> Outcome:
        client = self.client()
        answer = client.invoke_with_response_stream(
            FunctionName=self.kept["name"], Payload=json.dumps(event)
        )
        *pieces, last = list(answer["EventStream"])
        chunks = b"".join(each["PayloadChunk"]["Payload"] for each in pieces)
        return {"chunks": chunks.decode(), "complete": last["InvokeComplete"]}

    def _call(self, operation: str, params: Mapping[str, Any]) -> Outcome:
        service, _, name = operation.partition(":")
        method = getattr(self.client(service), SDK_METHODS.sub("_", name).lower())
        try:
            result = method(**_with_archives(params))
        except ClientError as error:
            refused = error.response["Error"]
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            return {"code": refused["Code"], "message": refused["Message"], "status": status}
        status = result.pop("ResponseMetadata")["HTTPStatusCode"]
        for key in ("Policy", "Statement"):
            if key in result:
                result[key] = json.loads(result[key])
        return {"status": status, "result": result}

    async def _in_a_row(self, operations: list[list[Any]]) -> Outcome:
        result: Result = {}
        try:
            for operation, params in operations:
                called = self.world.engine.engine.caller.call(
                    operation, _with_archives(params), self.world.engine.scope
                )
                result = await called
        except AwsError as error:
            return {"code": error.code, "message": error.message, "status": error.status}
        return {"result": result}

    def _log(self, wanted: Mapping[str, Any]) -> Outcome:
        """The log once it has what is wanted, or as it is when that does not come."""
        until = time.monotonic() + LIMIT_S
        while True:
            found = self._read_log(wanted.get("group", f"/aws/lambda/{self.kept['name']}"))
            rest = iter(found["events"])
            missing = [
                each
                for each in wanted.get("has", [])
                if not any(not differences(each, event) for event in rest)
            ]
            if not missing or time.monotonic() > until:
                unwanted = [
                    each
                    for each in wanted.get("has_not", [])
                    if any(each in event for event in found["events"])
                ]
                counts: Counter[str] = Counter(found["events"])
                return {**found, "missing": missing, "unwanted": unwanted, "counts": counts}
            time.sleep(0.02)

    def _read_log(self, group: str) -> Outcome:
        client = self.client("logs")
        try:
            events = client.filter_log_events(logGroupName=group)["events"]
        except ClientError:
            events = []
        return {
            "events": [each["message"] for each in events],
            "streams": sorted({each["logStreamName"] for each in events}),
        }


def default_expectation(step: Mapping[str, Any]) -> Outcome:
    """What a step comes to unless its row says otherwise: success, and a log that has all."""
    if "log" in step:
        return {"missing": [], "unwanted": []}
    if step.keys() & {"invoke", "raw", "size"}:
        return {} if "at_once" in step else {"status": 200, "error": ""}
    return {"code": "absent"}


def _with_archives(params: Mapping[str, Any]) -> dict[str, Any]:
    """The members with every table `files` made the archive `ZipFile`."""
    made: dict[str, Any] = {}
    for key, value in params.items():
        if key == "files":
            made["ZipFile"] = archive(value)
        else:
            made[key] = _with_archives(value) if isinstance(value, dict) else value
    return made


def differences(expected: Any, actual: Any, path: str = "") -> list[str]:
    """Where what came is not what is expected."""
    if expected == "absent":
        return [] if actual is None else [f"{path} is {actual!r}"]
    if isinstance(expected, dict) and isinstance(actual, Mapping):
        return [
            text
            for key, value in expected.items()
            for text in differences(value, actual.get(key), f"{path}.{key}")
        ]
    if isinstance(expected, list) and isinstance(actual, list) and len(expected) == len(actual):
        return [
            text
            for number, (one, other) in enumerate(zip(expected, actual, strict=True))
            for text in differences(one, other, f"{path}[{number}]")
        ]
    if isinstance(expected, str) and expected.startswith("~") and isinstance(actual, str):
        fits = re.fullmatch(expected[1:], actual, re.DOTALL) is not None
    else:
        fits = expected == actual
    return [] if fits else [f"{path} is {actual!r}"]
