"""The Lambda API of tags: of functions as a whole, code signing configurations and others.

Left to others: what tags may be (`tagging`); event source mappings bring their own holder.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.functions.entities import (
    CodeSigningConfig,
    InvalidParameterValueException,
    ResourceNotFoundException,
)
from lamington.functions.operations.constraints import refuse
from lamington.functions.operations.names import FunctionReference, parse_reference
from lamington.functions.operations.registry import FunctionRegistry
from lamington.functions.operations.tagging import require_tags

_RESOURCE_PATTERN = (
    r"arn:(aws[a-zA-Z-]*):lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:"
    r"(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?"
    r"|code-signing-config:csc-[a-z0-9]{17}"
    r"|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}"
    r"-[0-9a-fA-F]{12}|(capacity-provider|network-connector):[a-zA-Z0-9-_]{1,64})"
)
_RESOURCE = re.compile(_RESOURCE_PATTERN)


class TagHolder(Protocol):
    """Where the tags of one kind of resource are kept, by the last part of its ARN."""

    def tags(self, resource_id: str, scope: Scope) -> dict[str, str]:
        """Raises ResourceNotFoundException."""
        ...

    def put_tags(self, resource_id: str, tags: dict[str, str], scope: Scope) -> None: ...


class TagOperations:
    """Tags resources; versions and aliases of functions are refused."""

    def __init__(
        self, registry: FunctionRegistry, holders: Mapping[str, TagHolder] | None = None
    ) -> None:
        """`holders` are by the kind that ARNs name, such as `event-source-mapping`."""
        self._holders: dict[str, TagHolder] = {
            "function": FunctionTags(registry),
            "code-signing-config": CodeSigningTags(registry),
            **(holders or {}),
        }

    def operations(self) -> dict[str, Operation]:
        return {
            "lambda:TagResource": self.tag_resource,
            "lambda:UntagResource": self.untag_resource,
            "lambda:ListTags": self.list_tags,
        }

    async def tag_resource(self, params: Params, scope: Scope) -> Result:
        """Add tags, replacing those of the same keys.

        Differs: keys that begin with `aws:` are accepted, as stacks set them this way here.
        """
        holder, resource_id = self._tagged(params["Resource"], scope)
        if not params.get("Tags"):
            raise InvalidParameterValueException(
                "An error occurred and the request cannot be processed."
            )
        tags = {**holder.tags(resource_id, scope), **params["Tags"]}
        require_tags(tags)
        holder.put_tags(resource_id, tags, scope)
        return {}

    async def untag_resource(self, params: Params, scope: Scope) -> Result:
        holder, resource_id = self._tagged(params["Resource"], scope)
        keys = params.get("TagKeys")
        if not keys:
            refuse(
                ["Value null at 'tagKeys' failed to satisfy constraint: Member must not be null"]
            )
        tags = holder.tags(resource_id, scope)
        left = {key: value for key, value in tags.items() if key not in (keys or ())}
        holder.put_tags(resource_id, left, scope)
        return {}

    async def list_tags(self, params: Params, scope: Scope) -> Result:
        holder, resource_id = self._tagged(params["Resource"], scope)
        return {"Tags": holder.tags(resource_id, scope)}

    def _tagged(self, resource: str, scope: Scope) -> tuple[TagHolder, str]:
        """Who holds the tags of an ARN, and what it calls the resource."""
        if not _RESOURCE.fullmatch(resource):
            refuse(
                [
                    f"Value '{resource}' at 'resource' failed to satisfy constraint: Member must"
                    f" satisfy regular expression pattern: {_RESOURCE_PATTERN}"
                ]
            )
        kind = resource.split(":")[5]
        if kind == "function":
            return self._holders[kind], _function(resource, scope).function_name
        resource_id = resource.split(":")[6]
        holder = self._holders.get(kind)
        if holder is None or resource != scope.arn("lambda", f"{kind}:{resource_id}"):
            raise ResourceNotFoundException(f"The resource {resource} does not exist.")
        return holder, resource_id


def _function(resource: str, scope: Scope) -> FunctionReference:
    reference = parse_reference(resource, scope)
    if reference.qualifier:
        raise InvalidParameterValueException(
            "Tags on function aliases and versions are not supported. Please specify a function"
            " ARN."
        )
    return reference


class FunctionTags:
    """The tags of functions. AWS: changing them gives `$LATEST` another revision."""

    def __init__(self, registry: FunctionRegistry) -> None:
        self._registry = registry

    def tags(self, resource_id: str, scope: Scope) -> dict[str, str]:
        return self._registry.require(_named(resource_id, scope)).tags

    def put_tags(self, resource_id: str, tags: dict[str, str], scope: Scope) -> None:
        reference = _named(resource_id, scope)
        function = self._registry.require(reference)
        with self._registry.transaction():
            self._registry.functions.put(scope, replace(function, tags=tags))
            self._registry.touch(reference)


class CodeSigningTags:
    """The tags of code signing configurations."""

    def __init__(self, registry: FunctionRegistry) -> None:
        self._registry = registry

    def tags(self, resource_id: str, scope: Scope) -> dict[str, str]:
        return self._require(resource_id, scope).tags

    def put_tags(self, resource_id: str, tags: dict[str, str], scope: Scope) -> None:
        row = self._require(resource_id, scope)
        self._registry.code_signing_configs.put(scope, replace(row, tags=tags))

    def _require(self, resource_id: str, scope: Scope) -> CodeSigningConfig:
        row = self._registry.code_signing_configs.get(scope, resource_id)
        if row is None:
            arn = scope.arn("lambda", f"code-signing-config:{resource_id}")
            raise ResourceNotFoundException(
                f"The Lambda code signing configuration {arn} can not be found."
            )
        return row


def _named(function_name: str, scope: Scope) -> FunctionReference:
    return FunctionReference(function_name=function_name, qualifier="", scope=scope)
