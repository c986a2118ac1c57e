"""Functions by themselves: warm invocations, cold starts, idle memory, and the hostile ones."""

import argparse
import asyncio
import http.client
import io
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import uvloop

from benchmarks import table
from benchmarks.load import cpu_s, memory_mb
from lamington.core.settings import load_settings
from lamington.engine.engine import Engine
from lamington.functions.invoke import Invocation

WARM_INVOCATIONS = 10_000
COLD_FUNCTIONS = 30
MANY_FUNCTIONS = 200
PRESTARTED = {"node", "java"}
PRESTART_PAUSE_S = 1.2
IDLE_S = 5.0
ROLE = "arn:aws:iam::000000000000:role/bench"

PYTHON = "def handler(event, context):\n    return event\n"
NODE = "exports.handler = async (event) => event;\n"
JAVA = """
import java.util.Map;
public class App {
    public Object handle(Map<String, Object> event) { return event; }
}
"""
PROVIDED = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static char buffer[1 << 16];
int main(void) {
  char *api = getenv("AWS_LAMBDA_RUNTIME_API"), *colon = strchr(api, ':');
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(colon + 1))};
  *colon = 0; inet_pton(AF_INET, api, &address.sin_addr);
  int connection = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(connection, (struct sockaddr *)&address, sizeof address)) return 1;
  for (;;) {
    const char *next = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: a\r\n\r\n";
    write(connection, next, strlen(next));
    size_t filled = 0; char *body;
    for (;;) {
      ssize_t got = read(connection, buffer + filled, sizeof buffer - 1 - filled);
      if (got <= 0) return 1;
      filled += got; buffer[filled] = 0;
      body = strstr(buffer, "\r\n\r\n");
      if (!body) continue;
      char *length = strcasestr(buffer, "content-length:");
      if (buffer + filled - (body + 4) >= atoi(length + 15)) break;
    }
    char id[64] = {0}, reply[1 << 16];
    sscanf(strcasestr(buffer, "lambda-runtime-aws-request-id:") + 30, " %63[^\r]", id);
    int size = sprintf(reply, "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\n"
      "Host: a\r\nContent-Length: %zu\r\n\r\n%s", id, strlen(body + 4), body + 4);
    write(connection, reply, size);
    filled = 0;
    do filled += read(connection, buffer + filled, sizeof buffer - 1 - filled);
    while (buffer[filled] = 0, !strstr(buffer, "OK\"}"));
  }
}
"""

HOSTILE = {
    "fork bomb": "import os\ndef handler(e, c):\n    while True:\n        os.fork()\n",
    "memory hog": "def handler(e, c):\n    held = []\n    while True:\n"
    "        held.append(bytearray(1 << 20))\n",
    "one allocation of 4 GB": "def handler(e, c):\n    return len(bytearray(4 << 30))\n",
    "disk filler": "def handler(e, c):\n    with open('/tmp/x', 'wb') as file:\n"
    "        while True:\n            file.write(bytes(1 << 20))\n",
    "ignores SIGTERM": "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "def handler(e, c):\n    while True:\n        pass\n",
    "leaves children behind": "import subprocess\ndef handler(e, c):\n"
    "    subprocess.Popen(['sleep', '600'], start_new_session=True)\n    raise SystemExit(3)\n",
}


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    results: dict[str, Any] = uvloop.run(_measure(arguments.rounds))
    rows = [(name, json.dumps(value)) for name, value in results.items()]
    table.show("Functions by themselves (medians)", ("what", "figures"), rows)
    return results


async def _measure(rounds: int) -> dict[str, Any]:
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as directory:
        code = _archives(Path(directory))
        async with _engine(Path(directory) / "warm") as engine:
            results["warm_in_process_us"] = await _warm_in_process(engine, code["python"], rounds)
            results["warm_over_http_us"] = await _warm_over_http(engine)
            results["growth"] = await _growth(engine)
        results["cold_start_ms"] = {}
        results["idle_pss_mb"] = {}
        for runtime in code:
            async with _engine(Path(directory) / runtime) as engine:
                times = await _cold_starts(engine, runtime, code[runtime])
                results["cold_start_ms"][runtime] = times
                results["idle_pss_mb"][runtime] = _idle_memory()
        results["cold_start_prestarted_ms"] = {}
        for runtime in PRESTARTED & code.keys():
            async with _engine(Path(directory) / f"prestarted-{runtime}") as engine:
                times = await _cold_starts(engine, runtime, code[runtime], 10, PRESTART_PAUSE_S)
                results["cold_start_prestarted_ms"][runtime] = times
        async with _engine(Path(directory) / "frozen") as engine:
            results["frozen_first_call_us"] = await _after_a_pause(engine, code["python"])
        async with _engine(Path(directory) / "many", environments_max=MANY_FUNCTIONS) as engine:
            results["many_functions"] = await _many(engine, code["python"])
        async with _engine(Path(directory) / "hostile") as engine:
            results["hostile"] = await _hostile(engine, code["python"])
    return results


class _engine:
    """An engine in this process, on free ports."""

    def __init__(self, data: Path, **settings: Any) -> None:
        self._settings = load_settings({}, data=data, port=0, aws_port=0, **settings)

    async def __aenter__(self) -> Engine:
        self._engine = Engine(self._settings)
        await self._engine.start()
        return self._engine

    async def __aexit__(self, *error: object) -> None:
        await self._engine.stop()


async def _create(engine: Engine, name: str, code: bytes, runtime: str, **members: Any) -> str:
    handlers = {"java": "App::handle", "provided": "x"}
    identifiers = {
        "python": "python3.11",
        "node": "nodejs20.x",
        "java": "java17",
        "provided": "provided.al2023",
    }
    created = await engine.caller.call(
        "lambda:CreateFunction",
        {
            "FunctionName": name,
            "Runtime": identifiers[runtime],
            "Handler": handlers.get(runtime, "app.handler"),
            "Role": ROLE,
            "Code": {"ZipFile": code},
            "MemorySize": 512,
            "Timeout": 30,
            **members,
        },
        engine.scope,
    )
    arn: str = created["FunctionArn"]
    while True:
        shown = await engine.caller.call(
            "lambda:GetFunctionConfiguration", {"FunctionName": name}, engine.scope
        )
        if shown.get("State", "Active") == "Active":
            return arn
        await asyncio.sleep(0.002)


async def _warm_in_process(engine: Engine, code: bytes, rounds: int) -> dict[str, float]:
    """From Invocation to InvocationResult, one at a time, and 64 at a time."""
    arn = await _create(engine, "warm", code, "python")
    invoke = engine.invoker.invoke

    async def once() -> None:
        await invoke(Invocation(function_arn=arn, payload=b'{"a": 1}', checked=True))

    return await _spread(once, rounds)


async def _spread(once: Callable[[], Awaitable[None]], rounds: int) -> dict[str, float]:
    for _ in range(200):
        await once()
    times = []
    for _ in range(2000):
        started = time.perf_counter()
        await once()
        times.append((time.perf_counter() - started) * 1e6)
    times.sort()

    async def share() -> None:
        for _ in range(WARM_INVOCATIONS // 64):
            await once()

    rates = []
    for _ in range(rounds):
        started = time.perf_counter()
        await asyncio.gather(*(share() for _ in range(64)))
        rates.append(WARM_INVOCATIONS / 64 * 64 / (time.perf_counter() - started))
    return {
        "p50": round(times[len(times) // 2], 1),
        "p99": round(times[len(times) * 99 // 100], 1),
        "per_s_at_64": round(statistics.median(rates)),
    }


async def _warm_over_http(engine: Engine) -> dict[str, float]:
    """Invoke by the wire on one connection, signed as boto3 signs; the signing is not counted."""
    return await asyncio.to_thread(_signed_calls, engine.aws_endpoint.removeprefix("http://"))


def _signed_calls(host: str) -> dict[str, float]:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    path = "/2015-03-31/functions/warm/invocations"
    request = AWSRequest("POST", f"http://{host}{path}", data=b'{"a": 1}')
    SigV4Auth(Credentials("000000000000", "x"), "lambda", "us-east-1").add_auth(request)
    headers = dict(request.prepare().headers.items())
    connection = http.client.HTTPConnection(host)
    times = []
    for number in range(3000):
        started = time.perf_counter()
        connection.request("POST", path, b'{"a": 1}', headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        if number >= 500:
            times.append((time.perf_counter() - started) * 1e6)
    connection.close()
    times.sort()
    return {
        "p50": round(times[len(times) // 2], 1),
        "p99": round(times[len(times) * 99 // 100], 1),
    }


async def _growth(engine: Engine) -> dict[str, float]:
    """This process's own memory after 10,000 more invocations, and again."""
    arn = engine.scope.arn("lambda", "function:warm")
    sizes = {}
    for label in ("after_10000", "after_20000", "after_30000"):
        for _ in range(WARM_INVOCATIONS):
            await engine.invoker.invoke(Invocation(function_arn=arn, payload=b"{}", checked=True))
        await asyncio.sleep(0.6)
        sizes[label] = round(psutil.Process().memory_full_info().uss / 2**20, 1)
    return sizes


async def _cold_starts(
    engine: Engine,
    runtime: str,
    code: bytes,
    functions: int = COLD_FUNCTIONS,
    pause_s: float = 0.05,
) -> dict[str, float]:
    """From Invocation to result where no process of the function lives.

    After a longer pause the next process has been started ahead, where the runtime has that.
    """
    times = []
    for number in range(functions):
        arn = await _create(engine, f"f{number}", code, runtime)
        await asyncio.sleep(pause_s)
        started = time.perf_counter()
        result = await engine.invoker.invoke(Invocation(function_arn=arn, payload=b"{}"))
        times.append((time.perf_counter() - started) * 1000)
        assert result.payload.replace(b" ", b"") == b"{}", result.payload
    return {
        "median": round(statistics.median(times), 1),
        "max": round(max(times), 1),
    }


def _idle_memory() -> float:
    """Proportional memory of one environment, of the thirty that the cold starts left idle."""
    own = f"{os.getpid()}:"
    sizes = memory_mb(os.getpid())
    total = sum(size for name, size in sizes.items() if not name.startswith(own))
    return round(total / COLD_FUNCTIONS, 1)


async def _after_a_pause(engine: Engine, code: bytes) -> dict[str, float]:
    """What the first call costs after a pause in which an environment is frozen."""
    arn = await _create(engine, "paused", code, "python")
    times = []
    for _ in range(30):
        await engine.invoker.invoke(Invocation(function_arn=arn, payload=b"{}"))
        await asyncio.sleep(0.15)
        started = time.perf_counter()
        await engine.invoker.invoke(Invocation(function_arn=arn, payload=b"{}"))
        times.append((time.perf_counter() - started) * 1e6)
    return {"median": round(statistics.median(times), 1), "max": round(max(times), 1)}


async def _many(engine: Engine, code: bytes) -> dict[str, float]:
    """Two hundred functions, deployed and not called, then each called once and idle."""
    started = time.perf_counter()
    arns = [await _create(engine, f"f{number}", code, "python") for number in range(MANY_FUNCTIONS)]
    deployed_s = time.perf_counter() - started
    spent_deployed = await _cpu_percent()
    started = time.perf_counter()
    for arn in arns:
        await engine.invoker.invoke(Invocation(function_arn=arn, payload=b"{}"))
    return {
        "deploy_s": round(deployed_s, 2),
        "idle_cpu_percent": spent_deployed,
        "call_each_once_s": round(time.perf_counter() - started, 2),
        "idle_cpu_percent_with_200_environments": await _cpu_percent(),
    }


async def _cpu_percent() -> float:
    await asyncio.sleep(1)
    before = cpu_s(os.getpid())
    await asyncio.sleep(IDLE_S)
    return round((cpu_s(os.getpid()) - before) / IDLE_S * 100, 2)


async def _hostile(engine: Engine, quiet_code: bytes) -> dict[str, Any]:
    """Each hostile function beside a quiet one: how it ends, and what the quiet one feels."""
    quiet = await _create(engine, "quiet", quiet_code, "python")
    outcomes: dict[str, Any] = {}
    for number, (name, text) in enumerate(HOSTILE.items()):
        arn = await _create(
            engine, f"hostile{number}", _zip({"app.py": text}), "python", MemorySize=256, Timeout=3
        )
        started = time.perf_counter()
        running = asyncio.ensure_future(
            engine.invoker.invoke(Invocation(function_arn=arn, payload=b"{}"))
        )
        waits = []
        while not running.done():
            began = time.perf_counter()
            await engine.invoker.invoke(Invocation(function_arn=quiet, payload=b"{}"))
            waits.append((time.perf_counter() - began) * 1000)
            await asyncio.sleep(0.01)
        result = await running
        error = json.loads(result.payload)
        outcomes[name] = {
            "ends_as": f"{error['errorType']}: {error['errorMessage'].split('Error: ')[-1]}",
            "after_s": round(time.perf_counter() - started, 2),
            "quiet_function_max_ms": round(max(waits), 1),
        }
    return outcomes


def _archives(directory: Path) -> dict[str, bytes]:
    """The same function for each runtime that this machine has."""
    found = {"python": _zip({"app.py": PYTHON})}
    if shutil.which("node"):
        found["node"] = _zip({"app.js": NODE})
    if shutil.which("javac"):
        (directory / "App.java").write_text(JAVA)
        subprocess.run(["javac", "App.java"], cwd=directory, check=True)
        found["java"] = _zip({"App.class": (directory / "App.class").read_bytes()})
    if shutil.which("gcc"):
        (directory / "bootstrap.c").write_text("#define _GNU_SOURCE\n" + PROVIDED)
        subprocess.run(
            ["gcc", "-O1", "-w", "-o", "bootstrap", "bootstrap.c"], cwd=directory, check=True
        )
        found["provided"] = _zip({"bootstrap": (directory / "bootstrap").read_bytes()})
    return found


def _zip(files: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()
