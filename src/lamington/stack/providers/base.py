"""How one resource type comes and goes: Provider, and the facts that a plan needs of a type.

Left to others: which types there are (`functions`, `gateway`, `delegated`), what to do with
them (`planner`) and when (`executor`).
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from lamington.core.aws import AwsCaller, Scope
from lamington.core.errors import AwsError

Properties = Mapping[str, Any]
"""A resource's properties with every function resolved, under their template names."""

SUFFIX_LENGTH = 12

ABSENT_CODES = frozenset(
    {"ResourceNotFoundException", "NotFoundException", "NoSuchEntity", "NoSuchEntityException"}
)
TAKEN_CODES = frozenset(
    {
        "ResourceConflictException",
        "ConflictException",
        "ResourceAlreadyExistsException",
        "EntityAlreadyExists",
        "EntityAlreadyExistsException",
        "AlreadyExistsException",
    }
)
DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedException"})
BUSY_CODES = frozenset({"TooManyRequestsException", "Throttling", "ThrottlingException"})
LIMIT_CODES = frozenset({"LimitExceededException", "LimitExceeded", "CodeStorageExceededException"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceFacts:
    """What the registry schema says of a type.

    `create_only` are the properties whose change forces replacement, as names or dotted paths
    (`Code.S3Bucket`). `attributes` are what `Fn::GetAtt` may name. `properties` are all that may
    be given; empty means that they are not checked. `scalars` maps dotted paths (`*` for each
    member of a map or item of a list) to the type that a value is converted to, as
    CloudFormation turns `"128"` into 128; providers get the converted values. `custom_name` is
    the property that names the resource, "" for none: replacement under the same name is refused.
    `capability` is what a template with this type needs, "" for none.
    """

    create_only: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    attributes: frozenset[str] = frozenset()
    properties: frozenset[str] = frozenset()
    scalars: Mapping[str, type] = field(default_factory=dict)
    custom_name: str = ""
    capability: str = ""

    def problems(self, properties: Properties) -> list[str]:
        """What is missing or unknown at the top level, in CloudFormation's words."""
        missing = sorted(self.required - properties.keys())
        extra = sorted(properties.keys() - self.properties) if self.properties else []
        return [f"#: required key [{name}] not found" for name in missing] + [
            f"#: extraneous key [{name}] is not permitted" for name in extra
        ]

    def converted(self, properties: Properties) -> dict[str, Any]:
        """The properties with every scalar of `scalars` turned into its type where it can be."""
        result = dict(properties)
        for path, kind in self.scalars.items():
            _convert(result, path.split("."), kind)
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Physical:
    """A resource that exists: its physical id, what `Ref` gives, what `Fn::GetAtt` gives."""

    physical_id: str
    reference: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceContext:
    """For whom a resource is made.

    `token` is written down before `create` is called and is the same when a crash makes the
    executor look for what the create left: a name made from it is found again. `tags` are the
    stack's own tags. `started` is when the create was written down: a resource with a name of
    the user's choice that is older was there before, and is not ours.
    """

    scope: Scope
    stack_name: str
    stack_id: str
    logical_id: str
    token: str
    tags: Mapping[str, str] = field(default_factory=dict)
    started: datetime | None = None

    @property
    def system_tags(self) -> dict[str, str]:
        """The tags that CloudFormation adds to what it creates."""
        return {
            "aws:cloudformation:stack-name": self.stack_name,
            "aws:cloudformation:stack-id": self.stack_id,
            "aws:cloudformation:logical-id": self.logical_id,
        }

    def physical_name(self, max_length: int = 64, *, lowercase: bool = False) -> str:
        """The name for a resource that the template does not name: `stack-logical-SUFFIX`.

        The same context gives the same name, so that a create which a crash cut off is found.

        AWS: names are cut to the type's length with the suffix whole (user guide, Name type).
        """
        suffix = _suffix(self.token)
        stack, logical = _shortened(self.stack_name, self.logical_id, max_length - len(suffix) - 2)
        name = f"{stack}-{logical}-{suffix}"
        return name.lower() if lowercase else name


class Provider(Protocol):
    """How one resource type comes and goes; raises ResourceError, or the AwsError of a call.

    A call never leaves half a resource: what `create` made before it fails, it removes.
    """

    @property
    def resource_type(self) -> str: ...

    @property
    def facts(self) -> ResourceFacts: ...

    async def create(self, desired: Properties, context: ResourceContext) -> Physical: ...

    async def update(
        self, physical_id: str, desired: Properties, previous: Properties, context: ResourceContext
    ) -> Physical:
        """Change in place: no create-only property differs between `previous` and `desired`."""
        ...

    async def delete(
        self, physical_id: str, properties: Properties, context: ResourceContext
    ) -> None:
        """Delete; that it is not there already is success."""
        ...


@runtime_checkable
class Finder(Protocol):
    """A provider that can find what a create with this very context left behind.

    The engine may be killed after a resource was made and before that was written down. At the
    next start the executor asks for it and deletes it. A type whose service makes the ids (a REST
    API) looks by tag or by its properties; a type named by `physical_name` returns that name.
    """

    async def find(self, desired: Properties, context: ResourceContext) -> str | None:
        """The physical id, or None where the create had not come so far."""
        ...


class ProviderRegistry:
    """The resource types that this engine can provide."""

    def __init__(self, providers: Iterable[Provider]) -> None:
        self._providers = {provider.resource_type: provider for provider in providers}

    def __contains__(self, resource_type: str) -> bool:
        return resource_type in self._providers

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._providers))

    def __getitem__(self, resource_type: str) -> Provider:
        return self._providers[resource_type]

    def facts(self) -> dict[str, ResourceFacts]:
        """What a plan needs: the facts of every type."""
        return {name: provider.facts for name, provider in self._providers.items()}


def is_absent(error: AwsError) -> bool:
    """Whether a service says with this error that the thing does not exist."""
    return error.code in ABSENT_CODES


async def is_owned(
    caller: AwsCaller, resource_type: str, physical_id: str, context: ResourceContext
) -> bool:
    """Whether a stack has written this resource down: then no create that was cut off left it.

    For types that neither a tag nor a name of ours tells apart.
    """
    try:
        found = await caller.call(
            "cloudformation:DescribeStackResources",
            {"PhysicalResourceId": physical_id},
            context.scope,
        )
    except AwsError as error:
        if error.code == "ValidationError":
            return False
        raise
    types = {
        row["ResourceType"]
        for row in found["StackResources"]
        if row["PhysicalResourceId"] == physical_id
    }
    # A stack shows its first hundred resources: what it does not show counts as owned.
    return not types or resource_type in types


def handler_code(error: AwsError) -> str:
    """CloudFormation's word for the error of a service."""
    for codes, word in (
        (ABSENT_CODES, "NotFound"),
        (TAKEN_CODES, "AlreadyExists"),
        (DENIED_CODES, "AccessDenied"),
        (BUSY_CODES, "Throttling"),
        (LIMIT_CODES, "ServiceLimitExceeded"),
    ):
        if error.code in codes:
            return word
    return "ServiceInternalError" if error.status >= 500 else "InvalidRequest"


def _suffix(token: str) -> str:
    number = int.from_bytes(hashlib.sha256(token.encode()).digest()[:16], "big")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return "".join(
        alphabet[number // len(alphabet) ** place % len(alphabet)] for place in range(SUFFIX_LENGTH)
    )


def _shortened(stack: str, logical: str, available: int) -> tuple[str, str]:
    """Each part has a half; what one does not need, the other may take."""
    half = available // 2
    stack_room = max(available - half, available - len(logical))
    logical_room = max(half, available - len(stack))
    return stack[:stack_room], logical[:logical_room]


def _convert(container: dict[str, Any] | list[Any], path: list[str], kind: type) -> None:
    """Convert in place; containers on the way are copied, since the template owns them."""
    head, *rest = path
    keys: list[Any] = [head]
    if head == "*":
        keys = list(container) if isinstance(container, dict) else list(range(len(container)))
    elif not isinstance(container, dict) or head not in container:
        return
    for key in keys:
        value = container[key]
        if not rest:
            container[key] = _as(kind, value)
        elif isinstance(value, (dict, list)):
            container[key] = value.copy()
            _convert(container[key], rest, kind)


def _as(kind: type, value: Any) -> Any:
    convert: Callable[[Any], Any] | None = {
        bool: _as_boolean,
        int: _as_integer,
        float: _as_number,
        str: _as_text,
    }.get(kind)
    return value if convert is None else convert(value)


def _as_boolean(value: Any) -> Any:
    return (
        {"true": True, "false": False}.get(value.lower(), value)
        if isinstance(value, str)
        else value
    )


def _as_integer(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _as_number(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float)) else value
