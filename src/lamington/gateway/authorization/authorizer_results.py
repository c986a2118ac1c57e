"""What the function of a Lambda authorizer answered: read once, and kept for a while.

Left to others: the calling of the function (`authorizer_functions`), and the answers of HTTP
APIs, which have a form of their own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from lamington.core.clock import Clock
from lamington.core.policies import Decision, Policy, PolicyError, compile_policy
from lamington.core.policy_matching import Values
from lamington.gateway.authorization.authorizer_functions import configuration_error
from lamington.gateway.authorization.resource_policies import (
    DECISIONS_KEPT,
    INVOKE,
    compile_values,
)
from lamington.gateway.mapping import MethodRequest, scalar_text
from lamington.gateway.responses import Refusal

TTL_DEFAULT_S = 300
TTL_MAX_S = 3600
RESULTS_KEPT = 10_000
"""Results kept for an authorizer in a stage; the oldest go first."""

RESOURCE_MAX_CHARS = 512


@dataclass(slots=True, kw_only=True)
class AuthorizerResult:
    """What a function answered, read once; `context` is `$context.authorizer` of a kept result."""

    principal_id: str
    policy: Policy
    context: Mapping[str, Any]
    usage_key: str = ""
    values: Callable[[MethodRequest], Values]
    decisions: dict[str, Decision] = field(default_factory=dict)

    def decide(self, request: MethodRequest, arn: str) -> Decision:
        """What the answer's policy says of a method."""
        decision = self.decisions.get(arn)
        if decision is None:
            decision = self.policy.evaluate(INVOKE, arn, self.values(request))
            if not self.policy.reads:
                if len(self.decisions) >= DECISIONS_KEPT:
                    self.decisions.clear()
                self.decisions[arn] = decision
        return decision


Result = TypeVar("Result")


class AuthorizerCache(Generic[Result]):
    """The results of one authorizer in one stage, by the values of its identity sources."""

    __slots__ = ("_entries", "_monotonic")

    def __init__(self, clock: Clock) -> None:
        self._monotonic = clock.monotonic
        self._entries: dict[object, tuple[float, Result]] = {}

    def find(self, key: object) -> Result | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._monotonic():
            del self._entries[key]
            return None
        return entry[1]

    def keep(self, key: object, result: Result, ttl_s: float) -> None:
        self._entries.pop(key, None)
        while len(self._entries) >= RESULTS_KEPT:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = (self._monotonic() + ttl_s, result)

    def clear(self) -> None:
        self._entries.clear()


class AuthorizerCaches:
    """The kept results of all authorizers, by API and stage; a new deployment leaves them.

    AWS: API Gateway developer guide, Lambda authorizers; results are kept for each stage.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._stages: dict[tuple[str, str], dict[str, AuthorizerCache[Any]]] = {}

    def of(self, api_id: str, stage_name: str, authorizer_id: str) -> AuthorizerCache[Any]:
        authorizers = self._stages.setdefault((api_id, stage_name), {})
        if authorizer_id not in authorizers:
            authorizers[authorizer_id] = AuthorizerCache(self._clock)
        return authorizers[authorizer_id]

    def flush(self, api_id: str, stage_name: str) -> None:
        """Forget the results of a stage: FlushStageAuthorizersCache."""
        for cache in self._stages.get((api_id, stage_name), {}).values():
            cache.clear()


def ttl_of(definition: Mapping[str, Any]) -> int:
    """The seconds that results are kept; 0 keeps none."""
    given = definition.get("authorizerResultTtlInSeconds")
    try:
        ttl = TTL_DEFAULT_S if given is None else int(given)
    except (TypeError, ValueError):
        ttl = TTL_DEFAULT_S
    return min(max(ttl, 0), TTL_MAX_S)


def read_policy_answer(payload: bytes, clock: Clock) -> AuthorizerResult:
    """Read what an authorizer answered: a principal, a policy, values for `$context`.

    AWS: API Gateway developer guide, output from a Lambda authorizer; what is not of that form
    is a 500. Raises Refusal.
    """
    try:
        answer = msgspec.json.decode(payload)
    except msgspec.DecodeError:
        raise configuration_error("Invalid JSON in response: not JSON") from None
    if not isinstance(answer, dict):
        raise _bad_answer("the answer is no object")
    principal_id = answer.get("principalId")
    if not isinstance(principal_id, str) or not principal_id:
        raise _bad_answer("`principalId` is not a text")
    policy = _policy_of(answer.get("policyDocument"))
    usage_key = answer.get("usageIdentifierKey")
    if usage_key is not None and not isinstance(usage_key, str):
        raise _bad_answer("`usageIdentifierKey` is not a text")
    return AuthorizerResult(
        principal_id=principal_id,
        policy=policy,
        context={
            "principalId": principal_id,
            "integrationLatency": 0,
            **_context_of(answer.get("context")),
        },
        usage_key=usage_key or "",
        values=compile_values(policy, clock),
    )


def _policy_of(document: Any) -> Policy:
    if document is None:
        raise _bad_answer("`policyDocument` is missing")
    try:
        policy = compile_policy(document)
    except PolicyError as error:
        raise _bad_answer(f"`policyDocument` is not valid: {error}") from None
    statements = document["Statement"]
    for statement in statements if isinstance(statements, list) else [statements]:
        named = statement.get("Resource", statement.get("NotResource"))
        if named is None:
            raise _bad_answer("`policyDocument` has a statement without a resource")
        if any(
            len(each) > RESOURCE_MAX_CHARS
            for each in (named if isinstance(named, list) else [named])
        ):
            raise _bad_answer(
                f"`policyDocument` has a resource of more than {RESOURCE_MAX_CHARS} characters"
            )
    return policy


def _context_of(given: Any) -> dict[str, str]:
    """The values of an answer's context, each as text.

    AWS: text, number or boolean; an object or a list is an error.
    Differs: a null is left out; no record of what AWS makes of it.
    """
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise _bad_answer("`context` is no object")
    texts = {}
    for name, value in given.items():
        if isinstance(value, dict | list):
            raise _bad_answer(f"`context.{name}` is no plain value")
        text = scalar_text(value)
        if text is not None:
            texts[name] = text
    return texts


def _bad_answer(why: str) -> Refusal:
    return configuration_error(
        "Authorizer error",
        f"{why}; an authorizer answers an object of principalId, policyDocument, and at will"
        " context and usageIdentifierKey",
    )
