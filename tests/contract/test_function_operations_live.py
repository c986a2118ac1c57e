"""The Lambda API over real execution environments: what it changes is what runs."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes_functions import ARN, ROLE, SCOPE, OperationsCaller, archive
from function_world import eventually
from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Ids, SystemClock
from lamington.core.settings import Settings
from lamington.core.store import Store
from lamington.functions.entities import ResourceNotFoundException, TooManyRequestsException
from lamington.functions.invoke import FunctionInvoker
from lamington.functions.log_store import LogStore
from lamington.functions.operations.functions import FunctionOperations
from lamington.functions.operations.logs import LogOperations
from lamington.functions.operations.registry import FunctionRegistry
from lamington.functions.packages import Packages
from lamington.functions.telemetry import Telemetry


@dataclass(kw_only=True)
class SettledCaller(OperationsCaller):
    """Waits after each call until what it began is over, as clients do by their waiters."""

    functions: FunctionOperations
    invoker: FunctionInvoker

    async def call(self, operation: str, params: Params, scope: Scope) -> Result:
        answer = await super().call(operation, params, scope)
        await self.functions.settled()
        return answer


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[OperationsCaller]:
    store, clock, ids = Store(tmp_path), SystemClock(), Ids()
    logs, packages = LogStore(store, clock, 1_000_000), Packages(store)
    registry = FunctionRegistry(store, clock, ids)
    invoker = FunctionInvoker(
        versions=registry,
        packages=packages,
        telemetry=Telemetry(logs, clock),
        clock=clock,
        ids=ids,
        settings=Settings(data=tmp_path),
    )

    async def fetch_object(*_: object) -> bytes:
        raise AssertionError("no code is in a bucket here")

    functions = FunctionOperations(
        registry=registry, invoker=invoker, packages=packages, fetch_object=fetch_object
    )
    yield SettledCaller(
        functions.operations() | LogOperations(logs, clock).operations(),
        functions=functions,
        invoker=invoker,
    )
    await functions.close()
    await invoker.close()
    store.close()


def _code(answer: int) -> bytes:
    return archive(
        "def handler(event, context):\n"
        f"    print('seen', event)\n    return [{answer}, context.invoked_function_arn]\n"
    )


async def _create(caller: OperationsCaller) -> None:
    params = {
        "FunctionName": "f",
        "Runtime": "python3.12",
        "Handler": "app.handler",
        "Role": ROLE,
        "Code": {"ZipFile": _code(1)},
    }
    await caller.call("lambda:CreateFunction", params, SCOPE)


async def _call(caller: OperationsCaller, operation: str, **params: Any) -> dict[str, Any]:
    return await caller.call(f"lambda:{operation}", {"FunctionName": "f", **params}, SCOPE)


async def _answer(caller: OperationsCaller, **params: Any) -> Any:
    return json.loads((await _call(caller, "Invoke", **params))["Payload"])


async def test_update_is_what_the_next_invocation_gets(caller: OperationsCaller) -> None:
    await _create(caller)
    assert await _answer(caller) == [1, f"{ARN}:f"]
    await _call(caller, "UpdateFunctionCode", ZipFile=_code(2))
    assert await _answer(caller) == [2, f"{ARN}:f"]


async def test_published_version_keeps_its_code(caller: OperationsCaller) -> None:
    await _create(caller)
    await _call(caller, "PublishVersion")
    await _call(caller, "CreateAlias", Name="prod", FunctionVersion="1")
    await _call(caller, "UpdateFunctionCode", ZipFile=_code(2))
    assert await _answer(caller, Qualifier="prod") == [1, f"{ARN}:f:prod"]


async def test_reserved_concurrency_of_none_refuses(caller: OperationsCaller) -> None:
    await _create(caller)
    await _call(caller, "PutFunctionConcurrency", ReservedConcurrentExecutions=0)
    with pytest.raises(TooManyRequestsException):
        await _call(caller, "Invoke")


async def test_deleted_function_is_not_found(caller: OperationsCaller) -> None:
    await _create(caller)
    await _answer(caller)
    await _call(caller, "DeleteFunction")
    with pytest.raises(ResourceNotFoundException):
        await _call(caller, "Invoke")


async def test_what_a_function_prints_is_in_its_log_group(caller: OperationsCaller) -> None:
    await _create(caller)
    await _call(caller, "Invoke", Payload=b'{"cake": 1}')
    found = await caller.call(
        "logs:FilterLogEvents",
        {"logGroupName": "/aws/lambda/f", "filterPattern": "seen cake"},
        SCOPE,
    )
    assert [event["message"] for event in found["events"]] == ["seen {'cake': 1}\n"]


async def test_engine_that_stops_in_an_update_leaves_nothing_behind(
    caller: SettledCaller, tmp_path: Path
) -> None:
    await _create(caller)
    await _answer(caller)
    slow = archive("import time\ntime.sleep(8)\ndef handler(event, context): return 2")
    update = caller.operations["lambda:UpdateFunctionCode"]
    answered = await update({"FunctionName": "f", "ZipFile": slow}, SCOPE)
    assert answered["LastUpdateStatus"] == "InProgress"
    await eventually(lambda: caller.invoker.environments == 2)
    async with asyncio.timeout(4):
        await caller.functions.close()
        await caller.invoker.close()
    assert caller.invoker.environments == 0
    shown = await caller.operations["lambda:GetFunction"]({"FunctionName": "f"}, SCOPE)
    assert shown["Configuration"]["LastUpdateStatus"] == "InProgress", "the next start ends it"
