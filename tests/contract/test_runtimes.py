"""What every runtime promises, proved on real processes: one suite for Python and Node.js."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from function_world import SCOPE, FunctionWorld, eventually, function_world, processes_of
from lamington.core.clock import ManualClock
from lamington.functions.entities import (
    InvalidRequestContentException,
    RequestTooLargeException,
    ResourceNotFoundException,
    TooManyRequestsException,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """The same functions in one language."""

    name: str
    echo: str
    raise_error: str
    exit_status: str
    exit_zero: str
    kill_itself: str
    hang: str
    broken_init: str
    slow_init: str
    exit_at_init: str
    big: str
    prints: str
    count: str
    variables: str
    context: str
    sleep: str
    error_type: str

    def add(self, world: FunctionWorld, text: str, **members: Any) -> str:
        add = world.python if self.name == "python" else world.node
        return add(text, **members)


PYTHON = Language(
    name="python",
    echo="def handler(event, context): return event",
    raise_error="def handler(event, context): raise ValueError('bad')",
    exit_status="import sys\ndef handler(event, context): sys.exit(3)",
    exit_zero="import sys\ndef handler(event, context): sys.exit(0)",
    kill_itself="import os\ndef handler(event, context): os.kill(os.getpid(), 9)",
    hang="import time\ndef handler(event, context):\n  print('before'); time.sleep(60)",
    broken_init="import nothing_of_this_name",
    slow_init="import time\ntime.sleep(60)\ndef handler(event, context): pass",
    exit_at_init="import os\nos._exit(4)",
    big="def handler(event, context): return 'x' * event",
    prints="def handler(event, context):\n  print('one')\n  print('two')",
    count="n = 0\ndef handler(event, context):\n  global n; n += 1\n"
    "  if event == 'die': import os; os._exit(1)\n  return n",
    variables="import os\ndef handler(event, context): return dict(os.environ)",
    context="def handler(event, context):\n"
    "  return [context.aws_request_id, context.function_name, context.function_version,\n"
    "    context.memory_limit_in_mb, context.invoked_function_arn, context.log_group_name,\n"
    "    context.get_remaining_time_in_millis()]",
    sleep="import time\ndef handler(event, context): time.sleep(event); return event",
    error_type="ValueError",
)

NODE = Language(
    name="node",
    echo="exports.handler = async event => event",
    raise_error="exports.handler = async () => { throw new RangeError('bad') }",
    exit_status="exports.handler = () => process.exit(3)",
    exit_zero="exports.handler = () => process.exit(0)",
    kill_itself="exports.handler = () => process.kill(process.pid, 'SIGKILL')",
    hang="exports.handler = () => { process.stdout.write('before\\n'); for (;;); }",
    broken_init="require('nothing_of_this_name')",
    slow_init="for (;;);",
    exit_at_init="process.exit(4)",
    big="exports.handler = async event => 'x'.repeat(event)",
    prints="exports.handler = async () => { process.stdout.write('one\\ntwo\\n') }",
    count="let n = 0; exports.handler = async event =>"
    " { n += 1; if (event == 'die') process.exit(1); return n }",
    variables="exports.handler = async () => ({...process.env})",
    context="exports.handler = async (event, context) => [context.awsRequestId,"
    " context.functionName, context.functionVersion, context.memoryLimitInMB,"
    " context.invokedFunctionArn, context.logGroupName, context.getRemainingTimeInMillis()]",
    sleep="exports.handler = async s => { await new Promise(r => setTimeout(r, s * 1000));"
    " return s }",
    error_type="RangeError",
)


@pytest.fixture(params=[PYTHON, NODE], ids=lambda language: language.name)
def language(request: pytest.FixtureRequest) -> Language:
    chosen: Language = request.param
    return chosen


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[FunctionWorld]:
    async with function_world(tmp_path) as made:
        yield made


async def test_event_reaches_the_handler_and_its_value_comes_back(
    world: FunctionWorld, language: Language
) -> None:
    event = {"text": "Käse \u2028 \U0001f9c0", "number": 1.5, "none": None, "list": [True, {}]}
    arn = language.add(world, language.echo)
    result = await world.invoke(arn, event)
    assert json.loads(result.payload) == event
    assert (result.status, result.function_error) == (200, "")
    assert result.executed_version == "$LATEST"


async def test_no_payload_is_an_empty_object(world: FunctionWorld, language: Language) -> None:
    arn = language.add(world, language.echo)
    assert await world.answer(arn, payload=b"") == {}


async def test_handled_error_keeps_the_environment(
    world: FunctionWorld, language: Language
) -> None:
    arn = language.add(world, language.raise_error)
    for _ in range(2):
        result = await world.invoke(arn)
        error = json.loads(result.payload)
        assert result.function_error == "Unhandled"
        assert (error["errorType"], error["errorMessage"]) == (language.error_type, "bad")
    inits = [line for line in world.messages() if line.startswith("INIT_START")]
    assert len(inits) == 1


@pytest.mark.parametrize(
    ("member", "text"),
    [
        ("exit_status", "Runtime exited with error: exit status 3"),
        ("exit_zero", "Runtime exited without providing a reason"),
        ("kill_itself", "Runtime exited with error: signal: killed"),
    ],
)
async def test_ended_process_is_an_exit_error(
    world: FunctionWorld, language: Language, member: str, text: str
) -> None:
    arn = language.add(world, getattr(language, member))
    result = await world.invoke(arn)
    assert result.function_error == "Unhandled"
    assert json.loads(result.payload) == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {result.request_id} Error: {text}",
    }
    assert world.messages()[-1].endswith("\tStatus: error\tError Type: Runtime.ExitError\n")


async def test_crash_resets_the_globals_and_keeps_the_log_stream(
    world: FunctionWorld, language: Language
) -> None:
    arn = language.add(world, language.count)
    assert [await world.answer(arn) for _ in range(2)] == [1, 2]
    await world.invoke(arn, "die")
    assert await world.answer(arn) == 1
    assert world.invoker.environments == 1


async def test_timeout_ends_the_process_and_the_next_call_starts_anew(
    world: FunctionWorld, language: Language
) -> None:
    arn = language.add(world, language.hang, timeout_s=1)
    started = time.monotonic()
    result = await world.invoke(arn)
    assert 0.9 < time.monotonic() - started < 2.5
    text = f"RequestId: {result.request_id} Error: Task timed out after 1.00 seconds"
    assert json.loads(result.payload) == {"errorType": "Sandbox.Timedout", "errorMessage": text}
    log = world.messages()
    assert "before\n" in log
    assert any(line.endswith("Task timed out after 1.00 seconds\n\n") for line in log)
    assert "\tDuration: 1000.00 ms\t" in log[-1]
    assert log[-1].endswith("\tStatus: timeout\n")


async def test_failed_init_is_run_again_and_then_returned(
    world: FunctionWorld, language: Language
) -> None:
    arn = language.add(world, language.broken_init)
    result = await world.invoke(arn)
    assert result.function_error == "Unhandled"
    assert json.loads(result.payload)["errorType"] == "Runtime.ImportModuleError"
    reports = [line for line in world.messages() if line.startswith("INIT_REPORT")]
    assert ["Phase: init" in line for line in reports] == [True, False]


async def test_init_that_exits_is_an_exit_error(world: FunctionWorld, language: Language) -> None:
    arn = language.add(world, language.exit_at_init)
    error = await world.answer(arn)
    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith("Runtime exited with error: exit status 4")


async def test_init_that_takes_too_long_times_out_within_the_invocation(
    tmp_path: Path, language: Language
) -> None:
    async with function_world(tmp_path, init_timeout_s=0.3) as world:
        arn = language.add(world, language.slow_init, timeout_s=1)
        error = await world.answer(arn)
        assert error["errorMessage"].endswith("Task timed out after 1.00 seconds")


async def test_payload_of_six_megabytes_passes_and_one_byte_more_does_not(
    world: FunctionWorld, language: Language
) -> None:
    arn = language.add(world, language.echo)
    payload = b'"' + b"x" * (6_291_456 - 2) + b'"'
    result = await world.invoke(arn, payload=payload)
    assert result.payload == payload
    with pytest.raises(RequestTooLargeException) as refused:
        await world.invoke(arn, payload=payload + b" ")
    assert refused.value.message == (
        "6291457 byte payload is too large for the RequestResponse invocation type"
        " (limit 6291456 bytes)"
    )


async def test_answer_over_the_limit_is_a_function_error(
    world: FunctionWorld, language: Language
) -> None:
    arn = language.add(world, language.big)
    assert (await world.invoke(arn, 6_291_556 - 2)).function_error == ""
    error = await world.answer(arn, 6_291_556 - 1)
    assert error["errorType"] == "Function.ResponseSizeTooLarge"


async def test_each_line_is_an_event_between_start_and_end(
    world: FunctionWorld, language: Language
) -> None:
    arn = language.add(world, language.prints)
    result = await world.invoke(arn, log_tail=True)
    id_ = result.request_id
    log = world.messages()[1:]
    assert log[:4] == [
        f"START RequestId: {id_} Version: $LATEST\n",
        "one\n",
        "two\n",
        f"END RequestId: {id_}\n",
    ]
    assert log[4].startswith(f"REPORT RequestId: {id_}\tDuration: ")
    assert "\tInit Duration: " in log[4]
    assert result.log_tail.decode() == "".join(log)


async def test_context_tells_of_function_and_invocation(
    world: FunctionWorld, language: Language
) -> None:
    arn = language.add(world, language.context, timeout_s=20)
    result = await world.invoke(f"{arn}:$LATEST")
    *members, remaining = json.loads(result.payload)
    assert members == [
        result.request_id,
        "f",
        "$LATEST",
        "128",
        f"{arn}:$LATEST",
        "/aws/lambda/f",
    ]
    assert 15_000 < remaining <= 20_000


async def test_variables_are_those_of_the_function_and_none_of_the_host(
    world: FunctionWorld, language: Language, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")
    arn = language.add(world, language.variables, environment={"MINE": "x", "TZ": "CET"})
    seen = await world.answer(arn)
    assert (seen["MINE"], seen["TZ"]) == ("x", "CET")
    assert seen["AWS_LAMBDA_FUNCTION_NAME"] == "f"
    assert seen["AWS_ACCESS_KEY_ID"] == "111111111111"
    assert seen["LAMBDA_TASK_ROOT"] == "/var/task"
    ours = {name for name in seen if name.startswith("LAMINGTON")}
    assert not ours | {"SECRET_OF_THE_HOST", "HOME", "VIRTUAL_ENV", "PYTHONHOME"} & set(seen)


async def test_trace_id_is_that_of_the_invocation(world: FunctionWorld, language: Language) -> None:
    arn = language.add(world, language.variables)
    root = "Root=1-5e34a614-10bd50f84fb1044f07bc535a"
    first = await world.answer(arn, trace_id=root)
    second = await world.answer(arn)
    assert first["_X_AMZN_TRACE_ID"].startswith(f"{root};Parent=")
    assert not second["_X_AMZN_TRACE_ID"].startswith(root)


async def test_slow_calls_at_once_run_side_by_side(
    world: FunctionWorld, language: Language
) -> None:
    arn = language.add(world, language.sleep, timeout_s=20)
    started = time.monotonic()
    answers = await asyncio.gather(*(world.answer(arn, 1.5) for _ in range(12)))
    assert answers == [1.5] * 12
    assert time.monotonic() - started < 6


async def test_fast_calls_at_once_share_few_environments(
    world: FunctionWorld, language: Language
) -> None:
    arn = language.add(world, language.echo)

    async def caller(number: int) -> None:
        for _ in range(30):
            assert await world.answer(arn, number) == number

    await asyncio.gather(*(caller(number) for number in range(64)))
    assert world.invoker.environments <= 6


async def test_idle_environment_is_ended(tmp_path: Path, language: Language) -> None:
    async with function_world(tmp_path, idle_s=0.2) as world:
        await world.invoke(language.add(world, language.echo))
        await eventually(lambda: not world.invoker.environments)
        assert os.listdir(tmp_path / "environments") == []


async def test_changed_code_serves_from_the_next_call_on(
    world: FunctionWorld, language: Language
) -> None:
    arn = language.add(world, language.echo)
    assert await world.answer(arn, 1) == 1
    language.add(world, language.count.replace("n = 0", "n = 41"))
    world.invoker.forget("f", SCOPE)
    assert await world.answer(arn, 1) == 42


async def test_replacing_code_under_load_fails_no_call(
    world: FunctionWorld, language: Language
) -> None:
    arn = language.add(world, language.echo)
    seen: list[Any] = []
    going = True

    async def call() -> None:
        while going:
            result = await world.invoke(arn, 7)
            assert not result.function_error, result.payload
            seen.append(json.loads(result.payload))

    callers = [asyncio.ensure_future(call()) for _ in range(4)]
    await world.answer(arn, 7)
    language.add(world, language.count.replace("n = 0", "n = 100"))
    assert await world.invoker.replace("f", SCOPE) is None
    assert await world.answer(arn) > 100
    going = False
    await asyncio.gather(*callers)
    assert 7 in seen


async def test_cap_of_the_machine_makes_requests_wait_in_turn(
    tmp_path: Path, language: Language
) -> None:
    async with function_world(tmp_path, environments_max=2) as world:
        arns = [language.add(world, language.sleep, name=f"f{n}", timeout_s=20) for n in range(4)]
        answers = await asyncio.gather(*(world.answer(arn, 0.1) for arn in arns * 2))
        assert answers == [0.1] * 8
        assert world.invoker.environments <= 2


async def test_reserved_concurrency_refuses_what_exceeds_it(
    world: FunctionWorld, language: Language
) -> None:
    arn = language.add(world, language.sleep)
    world.versions.reserved["f"] = 1
    first = asyncio.ensure_future(world.answer(arn, 0.2))
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequestsException) as refused:
        await world.invoke(arn, 0)
    assert refused.value.members["Reason"] == ("ReservedFunctionConcurrentInvocationLimitExceeded")
    assert await first == 0.2
    assert await world.answer(arn, 0) == 0


async def test_failing_event_is_tried_three_times_with_one_request_id(
    tmp_path: Path, language: Language
) -> None:
    clock = ManualClock()
    async with function_world(tmp_path, clock=clock) as world:
        arn = language.add(world, language.raise_error)
        accepted = await world.invoke(arn, invocation_type="Event")
        assert (accepted.status, accepted.payload) == (202, b"")

        def starts() -> list[str]:
            return [line for line in world.messages() if line.startswith("START ")]

        for attempt, wait_s in enumerate((60, 120, 600), 1):
            await eventually(lambda count=attempt: len(starts()) == count)  # type: ignore[misc]
            await asyncio.sleep(0.02)
            await clock.advance(wait_s)
        assert starts() == [f"START RequestId: {accepted.request_id} Version: $LATEST\n"] * 3


async def test_payload_that_is_not_json_is_refused(
    world: FunctionWorld, language: Language
) -> None:
    arn = language.add(world, language.echo)
    with pytest.raises(InvalidRequestContentException):
        await world.invoke(arn, payload=b"{")


async def test_dry_run_runs_nothing(world: FunctionWorld, language: Language) -> None:
    arn = language.add(world, language.echo)
    assert (await world.invoke(arn, invocation_type="DryRun")).status == 204
    assert world.invoker.environments == 0
    with pytest.raises(ResourceNotFoundException):
        await world.invoke(arn + "g", invocation_type="DryRun")


async def test_closing_leaves_no_process(tmp_path: Path, language: Language) -> None:
    async with function_world(tmp_path) as world:
        arn = language.add(world, language.echo)
        await world.invoke(arn)
    assert processes_of(tmp_path) == []
    assert os.listdir(tmp_path / "environments") == []
