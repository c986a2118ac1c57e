"""The schemas of a definition, to models: those that are named and those written in place."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from lamington.core.clock import Ids
from lamington.gateway.definition_schemas import SchemaWriter
from lamington.gateway.definition_values import Findings, Object, text_of
from lamington.gateway.entities import Model

_NAME = re.compile(r"[a-zA-Z0-9]+")


class ModelReader:
    """Collects the models of an API; one that was known by its name keeps its id."""

    def __init__(
        self,
        *,
        document: Object,
        api_id: str,
        models: Mapping[str, Model],
        known: Mapping[str, Model],
        ids: Ids,
        findings: Findings,
    ) -> None:
        self.models = dict(models)
        self._writer = SchemaWriter(document=document, api_id=api_id, findings=findings)
        self._known = known
        self._ids = ids
        self._findings = findings

    def read(self, name: str, schema: Object) -> None:
        """Take a schema in under a name.

        AWS: the import fails for names that are not alphanumeric (recorded by users).
        """
        if not _NAME.fullmatch(name):
            self._findings.errors.append(
                f"Unable to create model for '{name}': Model name must be alphanumeric: {name}"
            )
            return
        known = self._known.get(name)
        self.models[name] = Model(
            model_id=known.model_id if known else self._ids.token(6),
            name=name,
            schema=msgspec.json.encode(self._writer.written(schema)).decode(),
            description=text_of(schema.get("description")),
        )

    def named(self, schemas: Mapping[str, Any]) -> dict[str, str]:
        """The names of the models for schemas by media type; what has no schema has no model."""
        names = {media_type: self._name_of(schema) for media_type, schema in schemas.items()}
        return {media_type: name for media_type, name in names.items() if name}

    def _name_of(self, schema: Any) -> str:
        if not isinstance(schema, Mapping) or not schema:
            return ""
        reference = schema.get("$ref")
        if isinstance(reference, str):
            name = self._writer.model_of(reference)
            if name in self.models:
                return name
            if name or not reference.startswith("#/"):
                self._miss(name or reference)
                return ""
        text = msgspec.json.encode(self._writer.written(schema))
        # The same schema has the same name, so that importing again makes no second model.
        name = f"MODEL{hashlib.sha256(text).hexdigest()[:6]}"
        if name not in self.models:
            self.read(name, schema)
        return name

    def warn_of_missing(self) -> None:
        """Warn of models that other models refer to and that are not there."""
        for name in self._writer.referred:
            if name not in self.models:
                self._miss(name)

    def _miss(self, name: str) -> None:
        self._findings.warnings.append(f"Reference to model '{name}' not found. Ignoring.")
