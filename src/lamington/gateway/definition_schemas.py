"""A schema as a definition writes it, to the JSON Schema draft 4 that a model keeps.

References to other schemas become those between models; what OpenAPI 3.1 says in the words of a
later draft is said in those of draft 4. Left to others: names of models (`definition_models`), and
judging by them (`schemas`).
"""

import re
from collections.abc import Mapping
from typing import Any

from lamington.gateway.definition_values import Findings, Object, at_pointer
from lamington.gateway.entities import BadRequestException

DEPTH_MAX = 200
NODES_MAX = 100_000
"""Parts of one schema with what it refers to: a small text can say a very large one."""

MODEL_PLACE = "https://apigateway.amazonaws.com/restapis/{api_id}/models/"

_REFERENCE = re.compile(r"#/(?:definitions|components/schemas)/([^/]+)")
_MODEL = re.compile(r"https?://apigateway\.amazonaws\.com/restapis/")
_MAPS_OF_SCHEMAS = frozenset({"properties", "patternProperties", "definitions", "dependencies"})
_LISTS_OF_SCHEMAS = frozenset({"allOf", "anyOf", "oneOf"})
_SCHEMAS = frozenset({"not", "items", "additionalProperties", "additionalItems"})
_BOOLEAN = frozenset({"additionalProperties", "additionalItems"})


class SchemaWriter:
    """Writes the schemas of one definition; `referred` are the names of models they refer to."""

    def __init__(self, *, document: Object, api_id: str, findings: Findings) -> None:
        self.place = MODEL_PLACE.format(api_id=api_id)
        self.referred: dict[str, None] = {}
        self._document = document
        self._findings = findings
        self._is_later_draft = str(document.get("openapi")).startswith("3.1")
        self._nodes = 0

    def written(self, schema: Any) -> Any:
        """The schema in draft 4; raises BadRequestException for one that is too deep or large.

        What cannot be found is an error among the findings.

        AWS: references between models are kept as URLs of the API (recorded). References to other
        files are not supported (developer guide, known issues).
        """
        self._nodes = 0
        return self._schema(schema, ())

    def model_of(self, reference: str) -> str:
        """The name of the model that a reference means, "" where it means anything else."""
        found = _REFERENCE.fullmatch(reference)
        return found[1] if found else ""

    def _schema(self, schema: Any, trail: tuple[str, ...], depth: int = 0) -> Any:
        self._nodes += 1
        if depth > DEPTH_MAX or self._nodes > NODES_MAX:
            raise BadRequestException(
                "Invalid model schema specified", hint="it is too deep or too large"
            )
        if isinstance(schema, bool) and self._is_later_draft:
            return {} if schema else {"not": {}}
        if not isinstance(schema, Mapping):
            return schema
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._referred(schema, reference, trail, depth)
        return self._members(schema, trail, depth)

    def _members(self, schema: Object, trail: tuple[str, ...], depth: int) -> dict[str, Any]:
        members = in_draft_4(schema) if self._is_later_draft else schema
        return {str(key): self._member(str(key), members[key], trail, depth) for key in members}

    def _member(self, key: str, value: Any, trail: tuple[str, ...], depth: int) -> Any:
        below = depth + 1
        if key in _MAPS_OF_SCHEMAS and isinstance(value, Mapping):
            return {str(name): self._schema(each, trail, below) for name, each in value.items()}
        if isinstance(value, list) and (key in _LISTS_OF_SCHEMAS or key == "items"):
            return [self._schema(each, trail, below) for each in value]
        if key in _SCHEMAS and not (isinstance(value, bool) and key in _BOOLEAN):
            return self._schema(value, trail, below)
        return value

    def _referred(
        self, schema: Object, reference: str, trail: tuple[str, ...], depth: int
    ) -> dict[str, Any]:
        name = self.model_of(reference)
        if name:
            self.referred[name] = None
            reference = self.place + name
        elif reference.startswith("#/"):
            found = at_pointer(self._document, reference)
            if not isinstance(found, Mapping) or reference in trail:
                return self._lost(reference)
            whole: dict[str, Any] = self._schema(found, (*trail, reference), depth + 1)
            return whole
        elif reference != "#" and not _MODEL.match(reference):
            return self._lost(reference)
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return {**self._members(rest, trail, depth), "$ref": reference}

    def _lost(self, reference: str) -> dict[str, Any]:
        self._findings.errors.append(f"Unable to resolve reference '{reference}'")
        return {}


def in_draft_4(schema: Object) -> dict[str, Any]:
    """The keywords of one schema of OpenAPI 3.1 in the words of draft 4, as far as it has them.

    Lists of types are those of draft 4 already. What draft 4 cannot say stays and has no effect.
    """
    members = {str(key): value for key, value in schema.items() if key != "$schema"}
    for bound, exclusive, of_both in (
        ("minimum", "exclusiveMinimum", max),
        ("maximum", "exclusiveMaximum", min),
    ):
        limit = members.get(exclusive)
        if isinstance(limit, (int, float)) and not isinstance(limit, bool):
            other = members.get(bound, limit)
            number = isinstance(other, (int, float)) and not isinstance(other, bool)
            stricter = of_both(limit, other) if number else limit
            members[bound] = stricter
            members[exclusive] = stricter == limit
    if "const" in members:
        members.setdefault("enum", [members.pop("const")])
    if isinstance(members.get("prefixItems"), list):
        if "items" in members:
            members["additionalItems"] = members.pop("items")
        members["items"] = members.pop("prefixItems")
    if "$defs" in members:
        members.setdefault("definitions", members.pop("$defs"))
    for key in ("dependentRequired", "dependentSchemas"):
        found = members.pop(key, None)
        if isinstance(found, Mapping):
            known = members.get("dependencies")
            members["dependencies"] = {**(known if isinstance(known, Mapping) else {}), **found}
    return members
