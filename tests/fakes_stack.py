"""Fakes for stacks: types that live in memory, and a small IAM and Logs behind AwsCaller."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Ids, ManualClock
from lamington.core.errors import AwsError, ResourceError
from lamington.core.store import Store
from lamington.stack.entities import ValidationError
from lamington.stack.operations.stacks import StackOperations
from lamington.stack.providers.base import (
    Physical,
    Properties,
    ProviderRegistry,
    ResourceContext,
    ResourceFacts,
)

SCOPE = Scope(account_id="111111111111", region="eu-west-1")

THING = "Test::Fake::Thing"
FAKE_FACTS = ResourceFacts(
    create_only=frozenset({"Name", "Fixed", "Nested.Fixed"}),
    required=frozenset(),
    attributes=frozenset({"Arn", "Size"}),
    properties=frozenset({"Name", "Fixed", "Size", "Link", "Links", "Nested", "Fail", "Tags"}),
    scalars={"Size": int},
    custom_name="Name",
)


@dataclass
class World:
    """All that fake providers have made: physical id to its properties, and what was asked."""

    resources: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    failing: set[tuple[str, str]] = field(default_factory=set)
    """Verb and logical id: these fail."""
    broken: set[str] = field(default_factory=set)
    """Logical ids whose provider has a bug."""
    hanging: set[tuple[str, str]] = field(default_factory=set)
    """Verb and logical id: these never answer, after they have done their work."""
    killed_at: int = -1
    """The moment at which everything hangs: each call passes two, before and after its work."""
    moments: int = 0
    started: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class FakeProvider:
    """A type whose resources live in a World; it can be told to fail or to hang."""

    world: World
    resource_type: str = THING
    facts: ResourceFacts = FAKE_FACTS

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        await self._maybe("create", context, desired)
        name = str(desired.get("Name") or context.physical_name(64))
        if name in self.world.resources:
            raise ResourceError(f"{name} already exists", handler_code="AlreadyExists")
        self.world.resources[name] = dict(desired)
        await self._hang("create", context)
        return self._physical(name)

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        await self._maybe("update", context, desired)
        if physical_id not in self.world.resources:
            raise ResourceError(f"{physical_id} does not exist", handler_code="NotFound")
        self.world.resources[physical_id] = dict(desired)
        await self._hang("update", context)
        return self._physical(physical_id)

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        await self._maybe("delete", context, properties)
        self.world.resources.pop(physical_id, None)
        await self._hang("delete", context)

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        name = str(desired.get("Name") or context.physical_name(64))
        return name if name in self.world.resources else None

    async def _maybe(self, verb: str, context: ResourceContext, properties: Properties) -> None:
        self.world.calls.append((verb, context.logical_id))
        await self._moment()
        if context.logical_id in self.world.broken:
            raise RuntimeError("a bug")
        key = (verb, context.logical_id)
        if key in self.world.failing or properties.get("Fail") == verb:
            raise ResourceError(f"{context.logical_id} cannot", handler_code="InvalidRequest")

    async def _moment(self) -> None:
        self.world.moments += 1
        if 0 <= self.world.killed_at < self.world.moments:
            self.world.started.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    async def _hang(self, verb: str, context: ResourceContext) -> None:
        await self._moment()
        if (verb, context.logical_id) in self.world.hanging:
            self.world.started.set()
            await asyncio.Event().wait()

    def _physical(self, name: str) -> Physical:
        size = self.world.resources[name].get("Size", 0)
        return Physical(
            physical_id=name, reference=name, attributes={"Arn": f"arn:{name}", "Size": size}
        )


class StackWorld:
    """An engine's stacks over a directory, with fake types; `restart` is what a kill leaves."""

    def __init__(self, directory: Path, world: World | None = None) -> None:
        self.directory = directory
        self.world = world or World()
        self.clock = ManualClock()
        self.objects: dict[str, bytes] = {}
        self.store = Store(directory)
        self.operations = StackOperations(
            store=self.store,
            providers=ProviderRegistry(
                [
                    FakeProvider(self.world),
                    FakeProvider(self.world, resource_type="Test::Fake::Other"),
                ]
            ),
            clock=self.clock,
            ids=Ids(),
            fetch_object=self.fetch_object,
        )
        self._by_name = self.operations.operations()

    async def call(self, name: str, **params: Any) -> Result:
        return await self._by_name[f"cloudformation:{name}"](params, SCOPE)

    async def fetch_object(self, bucket: str, key: str, version: str, scope: Scope) -> bytes:
        if f"{bucket}/{key}" not in self.objects:
            raise ValidationError("S3 error: The specified key does not exist.")
        return self.objects[f"{bucket}/{key}"]

    async def create(self, template: str, name: str = "cake", **params: Any) -> str:
        await self.call("CreateStack", StackName=name, TemplateBody=template, **params)
        return await self.operations.wait(name, SCOPE)

    async def update(self, template: str, name: str = "cake", **params: Any) -> str:
        await self.call("UpdateStack", StackName=name, TemplateBody=template, **params)
        return await self.operations.wait(name, SCOPE)

    async def delete(self, name: str = "cake", **params: Any) -> str:
        stack_id = (await self.stack(name))["StackId"]
        await self.call("DeleteStack", StackName=name, **params)
        return await self.operations.wait(stack_id, SCOPE)

    async def stack(self, name: str = "cake") -> dict[str, Any]:
        found = await self.call("DescribeStacks", StackName=name)
        return dict(found["Stacks"][0])

    async def events(self, name: str = "cake") -> list[dict[str, Any]]:
        """Oldest first."""
        found: list[dict[str, Any]] = []
        token: dict[str, str] = {}
        while True:
            page = await self.call("DescribeStackEvents", StackName=name, **token)
            found += page["StackEvents"]
            if "NextToken" not in page:
                return found[::-1]
            token = {"NextToken": page["NextToken"]}

    async def story(self, name: str = "cake") -> list[str]:
        """The events in short: `logical STATUS reason`."""
        return [
            f"{event['LogicalResourceId']} {event['ResourceStatus']}"
            f" {event.get('ResourceStatusReason', '')}".strip()
            for event in await self.events(name)
        ]

    async def physical_ids(self, name: str = "cake") -> dict[str, str]:
        found = await self.call("DescribeStackResources", StackName=name)
        return {
            each["LogicalResourceId"]: each.get("PhysicalResourceId", "")
            for each in found["StackResources"]
        }

    async def restart(self) -> "StackWorld":
        """What an engine finds that starts after this one was killed where it stands."""
        await self.operations.close()
        self.store.close()
        self.world.hanging.clear()
        self.world.killed_at = -1
        return StackWorld(self.directory, self.world)


class NoSuchEntityException(AwsError):
    """IAM: there is none."""

    status = 404


class EntityAlreadyExistsException(AwsError):
    """IAM: there is one."""

    status = 409


@dataclass
class FakeAws:
    """Roles and log groups in memory; each answers as the model says."""

    roles: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    failing: str = ""

    async def call(self, operation: str, params: Params, scope: Scope) -> Result:
        self.calls.append(operation)
        if operation == self.failing:
            raise ValidationError(f"{operation} fails")
        service, _, name = operation.partition(":")
        if service == "cloudformation":
            raise ValidationError(f"Stack for {params['PhysicalResourceId']} does not exist")
        if service == "iam":
            return self._iam(name, params, scope)
        return self._logs(name, params)

    def _iam(self, name: str, params: Params, scope: Scope) -> Result:
        role_name = params["RoleName"]
        if name == "CreateRole":
            if role_name in self.roles:
                raise EntityAlreadyExistsException(f"Role with name {role_name} already exists.")
            self.roles[role_name] = {
                "RoleName": role_name,
                "Arn": scope.global_arn("iam", f"role{params.get('Path', '/')}{role_name}"),
                "RoleId": "AROA1",
                "CreateDate": datetime.now(UTC),
                "trust": params["AssumeRolePolicyDocument"],
                "description": params.get("Description", ""),
                "tags": {each["Key"]: each["Value"] for each in params.get("Tags", [])},
                "inline": {},
                "attached": [],
            }
            return {"Role": self.roles[role_name]}
        if role_name not in self.roles:
            raise NoSuchEntityException(f"The role with name {role_name} cannot be found.")
        return self._role(name, self.roles[role_name], params)

    def _role(self, name: str, role: dict[str, Any], params: Params) -> Result:
        match name:
            case "GetRole":
                return {"Role": role}
            case "DeleteRole":
                if role["inline"] or role["attached"]:
                    raise ValidationError("Cannot delete entity, must detach all policies first.")
                del self.roles[params["RoleName"]]
            case "PutRolePolicy":
                role["inline"][params["PolicyName"]] = params["PolicyDocument"]
            case "DeleteRolePolicy":
                if params["PolicyName"] not in role["inline"]:
                    raise NoSuchEntityException("The role policy cannot be found.")
                del role["inline"][params["PolicyName"]]
            case "AttachRolePolicy":
                role["attached"].append(params["PolicyArn"])
            case "DetachRolePolicy":
                if params["PolicyArn"] not in role["attached"]:
                    raise NoSuchEntityException("The policy is not attached.")
                role["attached"].remove(params["PolicyArn"])
            case "UpdateAssumeRolePolicy":
                role["trust"] = params["PolicyDocument"]
            case "UpdateRole":
                role["description"] = params["Description"]
            case _:
                return self._role_tags(name, role["tags"], params)
        return {}

    def _role_tags(self, name: str, tags: dict[str, str], params: Params) -> Result:
        match name:
            case "ListRoleTags":
                return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            case "TagRole":
                tags |= {each["Key"]: each["Value"] for each in params["Tags"]}
            case "UntagRole":
                for key in params["TagKeys"]:
                    tags.pop(key, None)
            case _:
                raise AssertionError(name)
        return {}

    def _logs(self, name: str, params: Params) -> Result:
        if name in ("ListTagsForResource", "TagResource", "UntagResource"):
            return self._log_tags(name, params)
        if name == "DescribeLogGroups":
            prefix = params["logGroupNamePrefix"]
            return {"logGroups": [g for n, g in self.groups.items() if n.startswith(prefix)]}
        group = params["logGroupName"]
        if name == "CreateLogGroup":
            if group in self.groups:
                raise EntityAlreadyExistsException("The specified log group already exists")
            now = int(datetime.now(UTC).timestamp() * 1000)
            self.groups[group] = {
                "logGroupName": group,
                "creationTime": now,
                "tags": dict(params.get("tags", {})),
            }
            return {}
        if group not in self.groups:
            raise NoSuchEntityException("The specified log group does not exist.")
        match name:
            case "DeleteLogGroup":
                del self.groups[group]
            case "PutRetentionPolicy":
                self.groups[group]["retentionInDays"] = params["retentionInDays"]
            case "DeleteRetentionPolicy":
                self.groups[group].pop("retentionInDays", None)
            case _:
                raise AssertionError(name)
        return {}

    def _log_tags(self, name: str, params: Params) -> Result:
        tags: dict[str, str] = self.groups[params["resourceArn"].rpartition(":")[2]]["tags"]
        match name:
            case "TagResource":
                tags |= params["tags"]
            case "UntagResource":
                for key in params["tagKeys"]:
                    tags.pop(key, None)
            case _:
                return {"tags": dict(tags)}
        return {}


def fake_context(
    logical_id: str = "Thing", tags: Mapping[str, str] | None = None
) -> ResourceContext:
    """For whom a provider works in a test; a logical id has one token."""
    return ResourceContext(
        scope=SCOPE,
        stack_name="cake",
        stack_id=SCOPE.arn("cloudformation", "stack/cake/1"),
        logical_id=logical_id,
        token=f"token-of-{logical_id}",
        tags=tags or {},
        started=datetime.now(UTC),
    )
