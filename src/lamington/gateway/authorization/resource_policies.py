"""Policies at a REST API: the API's own, how it counts with another, and what a denial says.

Left to others: the language of policies (`core.policies`), and who calls (`iam`,
`lambda_authorizers`).
"""

from collections.abc import Callable, Mapping

import msgspec

from lamington.core.aws import Scope
from lamington.core.clock import Clock
from lamington.core.policies import NO_VALUES, NOBODY, Decision, Policy, PolicyError, compile_policy
from lamington.core.policy_matching import Values
from lamington.gateway.mapping import MethodRequest
from lamington.gateway.responses import Refusal
from lamington.gateway.templates import Note

INVOKE = "execute-api:Invoke"
METHOD_ARN_MAX_BYTES = 1600
DECISIONS_KEPT = 1024
"""Decisions remembered for a policy, by method ARN; then they are made anew."""

_SHORTHAND = "execute-api:/"
_NOTHING_ALLOWED = Policy(statements=(), reads=frozenset())

TABLE_A: Mapping[tuple[Decision, Decision], Decision] = {
    ("allow", "allow"): "allow",
    ("allow", "silent"): "allow",
    ("silent", "allow"): "allow",
    ("silent", "silent"): "silent",
}
"""What a caller's policy and the API's say together, within one account; a deny wins.

AWS: API Gateway developer guide, how resource policies affect the authorization workflow.
"""

TABLE_B: Mapping[tuple[Decision, Decision], Decision] = {
    ("allow", "allow"): "allow",
    ("allow", "silent"): "silent",
    ("silent", "allow"): "silent",
    ("silent", "silent"): "silent",
}
"""The same for a caller of another account: both have to allow."""


def combined(identity: Decision, resource: Decision, *, cross_account: bool = False) -> Decision:
    """What a caller's policy and the API's own say together."""
    if "deny" in (identity, resource):
        return "deny"
    return (TABLE_B if cross_account else TABLE_A)[identity, resource]


class MethodArns:
    """Names the methods of a stage as requests call them, for policies.

    AWS: the verb and the path are the request's own, not the resource's; over 1,600 bytes is
    414. Differs: that answer's text is a likely one; no record of it.
    """

    __slots__ = ("_prefix",)

    def __init__(self, api_id: str, stage_name: str, scope: Scope) -> None:
        self._prefix = scope.arn("execute-api", f"{api_id}/{stage_name}/")

    def of(self, request: MethodRequest) -> str:
        """The ARN of the method that a request calls."""
        arn = f"{self._prefix}{request.method}{request.path}"
        if len(arn) > METHOD_ARN_MAX_BYTES:
            raise Refusal(
                f"The method ARN has {len(arn)} bytes; {METHOD_ARN_MAX_BYTES} are allowed",
                response_type="DEFAULT_4XX",
                status=414,
                client_message="Request-URI Too Long",
                error_type="RequestURITooLongException",
            )
        return arn


class ResourcePolicy:
    """The policy of an API, asked about requests to one of its stages."""

    __slots__ = ("_decisions", "_policy", "_remembers", "_values")

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self._policy = policy
        self._values = compile_values(policy, clock)
        self._remembers = policy.reads <= _STEADY_KEYS and not policy.names_principals
        self._decisions: dict[object, Decision] = {}

    def decide(
        self,
        request: MethodRequest,
        arn: str,
        principals: frozenset[str] = NOBODY,
        caller: Values = NO_VALUES,
    ) -> Decision:
        """What the policy says; `caller` are condition keys that tell of who signed."""
        values = self._values(request)
        if self._remembers:
            key = (arn, *values.values()) if values else arn
            decision = self._decisions.get(key)
            if decision is None:
                if len(self._decisions) >= DECISIONS_KEPT:
                    self._decisions.clear()
                decision = self._policy.evaluate(INVOKE, arn, values)
                self._decisions[key] = decision
        else:
            decision = self._policy.evaluate(
                INVOKE, arn, {**values, **caller} if caller else values, principals
            )
        if request.recording is not None:
            request.recording.add("policy", kind="resource", decision=decision, resource=arn)
        return decision


def compile_resource_policy(
    text: str, *, api_id: str, scope: Scope, clock: Clock, note: Note
) -> ResourcePolicy | None:
    """Compile the policy of an API, None where it has none.

    AWS: `execute-api:/stage/VERB/path` is short for the API's own ARN.
    Differs: AWS refuses a policy that is none when it is written; here it allows nothing.
    """
    if not text:
        return None
    own = scope.arn("execute-api", f"{api_id}/")

    def expand(resource: str) -> str:
        if resource.startswith(_SHORTHAND):
            return own + resource.removeprefix(_SHORTHAND)
        return resource

    try:
        policy = compile_policy(msgspec.json.decode(text), expand)
    except (PolicyError, msgspec.DecodeError) as error:
        note(f"The resource policy is not valid and allows nothing: {error}")
        policy = _NOTHING_ALLOWED
    return ResourcePolicy(policy, clock)


# Condition keys.

_Reader = Callable[[MethodRequest, Clock], str | None]

_READERS: Mapping[str, _Reader] = {
    "aws:sourceip": lambda request, clock: request.source_ip,
    "aws:useragent": lambda request, clock: request.known.get("user-agent"),
    "aws:referer": lambda request, clock: request.known.get("referer"),
    "aws:securetransport": lambda request, clock: "true",
    "aws:currenttime": lambda request, clock: clock.now().isoformat(),
    "aws:epochtime": lambda request, clock: str(int(clock.now().timestamp())),
}
"""What each condition key is read from.

AWS: API Gateway developer guide, condition keys of resource policies.
Differs: requests count as sent over TLS, whatever the client used; nothing comes from a VPC.
"""


_STEADY_KEYS = frozenset({"aws:sourceip", "aws:securetransport"})
"""Keys that a client cannot make up anew for each request: decisions are remembered with them."""


def compile_values(policy: Policy, clock: Clock) -> Callable[[MethodRequest], Values]:
    """Compile the making of the condition keys that a policy reads."""
    readers = [(key, _READERS[key]) for key in sorted(policy.reads) if key in _READERS]
    if not readers:
        return lambda request: NO_VALUES

    def values(request: MethodRequest) -> Values:
        found: dict[str, str] = {}
        for key, read in readers:
            value = read(request, clock)
            if value is not None:
                found[key] = value
        return found

    return values


# Denials.

_EXPLICITLY = " with an explicit deny"


def caller_denied(who: str, arn: str, *, explicit: bool) -> Refusal:
    """The refusal of a caller by name; `who` is an ARN, or `anonymous`.

    AWS: of the account in the method's ARN, only the last four digits are shown.
    """
    parts = arn.split(":")
    parts[4] = f"********{parts[4][-4:]}"
    return _denied(
        f"User: {who} is not authorized to perform: {INVOKE} on resource: {':'.join(parts)}",
        explicit=explicit,
    )


def access_denied(*, explicit: bool) -> Refusal:
    """The refusal of a caller whom an authorizer knew."""
    return _denied("User is not authorized to access this resource", explicit=explicit)


def _denied(message: str, *, explicit: bool) -> Refusal:
    text = message + _EXPLICITLY if explicit else message
    return Refusal(text, response_type="ACCESS_DENIED", client_message=text)
