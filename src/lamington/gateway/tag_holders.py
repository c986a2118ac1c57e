"""Who keeps tags: both versions of API Gateway tag things that are others' by their ARN."""

from typing import Protocol

from lamington.core.aws import Scope


class TagHolder(Protocol):
    """Keeps the tags of one kind of thing, such as `apikeys`; raises NotFoundException."""

    def tags(self, scope: Scope, row_id: str, /) -> dict[str, str]: ...

    def put_tags(self, scope: Scope, row_id: str, tags: dict[str, str], /) -> None: ...
