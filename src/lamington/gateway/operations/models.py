"""The API Gateway operations on models, and the sample template that AWS makes of one.

Left to others: what a model accepts (`schemas`), and which requests it judges (`validation`).
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from lamington.core.aws import Params, Result, Scope
from lamington.core.clock import Ids
from lamington.gateway.definition_schemas import DEPTH_MAX
from lamington.gateway.entities import (
    BadRequestException,
    ConflictException,
    Model,
    NotFoundException,
    RestApi,
)
from lamington.gateway.operations.tables import GatewayTables, listing, parse_patches
from lamington.gateway.results import shown, without
from lamington.gateway.schemas import is_schema

MODEL_PATCH_PATHS = ("/description", "/schema")

_REFERENCE = re.compile(r"https?://apigateway\.amazonaws\.com/restapis/[^/]*/models/([^/#]+)")


class ModelOperations:
    """What AWS's API says of the models of a REST API."""

    def __init__(self, *, tables: GatewayTables, ids: Ids) -> None:
        self._tables = tables
        self._ids = ids

    def operations(self) -> dict[str, Callable[[Params, Scope], Awaitable[Result]]]:
        return {
            "apigateway:CreateModel": self.create_model,
            "apigateway:GetModel": self.get_model,
            "apigateway:GetModels": self.get_models,
            "apigateway:GetModelTemplate": self.get_model_template,
            "apigateway:UpdateModel": self.update_model,
            "apigateway:DeleteModel": self.delete_model,
        }

    async def create_model(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["restApiId"])
        name = params["name"]
        if not name:
            raise BadRequestException("Model name must be non-empty")
        if not (name.isascii() and name.isalnum()):
            raise BadRequestException(f"Model name must be alphanumeric: {name}")
        if name in api.models:
            raise ConflictException("Model name already exists for this REST API")
        model = Model(
            model_id=self._ids.token(6),
            name=name,
            content_type=params["contentType"],
            schema=_require_schema(params.get("schema") or ""),
            description=params.get("description") or "",
        )
        self._put(api, model, scope)
        return model_result(model)

    async def get_model(self, params: Params, scope: Scope) -> Result:
        """Show a model; `flatten` brings the models that it refers to into its schema."""
        api, model = self._model(params, scope)
        if params.get("flatten"):
            model = replace(model, schema=flattened_schema(api, model))
        return model_result(model)

    async def get_models(self, params: Params, scope: Scope) -> Result:
        api = self._tables.require_api(scope, params["restApiId"])
        return listing(params, api.models.items(), model_result)

    async def get_model_template(self, params: Params, scope: Scope) -> Result:
        api, model = self._model(params, scope)
        return {"value": sample_template(api, model)}

    async def update_model(self, params: Params, scope: Scope) -> Result:
        api, model = self._model(params, scope)
        for patch in parse_patches(params):
            if patch.op != "replace":
                raise patch.unsupported
            match patch.path:
                case ("description",):
                    model = replace(model, description=patch.value)
                case ("schema",):
                    model = replace(model, schema=_require_schema(patch.value))
                case _:
                    raise patch.refused(MODEL_PATCH_PATHS)
        self._put(api, model, scope)
        return model_result(model)

    async def delete_model(self, params: Params, scope: Scope) -> Result:
        api, model = self._model(params, scope)
        if model.name in _models_in_use(api):
            raise ConflictException(
                f"Cannot delete model '{model.name}', is referenced in method request or response"
            )
        models = without(api.models, model.name)
        self._tables.apis.put(scope, replace(api, models=models))
        return {}

    def _model(self, params: Params, scope: Scope) -> tuple[RestApi, Model]:
        api = self._tables.require_api(scope, params["restApiId"])
        model = api.models.get(params["modelName"])
        if model is None:
            raise NotFoundException(f"Invalid model name specified: {params['modelName']}")
        return api, model

    def _put(self, api: RestApi, model: Model, scope: Scope) -> None:
        models = {**api.models, model.name: model}
        self._tables.apis.put(scope, replace(api, models=models))


def model_result(model: Model) -> Result:
    """A model as AWS shows it."""
    return shown(
        {
            "id": model.model_id,
            "name": model.name,
            "description": model.description,
            "schema": model.schema,
            "contentType": model.content_type,
        }
    )


def _models_in_use(api: RestApi) -> set[str]:
    return {
        name
        for resource in api.resources.values()
        for method in resource.methods.values()
        for models in (method.request_models, *(each.response_models for each in method.responses))
        for name in models.values()
    }


def _require_schema(text: str) -> str:
    """The text of a schema; raises where it is none of draft 4.

    AWS: references are not followed here: what they name may come later.
    """
    if not text:
        raise BadRequestException(
            "Model schema must have at least 1 property or array items defined"
        )
    schema = _decoded(text)
    if schema is not None and is_schema(schema):
        return text
    raise BadRequestException(
        "Invalid model specified: Validation Result: warnings : [], errors : [Invalid model schema"
        " specified]"
    )


def _decoded(text: str) -> dict[str, Any] | None:
    try:
        schema = msgspec.json.decode(text or "{}")
    except (msgspec.DecodeError, RecursionError):
        return None
    return schema if isinstance(schema, dict) else None


# Flattening


def flattened_schema(api: RestApi, model: Model) -> str:
    """A model's schema with each model that it refers to among its `definitions`.

    Differs: no record of AWS's own form; the definitions bear the models' names.
    """
    schema = _decoded(model.schema)
    if schema is None:
        return model.schema
    definitions: dict[str, Any] = {}
    flat = _flat(api, schema, definitions)
    if definitions:
        flat["definitions"] = {**flat.get("definitions", {}), **definitions}
    return msgspec.json.encode(flat).decode()


def _flat(api: RestApi, schema: Any, definitions: dict[str, Any], depth: int = 0) -> Any:
    if depth > DEPTH_MAX:
        raise BadRequestException("Invalid model schema specified", hint="it is too deep")
    if isinstance(schema, list):
        return [_flat(api, each, definitions, depth + 1) for each in schema]
    if not isinstance(schema, dict):
        return schema
    flat = {name: _flat(api, each, definitions, depth + 1) for name, each in schema.items()}
    name = _referred(schema)
    if name and name in api.models:
        flat["$ref"] = f"#/definitions/{name}"
        if name not in definitions:
            definitions[name] = {}  # A model may refer to itself.
            target = _decoded(api.models[name].schema) or {}
            definitions[name] = _flat(api, target, definitions, depth + 1)
    return flat


def _referred(schema: Mapping[str, Any]) -> str:
    reference = schema.get("$ref")
    found = _REFERENCE.match(reference) if isinstance(reference, str) else None
    return found[1] if found else ""


# The sample template


SAMPLES = {"string": '"foo"', "integer": "42", "number": "3.149", "boolean": "true", "null": "null"}
SAMPLE_DEPTH_MAX = 10


def sample_template(api: RestApi, model: Model) -> str:
    """A mapping template whose text has the structure of a model.

    AWS: API reference, GetModelTemplate. Differs: the sample values are likely ones.
    """
    return "#set($inputRoot = $input.path('$'))\n" + _sample(
        api, _decoded(model.schema) or {}, "$inputRoot", "", 0
    )


def _sample(api: RestApi, schema: Mapping[str, Any], place: str, indent: str, depth: int) -> str:
    name = _referred(schema)
    if name:
        target = api.models.get(name)
        schema = (_decoded(target.schema) if target else None) or {}
    kind = schema.get("type") or ("object" if "properties" in schema else "string")
    if kind == "object" and depth < SAMPLE_DEPTH_MAX:
        members = [
            f'{indent}  "{member}" : '
            + _sample(api, each, f"{place}.{member}", indent + "  ", depth + 1)
            for member, each in schema.get("properties", {}).items()
            if isinstance(each, dict)
        ]
        return "{ }" if not members else "{\n" + ",\n".join(members) + f"\n{indent}}}"
    if kind == "array" and depth < SAMPLE_DEPTH_MAX:
        items = schema.get("items")
        inner = indent + "  "
        item = _sample(api, items if isinstance(items, dict) else {}, "$elem", inner, depth + 1)
        return (
            f"[\n{inner}##TODO: Update this foreach loop to reference array from input json\n"
            f"{inner}#foreach($elem in {place})\n{inner}{item}#if($foreach.hasNext),#end\n"
            f"{inner}#end\n{indent}]"
        )
    return SAMPLES.get(kind, "{ }") if isinstance(kind, str) else '"foo"'
