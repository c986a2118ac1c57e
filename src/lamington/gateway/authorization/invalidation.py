"""Who may have a stage's cache forget an answer: the caller's own policies tell.

Left to others: what becomes of a request that may not (`cache`), and who the caller is (`iam`).
"""

from lamington.core.aws import Scope
from lamington.core.sigv4 import Signers
from lamington.gateway.authorization.iam import caller_values, identity_decision
from lamington.gateway.authorization.resource_policies import MethodArns
from lamington.gateway.cache import MayInvalidate
from lamington.gateway.mapping import MethodRequest, query_values

ACTION = "execute-api:InvalidateCache"


def compile_invalidation(
    *, api_id: str, stage_name: str, scope: Scope, signers: Signers
) -> MayInvalidate:
    """Compile whether a caller has `execute-api:InvalidateCache` on the method that is called.

    AWS: API Gateway developer guide, caching; only who signs the request can have it, and only
    where the method asks for that.
    """
    arns = MethodArns(api_id, stage_name, scope)

    def may_invalidate(request: MethodRequest) -> bool:
        access_key = request.identity.get("accessKey")
        if not access_key or not request.principal_arn:
            return False
        token = request.known.get("x-amz-security-token") or query_values(request.query)[0].get(
            "X-Amz-Security-Token", ""
        )
        signer = signers.find(access_key, token)
        if signer is None:
            return False
        values = {**caller_values(signer, scope), "aws:sourceip": request.source_ip}
        return identity_decision(signer, arns.of(request), values, ACTION) == "allow"

    return may_invalidate
