"""Method settings of a stage: their members, defaults and the patch paths that change them."""

from collections.abc import Mapping

from lamington.core.aws import Result
from lamington.gateway.entities import THROTTLING_BURST_LIMIT, THROTTLING_RATE_LIMIT
from lamington.gateway.operations.tables import Patch

Setting = str | int | float | bool
Settings = Mapping[str, Mapping[str, Setting]]
"""Settings by `*/*` or `~1{resource~1path}/{VERB}`."""

DEFAULTS: Mapping[str, Setting] = {
    "metricsEnabled": False,
    "loggingLevel": "OFF",
    "dataTraceEnabled": False,
    "throttlingBurstLimit": THROTTLING_BURST_LIMIT,
    "throttlingRateLimit": THROTTLING_RATE_LIMIT,
    "cachingEnabled": False,
    "cacheTtlInSeconds": 300,
    "cacheDataEncrypted": False,
    "requireAuthorizationForCacheControl": True,
    "unauthorizedCacheControlHeaderStrategy": "SUCCEED_WITH_RESPONSE_HEADER",
}
"""API reference, MethodSetting; recorded values."""

MEMBERS: Mapping[tuple[str, str], str] = {
    ("metrics", "enabled"): "metricsEnabled",
    ("logging", "loglevel"): "loggingLevel",
    ("logging", "dataTrace"): "dataTraceEnabled",
    ("throttling", "burstLimit"): "throttlingBurstLimit",
    ("throttling", "rateLimit"): "throttlingRateLimit",
    ("caching", "enabled"): "cachingEnabled",
    ("caching", "ttlInSeconds"): "cacheTtlInSeconds",
    ("caching", "dataEncrypted"): "cacheDataEncrypted",
    (
        "caching",
        "requireAuthorizationForCacheControl",
    ): "requireAuthorizationForCacheControl",
    (
        "caching",
        "unauthorizedCacheControlHeaderStrategy",
    ): "unauthorizedCacheControlHeaderStrategy",
}
"""The member that each pair of a patch path's last two parts changes."""


CHOICES: Mapping[str, tuple[str, ...]] = {
    "loggingLevel": ("OFF", "ERROR", "INFO"),
    "unauthorizedCacheControlHeaderStrategy": (
        "FAIL_WITH_403",
        "SUCCEED_WITH_RESPONSE_HEADER",
        "SUCCEED_WITHOUT_RESPONSE_HEADER",
    ),
}
"""API reference, MethodSetting: what these may be."""

CACHE_TTL_MAX_S = 3600


def changed_settings(settings: Settings, patch: Patch) -> dict[str, dict[str, Setting]] | None:
    """The settings with one patch operation applied; None where its path is no setting's."""
    changed = {key: dict(values) for key, values in settings.items()}
    # The key is the path as written: AWS shows `~1pets/GET` to who wrote that.
    whole = patch.written[1:]
    if patch.op == "remove" and whole in changed:
        del changed[whole]
        return changed
    if len(patch.path) < 4:
        return None
    key, group, name = whole.rsplit("/", 2)
    member = MEMBERS.get((group, name))
    if member is None:
        return None
    values = changed.setdefault(key, {})
    if patch.op == "remove":
        values.pop(member, None)
    else:
        values[member] = _value(member, patch)
    return changed


def method_settings_result(settings: Settings) -> Result:
    """The settings with a default for each member that nobody set."""
    return {key: {**DEFAULTS, **values} for key, values in settings.items()}


def _value(member: str, patch: Patch) -> Setting:
    """Differs: the refusal of a value that may not be is a likely text; no record of it."""
    default = DEFAULTS[member]
    choices = CHOICES.get(member)
    if choices is not None and patch.value.upper() not in choices:
        raise patch.wrong_value()
    if choices is not None:
        return patch.value.upper()
    if member == "cacheTtlInSeconds" and not 0 <= patch.whole <= CACHE_TTL_MAX_S:
        raise patch.wrong_value()
    if isinstance(default, bool):
        return patch.flag
    if isinstance(default, int):
        return patch.whole
    return patch.number if isinstance(default, float) else patch.value
