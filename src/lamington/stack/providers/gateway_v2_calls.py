"""What the providers of AWS::ApiGatewayV2 types share: pages, tags, and what an update says.

Left to others: which calls a type takes.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from lamington.core.aws import AwsCaller, Params, Result
from lamington.stack.providers.base import Properties, ResourceContext
from lamington.stack.providers.gateway_calls import find_by, given


async def items_of(
    caller: AwsCaller,
    operation: str,
    params: Params,
    context: ResourceContext,
    member: str = "Items",
) -> list[Mapping[str, Any]]:
    """All items of all pages; none where what they are listed of is not there."""
    items: list[Mapping[str, Any]] = []
    token = None
    while True:
        page = await find_by(caller, operation, given(**params, NextToken=token), context)
        if page is None:
            return items
        items += page[member]
        token = page.get("NextToken")
        if token is None:
            return items


def tags_of(properties: Properties, context: ResourceContext) -> dict[str, str]:
    """The tags of a resource, which are a map here: its own beat those of its stack."""
    own = {str(key): str(value) for key, value in (properties.get("Tags") or {}).items()}
    return {**context.tags, **own}


async def retag(
    caller: AwsCaller,
    resource: str,
    desired: Properties,
    previous: Properties,
    context: ResourceContext,
) -> None:
    """Bring the tags of a resource from those before to those after; others stay."""
    scope = context.scope
    after, before = tags_of(desired, context), tags_of(previous, context)
    arn = f"arn:{scope.partition}:apigateway:{scope.region}::/{resource}"
    gone = sorted(before.keys() - after.keys())
    if gone:
        await caller.call(
            "apigatewayv2:UntagResource", {"ResourceArn": arn, "TagKeys": gone}, scope
        )
    if after != before:
        await caller.call("apigatewayv2:TagResource", {"ResourceArn": arn, "Tags": after}, scope)


def changes(members: Iterable[str], desired: Properties, previous: Properties) -> Result:
    """What an update is to say: what there is, and nothing in the place of what is gone.

    An update leaves alone what it does not name: a text is emptied, a key of a map has an empty
    value, a list is empty, a flag is off.
    """
    said: Result = {}
    for name in members:
        after, before = desired.get(name), previous.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping | None):
            gone = {key: _nothing_like(before[key]) for key in before.keys() - (after or {}).keys()}
            said[name] = {**gone, **(after or {})}
        elif after is not None:
            said[name] = after
        elif before is not None:
            said[name] = _nothing_like(before)
    return {name: value for name, value in said.items() if value is not None}


def _nothing_like(value: Any) -> Any:
    """None where nothing can be said."""
    match value:
        case bool():
            return False
        case str():
            return ""
        case list():
            return []
        case Mapping():
            return {}
    return None
