"""Pages of the Lambda API: markers as clients see them, and how many items a page holds."""

import base64
import binascii

from lamington.core.aws import Params
from lamington.functions.entities import PAGE_MAX, InvalidParameterValueException
from lamington.functions.operations.constraints import require_valid


def marker_of(params: Params) -> str | None:
    """The key that a request's `Marker` stands for; raises where it is not one of ours."""
    marker = params.get("Marker")
    if not marker:
        return None
    try:
        return base64.urlsafe_b64decode(marker.encode()).decode()
    except (binascii.Error, ValueError):
        raise InvalidParameterValueException("The marker provided is invalid.") from None


def limit_of(params: Params) -> int:
    """Items of a page: what the request asks for, never more than 50.

    AWS: MaxItems takes up to 10,000, but a page of Lambda never has more than 50 items.
    """
    require_valid(params, ["MaxItems"])
    return min(params.get("MaxItems") or PAGE_MAX, PAGE_MAX)


def next_marker(key: str | None) -> dict[str, str]:
    """The member of the answer that leads on, absent on the last page."""
    return {"NextMarker": base64.urlsafe_b64encode(key.encode()).decode()} if key else {}
