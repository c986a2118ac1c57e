"""Who owns an access key: the keys of the user's file, and the sessions that were given out.

Left to others: signatures (`core.sigv4`), and what a caller needs a permission for
(`permissions`).
"""

import configparser
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec

from lamington.core.aws import Arn, Scope
from lamington.core.errors import LamingtonError, UsageError
from lamington.core.policies import Policy, PolicyError, compile_policy
from lamington.core.sigv4 import Signer
from lamington.wire.identity import IdentityOperations
from lamington.wire.managed_policies import managed_policy
from lamington.wire.services import account_of

LOGGER = logging.getLogger("lamington.wire")
POLICIES_KEPT = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """An access key of the user's file; without an ARN it is its account's root user's."""

    access_key: str
    secret: str
    session_token: str = ""
    arn: str = ""
    policy: str = ""


def load_credentials(path: str) -> dict[str, StoredKey]:
    """Read the keys of a file by their ids; {} where no file is named.

    Raises UsageError for a file that cannot be read or has a key without a secret.
    """
    if not path:
        return {}
    file = Path(path).expanduser()
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(file.read_text())
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise UsageError(
            f"`{path}` cannot be read: {error}",
            hint="`credentials` names a file in the form of AWS's credentials file",
        ) from None
    return {each.access_key: each for each in (_key(parser[n], file) for n in parser.sections())}


def _key(section: configparser.SectionProxy, file: Path) -> StoredKey:
    access_key = section.get("aws_access_key_id", "")
    secret = section.get("aws_secret_access_key", "")
    arn = section.get("user_arn") or section.get("role_arn") or ""
    if not access_key or not secret:
        raise UsageError(
            f"`[{section.name}]` of `{file}` has no key",
            hint="it needs `aws_access_key_id` and `aws_secret_access_key`",
        )
    if arn and not _is_identity(arn):
        raise UsageError(
            f"`{arn}` is the ARN of no user and no role",
            hint="give one such as arn:aws:iam::123456789012:user/me",
        )
    return StoredKey(
        access_key=access_key,
        secret=secret,
        session_token=section.get("aws_session_token", ""),
        arn=arn,
        policy=_load_policy(file, section.get("policy", "")),
    )


def _is_identity(text: str) -> bool:
    try:
        arn = Arn.parse(text)
    except LamingtonError:
        return False
    kind = arn.resource.partition("/")[0]
    return (arn.service, kind) in (("iam", "user"), ("iam", "role"), ("sts", "assumed-role"))


def _load_policy(file: Path, name: str) -> str:
    if not name:
        return ""
    path = file.parent / Path(name).expanduser()
    try:
        text = path.read_text()
        compile_policy(msgspec.json.decode(text))
    except (OSError, UnicodeDecodeError, msgspec.DecodeError, PolicyError) as error:
        raise UsageError(f"`{path}` is no policy: {error}") from None
    return text


@lru_cache(maxsize=POLICIES_KEPT)
def _compiled(text: str) -> Policy | None:
    """A kept document, None for one that is no policy: it allows nothing."""
    try:
        return compile_policy(msgspec.json.decode(text))
    except (PolicyError, msgspec.DecodeError) as error:
        LOGGER.warning("a policy is not valid and allows nothing: %s", error)
        return None


class KnownSigners:
    """Finds the owners of keys; `enforce` believes no others, and asks policies of identities.

    A role's policies are read anew only after one of them has changed.
    """

    def __init__(
        self,
        identity: IdentityOperations,
        keys: Mapping[str, StoredKey],
        *,
        enforce: bool,
        default_account_id: str,
    ) -> None:
        self._identity = identity
        self._keys = keys
        self._enforce = enforce
        self._default_account_id = default_account_id
        self._policies: dict[tuple[str, str], tuple[int, Sequence[Policy]]] = {}
        self._unknown_managed: set[str] = set()

    @property
    def enforce(self) -> bool:
        return self._enforce

    def find(self, access_key: str, session_token: str) -> Signer | None:
        """Whose a key is, None where it is not to be believed.

        Differs: without `enforce` a key that is not known is believed, and tells its account
        where it can.
        """
        stored = self._keys.get(access_key)
        if stored is not None:
            return self._stored(stored)
        session = self._identity.session(access_key)
        if session is not None:
            role_arn = session.scope.global_arn("iam", f"role/{session.role_name}")
            return Signer(
                access_key=access_key,
                secret=session.secret,
                session_token=session.token,
                account_id=session.scope.account_id,
                arn=session.arn,
                user_id=session.user_id,
                names=frozenset({self._role_arn(session.scope, session.role_name) or role_arn}),
                expires=session.expires,
                policies=self._asked(self._role_policies(session.scope, session.role_name)),
            )
        if self._enforce:
            return None
        return Signer(access_key=access_key, account_id=account_of(access_key))

    def _stored(self, key: StoredKey) -> Signer:
        account_id = account_of(key.access_key) or self._default_account_id
        names: frozenset[str] = frozenset()
        policies: Callable[[], Sequence[Policy]] | None = None
        if key.arn:
            arn = Arn.parse(key.arn)
            account_id = arn.account_id
            if arn.resource.startswith("role/"):
                names = frozenset({key.arn})
                scope = Scope(account_id=account_id)
                policies = self._role_policies(scope, arn.resource.rpartition("/")[2])
        if key.policy:
            found = _compiled(key.policy)
            own = () if found is None else (found,)
            policies = lambda: own  # noqa: E731
        return Signer(
            access_key=key.access_key,
            secret=key.secret,
            session_token=key.session_token,
            account_id=account_id,
            arn=key.arn,
            user_id=key.access_key if key.arn else account_id,
            names=names,
            policies=self._asked(policies),
        )

    def _asked(
        self, policies: Callable[[], Sequence[Policy]] | None
    ) -> Callable[[], Sequence[Policy]] | None:
        return policies if self._enforce else None

    def _role_arn(self, scope: Scope, role_name: str) -> str:
        role = self._identity.role(scope, role_name) if self._enforce else None
        return "" if role is None else role.arn

    def _role_policies(self, scope: Scope, role_name: str) -> Callable[[], Sequence[Policy]]:
        def policies() -> Sequence[Policy]:
            key = (scope.account_id, role_name)
            version = self._identity.version
            kept = self._policies.get(key)
            if kept is None or kept[0] != version:
                kept = self._policies[key] = (version, self._read(scope, role_name))
            return kept[1]

        return policies

    def _read(self, scope: Scope, role_name: str) -> Sequence[Policy]:
        """The policies of a role; one that does not exist has none.

        Differs: of AWS's own policies only the commonest are known; others allow nothing.
        """
        role = self._identity.role(scope, role_name)
        if role is None:
            return ()
        found = [_compiled(text) for text in self._identity.role_documents(scope, role)]
        for arn in role.attached_policies:
            if ":iam::aws:policy/" in arn:
                document = managed_policy(arn)
                if document:
                    found.append(_compiled(document))
                elif arn not in self._unknown_managed:
                    self._unknown_managed.add(arn)
                    LOGGER.warning("the text of %s is not known: it allows nothing here", arn)
        return tuple(policy for policy in found if policy is not None)
