"""How much may come: the API key, its usage plan, and the throttles of method and account.

One gate for each method, compiled with the buckets that it takes from. Left to others: to count
(`throttling`, `quotas`), and which key belongs to which plan (`usage_plans`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from lamington.core.aws import Scope
from lamington.gateway.entities import Method, Resource, RestApi, Stage
from lamington.gateway.mapping import Gate, MethodRequest
from lamington.gateway.recording import record_throttle
from lamington.gateway.responses import Refusal
from lamington.gateway.throttling import Buckets, TokenBucket
from lamington.gateway.usage_plans import Subscription, UsagePlans

SHOWN_OF_KEY = 6

API_KEY_HEADER = "x-api-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which method this is, as the sentences of execution logs name it."""

    api_id: str
    stage_name: str
    resource_id: str
    path: str
    verb: str

    def __str__(self) -> str:
        return (
            f"RestApi {self.api_id}, Stage {self.stage_name}, Resource {self.resource_id},"
            f" HttpMethod {self.verb}"
        )


@dataclass(frozen=True, slots=True)
class Level:
    """One throttle on a request's way; `name` is `method` or `account`."""

    name: str
    bucket: TokenBucket


def compile_admission(
    *,
    api: RestApi,
    stage: Stage,
    resource: Resource,
    method: Method,
    scope: Scope,
    plans: UsagePlans,
    buckets: Buckets,
) -> Gate | None:
    """Compile what a method asks before it lets a request in; None where that is nothing.

    AWS: API Gateway developer guide, request throttling and usage plans: a key's own limits
    first, then the method's in its stage, then the account's.
    """
    place = Place(
        api_id=api.api_id,
        stage_name=stage.stage_name,
        resource_id=resource.resource_id,
        path=resource.path,
        verb=method.http_method,
    )
    levels = throttles(stage, place, scope, buckets)
    if method.api_key_required:
        return _compile_keyed(place, scope, plans, levels, api.api_key_source == "AUTHORIZER")
    if not levels:
        return None
    return _compile_throttle(place, levels)


def throttles(stage: Stage, place: Place, scope: Scope, buckets: Buckets) -> tuple[Level, ...]:
    """The throttles of a method that can ever refuse a request.

    A method's bucket that is at least as large and as quick as the account's never runs dry
    before that one does, as every request takes from both: it is left out. So a stage with
    default limits costs one bucket, not two.

    AWS: developer guide, request throttling: settings of `*/*` count for each method apart.
    A limit below 0 is none, as clients set it to take a limit away.
    """
    account = buckets.account(scope)
    settings = stage.settings_of(place.path, place.verb)
    rate = _limit(settings.get("throttlingRateLimit"), buckets.default_rate)
    burst = _limit(settings.get("throttlingBurstLimit"), buckets.default_burst)
    levels = []
    if account is None:
        is_limited = any(float(settings.get(name, -1)) >= 0 for name in _LIMITS)
    else:
        is_limited = rate < account.rate or burst < account.burst
    if is_limited:
        key = ("stage", place.api_id, place.stage_name, place.path, place.verb)
        levels.append(Level("method", buckets.bucket(key, rate, int(burst))))
    if account is not None:
        levels.append(Level("account", account))
    return tuple(levels)


_LIMITS = ("throttlingRateLimit", "throttlingBurstLimit")


def _limit(value: str | int | float | bool | None, otherwise: float) -> float:
    return otherwise if value is None or float(value) < 0 else float(value)


def _compile_throttle(place: Place, levels: tuple[Level, ...]) -> Gate:
    """The gate of a method without a key; most have one level, the account."""
    take = levels[0].bucket.take
    others = levels[1:]

    def admit(request: MethodRequest) -> None:
        if not take():
            _refuse(place, levels[0], request)
        if others:
            _take_others(place, levels, request)
        if request.recording is not None:
            _record_levels(request, levels)

    return admit


def _take_others(place: Place, levels: Sequence[Level], request: MethodRequest) -> None:
    """Take from all levels but the first; what one refuses costs the others nothing."""
    for index in range(1, len(levels)):
        if not levels[index].bucket.take():
            for earlier in levels[:index]:
                earlier.bucket.give_back()
            _refuse(place, levels[index], request)


def _refuse(place: Place, level: Level, request: MethodRequest) -> NoReturn:
    """AWS: execution logs; recorded for a stage, likely for the account."""
    bucket = level.bucket
    if request.recording is not None:
        record_throttle(request.recording, level.name, bucket, admitted=False)
    raise Refusal(
        f"Key throttle limit exceeded for {place}. {_limits(bucket)}", response_type="THROTTLED"
    )


def _limits(bucket: TokenBucket) -> str:
    return f"Limit: {bucket.rate:.2f} Burst: {bucket.burst}"


def _record_levels(request: MethodRequest, levels: Sequence[Level]) -> None:
    assert request.recording is not None
    for level in levels:
        record_throttle(request.recording, level.name, level.bucket)


def _compile_keyed(
    place: Place,
    scope: Scope,
    plans: UsagePlans,
    levels: tuple[Level, ...],
    by_authorizer: bool,
) -> Gate:
    """The gate of a method that needs a key.

    AWS: developer guide, usage plans: the key is in the header `X-API-Key`, or the
    `usageIdentifierKey` of a Lambda authorizer. Where a plan limits the method apart, that limit
    stands instead of the plan's own.
    Differs: a request that a throttle refuses does not count for the quota; no record of AWS's.
    """
    subscriptions = plans.stage(place.api_id, place.stage_name)
    name = f"{place.path}/{place.verb}"

    def admit(request: MethodRequest) -> None:
        value = request.usage_key if by_authorizer else request.known.get(API_KEY_HEADER, "")
        subscription = subscriptions.by_value.get(value)
        if subscription is None:
            # To find out why asks the store, which no other request should wait for.
            why = "" if request.recording is None else plans.why_not(scope, value)
            _refuse_key(place, value, request, why)
        request.identity = (
            {**request.identity, **subscription.identity}
            if request.identity
            else subscription.identity
        )
        bucket = subscription.methods.get(name, subscription.bucket)
        if bucket is not None and not bucket.take():
            _refuse_plan(place, value, subscription, bucket, request)
        if not subscription.counter.take():
            if bucket is not None:
                bucket.give_back()
            _refuse_quota(place, value, subscription, request)
        for level in levels:
            if not level.bucket.take():
                _give_back(bucket, subscription, levels, level)
                _record_plan(place, value, subscription, request, "allowed", "")
                _refuse(place, level, request)
        if request.recording is not None:
            _record_plan(place, value, subscription, request, "allowed", "")
            _record_levels(request, levels)

    return admit


def _give_back(
    bucket: TokenBucket | None, subscription: Subscription, levels: Sequence[Level], until: Level
) -> None:
    if bucket is not None:
        bucket.give_back()
    subscription.counter.give_back()
    for level in levels[: levels.index(until)]:
        level.bucket.give_back()


def masked(value: str) -> str:
    """AWS: execution logs show the last six characters of a key."""
    return "*" * (len(value) - SHOWN_OF_KEY) + value[-SHOWN_OF_KEY:]


def _record_plan(
    place: Place,
    value: str,
    subscription: Subscription | None,
    request: MethodRequest,
    decision: str,
    why: str,
) -> None:
    if request.recording is not None:
        request.recording.add(
            "usage_plan",
            key=masked(value),
            plan="" if subscription is None else subscription.plan_id,
            stage=f"{place.api_id}/{place.stage_name}",
            decision=decision,
            why=why,
        )


def _refuse_key(place: Place, value: str, request: MethodRequest, why: str) -> NoReturn:
    """AWS: execution logs, recorded; the client hears the same for every reason."""
    _record_plan(place, value, None, request, "not authorized", why)
    raise Refusal(
        f"API Key {masked(value)} not authorized because method '{place.verb} {place.path}'"
        " requires API Key and API Key is not associated with a Usage Plan for API Stage"
        f" {place.api_id}/{place.stage_name}: No Usage Plan found for key and API Stage",
        response_type="INVALID_API_KEY",
        hint=why,
    )


def _refuse_plan(
    place: Place,
    value: str,
    subscription: Subscription,
    bucket: TokenBucket,
    request: MethodRequest,
) -> NoReturn:
    """AWS: execution logs, recorded."""
    why = (
        f"Key throttle limit exceeded for Usage Plan ID {subscription.plan_id}, {place}."
        f" {_limits(bucket)}"
    )
    _record_plan(place, value, subscription, request, "throttled", why)
    raise Refusal(
        f"API Key {masked(value)} exceeded throttle limit for API Stage"
        f" {place.api_id}/{place.stage_name}: {why}",
        response_type="THROTTLED",
    )


def _refuse_quota(
    place: Place, value: str, subscription: Subscription, request: MethodRequest
) -> NoReturn:
    """AWS: execution logs, recorded."""
    quota = subscription.counter.quota
    assert quota is not None
    why = (
        f"Key quota exhausted for Usage Plan ID {subscription.plan_id}."
        f" Quota Limit: {quota.limit} Period: {quota.period}"
    )
    _record_plan(place, value, subscription, request, "quota exceeded", why)
    raise Refusal(
        f"API Key {masked(value)} exceeded quota limit for API Stage"
        f" {place.api_id}/{place.stage_name}: {why}",
        response_type="QUOTA_EXCEEDED",
    )
