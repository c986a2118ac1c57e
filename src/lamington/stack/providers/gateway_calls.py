"""What the providers of AWS::ApiGateway types share: calls, tags, patches.

Left to others: which calls a type takes.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from lamington.core.aws import AwsCaller, Params, Result
from lamington.core.errors import AwsError
from lamington.stack.providers.base import Properties, ResourceContext, is_absent


async def delete_by(
    caller: AwsCaller, operation: str, params: Params, context: ResourceContext
) -> None:
    """Call an operation that deletes; what is not there is deleted."""
    try:
        await caller.call(operation, params, context.scope)
    except AwsError as error:
        if not is_absent(error):
            raise


async def find_by(
    caller: AwsCaller, operation: str, params: Params, context: ResourceContext
) -> Result | None:
    """Call an operation that shows; None where there is nothing to show."""
    try:
        return await caller.call(operation, params, context.scope)
    except AwsError as error:
        if is_absent(error):
            return None
        raise


async def items_of(
    caller: AwsCaller, operation: str, params: Params, context: ResourceContext
) -> list[Mapping[str, Any]]:
    """All items of all pages; none where what they are listed of is not there."""
    items: list[Mapping[str, Any]] = []
    position = None
    while True:
        asked = given(**params, limit=500, position=position)
        page = await find_by(caller, operation, asked, context)
        if page is None:
            return items
        items += page["items"]
        position = page.get("position")
        if position is None:
            return items


async def retag(
    caller: AwsCaller,
    resource: str,
    after: Mapping[str, str],
    before: Mapping[str, str],
    context: ResourceContext,
) -> None:
    """Bring the tags of a resource from those before to those after; others stay."""
    scope = context.scope
    arn = f"arn:{scope.partition}:apigateway:{scope.region}::/{resource}"
    gone = sorted(before.keys() - after.keys())
    if gone:
        await caller.call("apigateway:UntagResource", {"resourceArn": arn, "tagKeys": gone}, scope)
    if after != before:
        await caller.call("apigateway:TagResource", {"resourceArn": arn, "tags": after}, scope)


def given(**members: Any) -> Result:
    """The members that have a value."""
    return {name: value for name, value in members.items() if value is not None and value != {}}


def tags_of(properties: Properties, context: ResourceContext) -> dict[str, str]:
    """The tags of a resource: its own beat those of its stack."""
    own = {str(tag["Key"]): str(tag["Value"]) for tag in properties.get("Tags") or ()}
    return {**context.tags, **own}


def text_of(value: Any) -> str:
    """A value as the text that a patch or a policy is; JSON for objects."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return msgspec.json.encode(value).decode()
    return str(value)


def lower_members(values: Mapping[str, Any]) -> dict[str, Any]:
    """The members of an object under their names in API Gateway's operations."""
    return {name[:1].lower() + name[1:]: value for name, value in values.items()}


def replacement(path: str, value: str) -> dict[str, str]:
    """A patch operation that sets a value."""
    return {"op": "replace", "path": path, "value": value}


def _pointer(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def member_patches(
    path: str, after: Mapping[str, str], before: Mapping[str, str]
) -> list[dict[str, str]]:
    """What turns the members below a path from those before to those after."""
    gone = [
        {"op": "remove", "path": f"{path}/{_pointer(name)}"} for name in before if name not in after
    ]
    return gone + [
        {"op": "add", "path": f"{path}/{_pointer(name)}", "value": value}
        for name, value in after.items()
        if before.get(name) != value
    ]


def endpoint_patches(after: Mapping[str, Any], before: Mapping[str, Any]) -> list[dict[str, str]]:
    """What turns the endpoint configuration of an API or a domain name into another."""
    path = "/endpointConfiguration"
    patches = []
    types = after.get("Types")
    if types and types != before.get("Types"):
        patches.append(replacement(f"{path}/types/{types[0]}", types[0]))
    address = after.get("IpAddressType")
    if address and address != before.get("IpAddressType"):
        patches.append(replacement(f"{path}/ipAddressType", address))
    return patches + member_patches(
        f"{path}/vpcEndpointIds",
        dict.fromkeys(after.get("VpcEndpointIds") or (), ""),
        dict.fromkeys(before.get("VpcEndpointIds") or (), ""),
    )
