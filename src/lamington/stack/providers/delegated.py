"""Every other resource type, through AwsCaller, from a table: roles, policies, log groups.

A row of the table says what a type is called with when it is made and ended, and which parts of
it have calls of their own. Facts are the registry schemas' (cfn-lint 1.51.0, us-east-1).

Differs: the system tags `aws:cloudformation:*` are not put on these types; users and groups of
`AWS::IAM::Policy` are refused.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from lamington.core.aws import AwsCaller, Params, Result
from lamington.core.errors import AwsError, ResourceError
from lamington.stack.providers.base import (
    Physical,
    Properties,
    Provider,
    ResourceContext,
    ResourceFacts,
    is_absent,
    is_owned,
)

CAPABILITY_IAM = "CAPABILITY_IAM"

_SECOND = timedelta(seconds=1)
"""IAM tells times in whole seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Calls for one resource; `name` is its physical id."""

    caller: AwsCaller
    context: ResourceContext
    name: str

    async def call(self, operation: str, params: Params) -> Result:
        return await self.caller.call(operation, params, self.context.scope)

    async def call_if_present(self, operation: str, params: Params) -> None:
        """Call to remove something: that it is not there is as good."""
        try:
            await self.call(operation, params)
        except AwsError as error:
            if not is_absent(error):
                raise


Part = Callable[[Calls, Properties | None, Properties | None], Awaitable[None]]
"""Brings a part of a resource from its previous properties to the desired ones; None before
means that the resource is being made, None after that it is being ended."""

Make = Callable[[Calls, Properties], Awaitable[None]]
Read = Callable[[Calls], Awaitable[dict[str, Any]]]
Born = Callable[[Calls], Awaitable[datetime | None]]


async def _nothing(calls: Calls, properties: Properties) -> None:
    """A type that has no call of its own."""


async def _no_attributes(calls: Calls) -> dict[str, Any]:
    return {}


async def _never_born(calls: Calls) -> datetime | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegatedType:
    """One row of the table.

    `name_of` gives the physical id; `make` and `end` are the calls of the resource itself, which
    `parts` follow in order, and precede in reverse. `born` tells when a resource of this name
    was made, None where there is none: so what a crash left is told from what was there before.
    """

    resource_type: str
    facts: ResourceFacts
    name_of: Callable[[Properties, ResourceContext], str]
    make: Make = _nothing
    end: Make = _nothing
    parts: tuple[Part, ...] = ()
    attributes: Read = _no_attributes
    born: Born = _never_born


@dataclass(frozen=True, slots=True, kw_only=True)
class DelegatedProvider:
    """Provides one type of the table."""

    caller: AwsCaller
    type: DelegatedType

    @property
    def resource_type(self) -> str:
        return self.type.resource_type

    @property
    def facts(self) -> ResourceFacts:
        return self.type.facts

    async def create(self, desired: Properties, context: ResourceContext) -> Physical:
        calls = self._calls(self.type.name_of(desired, context), context)
        await self.type.make(calls, desired)
        try:
            for part in self.type.parts:
                await part(calls, desired, None)
        except AwsError:
            await self._end(calls, desired)
            raise
        return await self._physical(calls)

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        calls = self._calls(physical_id, context)
        for part in self.type.parts:
            await part(calls, desired, previous)
        return await self._physical(calls)

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        await self._end(self._calls(physical_id, context), properties)

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """What is younger than the create's beginning is ours; what is older was there before."""
        name = self.type.name_of(desired, context)
        if self.type.born is _never_born:
            return name
        try:
            born = await self.type.born(self._calls(name, context))
        except AwsError as error:
            if is_absent(error):
                return None
            raise
        if born is None:
            return None
        if context.started is not None and born < context.started - _SECOND:
            return None
        return None if await is_owned(self.caller, self.resource_type, name, context) else name

    async def _end(self, calls: Calls, properties: Properties) -> None:
        for part in reversed(self.type.parts):
            try:
                await part(calls, None, properties)
            except AwsError as error:
                if not is_absent(error):
                    raise
        try:
            await self.type.end(calls, properties)
        except AwsError as error:
            if not is_absent(error):
                raise

    async def _physical(self, calls: Calls) -> Physical:
        attributes = await self.type.attributes(calls)
        return Physical(physical_id=calls.name, reference=calls.name, attributes=attributes)

    def _calls(self, name: str, context: ResourceContext) -> Calls:
        return Calls(caller=self.caller, context=context, name=name)


def _unchangeable(*names: str) -> Part:
    """A part that has no call to change it here: better refused than forgotten."""

    async def part(calls: Calls, desired: Properties | None, previous: Properties | None) -> None:
        if desired is None or previous is None:
            return
        for name in names:
            if desired.get(name) != previous.get(name):
                raise ResourceError(
                    f"{name} cannot be changed in place",
                    handler_code="NotUpdatable",
                    hint="Lamington does not emulate this change yet: rename the logical id",
                )

    return part


def delegated_providers(caller: AwsCaller) -> list[Provider]:
    """A provider for each type of the table."""
    return [DelegatedProvider(caller=caller, type=each) for each in DELEGATED_TYPES]


# AWS::IAM::Role


def _document(value: Any) -> str:
    """A policy document as IAM takes it; a template may hold it as text already."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _role_name(desired: Properties, context: ResourceContext) -> str:
    return str(desired.get("RoleName") or context.physical_name(64))


async def _make_role(calls: Calls, desired: Properties) -> None:
    params: dict[str, Any] = {
        "RoleName": calls.name,
        "AssumeRolePolicyDocument": _document(desired["AssumeRolePolicyDocument"]),
    }
    for name in ("Path", "Description", "MaxSessionDuration", "PermissionsBoundary"):
        if name in desired:
            params[name] = desired[name]
    tags = _tags(desired, calls.context)
    if tags:
        params["Tags"] = _tag_list(tags)
    await calls.call("iam:CreateRole", params)


async def _end_role(calls: Calls, properties: Properties) -> None:
    await calls.call("iam:DeleteRole", {"RoleName": calls.name})


async def _trust(calls: Calls, desired: Properties | None, previous: Properties | None) -> None:
    name = "AssumeRolePolicyDocument"
    if desired is None or previous is None:
        return
    if desired.get(name) != previous.get(name):
        await calls.call(
            "iam:UpdateAssumeRolePolicy",
            {"RoleName": calls.name, "PolicyDocument": _document(desired[name])},
        )


async def _role_settings(
    calls: Calls, desired: Properties | None, previous: Properties | None
) -> None:
    names = ("Description", "MaxSessionDuration")
    if desired is None or previous is None:
        return
    if all(desired.get(name) == previous.get(name) for name in names):
        return
    await calls.call(
        "iam:UpdateRole",
        {
            "RoleName": calls.name,
            "Description": desired.get("Description", ""),
            "MaxSessionDuration": desired.get("MaxSessionDuration", 3600),
        },
    )


async def _role_tags(calls: Calls, desired: Properties | None, previous: Properties | None) -> None:
    """The tags of a new role go with its creation, and end with it."""
    if desired is None or previous is None:
        return
    listed = await calls.call("iam:ListRoleTags", {"RoleName": calls.name})
    old = {each["Key"] for each in listed["Tags"]}
    wanted = _tags(desired, calls.context)
    gone = sorted(key for key in old - wanted.keys() if not key.startswith("aws:"))
    if gone:
        await calls.call("iam:UntagRole", {"RoleName": calls.name, "TagKeys": gone})
    if wanted:
        await calls.call("iam:TagRole", {"RoleName": calls.name, "Tags": _tag_list(wanted)})


async def _managed_policies(
    calls: Calls, desired: Properties | None, previous: Properties | None
) -> None:
    new = (desired or {}).get("ManagedPolicyArns", [])
    old = (previous or {}).get("ManagedPolicyArns", [])
    for arn in old:
        if arn not in new:
            await calls.call_if_present(
                "iam:DetachRolePolicy", {"RoleName": calls.name, "PolicyArn": arn}
            )
    for arn in new:
        if arn not in old:
            await calls.call("iam:AttachRolePolicy", {"RoleName": calls.name, "PolicyArn": arn})


async def _inline_policies(
    calls: Calls, desired: Properties | None, previous: Properties | None
) -> None:
    new, old = (
        {each["PolicyName"]: each["PolicyDocument"] for each in (side or {}).get("Policies", [])}
        for side in (desired, previous)
    )
    for name in old.keys() - new.keys():
        await calls.call_if_present(
            "iam:DeleteRolePolicy", {"RoleName": calls.name, "PolicyName": name}
        )
    for name, document in new.items():
        if old.get(name) != document:
            await _put_role_policy(calls, calls.name, name, document)


async def _put_role_policy(calls: Calls, role: str, name: str, document: Any) -> None:
    await calls.call(
        "iam:PutRolePolicy",
        {"RoleName": role, "PolicyName": name, "PolicyDocument": _document(document)},
    )


async def _role(calls: Calls) -> dict[str, Any]:
    found = await calls.call("iam:GetRole", {"RoleName": calls.name})
    return dict(found["Role"])


async def _role_attributes(calls: Calls) -> dict[str, Any]:
    role = await _role(calls)
    return {"Arn": role["Arn"], "RoleId": role["RoleId"]}


async def _role_born(calls: Calls) -> datetime | None:
    born: datetime = (await _role(calls))["CreateDate"]
    return born


# AWS::IAM::Policy


def _policy_id(desired: Properties, context: ResourceContext) -> str:
    """AWS: an opaque id, `stack-fnSe-3OZPF82JL41D`: five letters, four letters, the suffix."""
    stack, logical = context.stack_name[:5].rstrip("-"), context.logical_id[:4]
    return f"{stack}-{logical}-{context.physical_name(128).rpartition('-')[2]}"


def _refuse_users(desired: Properties) -> None:
    for name in ("Users", "Groups"):
        if desired.get(name):
            raise ResourceError(
                f"{name} of an inline policy are not supported",
                handler_code="InvalidRequest",
                hint="Lamington emulates policies of roles only",
            )


async def _role_policies(
    calls: Calls, desired: Properties | None, previous: Properties | None
) -> None:
    """The document is put into each role under the policy's name."""
    desired, previous = desired or {}, previous or {}
    _refuse_users(desired)
    new, old = (
        {(role, side["PolicyName"]) for role in side.get("Roles", [])}
        for side in (desired, previous)
    )
    document = desired.get("PolicyDocument")
    for role, name in sorted(new):
        if (role, name) not in old or document != previous.get("PolicyDocument"):
            await _put_role_policy(calls, role, name, document)
    for role, name in sorted(old - new):
        await calls.call_if_present("iam:DeleteRolePolicy", {"RoleName": role, "PolicyName": name})


async def _id_attribute(calls: Calls) -> dict[str, Any]:
    return {"Id": calls.name}


# AWS::Logs::LogGroup


def _log_group_name(desired: Properties, context: ResourceContext) -> str:
    return str(desired.get("LogGroupName") or context.physical_name(512))


async def _make_log_group(calls: Calls, desired: Properties) -> None:
    params: dict[str, Any] = {"logGroupName": calls.name}
    for name, member in (("KmsKeyId", "kmsKeyId"), ("LogGroupClass", "logGroupClass")):
        if name in desired:
            params[member] = desired[name]
    tags = _tags(desired, calls.context)
    if tags:
        params["tags"] = tags
    await calls.call("logs:CreateLogGroup", params)


async def _end_log_group(calls: Calls, properties: Properties) -> None:
    await calls.call("logs:DeleteLogGroup", {"logGroupName": calls.name})


async def _retention(calls: Calls, desired: Properties | None, previous: Properties | None) -> None:
    if desired is None:
        return
    new, old = desired.get("RetentionInDays"), (previous or {}).get("RetentionInDays")
    if new == old:
        return
    if new is None:
        await calls.call("logs:DeleteRetentionPolicy", {"logGroupName": calls.name})
    else:
        await calls.call(
            "logs:PutRetentionPolicy", {"logGroupName": calls.name, "retentionInDays": new}
        )


async def _log_group_tags(
    calls: Calls, desired: Properties | None, previous: Properties | None
) -> None:
    if desired is None or previous is None:
        return
    arn = calls.context.scope.arn("logs", f"log-group:{calls.name}")
    listed = await calls.call("logs:ListTagsForResource", {"resourceArn": arn})
    wanted = _tags(desired, calls.context)
    gone = sorted(
        key for key in listed["tags"].keys() - wanted.keys() if not key.startswith("aws:")
    )
    if gone:
        await calls.call("logs:UntagResource", {"resourceArn": arn, "tagKeys": gone})
    if wanted:
        await calls.call("logs:TagResource", {"resourceArn": arn, "tags": wanted})


async def _log_group_attributes(calls: Calls) -> dict[str, Any]:
    return {"Arn": calls.context.scope.arn("logs", f"log-group:{calls.name}:*")}


async def _log_group_born(calls: Calls) -> datetime | None:
    found = await calls.call("logs:DescribeLogGroups", {"logGroupNamePrefix": calls.name})
    for group in found["logGroups"]:
        if group["logGroupName"] == calls.name:
            started = calls.context.started
            return datetime.fromtimestamp(
                group["creationTime"] / 1000, tz=started.tzinfo if started else None
            )
    return None


# AWS::CDK::Metadata


def _metadata_id(desired: Properties, context: ResourceContext) -> str:
    return context.token


def _tags(properties: Properties, context: ResourceContext) -> dict[str, str]:
    """The stack's tags, under those of the resource itself."""
    own = {each["Key"]: each["Value"] for each in properties.get("Tags", [])}
    return {**context.tags, **own}


def _tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


DELEGATED_TYPES = (
    DelegatedType(
        resource_type="AWS::IAM::Role",
        facts=ResourceFacts(
            create_only=frozenset({"Path", "RoleName"}),
            required=frozenset({"AssumeRolePolicyDocument"}),
            attributes=frozenset({"Arn", "RoleId"}),
            properties=frozenset(
                {
                    "AssumeRolePolicyDocument",
                    "Description",
                    "ManagedPolicyArns",
                    "MaxSessionDuration",
                    "Path",
                    "PermissionsBoundary",
                    "Policies",
                    "RoleName",
                    "Tags",
                }
            ),
            scalars={"MaxSessionDuration": int, "Description": str, "Tags.*.Value": str},
            custom_name="RoleName",
            capability=CAPABILITY_IAM,
        ),
        name_of=_role_name,
        make=_make_role,
        end=_end_role,
        parts=(
            _unchangeable("PermissionsBoundary"),
            _trust,
            _role_settings,
            _role_tags,
            _managed_policies,
            _inline_policies,
        ),
        attributes=_role_attributes,
        born=_role_born,
    ),
    DelegatedType(
        resource_type="AWS::IAM::Policy",
        facts=ResourceFacts(
            required=frozenset({"PolicyDocument", "PolicyName"}),
            attributes=frozenset({"Id"}),
            properties=frozenset({"PolicyDocument", "PolicyName", "Roles", "Users", "Groups"}),
            capability=CAPABILITY_IAM,
        ),
        name_of=_policy_id,
        parts=(_role_policies,),
        attributes=_id_attribute,
    ),
    DelegatedType(
        resource_type="AWS::Logs::LogGroup",
        facts=ResourceFacts(
            create_only=frozenset({"LogGroupName"}),
            attributes=frozenset({"Arn"}),
            properties=frozenset(
                {"KmsKeyId", "LogGroupClass", "LogGroupName", "RetentionInDays", "Tags"}
            ),
            scalars={"RetentionInDays": int, "Tags.*.Value": str},
            custom_name="LogGroupName",
        ),
        name_of=_log_group_name,
        make=_make_log_group,
        end=_end_log_group,
        parts=(_unchangeable("KmsKeyId", "LogGroupClass"), _retention, _log_group_tags),
        attributes=_log_group_attributes,
        born=_log_group_born,
    ),
    DelegatedType(
        resource_type="AWS::CDK::Metadata",
        facts=ResourceFacts(properties=frozenset({"Analytics"})),
        name_of=_metadata_id,
    ),
)
