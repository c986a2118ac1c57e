"""What the providers of AWS::Lambda types share: checked values, calls, waiting for a state.

Left to others: which calls a type takes.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

from lamington.core.aws import AwsCaller, Params, Result, Scope
from lamington.core.clock import Clock
from lamington.core.errors import AwsError, ResourceError
from lamington.stack.providers.base import Properties, ResourceFacts, is_absent

SETTLE_LIMIT_S = 600.0
PAUSE_MAX_S = 0.25

REFUSED = ("FunctionScalingConfig", "PublishToLatestPublished")
"""Properties of functions and versions that nothing here can act on."""


async def settle_function(
    caller: AwsCaller, clock: Clock, function_name: str, scope: Scope
) -> Result:
    """Wait until a function or version is active and no update is in progress.

    Returns its configuration. Raises ResourceError where it failed, or takes too long.
    """
    shown = await await_function(caller, clock, function_name, scope)
    if shown["State"] == "Failed":
        raise _unstable(shown["StateReason"])
    if shown.get("LastUpdateStatus") == "Failed":
        raise _unstable(shown["LastUpdateStatusReason"])
    return shown


async def await_function(
    caller: AwsCaller, clock: Clock, function_name: str, scope: Scope
) -> Result:
    """Wait until nothing is under way, whatever came of it: only then it may be changed."""

    async def look() -> Result | None:
        shown = await caller.call(
            "lambda:GetFunctionConfiguration", {"FunctionName": function_name}, scope
        )
        under_way = shown["State"] == "Pending" or shown.get("LastUpdateStatus") == "InProgress"
        return None if under_way else shown

    return await _wait_for(look, clock, function_name)


async def provide_concurrency(
    caller: AwsCaller, clock: Clock, function_name: str, qualifier: str, count: int, scope: Scope
) -> None:
    """Have environments kept ready, and wait until they are."""
    named = {"FunctionName": function_name, "Qualifier": qualifier}
    await caller.call(
        "lambda:PutProvisionedConcurrencyConfig",
        {**named, "ProvisionedConcurrentExecutions": count},
        scope,
    )

    async def look() -> Result | None:
        shown = await caller.call("lambda:GetProvisionedConcurrencyConfig", named, scope)
        if shown["Status"] == "FAILED":
            raise _unstable(shown.get("StatusReason", "the environments could not be made"))
        return shown if shown["Status"] == "READY" else None

    await _wait_for(look, clock, f"{function_name}:{qualifier}")


async def settle_mapping(
    caller: AwsCaller, clock: Clock, mapping_id: str, scope: Scope
) -> Result | None:
    """Wait until no change of an event source mapping is under way; None when it is gone."""

    async def look() -> Result | None:
        shown = await find_by(caller, "lambda:GetEventSourceMapping", {"UUID": mapping_id}, scope)
        if shown is None:
            return {}
        return shown if shown["State"] in ("Enabled", "Disabled") else None

    return await _wait_for(look, clock, mapping_id) or None


async def manage_runtime(
    caller: AwsCaller, name: str, version: str, wanted: Mapping[str, Any] | None, scope: Scope
) -> None:
    """Say when the runtime of a function, or of one version, is updated; by itself if unsaid."""
    params = {"FunctionName": name, **(wanted or {"UpdateRuntimeOn": "Auto"})}
    if version:
        params["Qualifier"] = version
    await caller.call("lambda:PutRuntimeManagementConfig", params, scope)


async def _wait_for(
    look: Callable[[], Awaitable[Result | None]], clock: Clock, name: str
) -> Result:
    """Look again and again, at first at once: most of what is waited for takes a moment only."""
    until_s, pause_s = clock.monotonic() + SETTLE_LIMIT_S, 0.0
    while (found := await look()) is None:
        if clock.monotonic() > until_s:
            raise _unstable(f"{name} was not ready in {SETTLE_LIMIT_S:.0f} seconds")
        await clock.sleep(pause_s)
        pause_s = min(pause_s * 2 or 0.001, PAUSE_MAX_S)
    return found


def _unstable(reason: str) -> ResourceError:
    return ResourceError(reason, handler_code="NotStabilized")


def require_valid(facts: ResourceFacts, desired: Properties) -> None:
    """Raise ResourceError for a value of the wrong type, and for what we cannot provide."""
    problems = [
        f"#/{place}: expected type: {_SCHEMA_TYPES[kind]}, found: {_found_type(value)}"
        for path, kind in facts.scalars.items()
        for place, value in _values_at(desired, path.split("."))
        if not _is_of(kind, value)
    ]
    if problems:
        raise ResourceError(", ".join(problems), handler_code="InvalidRequest")
    given = [member for member in REFUSED if desired.get(member)]
    if given:
        raise ResourceError(
            f"Property {given[0]} is not supported by Lamington yet",
            handler_code="InvalidRequest",
            hint="leave it out here by a condition in the template",
        )


_SCHEMA_TYPES: Mapping[type, str] = {
    str: "String",
    int: "Integer",
    float: "Number",
    bool: "Boolean",
    dict: "JSONObject",
    list: "JSONArray",
    type(None): "Null",
}


def _found_type(value: Any) -> str:
    return _SCHEMA_TYPES.get(type(value), type(value).__name__)


def _is_of(kind: type, value: Any) -> bool:
    if kind is float:
        return type(value) in (int, float)
    return type(value) is kind


def _values_at(value: Any, path: list[str], place: str = "") -> Iterator[tuple[str, Any]]:
    """The values that a dotted path leads to, each with its place as JSON pointers have it."""
    if not path:
        yield place.lstrip("/"), value
        return
    head, *rest = path
    found: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        found = value.items() if head == "*" else [(head, value[head])] if head in value else ()
    elif isinstance(value, list) and head == "*":
        found = enumerate(value)
    for key, each in found:
        yield from _values_at(each, rest, f"{place}/{key}")


async def delete_by(caller: AwsCaller, operation: str, params: Params, scope: Scope) -> None:
    """Call an operation that deletes; that the thing is gone already is success."""
    try:
        await caller.call(operation, params, scope)
    except AwsError as error:
        if not is_absent(error):
            raise


async def find_by(caller: AwsCaller, operation: str, params: Params, scope: Scope) -> Result | None:
    try:
        return await caller.call(operation, params, scope)
    except AwsError as error:
        if is_absent(error):
            return None
        raise
