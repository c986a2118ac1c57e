"""Custom domain names: which API and stage a host and a path mean, by mappings and routing rules.

One table for both versions of API Gateway, as on AWS. Left to others: what the operations of
either version show (`operations/domains`, `v2/operations/domains`), and to serve the stage.
"""

import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lamington.core.aws import Scope
from lamington.core.http import Headers
from lamington.core.store import Store, Table
from lamington.gateway.entities import BadRequestException, ConflictException, NotFoundException

MAPPING_KEY_MAX = 300
HEALTH_PATHS = ("/ping", "/sping")
"""AWS: answered by API Gateway itself, on custom domain names only."""

_MAPPING_KEY = re.compile(r"[A-Za-z0-9$\-_.+!*'()/]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainName:
    """A custom domain name; `endpoint` has what was said of its endpoint and certificates.

    The members of `endpoint` have the names of version 1's API, such as
    `regionalCertificateArn`. `domain_name_id` is "" for public names.
    """

    domain_name: str
    endpoint_types: tuple[str, ...] = ("EDGE",)
    ip_address_type: str = "ipv4"
    endpoint: dict[str, str] = field(default_factory=dict)
    security_policy: str = "TLS_1_2"
    endpoint_access_mode: str = ""
    truststore_uri: str = ""
    truststore_version: str = ""
    policy: str = ""
    routing_mode: str = "API_MAPPING_ONLY"
    tags: dict[str, str] = field(default_factory=dict)
    created: str
    domain_name_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiMapping:
    """A stage under a path of a domain name; the key has no slash at either end, "" is the root."""

    domain_name: str
    mapping_id: str
    key: str = ""
    api_id: str
    stage: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRule:
    """A rule that is asked before the mappings, the lowest priority first.

    Of each group of `headers`, which are (name, glob) pairs, one must match, and one of the
    `base_paths`; an empty tuple asks for nothing.
    """

    domain_name: str
    rule_id: str
    priority: int
    headers: tuple[tuple[tuple[str, str], ...], ...] = ()
    base_paths: tuple[str, ...] = ()
    conditions: list[dict[str, Any]] = field(default_factory=list)
    api_id: str
    stage: str
    strip_base_path: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessAssociation:
    """That a VPC endpoint may use a private domain name; kept, and asked by nobody here."""

    arn: str
    domain_name_arn: str
    source: str
    source_type: str = "VPCE"
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """What a domain name and a path lead to; `path` is what the stage is to route.

    `stage` is "" where the path is to name it, `base_path` is the mapping's key or what a rule
    matched.
    """

    api_id: str
    stage: str
    path: str
    base_path: str


class Domains:
    """Every domain name of this engine with its mappings and rules, and which request means which.

    What is written here is known at once to `match`, which asks no store.
    """

    def __init__(self, store: Store) -> None:
        self.transaction = store.transaction
        self.names: Table[DomainName] = Table(
            store, "gateway_domain_names", DomainName, lambda row: (row.domain_name,)
        )
        self.mappings: Table[ApiMapping] = Table(
            store, "gateway_api_mappings", ApiMapping, lambda row: (row.domain_name, row.mapping_id)
        )
        self.rules: Table[RoutingRule] = Table(
            store, "gateway_routing_rules", RoutingRule, lambda row: (row.domain_name, row.rule_id)
        )
        self.associations: Table[AccessAssociation] = Table(
            store, "gateway_access_associations", AccessAssociation, lambda row: (row.arn,)
        )
        self._routes: dict[str, _Routes] = {}
        for scope, name in self.names.everywhere():
            self._read(scope, name.domain_name)

    # Rows

    def require(self, scope: Scope, domain_name: str) -> DomainName:
        """The domain name, or NotFoundException."""
        row = self.names.get(scope, domain_name)
        if row is None:
            raise NotFoundException("Invalid domain name identifier specified")
        return row

    def require_new(self, scope: Scope, domain_name: str) -> str:
        """The name, where there is no domain name called so; raises BadRequestException."""
        if self.names.get(scope, domain_name) is not None:
            raise BadRequestException("The domain name you provided already exists.")
        return domain_name

    def put(self, scope: Scope, row: DomainName) -> None:
        self.names.put(scope, row)
        self._read(scope, row.domain_name)

    def delete(self, scope: Scope, row: DomainName) -> None:
        """Delete a domain name with its mappings and rules."""
        with self.transaction():
            for mapping in self.mappings.all(scope, row.domain_name):
                self.mappings.delete(scope, row.domain_name, mapping.mapping_id)
            for rule in self.rules.all(scope, row.domain_name):
                self.rules.delete(scope, row.domain_name, rule.rule_id)
            self.names.delete(scope, row.domain_name)
        self._read(scope, row.domain_name)

    def tags(self, scope: Scope, row_id: str) -> dict[str, str]:
        """The tags of a domain name, which an ARN has with a plus and its id if it is private."""
        return dict(self.require(scope, row_id.partition("+")[0]).tags)

    def put_tags(self, scope: Scope, row_id: str, tags: dict[str, str]) -> None:
        row = self.require(scope, row_id.partition("+")[0])
        self.put(scope, replace(row, tags=tags))

    def mapping(self, scope: Scope, domain_name: str, key: str) -> ApiMapping | None:
        """The mapping of a domain name for exactly this key."""
        rows = self.mappings.all(scope, domain_name)
        return next((each for each in rows if each.key == key), None)

    def put_mapping(self, scope: Scope, mapping: ApiMapping) -> None:
        """Write a mapping; raises ConflictException where another has its key."""
        other = self.mapping(scope, mapping.domain_name, mapping.key)
        if other is not None and other.mapping_id != mapping.mapping_id:
            raise ConflictException("Base path already exists for this domain name")
        self.mappings.put(scope, mapping)
        self._read(scope, mapping.domain_name)

    def delete_mapping(self, scope: Scope, mapping: ApiMapping) -> None:
        self.mappings.delete(scope, mapping.domain_name, mapping.mapping_id)
        self._read(scope, mapping.domain_name)

    def put_rule(self, scope: Scope, rule: RoutingRule) -> None:
        """Write a rule; raises ConflictException where another has its priority."""
        for each in self.rules.all(scope, rule.domain_name):
            if each.priority == rule.priority and each.rule_id != rule.rule_id:
                raise ConflictException(
                    f"A routing rule with priority {rule.priority} already exists"
                )
        self.rules.put(scope, rule)
        self._read(scope, rule.domain_name)

    def delete_rule(self, scope: Scope, rule: RoutingRule) -> None:
        self.rules.delete(scope, rule.domain_name, rule.rule_id)
        self._read(scope, rule.domain_name)

    def _read(self, scope: Scope, domain_name: str) -> None:
        key = domain_name.lower()
        row = self.names.get(scope, domain_name)
        if row is None:
            self._routes.pop(key, None)
            return
        self._routes[key] = _Routes(
            row.routing_mode,
            self.mappings.all(scope, domain_name),
            self.rules.all(scope, domain_name),
        )

    # Requests

    @property
    def known(self) -> bool:
        """Whether there is any domain name at all."""
        return bool(self._routes)

    def has(self, host: str) -> bool:
        """Whether the host, which may have a port, is a domain name."""
        return self._find(host) is not None

    def match(self, host: str, path: str, headers: Headers) -> Destination | None:
        """Where a request to a domain name leads; None where no rule and no mapping matches.

        AWS: the longest mapping that is a prefix of the path, segment by segment, and it is
        taken off the path (developer guide, API mappings for REST APIs). A name that starts with
        `*.` stands for one label.
        """
        routes = self._find(host)
        return None if routes is None else routes.match(path, headers)

    def _find(self, host: str) -> "_Routes | None":
        name = host.partition(":")[0].lower()
        found = self._routes.get(name)
        if found is None and "." in name:
            found = self._routes.get(f"*.{name.partition('.')[2]}")
        return found


class _Routes:
    """What one domain name leads to."""

    def __init__(
        self, mode: str, mappings: Iterable[ApiMapping], rules: Iterable[RoutingRule]
    ) -> None:
        uses_mappings = mode != "ROUTING_RULE_ONLY"
        uses_rules = mode != "API_MAPPING_ONLY"
        longest_first = sorted(mappings, key=lambda each: -len(each.key)) if uses_mappings else []
        self._mappings = tuple(longest_first)
        first = sorted(rules, key=lambda each: each.priority) if uses_rules else []
        self._rules = tuple(
            (
                rule,
                [[(name.lower(), _glob(glob)) for name, glob in group] for group in rule.headers],
            )
            for rule in first
        )

    def match(self, path: str, headers: Headers) -> Destination | None:
        for rule, groups in self._rules:
            if not all(_any_matches(group, headers) for group in groups):
                continue
            base_path = _matched(rule.base_paths, path)
            if base_path is None:
                continue
            rest = _without(path, base_path) if rule.strip_base_path else path
            return Destination(api_id=rule.api_id, stage=rule.stage, path=rest, base_path=base_path)
        for mapping in self._mappings:
            if _is_prefix(mapping.key, path):
                return Destination(
                    api_id=mapping.api_id,
                    stage=mapping.stage,
                    path=_without(path, mapping.key),
                    base_path=mapping.key,
                )
        return None


def _any_matches(group: list[tuple[str, re.Pattern[str]]], headers: Headers) -> bool:
    return any(pattern.fullmatch(value) for name, pattern in group for value in headers.all(name))


def _is_prefix(key: str, path: str) -> bool:
    return not key or path[1:] == key or path[1:].startswith(f"{key}/")


def _without(path: str, key: str) -> str:
    return (path[len(key) + 1 :] or "/") if key else path


def _matched(base_paths: tuple[str, ...], path: str) -> str | None:
    """The longest of the base paths that begins the path; "" where none is asked for."""
    if not base_paths:
        return ""
    found = [each for each in base_paths if _is_prefix(each, path)]
    return max(found, key=len) if found else None


def _glob(text: str) -> re.Pattern[str]:
    """AWS: `*` stands for any text at the beginning, the end or both (routing rules)."""
    return re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)


def require_mapping_key(key: str) -> str:
    """The key of a mapping without slashes at its ends; raises BadRequestException.

    AWS: letters, digits and `$-_.+!*'()/`, 300 characters (developer guide, API mappings).
    """
    key = key.strip("/")
    if len(key) > MAPPING_KEY_MAX or not _MAPPING_KEY.fullmatch(key) or "//" in key:
        raise BadRequestException(
            "API mapping key should not contain special characters or be longer than"
            f" {MAPPING_KEY_MAX} characters",
            hint="letters, digits and $-_.+!*'()/",
        )
    return key


def domain_arn(row: DomainName, scope: Scope) -> str:
    """The ARN of a domain name; that of a private one has its account and its id too."""
    if row.domain_name_id:
        return scope.arn("apigateway", f"/domainnames/{row.domain_name}+{row.domain_name_id}")
    return f"arn:{scope.partition}:apigateway:{scope.region}::/domainnames/{row.domain_name}"


def generated_names(row: DomainName, scope: Scope) -> Mapping[str, str]:
    """The names under which API Gateway would serve a domain name, by the members of version 1.

    Differs: the targets are made up; here a domain name is served by the Host header alone.
    """
    label = f"d-{zlib.crc32(row.domain_name.encode()):010x}"
    if "EDGE" in row.endpoint_types:
        return {
            "distributionDomainName": f"{label}.cloudfront.net",
            "distributionHostedZoneId": "Z2FDTNDATAQYW2",
        }
    return {
        "regionalDomainName": f"{label}.execute-api.{scope.region}.{scope.url_suffix}",
        "regionalHostedZoneId": "Z1UJRXOUMOOFQ8",
    }
