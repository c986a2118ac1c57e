"""What stands before a method's integration: the checks that a request passes, and kept answers.

Each check compiles itself; here is which of them a method has, and in which order.
"""

from lamington.core.aws import Scope
from lamington.gateway.admission import compile_admission
from lamington.gateway.authorization.gate import compile_authorization
from lamington.gateway.authorization.invalidation import compile_invalidation
from lamington.gateway.cache import MayInvalidate, MethodCache, compile_cache
from lamington.gateway.compression import decompress
from lamington.gateway.entities import Method, Resource, RestApi, Stage
from lamington.gateway.mapping import Gate
from lamington.gateway.stage_parts import StageParts
from lamington.gateway.templates import Note
from lamington.gateway.validation import compile_validation


def unanswerable(method: Method, parts: StageParts) -> str:
    """What a method asks its callers that nobody here can tell; "" for nothing.

    Such a method refuses everybody: it is never open because nobody can be asked.
    """
    if method.authorization_type not in ("", "NONE") and parts.authorization is None:
        return f"Authorization `{method.authorization_type}`"
    if method.api_key_required and parts.plans is None:
        return "API keys"
    return ""


def compile_gates(
    *,
    api: RestApi,
    stage: Stage,
    resource: Resource,
    method: Method,
    scope: Scope,
    parts: StageParts,
    note: Note,
) -> tuple[Gate, ...]:
    """Compile what a request has to pass, in AWS's order."""
    gates: list[Gate | None] = []
    if parts.authorization is not None:
        gates.append(
            compile_authorization(
                api=api,
                stage=stage,
                resource=resource,
                method=method,
                scope=scope,
                parts=parts.authorization,
                note=note,
            )
        )
    if parts.plans is not None and parts.buckets is not None:
        gates.append(
            compile_admission(
                api=api,
                stage=stage,
                resource=resource,
                method=method,
                scope=scope,
                plans=parts.plans,
                buckets=parts.buckets,
            )
        )
    present = tuple(gate for gate in gates if gate is not None)
    return present + compile_test_gates(api, method, note)


def compile_test_gates(api: RestApi, method: Method, note: Note) -> tuple[Gate, ...]:
    """Compile what a test request has to pass: it is asked for its content alone."""
    validate = compile_validation(api, method, note)
    return (decompress,) if validate is None else (decompress, validate)


def compile_kept_answers(
    *,
    api: RestApi,
    stage: Stage,
    resource: Resource,
    method: Method,
    scope: Scope,
    parts: StageParts,
) -> MethodCache | None:
    """Compile a method's cache; None where its answers are not kept."""
    if parts.cache is None:
        return None
    return compile_cache(
        api=api,
        stage=stage,
        resource=resource,
        method=method,
        store=parts.cache,
        variables=stage.variables,
        may_invalidate=_compile_may_invalidate(api, stage, scope, parts),
    )


def _compile_may_invalidate(
    api: RestApi, stage: Stage, scope: Scope, parts: StageParts
) -> MayInvalidate:
    if parts.authorization is None:
        return parts.may_invalidate
    return compile_invalidation(
        api_id=api.api_id,
        stage_name=stage.stage_name,
        scope=scope,
        signers=parts.authorization.signers,
    )
