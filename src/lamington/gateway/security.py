"""A definition's security schemes and policy, to each method's kind of authorization.

Left to others: to authorize. What is read here is kept, and a method that asks for it is never
open because of that.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from lamington.core.aws import Scope
from lamington.core.clock import Ids
from lamington.gateway.definition_values import (
    Findings,
    Object,
    members_of,
    object_of,
    objects_of,
    strings_of,
    substitute_variables,
    text_of,
    whole_of,
)
from lamington.gateway.entities import Authorizer

AUTHORIZER = "x-amazon-apigateway-authorizer"
AUTHORIZER_TTL_MAX_S = 3600
AUTHORIZATION_BY_AUTHORIZER = {
    "TOKEN": "CUSTOM",
    "REQUEST": "CUSTOM",
    "COGNITO_USER_POOLS": "COGNITO_USER_POOLS",
}

_TEXTS = (
    "authorizerUri",
    "authorizerCredentials",
    "identitySource",
    "identityValidationExpression",
)
_IDENTITY_SOURCE = re.compile(
    r"(?:method\.request\.(?:header|querystring)|stageVariables|context)\.[A-Za-z0-9._$-]+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may call a method, in the members of a method."""

    authorization_type: str = "NONE"
    authorizer_id: str = ""
    scopes: tuple[str, ...] = ()
    api_key_required: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """The schemes of a document by name; `kept` are its authorizers by id."""

    schemes: Mapping[str, Object] = field(default_factory=dict)
    authorizers: Mapping[str, Authorizer] = field(default_factory=dict)
    requirements: Any = None

    @property
    def kept(self) -> dict[str, Authorizer]:
        return {each.authorizer_id: each for each in self.authorizers.values()}

    def access_of(self, operation: Object, where: str) -> Access:
        """Read `security` and `x-amazon-apigateway-auth` of an operation.

        AWS: without its own, an operation has the document's `security` (recorded import).
        """
        auth = object_of(operation.get("x-amazon-apigateway-auth"))
        kind = str(auth.get("type") or "NONE").upper()
        access = Access(authorization_type=kind)
        warnings = []
        if kind not in ("NONE", "AWS_IAM"):
            warnings.append(f"Authorization type '{auth.get('type')}' {where} is not known.")
        for name, scopes in self._names(operation):
            scheme = self.schemes.get(name)
            authorizer = self.authorizers.get(name)
            if scheme is None:
                warnings.append(f"Security scheme '{name}' {where} not found. Ignoring.")
            elif authorizer is not None:
                access = replace(
                    access,
                    authorization_type=AUTHORIZATION_BY_AUTHORIZER.get(authorizer.type, "CUSTOM"),
                    authorizer_id=authorizer.authorizer_id,
                    scopes=strings_of(scopes),
                )
            elif is_iam(scheme):
                access = replace(access, authorization_type="AWS_IAM", authorizer_id="", scopes=())
            elif is_api_key(scheme):
                access = replace(access, api_key_required=True)
        return replace(access, warnings=tuple(warnings))

    def _names(self, operation: Object) -> list[tuple[str, Any]]:
        requirements = operation.get("security", self.requirements)
        return [pair for each in objects_of(requirements) for pair in each.items()]


def is_iam(scheme: Object) -> bool:
    """Whether a scheme asks for signed requests."""
    return str(scheme.get("x-amazon-apigateway-authtype", "")).lower() == "awssigv4"


def is_api_key(scheme: Object) -> bool:
    """Whether a scheme asks for an API key; API Gateway knows them by the header `x-api-key`."""
    return (
        str(scheme.get("type")).lower() == "apikey"
        and str(scheme.get("name")).lower() == "x-api-key"
        and str(scheme.get("in")).lower() == "header"
    )


def schemes_of(document: Object, version: int) -> dict[str, Object]:
    """The security schemes by name, from where Swagger 2.0 or OpenAPI 3.0 has them."""
    place = document if version == 2 else object_of(document.get("components"))
    return dict(members_of(place.get("securityDefinitions" if version == 2 else "securitySchemes")))


def _definition(written: Object, scheme: Object, scope: Scope) -> dict[str, Any]:
    """An authorizer's definition with values of the types that they are to have.

    AWS: an authorizer of tokens reads the header that its scheme names (recorded).
    """
    definition = {str(name): each for name, each in written.items() if each is not None}
    for name in _TEXTS:
        if name in definition:
            definition[name] = substitute_variables(text_of(definition[name]), scope)
    if "authorizerResultTtlInSeconds" in definition:
        ttl = whole_of(definition["authorizerResultTtlInSeconds"], -1)
        definition["authorizerResultTtlInSeconds"] = ttl
    if "providerARNs" in definition:
        definition["providerARNs"] = [
            substitute_variables(each, scope) for each in strings_of(definition["providerARNs"])
        ]
    kind = text_of(definition.get("type")).lower()
    if kind != "request" and scheme.get("name") and not definition.get("identitySource"):
        definition["identitySource"] = f"method.request.header.{scheme['name']}"
    return definition


def _faults(kind: str, definition: Object) -> list[str]:
    """What AWS would not keep of an authorizer. Differs: the last two sentences are likely ones."""
    faults = []
    if kind not in AUTHORIZATION_BY_AUTHORIZER:
        faults.append(
            "Invalid authorizer type specified. Must be one of:"
            f" [{', '.join(AUTHORIZATION_BY_AUTHORIZER)}]"
        )
    if not 0 <= definition.get("authorizerResultTtlInSeconds", 0) <= AUTHORIZER_TTL_MAX_S:
        faults.append(f"Authorizer result TTL must be between 0 and {AUTHORIZER_TTL_MAX_S} seconds")
    for source in text_of(definition.get("identitySource")).split(","):
        if source.strip() and not _IDENTITY_SOURCE.fullmatch(source.strip()):
            faults.append(
                "Invalid mapping expression specified: Validation Result: warnings : [], errors :"
                f" [Invalid mapping expression parameter specified: {source.strip()}]"
            )
    return faults


def read_security(
    document: Object,
    version: int,
    known: Mapping[str, Authorizer],
    scope: Scope,
    ids: Ids,
    findings: Findings,
) -> Security:
    """The schemes of a document; an authorizer that was known by its name keeps its id."""
    by_name = {each.name: each for each in known.values()}
    schemes = schemes_of(document, version)
    authorizers = {}
    for name, scheme in schemes.items():
        written = scheme.get(AUTHORIZER)
        if not isinstance(written, Mapping):
            continue
        definition = _definition(written, scheme, scope)
        kind = text_of(definition.get("type")).upper()
        findings.errors.extend(
            f"Unable to create authorizer '{name}': {fault}" for fault in _faults(kind, definition)
        )
        authorizers[name] = Authorizer(
            authorizer_id=by_name[name].authorizer_id if name in by_name else ids.token(6),
            name=name,
            type=kind,
            auth_type=text_of(scheme.get("x-amazon-apigateway-authtype")),
            definition=definition,
        )
    return Security(schemes=schemes, authorizers=authorizers, requirements=document.get("security"))


def read_policy(given: Any, api_id: str, scope: Scope, findings: Findings) -> str:
    """The text of a resource policy, written as an object or as text; "" for one that is none.

    AWS: `execute-api:/...` becomes an ARN of the API when it is imported (developer guide,
    extensions to OpenAPI).
    """
    text = given if isinstance(given, str) else msgspec.json.encode(given).decode()
    try:
        policy = msgspec.json.decode(substitute_variables(text, scope))
    except msgspec.DecodeError:
        policy = None
    if not isinstance(policy, dict):
        findings.errors.append(
            "Invalid policy document. Please check the policy syntax and ensure that"
            " Principals are valid."
        )
        return ""
    own = scope.arn("execute-api", f"{api_id}/")
    statements = policy.get("Statement")
    for statement in statements if isinstance(statements, list) else [statements]:
        for key in ("Resource", "NotResource"):
            if isinstance(statement, dict) and key in statement:
                statement[key] = _expanded(statement[key], own)
    return msgspec.json.encode(policy).decode()


def _expanded(resource: Any, own: str) -> Any:
    if isinstance(resource, list):
        return [_expanded(each, own) for each in resource]
    if isinstance(resource, str) and resource.startswith("execute-api:/"):
        return own + resource.removeprefix("execute-api:/")
    return resource
