"""A definition's security schemes and requirements, to each method's kind of authorization.

Left to others: to authorize. What is read here is kept, and a method that asks for it is never
open because of that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lamington.core.aws import Scope
from lamington.core.clock import Ids
from lamington.gateway.definition_values import (
    Object,
    members_of,
    object_of,
    objects_of,
    strings_of,
)
from lamington.gateway.entities import Authorizer

AUTHORIZER = "x-amazon-apigateway-authorizer"
AUTHORIZATION_TYPES = {
    "TOKEN": "CUSTOM",
    "REQUEST": "CUSTOM",
    "COGNITO_USER_POOLS": "COGNITO_USER_POOLS",
}


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
                    authorization_type=AUTHORIZATION_TYPES.get(authorizer.type, "CUSTOM"),
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


def read_security(
    document: Object, version: int, known: Mapping[str, Authorizer], scope: Scope, ids: Ids
) -> Security:
    """The schemes of a document; an authorizer that was known by its name keeps its id."""
    by_name = {each.name: each for each in known.values()}
    schemes = schemes_of(document, version)
    authorizers = {}
    for name, scheme in schemes.items():
        definition = scheme.get(AUTHORIZER)
        if isinstance(definition, Mapping):
            authorizers[name] = Authorizer(
                authorizer_id=by_name[name].authorizer_id if name in by_name else ids.token(6),
                name=name,
                type=str(definition.get("type", "")).upper(),
                auth_type=str(scheme.get("x-amazon-apigateway-authtype", "")),
                definition=dict(definition),
            )
    return Security(schemes=schemes, authorizers=authorizers, requirements=document.get("security"))
