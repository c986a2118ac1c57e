"""IAM and STS as far as deployments need them: roles with their policies, and sessions of them.

Left to others: who may do what by these policies (`signers`, `permissions`).

Differs: trust policies, permissions boundaries and session policies are kept, never evaluated.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from lamington.core.aws import Arn, Operation, Params, Result, Scope
from lamington.core.clock import UPPER_ALPHANUMERIC, Clock, Ids
from lamington.core.errors import AwsError, LamingtonError
from lamington.core.sigv4 import Signer
from lamington.core.store import Store, Table
from lamington.wire.constraints import ValidationError
from lamington.wire.services import access_key_of, render_temporary_access_key

PAGE_DEFAULT = 100
SESSION_DEFAULT_S = 3600
TAGS_MAX = 50
ROLE_POLICIES_BYTES_MAX = 10_240
ATTACHED_MAX = 20
SESSIONS_MAX = 10_000
"""Sessions of roles whose keys are known again; the oldest are forgotten."""


class NoSuchEntity(AwsError):
    status = 404


class EntityAlreadyExists(AwsError):
    status = 409


class DeleteConflict(AwsError):
    status = 409


class LimitExceeded(AwsError):
    status = 409


class MalformedPolicyDocument(AwsError):
    status = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role with all that belongs to it; policy documents are kept as the text that was given."""

    role_name: str
    role_id: str
    path: str
    arn: str
    trust_policy: str
    description: str = ""
    max_session_s: int = SESSION_DEFAULT_S
    permissions_boundary: str = ""
    created: datetime
    tags: dict[str, str] = field(default_factory=dict)
    inline_policies: dict[str, str] = field(default_factory=dict)
    attached_policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Credentials of a role that were given out; `expires` is None where the engine ends them."""

    access_key: str
    secret: str
    token: str
    user_id: str
    arn: str
    role_name: str
    scope: Scope
    expires: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A customer managed policy."""

    policy_name: str
    policy_id: str
    path: str
    arn: str
    document: str
    description: str = ""
    created: datetime
    tags: dict[str, str] = field(default_factory=dict)


class IdentityOperations:
    """The operations of IAM and STS; their rows are the account's, in no region."""

    def __init__(self, store: Store, clock: Clock, ids: Ids) -> None:
        self._roles = Table(store, "iam_roles", Role, lambda row: (row.role_name,))
        self._policies = Table(store, "iam_policies", Policy, lambda row: (row.arn,))
        self._clock = clock
        self._ids = ids
        self._sessions: dict[str, Session] = {}
        self.version = 0
        """Counts the changes of roles and policies."""

    def operations(self) -> dict[str, Operation]:
        return {
            "sts:GetCallerIdentity": self.get_caller_identity,
            "sts:AssumeRole": self.assume_role,
            "iam:CreateRole": self.create_role,
            "iam:GetRole": self.get_role,
            "iam:DeleteRole": self.delete_role,
            "iam:ListRoles": self.list_roles,
            "iam:UpdateRole": self.update_role,
            "iam:UpdateAssumeRolePolicy": self.update_assume_role_policy,
            "iam:TagRole": self.tag_role,
            "iam:UntagRole": self.untag_role,
            "iam:ListRoleTags": self.list_role_tags,
            "iam:PutRolePolicy": self.put_role_policy,
            "iam:GetRolePolicy": self.get_role_policy,
            "iam:DeleteRolePolicy": self.delete_role_policy,
            "iam:ListRolePolicies": self.list_role_policies,
            "iam:AttachRolePolicy": self.attach_role_policy,
            "iam:DetachRolePolicy": self.detach_role_policy,
            "iam:ListAttachedRolePolicies": self.list_attached_role_policies,
            "iam:ListInstanceProfilesForRole": self.list_instance_profiles_for_role,
            "iam:CreatePolicy": self.create_policy,
            "iam:GetPolicy": self.get_policy,
            "iam:GetPolicyVersion": self.get_policy_version,
            "iam:DeletePolicy": self.delete_policy,
            "iam:ListPolicies": self.list_policies,
        }

    # STS.

    async def get_caller_identity(self, params: Params, scope: Scope) -> Result:
        """Who has signed: a session of a role, a key that is known, or the account.

        Differs: whoever is not known is the account's root user, where such keys are believed.
        """
        metadata = params.get("RequestMetadata") or {}
        signer: Signer | None = metadata.get("Signer")
        if signer is not None and signer.arn:
            return {"UserId": signer.user_id, "Account": scope.account_id, "Arn": signer.arn}
        headers = metadata.get("HTTPHeaders")
        session = self.session(access_key_of(headers)) if headers is not None else None
        if session is not None:
            account_id = session.scope.account_id
            return {"Account": account_id, "UserId": session.user_id, "Arn": session.arn}
        return {
            "UserId": scope.account_id,
            "Account": scope.account_id,
            "Arn": scope.global_arn("iam", "root"),
        }

    async def assume_role(self, params: Params, scope: Scope) -> Result:
        """Make up credentials that mean the role's account to this engine.

        Differs: the role need not exist, and its trust policy is not evaluated.
        """
        expires = self._clock.now() + timedelta(
            seconds=params.get("DurationSeconds", SESSION_DEFAULT_S)
        )
        session = self._new_session(params["RoleArn"], scope, params["RoleSessionName"], expires)
        return {
            "Credentials": {
                "AccessKeyId": session.access_key,
                "SecretAccessKey": session.secret,
                "SessionToken": session.token,
                "Expiration": expires,
            },
            "AssumedRoleUser": {"AssumedRoleId": session.user_id, "Arn": session.arn},
        }

    def role_credentials(self, role_arn: str, scope: Scope, session: str) -> tuple[str, str, str]:
        """An access key, secret and session token of a role, as functions get them."""
        made = self._new_session(role_arn, scope, session, None)
        return made.access_key, made.secret, made.token

    def _new_session(
        self, role_arn: str, scope: Scope, name: str, expires: datetime | None
    ) -> Session:
        arn = _parse_role_arn(role_arn)
        role_name = arn.resource.rpartition("/")[2]
        owner = Scope(account_id=arn.account_id, region=scope.region)
        role = self._roles.get(_account_wide(owner), role_name)
        role_id = role.role_id if role else self._unique_id("AROA")
        letters = UPPER_ALPHANUMERIC + "abcdefghij/+"
        session = Session(
            access_key=render_temporary_access_key(arn.account_id, self._ids),
            secret=self._ids.token(40, letters),
            token=self._ids.token(356, letters),
            user_id=f"{role_id}:{name}",
            arn=owner.global_arn("sts", f"assumed-role/{role_name}/{name}"),
            role_name=role_name,
            scope=owner,
            expires=expires,
        )
        while len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[session.access_key] = session
        return session

    def session(self, access_key: str) -> Session | None:
        """The session that a key was given out for, None for one that is not known (any more)."""
        return self._sessions.get(access_key)

    def role(self, scope: Scope, role_name: str) -> Role | None:
        return self._roles.get(_account_wide(scope), role_name)

    def role_documents(self, scope: Scope, role: Role) -> list[str]:
        """The texts of the policies that a role has, of its own and attached ones."""
        attached = (self._policies.get(_account_wide(scope), arn) for arn in role.attached_policies)
        return [
            *role.inline_policies.values(),
            *(policy.document for policy in attached if policy is not None),
        ]

    def _keep_role(self, scope: Scope, role: Role) -> None:
        self._roles.put(_account_wide(scope), role)
        self.version += 1

    # Roles.

    async def create_role(self, params: Params, scope: Scope) -> Result:
        name = params["RoleName"]
        path = params.get("Path", "/")
        if self._roles.get(_account_wide(scope), name) is not None:
            raise EntityAlreadyExists(f"Role with name {name} already exists.")
        _require_policy(params["AssumeRolePolicyDocument"])
        role = Role(
            role_name=name,
            role_id=self._unique_id("AROA"),
            path=path,
            arn=scope.global_arn("iam", f"role{path}{name}"),
            trust_policy=params["AssumeRolePolicyDocument"],
            description=params.get("Description", ""),
            max_session_s=params.get("MaxSessionDuration", SESSION_DEFAULT_S),
            permissions_boundary=params.get("PermissionsBoundary", ""),
            created=self._now(),
            tags=_tags(params.get("Tags", ())),
        )
        _require_tag_count(role.tags)
        self._keep_role(scope, role)
        return {"Role": _render_role(role)}

    async def get_role(self, params: Params, scope: Scope) -> Result:
        return {"Role": _render_role(self._require_role(params, scope))}

    async def delete_role(self, params: Params, scope: Scope) -> Result:
        role = self._require_role(params, scope)
        if role.attached_policies:
            raise DeleteConflict("Cannot delete entity, must detach all policies first.")
        if role.inline_policies:
            raise DeleteConflict("Cannot delete entity, must delete policies first.")
        self._roles.delete(_account_wide(scope), role.role_name)
        self.version += 1
        return {}

    async def list_roles(self, params: Params, scope: Scope) -> Result:
        prefix = params.get("PathPrefix", "/")
        roles = [
            role for role in self._roles.all(_account_wide(scope)) if role.path.startswith(prefix)
        ]
        page, paging = _page(roles, [role.role_name for role in roles], params)
        return {"Roles": [_without_tags(_render_role(role)) for role in page], **paging}

    async def update_role(self, params: Params, scope: Scope) -> Result:
        role = self._require_role(params, scope)
        self._keep_role(
            scope,
            replace(
                role,
                description=params.get("Description", role.description),
                max_session_s=params.get("MaxSessionDuration", role.max_session_s),
            ),
        )
        return {}

    async def update_assume_role_policy(self, params: Params, scope: Scope) -> Result:
        role = self._require_role(params, scope)
        _require_policy(params["PolicyDocument"])
        self._keep_role(scope, replace(role, trust_policy=params["PolicyDocument"]))
        return {}

    async def tag_role(self, params: Params, scope: Scope) -> Result:
        role = self._require_role(params, scope)
        tags = role.tags | _tags(params["Tags"])
        _require_tag_count(tags)
        self._keep_role(scope, replace(role, tags=tags))
        return {}

    async def untag_role(self, params: Params, scope: Scope) -> Result:
        role = self._require_role(params, scope)
        kept = {key: value for key, value in role.tags.items() if key not in params["TagKeys"]}
        self._keep_role(scope, replace(role, tags=kept))
        return {}

    async def list_role_tags(self, params: Params, scope: Scope) -> Result:
        tags = self._require_role(params, scope).tags
        page, paging = _page(sorted(tags), sorted(tags), params)
        return {"Tags": _render_tags({key: tags[key] for key in page}), **paging}

    # Policies inside roles.

    async def put_role_policy(self, params: Params, scope: Scope) -> Result:
        role = self._require_role(params, scope)
        _require_policy(params["PolicyDocument"])
        policies = role.inline_policies | {params["PolicyName"]: params["PolicyDocument"]}
        if sum(len("".join(text.split())) for text in policies.values()) > ROLE_POLICIES_BYTES_MAX:
            raise LimitExceeded(
                f"Maximum policy size of {ROLE_POLICIES_BYTES_MAX} bytes exceeded for role"
                f" {role.role_name}"
            )
        self._keep_role(scope, replace(role, inline_policies=policies))
        return {}

    async def get_role_policy(self, params: Params, scope: Scope) -> Result:
        role = self._require_role(params, scope)
        name = params["PolicyName"]
        if name not in role.inline_policies:
            raise NoSuchEntity(f"The role policy with name {name} cannot be found.")
        return {
            "RoleName": role.role_name,
            "PolicyName": name,
            "PolicyDocument": quote(role.inline_policies[name], safe=""),
        }

    async def delete_role_policy(self, params: Params, scope: Scope) -> Result:
        role = self._require_role(params, scope)
        policies = dict(role.inline_policies)
        if policies.pop(params["PolicyName"], None) is None:
            raise NoSuchEntity(f"The role policy with name {params['PolicyName']} cannot be found.")
        self._keep_role(scope, replace(role, inline_policies=policies))
        return {}

    async def list_role_policies(self, params: Params, scope: Scope) -> Result:
        names = sorted(self._require_role(params, scope).inline_policies)
        page, paging = _page(names, names, params)
        return {"PolicyNames": page, **paging}

    async def attach_role_policy(self, params: Params, scope: Scope) -> Result:
        role = self._require_role(params, scope)
        arn = params["PolicyArn"]
        if not _is_aws_managed(arn) and self._policies.get(_account_wide(scope), arn) is None:
            raise NoSuchEntity(f"Policy {arn} does not exist or is not attachable.")
        if arn in role.attached_policies:
            return {}
        if len(role.attached_policies) >= ATTACHED_MAX:
            raise LimitExceeded(f"Cannot exceed quota for PoliciesPerRole: {ATTACHED_MAX}")
        attached = (*role.attached_policies, arn)
        self._keep_role(scope, replace(role, attached_policies=attached))
        return {}

    async def detach_role_policy(self, params: Params, scope: Scope) -> Result:
        role = self._require_role(params, scope)
        arn = params["PolicyArn"]
        if arn not in role.attached_policies:
            raise NoSuchEntity(f"Policy {arn} was not found.")
        attached = tuple(each for each in role.attached_policies if each != arn)
        self._keep_role(scope, replace(role, attached_policies=attached))
        return {}

    async def list_attached_role_policies(self, params: Params, scope: Scope) -> Result:
        arns = self._require_role(params, scope).attached_policies
        page, paging = _page(sorted(arns), sorted(arns), params)
        attached = [{"PolicyName": arn.rpartition("/")[2] or arn, "PolicyArn": arn} for arn in page]
        return {"AttachedPolicies": attached, **paging}

    async def list_instance_profiles_for_role(self, params: Params, scope: Scope) -> Result:
        """Always none: instance profiles are EC2's. Tools ask before they delete a role."""
        self._require_role(params, scope)
        return {"InstanceProfiles": [], "IsTruncated": False}

    # Managed policies.

    async def create_policy(self, params: Params, scope: Scope) -> Result:
        name = params["PolicyName"]
        path = params.get("Path", "/")
        arn = scope.global_arn("iam", f"policy{path}{name}")
        if any(each.policy_name == name for each in self._policies.all(_account_wide(scope))):
            raise EntityAlreadyExists(
                f"A policy called {name} already exists. Duplicate names are not allowed."
            )
        _require_policy(params["PolicyDocument"])
        policy = Policy(
            policy_name=name,
            policy_id=self._unique_id("ANPA"),
            path=path,
            arn=arn,
            document=params["PolicyDocument"],
            description=params.get("Description", ""),
            created=self._now(),
            tags=_tags(params.get("Tags", ())),
        )
        _require_tag_count(policy.tags)
        self._policies.put(_account_wide(scope), policy)
        self.version += 1
        return {"Policy": _render_policy(policy, 0)}

    async def get_policy(self, params: Params, scope: Scope) -> Result:
        """Differs: every ARN of AWS's own policies is taken for one that exists."""
        policy = self._require_policy(params["PolicyArn"], scope)
        rendered = _render_policy(policy, self._attachments(policy.arn, scope))
        return {"Policy": rendered | {"Tags": _render_tags(policy.tags)}}

    async def get_policy_version(self, params: Params, scope: Scope) -> Result:
        """Differs: a policy has its first version only, and the text of AWS's own is not known."""
        policy = self._require_policy(params["PolicyArn"], scope)
        version = params["VersionId"]
        if version != "v1" or not policy.document:
            raise NoSuchEntity(f"Policy {policy.arn} version {version} does not exist.")
        return {
            "PolicyVersion": {
                "Document": quote(policy.document, safe=""),
                "VersionId": "v1",
                "IsDefaultVersion": True,
                "CreateDate": policy.created,
            }
        }

    async def delete_policy(self, params: Params, scope: Scope) -> Result:
        policy = self._require_policy(params["PolicyArn"], scope)
        if self._attachments(policy.arn, scope):
            raise DeleteConflict("Cannot delete a policy attached to entities.")
        self._policies.delete(_account_wide(scope), policy.arn)
        self.version += 1
        return {}

    async def list_policies(self, params: Params, scope: Scope) -> Result:
        """Differs: AWS's own policies are not listed."""
        prefix = params.get("PathPrefix", "/")
        policies = [
            policy
            for policy in self._policies.all(_account_wide(scope))
            if policy.path.startswith(prefix) and params.get("Scope", "All") != "AWS"
        ]
        counts = {policy.arn: self._attachments(policy.arn, scope) for policy in policies}
        if params.get("OnlyAttached"):
            policies = [policy for policy in policies if counts[policy.arn]]
        page, paging = _page(policies, [policy.arn for policy in policies], params)
        return {"Policies": [_render_policy(each, counts[each.arn]) for each in page], **paging}

    def _require_role(self, params: Params, scope: Scope) -> Role:
        name = params["RoleName"]
        role = self._roles.get(_account_wide(scope), name)
        if role is None:
            raise NoSuchEntity(f"The role with name {name} cannot be found.")
        return role

    def _require_policy(self, arn: str, scope: Scope) -> Policy:
        policy = self._policies.get(_account_wide(scope), arn)
        if policy is not None:
            return policy
        if not _is_aws_managed(arn):
            raise NoSuchEntity(f"Policy {arn} was not found.")
        path, _, name = arn.partition(":policy")[2].rpartition("/")
        return Policy(
            policy_name=name,
            policy_id="ANPA" + quote(name, safe="").upper().ljust(17, "A")[:17],
            path=f"{path}/",
            arn=arn,
            document="",
            created=self._clock.now().replace(year=2015, month=2, day=6, microsecond=0),
        )

    def _attachments(self, arn: str, scope: Scope) -> int:
        roles = self._roles.all(_account_wide(scope))
        return sum(arn in role.attached_policies for role in roles)

    def _unique_id(self, prefix: str) -> str:
        return prefix + self._ids.token(17, UPPER_ALPHANUMERIC)

    def _now(self) -> datetime:
        return self._clock.now().replace(microsecond=0)


def _account_wide(scope: Scope) -> Scope:
    """Where IAM's rows live: in an account, in no region."""
    return Scope(account_id=scope.account_id, region="")


def _is_aws_managed(arn: str) -> bool:
    parts = arn.split(":", 5)
    return (
        len(parts) == 6
        and parts[2:5] == ["iam", "", "aws"]
        and parts[5].startswith("policy/")
        and len(parts[5]) > len("policy/")
    )


def _parse_role_arn(text: str) -> Arn:
    try:
        arn = Arn.parse(text)
    except LamingtonError:
        raise ValidationError(f"{text} is invalid") from None
    is_account = len(arn.account_id) == 12 and arn.account_id.isdigit()
    if arn.service != "iam" or not arn.resource.startswith("role/") or not is_account:
        raise ValidationError(f"{text} is invalid")
    return arn


def _require_policy(document: str) -> None:
    """Raise MalformedPolicyDocument where the text is not a policy in form."""
    try:
        policy = msgspec.json.decode(document)
    except msgspec.DecodeError:
        raise MalformedPolicyDocument("This policy contains invalid Json") from None
    if not isinstance(policy, dict) or not policy.get("Statement"):
        raise MalformedPolicyDocument("Syntax errors in policy.")


def _tags(tags: Iterable[Params]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def _require_tag_count(tags: dict[str, str]) -> None:
    if len(tags) > TAGS_MAX:
        raise LimitExceeded("The number of tags has reached the maximum limit.")


def _render_tags(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _render_role(role: Role) -> dict[str, Any]:
    rendered: dict[str, Any] = {
        "Path": role.path,
        "RoleName": role.role_name,
        "RoleId": role.role_id,
        "Arn": role.arn,
        "CreateDate": role.created,
        "AssumeRolePolicyDocument": quote(role.trust_policy, safe=""),
        "MaxSessionDuration": role.max_session_s,
    }
    if role.description:
        rendered["Description"] = role.description
    if role.permissions_boundary:
        rendered["PermissionsBoundary"] = {
            "PermissionsBoundaryType": "Policy",
            "PermissionsBoundaryArn": role.permissions_boundary,
        }
    if role.tags:
        rendered["Tags"] = _render_tags(role.tags)
    return rendered


def _without_tags(rendered: dict[str, Any]) -> dict[str, Any]:
    """AWS: lists of roles leave tags and boundaries out."""
    return {
        key: value
        for key, value in rendered.items()
        if key not in ("Tags", "PermissionsBoundary", "RoleLastUsed")
    }


def _render_policy(policy: Policy, attachments: int) -> dict[str, Any]:
    rendered: dict[str, Any] = {
        "PolicyName": policy.policy_name,
        "PolicyId": policy.policy_id,
        "Arn": policy.arn,
        "Path": policy.path,
        "DefaultVersionId": "v1",
        "AttachmentCount": attachments,
        "PermissionsBoundaryUsageCount": 0,
        "IsAttachable": True,
        "CreateDate": policy.created,
        "UpdateDate": policy.created,
    }
    if policy.description:
        rendered["Description"] = policy.description
    return rendered


Item = TypeVar("Item")


def _page(items: Sequence[Item], keys: Sequence[str], params: Params) -> tuple[list[Item], Result]:
    """One page of items that stand in the order of their keys; the marker is the last key shown."""
    marker = params.get("Marker", "")
    limit = params.get("MaxItems", PAGE_DEFAULT)
    rest = [(key, item) for key, item in zip(keys, items, strict=True) if key > marker]
    page = [item for _, item in rest[:limit]]
    if len(rest) <= limit:
        return page, {"IsTruncated": False}
    return page, {"IsTruncated": True, "Marker": rest[limit - 1][0]}
