"""Service quotas: how many things of each kind an account or an API may have.

AWS raises most of them on request, and the setting `api_quotas` says which ones were. Left to
others: sizes, times and lengths, which stand beside what they limit; what a usage plan calls a
quota is `quotas`' part.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from lamington.core.errors import UsageError
from lamington.gateway.entities import LimitExceededException


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceQuotas:
    """How many there may be of each; the defaults are those of a new AWS account.

    AWS: API Gateway developer guide, quotas.
    """

    resources_per_api: int = 300
    stages_per_api: int = 10
    routes_per_api: int = 300
    integrations_per_api: int = 300
    authorizers_per_api: int = 10
    api_keys: int = 10_000
    usage_plans: int = 300
    usage_plans_per_key: int = 10


DEFAULT_QUOTAS = ServiceQuotas()


def parse_service_quotas(raised: Mapping[str, str]) -> ServiceQuotas:
    """The quotas with those that were raised, by their names; raises UsageError."""
    known = [each.name for each in fields(ServiceQuotas)]
    values: dict[str, int] = {}
    for name, text in raised.items():
        if name not in known:
            raise UsageError(f"`{name}` is no quota", hint=f"one of {', '.join(known)}")
        if not (text.isascii() and text.isdecimal()):
            raise UsageError(f"`{text}` is no value for the quota `{name}`", hint="give a number")
        values[name] = int(text)
    return ServiceQuotas(**values)


def quota_message(things: str, owner: str = "") -> str:
    """AWS's sentence for a quota that is used up; `owner` is what has the things, if anything.

    AWS: recorded for resources, integrations and APIs, with the two spaces.
    """
    where = f" for this {owner}" if owner else ""
    return (
        f"Maximum number of {things}{where} has been reached.  Please contact AWS if you need"
        f" additional {things}."
    )


def require_room(count: int, quota: int, things: str, owner: str = "API") -> None:
    """Raise LimitExceededException where there are `count` already and one more is asked for."""
    if count >= quota:
        raise LimitExceededException(quota_message(things, owner))
