"""What the operations of both versions make of rows: results, pages of them, and times.

Left to others: the rows (`operations/tables`, `v2/tables`), and what a page is called there.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from lamington.core.aws import Result
from lamington.gateway.entities import BadRequestException

Item = TypeVar("Item")


def shown(values: Mapping[str, Any]) -> Result:
    """A result without the members that AWS leaves out: those that are not set."""
    return {name: value for name, value in values.items() if value not in (None, "", {}, [])}


def parse_time(text: str) -> datetime:
    """A row's time as API Gateway shows it: in whole seconds."""
    return datetime.fromisoformat(text).replace(microsecond=0)


def without(items: Mapping[str, Item], key: str) -> dict[str, Item]:
    """The items but the one of this key."""
    return {name: each for name, each in items.items() if name != key}


def page(
    items: Iterable[tuple[str, Item]], *, limit: int, token: str | None, member: str
) -> tuple[list[Item], str | None]:
    """One page of keyed items in the order of their keys, and the token of the next.

    A token is the last key of the page before; `member` is what the operation calls it.
    """
    after = _key_of(token, member)
    following = sorted((pair for pair in items if pair[0] > after), key=lambda pair: pair[0])
    taken = [item for _, item in following[:limit]]
    if len(following) <= limit:
        return taken, None
    return taken, base64.urlsafe_b64encode(following[limit - 1][0].encode()).decode()


def _key_of(token: str | None, member: str) -> str:
    if not token:
        return ""
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise BadRequestException(f"Invalid {member} specified") from None
