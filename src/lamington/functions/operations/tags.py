"""The Lambda API of tags, which a function has as a whole."""

from dataclasses import replace

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.functions.entities import (
    TAGS_MAX,
    InvalidParameterValueException,
)
from lamington.functions.operations.constraints import refuse
from lamington.functions.operations.names import FunctionReference, parse_reference
from lamington.functions.operations.registry import FunctionRegistry

_RESOURCE_PATTERN = (
    r"(arn:(aws[a-zA-Z-]*):lambda:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:function:"
    r"[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?)"
)


class TagOperations:
    """Tags functions; versions, aliases and everything else are refused."""

    def __init__(self, registry: FunctionRegistry) -> None:
        self._registry = registry

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
        reference = _tagged(params, scope)
        if not params.get("Tags"):
            raise InvalidParameterValueException(
                "An error occurred and the request cannot be processed."
            )
        function = self._registry.require(reference)
        tags = {**function.tags, **params["Tags"]}
        require_tags(tags)
        self._registry.functions.put(scope, replace(function, tags=tags))
        return {}

    async def untag_resource(self, params: Params, scope: Scope) -> Result:
        reference = _tagged(params, scope)
        keys = params.get("TagKeys")
        if not keys:
            refuse(
                ["Value null at 'tagKeys' failed to satisfy constraint: Member must not be null"]
            )
        function = self._registry.require(reference)
        tags = {key: value for key, value in function.tags.items() if key not in (keys or ())}
        self._registry.functions.put(scope, replace(function, tags=tags))
        return {}

    async def list_tags(self, params: Params, scope: Scope) -> Result:
        return {"Tags": self._registry.require(_tagged(params, scope)).tags}


def require_tags(tags: dict[str, str]) -> None:
    """Raise InvalidParameterValueException for more tags than a function may have.

    AWS: 50 tags that are the user's own; those of `aws:` do not count.
    """
    if sum(not key.startswith("aws:") for key in tags) > TAGS_MAX:
        raise InvalidParameterValueException("Number of tags exceeds resource tag limit.")


def _tagged(params: Params, scope: Scope) -> FunctionReference:
    resource = params["Resource"]
    if not resource.startswith("arn:"):
        refuse(
            [
                f"Value '{resource}' at 'resource' failed to satisfy constraint: Member must"
                f" satisfy regular expression pattern: {_RESOURCE_PATTERN}"
            ]
        )
    reference = parse_reference(resource, scope)
    if reference.qualifier:
        raise InvalidParameterValueException(
            "Tags on function aliases and versions are not supported. Please specify a function"
            " ARN."
        )
    return reference
