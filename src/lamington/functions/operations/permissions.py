"""The Lambda API of resource policies: who may invoke a function, version or alias."""

from dataclasses import replace

from lamington.core.aws import Operation, Params, Result, Scope
from lamington.functions.entities import (
    LATEST,
    POLICY_MAX_BYTES,
    InvalidParameterValueException,
    PolicyLengthExceededException,
    PreconditionFailedException,
    ResourceConflictException,
    ResourceNotFoundException,
    ResourcePolicy,
)
from lamington.functions.operations.constraints import require_valid
from lamington.functions.operations.names import FunctionReference, parse_reference
from lamington.functions.operations.policies import (
    build_statement,
    render_policy,
    render_statement,
)
from lamington.functions.operations.registry import FunctionRegistry

_MEMBERS = (
    *("StatementId", "Action", "Principal", "SourceAccount", "EventSourceToken"),
    *("FunctionUrlAuthType", "PrincipalOrgID"),
)


class PermissionOperations:
    """Adds statements to policies and takes them away; each qualifier has its own policy."""

    def __init__(self, registry: FunctionRegistry) -> None:
        self._registry = registry

    def operations(self) -> dict[str, Operation]:
        return {
            "lambda:AddPermission": self.add_permission,
            "lambda:GetPolicy": self.get_policy,
            "lambda:RemovePermission": self.remove_permission,
        }

    async def add_permission(self, params: Params, scope: Scope) -> Result:
        """Add one statement.

        AWS: AddPermission; a policy holds 20 KB and is of one function, version or alias.
        """
        reference = parse_reference(params["FunctionName"], scope, params.get("Qualifier") or "")
        require_valid(params, _MEMBERS)
        if reference.qualifier == LATEST:
            raise InvalidParameterValueException(
                "We currently do not support adding policies for $LATEST."
            )
        self._registry.version(reference)
        policy = self._registry.policy(reference)
        _require_revision(params, policy)
        statements = policy.statements if policy else ()
        if any(each["Sid"] == params["StatementId"] for each in statements):
            raise ResourceConflictException(
                f"The statement id ({params['StatementId']}) provided already exists. Please"
                " provide a new statement id, or remove the existing statement."
            )
        statement = build_statement(params, reference.arn, scope.partition)
        changed = ResourcePolicy(
            function_name=reference.function_name,
            qualifier=reference.qualifier,
            statements=(*statements, statement),
            revision_id=self._registry.revision_id(),
        )
        size = len(render_policy(changed).encode())
        if size > POLICY_MAX_BYTES:
            raise PolicyLengthExceededException(
                f"The final policy size ({size}) is bigger than the limit ({POLICY_MAX_BYTES})."
            )
        self._registry.put_policy(scope, changed)
        return {"Statement": render_statement(statement)}

    async def get_policy(self, params: Params, scope: Scope) -> Result:
        reference = self._existing(params, scope)
        policy = self._registry.policy(reference)
        if policy is None:
            raise ResourceNotFoundException("The resource you requested does not exist.")
        return {"Policy": render_policy(policy), "RevisionId": policy.revision_id}

    async def remove_permission(self, params: Params, scope: Scope) -> Result:
        """Take one statement away; a policy without statements is gone."""
        reference = self._existing(params, scope)
        policy = self._registry.policy(reference)
        if policy is None:
            raise ResourceNotFoundException("No policy is associated with the given resource.")
        _require_revision(params, policy)
        left = tuple(each for each in policy.statements if each["Sid"] != params["StatementId"])
        if len(left) == len(policy.statements):
            raise ResourceNotFoundException(
                f"Statement {params['StatementId']} is not found in resource policy."
            )
        revision_id = self._registry.revision_id()
        self._registry.put_policy(scope, replace(policy, statements=left, revision_id=revision_id))
        return {}

    def _existing(self, params: Params, scope: Scope) -> FunctionReference:
        reference = parse_reference(params["FunctionName"], scope, params.get("Qualifier") or "")
        self._registry.version(reference)
        return replace(reference, qualifier="") if reference.qualifier == LATEST else reference


def _require_revision(params: Params, policy: ResourcePolicy | None) -> None:
    given = params.get("RevisionId")
    if given and (policy is None or given != policy.revision_id):
        raise PreconditionFailedException(
            "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API"
            " to retrieve the latest Revision Id"
        )
