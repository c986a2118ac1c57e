"""Raises a built service on this machine: publishes its artifacts, creates or updates its stack.

It speaks to the engine as anyone would, in AWS operations; it does not know which engine.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec

from lamington.core.aws import AwsCaller, Scope
from lamington.core.errors import AwsError, LamingtonError
from lamington.service.definition import BuiltService

ARTIFACTS_BUCKET = "lamington-artifacts"
TEMPLATE_BODY_MAX_BYTES = 51_200
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"]

_RAISED_STATUSES = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}

# A stack in one of these can only be deleted; its resources are gone or never came.
_DEAD_STATUSES = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}


class StackFailedError(LamingtonError):
    """The stack could not be raised; the message is the reason of the first resource to fail."""


class StackEngine(Protocol):
    """The engine to raise on: its operations, where it takes objects from, how to wait for it."""

    @property
    def caller(self) -> AwsCaller: ...

    @property
    def scope(self) -> Scope: ...

    def publish(self, bucket: str, key: str, read: Callable[[], bytes]) -> None: ...

    async def wait(self, stack_name: str, scope: Scope) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RaisedStack:
    """A stack that stands; `physical_ids` are by logical id."""

    stack_id: str
    status: str
    changed: bool
    outputs: dict[str, str] = field(default_factory=dict)
    physical_ids: dict[str, str] = field(default_factory=dict)


async def raise_stack(
    built: BuiltService, name: str, engine: StackEngine, parameters: Mapping[str, str]
) -> RaisedStack:
    """Bring the stack to what was built, whatever state it is in.

    Raises StackFailedError where it cannot; the stack then is as AWS would leave it: gone after a
    failed create, as it was after a failed update.
    """
    for artifact in built.artifacts.values():
        engine.publish(ARTIFACTS_BUCKET, artifact.key, artifact.path.read_bytes)
    request = {
        "StackName": name,
        "Capabilities": CAPABILITIES,
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()
        ],
        **_template(built, engine),
    }
    existing = await _describe(name, engine)
    if existing is not None and existing["StackStatus"] in _DEAD_STATUSES:
        await delete_stack(name, engine)
        existing = None
    changed = True
    if existing is None:
        answer = await engine.caller.call(
            "cloudformation:CreateStack", {**request, "OnFailure": "DELETE"}, engine.scope
        )
        stack_id = answer["StackId"]
    else:
        stack_id = existing["StackId"]
        changed = await _update(request, engine)
    if changed:
        status = await engine.wait(stack_id, engine.scope)
        if status not in _RAISED_STATUSES:
            reason = await first_failure(stack_id, engine)
            raise StackFailedError(reason, hint=f"the stack is {status}")
    return await _raised(stack_id, engine, changed=changed)


async def delete_stack(name: str, engine: StackEngine) -> bool:
    """Delete the stack and wait for its end; False where there is none."""
    existing = await _describe(name, engine)
    if existing is None:
        return False
    stack_id = existing["StackId"]
    await engine.caller.call("cloudformation:DeleteStack", {"StackName": stack_id}, engine.scope)
    status = await engine.wait(stack_id, engine.scope)
    if status != "DELETE_COMPLETE":
        raise StackFailedError(await first_failure(stack_id, engine), hint=f"the stack is {status}")
    return True


async def first_failure(stack_id: str, engine: StackEngine) -> str:
    """The reason of the first resource that failed, which is the one that explains the others."""
    answer = await engine.caller.call(
        "cloudformation:DescribeStackEvents", {"StackName": stack_id}, engine.scope
    )
    reason = "the stack failed without a reason"
    for event in answer["StackEvents"]:
        if event["PhysicalResourceId"] == stack_id and event["ResourceStatus"] in {
            "CREATE_IN_PROGRESS",
            "UPDATE_IN_PROGRESS",
            "DELETE_IN_PROGRESS",
        }:
            break
        if event["ResourceStatus"].endswith("_FAILED"):
            said = event.get("ResourceStatusReason", "")
            if "cancelled" not in said:
                reason = f"{event['LogicalResourceId']} ({event['ResourceType']}): {said}"
    return reason


def _template(built: BuiltService, engine: StackEngine) -> dict[str, str]:
    text = msgspec.json.encode(built.template)
    if len(text) <= TEMPLATE_BODY_MAX_BYTES:
        return {"TemplateBody": text.decode()}
    key = f"{built.name}/template-{hashlib.sha256(text).hexdigest()}.json"
    engine.publish(ARTIFACTS_BUCKET, key, lambda: text)
    return {"TemplateURL": f"https://{ARTIFACTS_BUCKET}.s3.amazonaws.com/{key}"}


async def _describe(name: str, engine: StackEngine) -> dict[str, Any] | None:
    try:
        answer = await engine.caller.call(
            "cloudformation:DescribeStacks", {"StackName": name}, engine.scope
        )
    except AwsError:
        return None
    stack: dict[str, Any] = answer["Stacks"][0]
    return stack


async def _update(request: Mapping[str, Any], engine: StackEngine) -> bool:
    try:
        await engine.caller.call("cloudformation:UpdateStack", request, engine.scope)
    except AwsError as error:
        if "No updates are to be performed" in error.message:
            return False
        raise
    return True


async def _raised(stack_id: str, engine: StackEngine, *, changed: bool) -> RaisedStack:
    stack = await _describe(stack_id, engine)
    assert stack is not None
    resources = await engine.caller.call(
        "cloudformation:DescribeStackResources", {"StackName": stack_id}, engine.scope
    )
    return RaisedStack(
        stack_id=stack_id,
        status=stack["StackStatus"],
        changed=changed,
        outputs={output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())},
        physical_ids={
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for resource in resources["StackResources"]
        },
    )
